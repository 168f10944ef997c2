"""Sweep files: every mistake is one message with file, line and key."""

import json
import traceback
import tracemalloc

import pytest
import yaml

from accelsim.base.errors import InputError
from accelsim.sweeps.passwords import without_passwords
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.run import run_plan
from accelsim.sweeps.search import random_points
from tests.helpers.sweep_commands import ARCHS

PLAIN = f"""\
schema: 1
name: small
base: {ARCHS / "nm816.yaml"}
traces: TRACE
axes:
  mac_array.lanes: [8, 16]
"""


@pytest.fixture
def refused(tmp_path, trace):
    """Read a file that begins like the plain one, with a line replaced or added; return why not."""

    def _refused(line, instead_of=None):
        text = PLAIN.replace("TRACE", str(trace))
        text = text.replace(instead_of, line) if instead_of else text + line
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as error:
            load_plan(path)
        return str(error.value).removeprefix(str(tmp_path) + "/")

    return _refused


LANES = "  mac_array.lanes: [8, 16]\n"


@pytest.mark.parametrize(
    ("line", "instead_of", "message"),
    [
        ("", "schema: 1\n", "s.yaml: key 'schema' is missing"),
        ("schema: 2", "schema: 1", "s.yaml:1: schema: Input should be 1, got 2"),
        ("schema: true", "schema: 1", "s.yaml:1: schema: must be 1, not True"),
        ("names: 3\n", None, "s.yaml:7: unknown key 'names' (did you mean 'name'?)"),
        ("name: a b", "name: small", "s.yaml:2: name: String should match"),
        ("  mac_array.lane: [8]\n", LANES, "s.yaml:6: axes.mac_array.lane: no machine has the key"),
        ("  mac_array.lanes: []\n", LANES, "s.yaml:6: axes.mac_array.lanes: an axis without"),
        ("  mac_array.lanes: 8\n", LANES, "s.yaml:6: axes.mac_array.lanes: must be a list"),
        (
            "  mac_array.lanes: [8, 8]\n",
            LANES,
            "s.yaml:6: mac_array.lanes: a setting is given twice",
        ),
        ("  mac_array.lanes: [[8]]\n", LANES, "s.yaml:6: axes.mac_array.lanes: a value of"),
        (
            "  mac_array.lanes: {from: 8}\n",
            LANES,
            "s.yaml:6: axes.mac_array.lanes: to: Field required",
        ),
        (
            "  clock_mhz: [.inf]\n",
            LANES,
            "s.yaml:6: axes.clock_mhz: a value of 'clock_mhz' is not a",
        ),
        (
            "  clock_mhz: [.nan]\n",
            LANES,
            "s.yaml:6: axes.clock_mhz: a value of 'clock_mhz' is not a",
        ),
        ("  pattern: [2.4]\n", LANES, "s.yaml:6: axes.pattern: a pattern is a text like 8:16, not"),
        ("linked: [{mac_array.lanes: [8]}]\n", None, "s.yaml:7: linked: axis 'mac_array.lanes' is"),
        ("linked: [{}]\n", None, "s.yaml:7: linked"),
        (
            "linked: [{mac_array.rows: [8, 4], mac_array.columns: [8]}]\n",
            None,
            "s.yaml:7: linked: axes differ in length: mac_array.rows has 2",
        ),
        ("phases: training\n", None, "s.yaml:7: phases: Input should be 'prefill' or 'decode'"),
        ("batches: [4]\n", None, "s.yaml:7: batches: only for phase decode"),
        ("phases: decode\nbatches: [0]\n", None, "s.yaml:8: batches: Input should be greater"),
        ("constraints: area <= 3\n", None, "s.yaml:7: constraints: unknown metric 'area'"),
        ("metrics: [tops]\n", None, "s.yaml:7: metrics: unknown metric 'tops'"),
        ("objectives: [tops]\n", None, "s.yaml:7: objectives: unknown metric 'tops'"),
        ("objectives: [cycles, cycles]\n", None, "s.yaml:7: objectives: a metric is given twice"),
        (
            "metrics: [cycles]\nobjectives: [area_um2]\n",
            None,
            "s.yaml:8: objectives: area_um2 is not in metrics",
        ),
        ("mode: random\n", None, "s.yaml:7: mode: random needs points"),
        ("mode: random\npoints: 3\n", None, "s.yaml:8: points: 3 of a space of 2"),
        ("points: 3\n", None, "s.yaml:7: points: mode: grid takes all of them"),
        ("mode: optuna\npoints: 2\n", None, "s.yaml:7: mode: optuna needs objectives"),
        ("search: {population: 1}\n", None, "s.yaml:7: search.population: Input should be"),
        ("search: {populations: 9}\n", None, "s.yaml:7: unknown key 'populations' (did you mean"),
        ("iso_area: {scale: rows}\n", None, "s.yaml:7: key 'reference' is missing"),
        ("iso_area: {reference: no.yaml}\n", None, "s.yaml:7: iso_area: "),
        ("base: no.yaml", f"base: {ARCHS / 'nm816.yaml'}", "s.yaml:3: base: "),
        ("policies: [no.yaml]\n", None, "s.yaml:7: policies: "),
        ("  mac_array: [8, 16]\n", LANES, "s.yaml:6: axes.mac_array: 'mac_array' is a section, so"),
        ("  crossbar: [full]\n", LANES, "s.yaml:6: axes.crossbar: 'crossbar' is a section, so"),
        ("  buffers.weights: [3]\n", LANES, "s.yaml:6: axes.buffers.weights: 'buffers.weights' is"),
        (
            "  mac_array.lanes: [{a: 1}]\n",
            LANES,
            "s.yaml:6: axes.mac_array.lanes: a value of 'mac_",
        ),
        ("  mac_array.lanes: [.nan]\n", LANES, "s.yaml:6: axes.mac_array.lanes: a value of 'mac_"),
        ("  dram.latency_ns: [.inf]\n", LANES, "s.yaml:6: axes.dram.latency_ns: a value of"),
        (
            f"  mac_array.lanes: [1{'0' * 30}]\n",
            LANES,
            "s.yaml:6: axes.mac_array.lanes: a value of",
        ),
        ('  crossbar.kind: ["a\\nb"]\n', LANES, "s.yaml:6: axes.crossbar.kind: a value of"),
        (
            f"  mac_array.lanes: {{from: 1, to: 1{'0' * 120}, factor: 2}}\n",
            LANES,
            "s.yaml:6: axes.mac_array.lanes: numbers of a range lie between",
        ),
        (
            "  mac_array.lanes: {from: 1, to: 99999, step: 1.0e-300}\n",
            LANES,
            "s.yaml:5: axes: 1",
        ),
        (
            "mode: random\npoints: 100000000000\n",
            None,
            "s.yaml:8: points: 100,000,000,000; at most",
        ),
        (
            "mode: optuna\nobjectives: cycles\npoints: 100000000000\n",
            None,
            "s.yaml:9: points: 100,000,000,000; at most 1,000,000 are run",
        ),
        ("search: {storage: ''}\n", None, "s.yaml:7: search.storage: Value should have at least 1"),
        ("search: {study: ''}\n", None, "s.yaml:7: search.study: String should have at least 1"),
        ("policies: [none, none]\n", None, "s.yaml:7: policies: two policies are called 'none'"),
    ],
)
def test_mistakes_are_named_with_their_line(refused, line, instead_of, message):
    assert refused(line, instead_of).startswith(message)


@pytest.mark.parametrize("value", [None, {"kind": "full"}])
def test_a_section_may_be_an_axis(plan, value):
    assert plan(axes={"crossbar": [value, {"kind": "window"}]})
    assert plan(axes={"tiling": ["auto", {"tokens": 8, "columns": 8, "reduction": 16}]})


KEYS = {
    "mac_array": ("rows", "columns", "lanes"),
    "crossbar": ("kind", "pipeline_stages"),
    "selector": ("instances", "step_cycles"),
}
LONG = {
    "mac_array.lanes": {"from": 1, "to": 60_000, "step": 1},
    "dram.latency_ns": {"from": 1, "to": 60_000, "step": 1},
    "dram.bandwidth_gb_per_s": {"from": 1, "to": 60_000, "points": 60_000, "scale": "log"},
}


def test_a_space_that_is_too_large_to_run_is_refused_with_its_number(sweep_file):
    tracemalloc.start()
    with pytest.raises(InputError) as error:
        load_plan(sweep_file(axes=LONG))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "sweep.yaml:5: axes: mode: grid runs all 216,000,000,000,000 points" in str(error.value)
    assert peak_bytes < 100e6


def test_but_points_can_be_drawn_from_it(plan):
    assert len(set(random_points(plan(axes=LONG, mode="random", points=100)))) == 100


def test_axes_are_counted_together_before_any_is_listed(sweep_file):
    many = {f"no_{number}": {"from": 1, "to": 100_000, "step": 1} for number in range(2000)}
    for keys in ({"axes": many}, {"linked": [many]}, {"linked": [{k: v} for k, v in many.items()]}):
        with pytest.raises(
            InputError, match=r"axes: 200,000,00\d values in all; at most 500,000 are"
        ):
            load_plan(sweep_file(**keys))


def test_a_space_beyond_numbers_is_refused(plan):
    long = {"from": 1, "to": 1000, "step": 1}
    keys = [f"{x}.{y}" for x in ("mac_array", "crossbar", "selector") for y in KEYS[x]]
    with pytest.raises(
        InputError, match=r"axes: a space of 1e\+21 points; at most 9.22e\+18 can be"
    ):
        plan(axes=dict.fromkeys(keys, long), mode="random", points=3)


SECRET = "s3cr:et/@%21"
URLS = [
    f"postgresql://me:{SECRET}@host/db",
    f"mysql+pymysql://:{SECRET}@host/db",
    f"me:{SECRET}@host",
    f"postgresql://me:{SECRET}{'long' * 30}@host/db",
    f"sqlite:///x.db?password={SECRET}&x=1",
    f"postgresql://me@host/db?x=1&sslKey={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_passwords_are_neither_shown_nor_stored(plan, tmp_path, url):
    search = {"mode": "optuna", "points": 2, "objectives": ["cycles"]}
    made = plan(**search, search={"storage": url})
    for text in (repr(made), str(made), json.dumps(made.contents)):
        assert "s3cr" not in text
    assert made.file.search.storage.get_secret_value() == url
    assert made.digest == plan(**search, search={"storage": url.replace("s3cr", "othr")}).digest
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match=r"search\.storage .*: cannot be used") as error:
        run_plan(made, tmp_path / "out")
    assert "s3cr" not in "".join(traceback.format_exception(error.value))
    for wrong in ({"storage": [url]}, url, [url], {"storage": {"url": url}}, {"population": url}):
        with pytest.raises(InputError) as error:
            plan(**search, search=wrong)
        assert "s3cr" not in str(error.value)


@pytest.mark.parametrize("words", ["password", "no role 's3cr:et/@!'", "at postgresql://a:b@c/d"])
def test_passwords_are_taken_out_of_what_drivers_say(words):
    said = without_passwords(words, URLS[0])
    assert "s3cr" not in said
    assert "a:b@" not in said


def test_a_scaled_size_cannot_be_an_axis(refused):
    message = refused(
        "iso_area: {reference: dense, scale: rows}\nlinked: [{mac_array.rows: [4, 8]}]\n"
    )
    assert message.startswith("s.yaml:7: iso_area: sets mac_array.rows, an axis as well")


def test_machines_need_names_of_their_own(sweep_file):
    path = str(ARCHS / "nm816.yaml")
    with pytest.raises(InputError, match="two machines are called 'nm816'"):
        load_plan(sweep_file(base=[path, path]))


def test_traces_may_come_from_the_command(sweep_file, trace):
    file = sweep_file(traces=None)
    with pytest.raises(InputError, match="no traces: name them in the file, or with --trace"):
        load_plan(file)
    assert list(load_plan(file, trace).traces) == ["t"]


def test_paths_are_relative_to_the_file(tmp_path, sweep_file, trace):
    (tmp_path / "local.npz").write_bytes(trace.read_bytes())
    assert list(load_plan(sweep_file(traces="local.npz")).traces) == ["local"]


def test_phases_batches_and_policies_are_axes(tmp_path, plan):
    rules = {"schema": 1, "layers": {"*": "dense"}}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    made = plan(
        phases=["prefill", "decode"], batches=[1, 3], policies=["none", "rules.yaml"], axes=None
    )
    found = [made.grid.settings(i) for i in range(len(made.grid))]
    assert [(x["phase"], x["batch"], x["policy"]) for x in found] == [
        ("prefill", None, "none"),
        ("prefill", None, "rules"),
        ("decode", 1, "none"),
        ("decode", 1, "rules"),
        ("decode", 3, "none"),
        ("decode", 3, "rules"),
    ]


def test_the_digest_is_of_contents(plan):
    assert plan().digest == plan().digest
    assert plan().digest != plan(seed=1).digest


def test_points_that_share_runs_follow_each_other(plan):
    made = plan(axes={"technology.node_nm": [45, 22], "mac_array.lanes": [8, 16]})
    ordered = [made.grid.settings(i) for i in made.in_order_of_time(range(4))]
    assert [x["mac_array.lanes"] for x in ordered] == [8, 8, 16, 16]


@pytest.mark.parametrize("path", sorted((ARCHS.parent / "experiments/sweeps").glob("*.yaml")))
def test_shipped_sweeps_can_be_read(path):
    made = load_plan(path)
    assert made.file.name == path.stem
    assert made.file.objectives
    if path.stem == "pattern_crossbar":
        assert len(made.grid) >= 5000

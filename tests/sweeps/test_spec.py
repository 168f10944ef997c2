"""Sweep files: every mistake is one message with file, line and key."""

import pytest
import yaml
from sweeps_common import ARCHS

from accelsim.errors import InputError
from accelsim.sweeps.plan import load_plan

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
        ("policies: [none, none]\n", None, "s.yaml:7: policies: two policies are called 'none'"),
    ],
)
def test_mistakes_are_named_with_their_line(refused, line, instead_of, message):
    assert refused(line, instead_of).startswith(message)


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

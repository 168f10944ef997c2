"""The search of an area: within it, in time, the same for a seed, and as if never stopped."""

import copy
import json
import random
import shutil
from functools import cache
from itertools import product

import pytest

from accelsim.base.errors import InputError
from accelsim.config import load_arch
from accelsim.run.area import clock_notes
from accelsim.run.simulation import simulate
from accelsim.tuning import journal, search
from accelsim.tuning.area_climb import Climb, Desk, exchanged
from accelsim.tuning.area_plan import load_area_plan
from accelsim.tuning.area_run import run_area_plan
from accelsim.tuning.bench import put
from accelsim.tuning.bounds import least_prefill_cycles
from accelsim.tuning.journal import Journal
from accelsim.tuning.search import AreaSearch
from accelsim.tuning.space import Space
from tests.tuning.conftest import AREA_TRACE, PLAN, rows_of, write_plan
from tests.tuning.test_tune import MACHINE, SPARSE, TRACE, bench_of

pytest.importorskip("optuna")

pytestmark = pytest.mark.slow

KEYS = ("mac_array.", "crossbar.", "selector.", "buffers.", "dram.")


def area_of(arch):
    tech = arch.load_technology()
    return sum(unit.area_um2(tech, arch.path) for unit in arch.units.values())


def test_every_machine_fits_meets_its_clock_and_takes_the_cycles_that_are_told(searched):
    plan, _, rows = searched
    reference = area_of(load_arch(plan.parent / "dense.yaml"))
    keys = ("dram.bandwidth_gb_per_s", "share", "pattern")
    assert [tuple(row[key] for key in keys) for row in rows] == list(
        product((8, 16), (0.5, 1), ("dense", "4:8"))
    )
    for row in rows:
        base = plan.parent / ("dense.yaml" if row["pattern"] == "dense" else "sparse.yaml")
        keys = {key: row[key] for key in row if key.startswith(KEYS) and row[key] is not None}
        arch = load_arch(base, [f"{key}={value}" for key, value in keys.items()])
        assert area_of(arch) == pytest.approx(row["area_um2"])
        assert row["area_um2"] <= row["share"] * reference
        late = [n for n in clock_notes(arch, arch.load_technology()) if n.is_warning]
        assert not late
        assert simulate(arch, AREA_TRACE).cycles == row["cycles"]


def test_all_patterns_get_the_same_number_of_trials_and_the_sampler_its_share(searched):
    for row in searched[2]:
        assert row["trials"] == PLAN["trials"]
        assert sum(row[f"{origin}_trials"] for origin in search.ORIGINS) == row["trials"]
        assert row["sampler_trials"] >= 1


def _search(pattern, folder, budget_um2=2e6):
    base = bench(pattern)
    return AreaSearch(Space(base.source, 8), base, Journal.begun(folder / pattern), budget_um2, "0")


def test_known_machines_get_half_of_the_trials_and_the_others_share_the_rest(tmp_path):
    found = _search("dense", tmp_path)
    near = found.space.near(MACHINE)
    starts = [{**near, "weight_buffer.capacity_kib": place} for place in range(12)]
    found.run(starts, 8)
    origins = [trial.origin for trial in found.found]
    assert origins[:4] == ["known"] * 4
    assert origins[4:].count("sampler") == origins[4:].count("near") == 2


def test_a_pattern_learns_the_machine_and_the_buffers_of_another(tmp_path):
    dense, sparse = _search("dense", tmp_path), _search("4:8", tmp_path)
    assert exchanged(sparse, []) == []
    places = dense.space.near(MACHINE)
    dense.run([{**places, "weight_buffer.capacity_kib": 3, "mac_array.rows": 1}], 1)
    sparse.run([sparse.space.near(SPARSE)], 1)
    theirs, own = dense.best.places, sparse.best.places
    whole, buffers = exchanged(sparse, [dense.best])
    filled = sparse.space.filling(own)["mac_array.columns"]
    assert whole == own | theirs | {"mac_array.columns": filled}
    assert buffers["weight_buffer.capacity_kib"] == theirs["weight_buffer.capacity_kib"]
    assert buffers["mac_array.rows"] == own["mac_array.rows"] != theirs["mac_array.rows"]
    back, _ = exchanged(dense, [sparse.best])
    assert set(back) == set(dense.space.choices)


def test_a_second_climb_goes_on_from_the_first_and_from_the_bandwidths_beside(searched, tmp_path):
    plan, _, rows = searched
    desk = Desk(plan, tmp_path)
    Journal.begun(desk.journal_path)
    tuned = {"dense": MACHINE, "4:8": SPARSE}
    climb = Climb(desk, "prefill", 16, 7, 3, tuned)
    spot = (0.5, "4:8")
    first = climb.first()
    alone = climb.again(first, {})
    assert alone[spot][: len(first[spot])] == first[spot]
    row = next(row for row in rows if row["pattern"] == "4:8" and row["share"] == spot[0])
    space = Space(desk.bench(load_area_plan(plan), "prefill", "4:8").source, 16)
    good = space.near(contents_of(row))
    assert climb.again({}, {spot: [good]})[spot][0].places == good


def contents_of(row):
    """The contents of the file of a machine that was found."""
    contents = copy.deepcopy(SPARSE)
    for key, value in row.items():
        if key.startswith(KEYS) and value is not None:
            put(contents, tuple(key.split(".")), value)
    return contents


def test_another_seed_searches_elsewhere(searched, tmp_path):
    found = [
        [trial.places for trial in Climb(_desk(searched, tmp_path), *which).first()[1.0, "dense"]]
        for which in (("prefill", 8, seed, 6, {"dense": MACHINE, "4:8": SPARSE}) for seed in (0, 1))
    ]
    assert found[0] != found[1]


def _desk(searched, folder):
    desk = Desk(searched[0], folder)
    Journal.begun(desk.journal_path)
    return desk


def _lines(path):
    return path.read_text("utf-8").splitlines(keepends=True)


def test_a_search_that_was_stopped_goes_on_as_if_nothing_had_happened(
    searched, tmp_path, monkeypatch
):
    plan, folder, whole = searched
    shutil.copytree(folder, tmp_path / "out")
    file = tmp_path / "out" / "simulated.jsonl"
    lines = _lines(file)
    file.write_text("".join(lines[:9]) + lines[9][:10], encoding="utf-8")  # half a line
    simulated, real = [], search.measure

    def measure(bench, candidate):
        simulated.append(candidate)
        return real(bench, candidate)

    monkeypatch.setattr(search, "measure", measure)
    assert rows_of(plan, tmp_path / "out") == whole
    assert len(simulated) == len(lines) - 9 > 0
    assert _lines(file) == lines


def test_a_journal_of_other_code_counts_for_nothing(tmp_path, monkeypatch):
    path = tmp_path / "j"
    Journal.begun(path).found({"a": 1}, lambda: {"cycles": 1})
    for again in (Journal.begun(path), Journal.opened(path)):
        assert again.found({"a": 1}, lambda: None) == {"cycles": 1}
        assert again.on("other work").found({"a": 1}, lambda: {"cycles": 2}) == {"cycles": 2}
    monkeypatch.setattr(journal, "code_digest", lambda: "other")
    assert Journal.begun(path).found({"a": 1}, lambda: {"cycles": 3}) == {"cycles": 3}
    assert json.loads(path.read_text("utf-8").splitlines()[0]) == {"code": "other"}


@pytest.mark.parametrize("damaged", ["5", '"ab"', "[1, null]", '["a", 7]', "[]", "\udcff", ""])
def test_a_damaged_line_of_a_journal_holds_nothing(tmp_path, damaged):
    path = tmp_path / "j"
    Journal.begun(path).found({"a": 1}, lambda: {"cycles": 1.0})
    with path.open("ab") as file:
        file.write(damaged.encode(errors="surrogateescape") + b"\n")
    assert len(Journal.opened(path).lines) == 1
    again = Journal.begun(path)
    assert again.found({"a": 1}, pytest.fail) == {"cycles": 1.0}
    assert again.found({"a": 2}, lambda: None) is None
    assert len(_lines(path)) == 3


BATCH = {"trace": "trace.npz", "batch": 100_000}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"works": {}}, "key 'works'"),
        ({"shares": []}, "key 'shares'"),
        ({"bandwidths_gb_per_s": []}, "key 'bandwidths_gb_per_s'"),
        ({"bandwidths_gb_per_s": [8, 1e30]}, "dense.yaml.*'dram.bandwidth_gb_per_s'"),
        ({"bases": {}}, "key 'bases'"),
        ({"works": {"w": {}}}, "key 'works.w'.*'trace' or 'model'"),
        ({"works": {"w": {"model": "x"}}}, "plan.yaml: work 'w': unknown model"),
        ({"works": {"w": BATCH}}, "plan.yaml: work 'w': batch 100000 is larger"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_before_the_search(tmp_path, keys, said):
    plan = write_plan(tmp_path, **keys)
    with pytest.raises(InputError, match=said):
        run_area_plan(plan, tmp_path / "out", note=pytest.fail)
    assert not (tmp_path / "out").exists()


def test_processes_find_what_one_does(searched, tmp_path):
    plan, _, whole = searched
    said = []
    assert run_area_plan(plan, tmp_path / "out", workers=2, note=said.append) == whole
    assert said[-1].startswith("second climbs: 2 of 2")


@cache
def bench(pattern):
    return bench_of({"dense": MACHINE, "4:8": SPARSE}[pattern])


@pytest.mark.parametrize("pattern", ["dense", "4:8"])
def test_no_machine_undercuts_the_bound(pattern):
    rng, base = random.Random(0), bench(pattern)
    space = Space(base.source, 8)
    places, seen = space.near(base.source.data), 0
    for _ in range(40):
        places = space.neighbour(places, rng)
        fitted = space.fitted(places, base, 2e6)
        cycles = fitted and base.cycles(fitted[1])
        if cycles:
            places, seen = fitted[0], seen + 1
            assert least_prefill_cycles(fitted[1].arch, TRACE) <= cycles[0]
    assert seen >= 20


def test_the_bound_by_hand():
    """Blocks of 4 × 8 of 64 tokens: 16 × 8 of 32 steps, and 16 × 16 of 16; 16 KiB at 16 bytes."""
    arch = bench("dense").machine(MACHINE).arch
    assert least_prefill_cycles(arch, TRACE) == 16 * 8 * 32 + 16 * 16 * 16
    slow = {**MACHINE, "dram": {**MACHINE["dram"], "bandwidth_gb_per_s": 0.5}}
    assert least_prefill_cycles(bench("dense").machine(slow).arch, TRACE) == 2 * 64 * 128


@pytest.mark.parametrize("pattern", ["dense", "4:8"])
def test_the_machine_of_a_file_has_its_like_in_the_space(pattern):
    base = bench(pattern)
    space = Space(base.source, 8)
    near = space.contents(space.near(base.source.data))
    assert near["mac_array"] == base.source.data["mac_array"]
    for name, section in base.source.data["buffers"].items():
        assert near["buffers"][name]["capacity_kib"] == section["capacity_kib"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"trials": 0}, r"plan\.yaml:\d+: key 'trials': "),
        ({"shares": [0]}, r"key 'shares\.0': "),
        ({"works": {"it": {"bath": 1}}}, r"key 'works\.it\.bath': "),
        ({"works": {"it": {}}}, r"needs 'trace' or 'model'"),
        ({"works": {"it": {"trace": "no.npz"}}}, r"no\.npz: cannot read"),
        ({"reference": "no.yaml"}, r"no\.yaml: cannot read"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path, keys, message):
    path = write_plan(tmp_path, **keys)
    with pytest.raises(InputError, match=message):
        run_area_plan(path, tmp_path / "out", workers=1, note=str)

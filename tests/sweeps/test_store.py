"""The folder of results, cut off at any byte."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.sweeps.run import run_plan
from accelsim.sweeps.store import column_types, open_store, read_rows
from accelsim.sweeps.task import Bench


@pytest.fixture(scope="module")
def rows_of(tmp_path_factory, trace):
    """A sweep of four points, and its rows."""
    import yaml
    from sweeps_common import ARCHS

    from accelsim.sweeps.plan import load_plan

    path = tmp_path_factory.mktemp("store") / "s.yaml"
    axes = {"mac_array.lanes": [8, 16], "dram.bandwidth_gb_per_s": [16, 64]}
    base = str(ARCHS / "nm816.yaml")
    data = {"schema": 1, "name": "s", "base": base, "traces": str(trace), "axes": axes}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    plan = load_plan(path)
    bench = Bench(plan)
    return plan, [bench.run(point) for point in range(4)]


@given(share=st.floats(0, 1), order=st.permutations(range(4)))
@settings(max_examples=25)
def test_whole_lines_survive_a_cut_anywhere(share, order, rows_of, tmp_path_factory):
    plan, rows = rows_of
    folder = tmp_path_factory.mktemp("cut")
    with open_store(plan, folder, resume=False) as store:
        for point in order:
            store.append(rows[point])
    path = folder / "points.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    whole = content[: int(share * len(content))].count(b"\n")
    with open_store(plan, folder, resume=True) as store:
        assert store.offsets.keys() == set(order[:whole])
        assert list(store.rows()) == [rows[point] for point in sorted(order[:whole])]
        for point in order[whole:]:
            store.append(rows[point])
        assert list(store.rows()) == rows
    assert read_rows(folder)[1] == rows


def test_columns_have_one_type(plan):
    made = plan(
        axes={
            "mac_array.lanes": [8, 16],
            "dram.latency_ns": [1, 2.5],
            "crossbar": [{"kind": "full"}, {"kind": "window"}],
            "buffers.weights.double_buffered": [True, False],
        },
        metrics=["cycles", "energy_pj"],
        iso_area={"reference": "dense"},
    )
    types = column_types(made)
    assert types["mac_array.lanes"] is int
    assert types["dram.latency_ns"] is float
    assert types["crossbar"] is str
    assert types["buffers.weights.double_buffered"] is bool
    assert types["batch"] is int
    assert types["mac_array.rows"] is int
    assert (types["cycles"], types["energy_pj"]) == (int, float)
    assert "area_um2" not in types


def test_sections_are_json_in_tables(plan, tmp_path):
    axes = {"crossbar": [{"kind": "full"}, {"kind": "window"}]}
    run_plan(plan(axes=axes), tmp_path / "out")
    import pandas as pd

    frame = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert [json.loads(text) for text in frame["crossbar"]] == axes["crossbar"]


def test_ten_thousand_points_take_little_memory(plan, tmp_path):
    import tracemalloc

    import pyarrow.parquet  # noqa: F401 - not to be counted

    made = plan(axes={"dram.bandwidth_gb_per_s": {"from": 1, "to": 10_000, "step": 1}})
    row = Bench(made).run(0)
    with open_store(made, tmp_path / "many", resume=False) as store:
        tracemalloc.start()
        for point in range(10_000):
            store.append(row | {"point": point})
        store.write_tables(made)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    written = (tmp_path / "many" / "points.jsonl").stat().st_size
    assert peak_bytes < 15e6 < 3 * written  # an offset a point, and 4,096 rows at a time
    assert (tmp_path / "many" / "results.csv").read_bytes().count(b"\n") == 10_001

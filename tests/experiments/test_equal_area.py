"""The machines of experiments/equal_area still take the cycles that its page tells."""

import csv
from pathlib import Path

import pytest

from accelsim.config import load_arch
from accelsim.run.simulation import simulate
from accelsim.tuning.area_plan import load_area_plan

FOLDER = Path(__file__).parents[2] / "experiments" / "equal_area"
KEYS = ("mac_array.", "crossbar.", "selector.", "buffers.", "dram.")
PLAN = load_area_plan(FOLDER / "search.yaml")


def rows(**wanted):
    with (FOLDER / "machines.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if wanted.items() <= row.items()]


def test_there_is_a_machine_for_every_search():
    areas = sum(len(PLAN.shares_of(work)) for work in PLAN.works)
    count = areas * len(PLAN.bandwidths_gb_per_s) * len(PLAN.bases) * PLAN.seeds
    assert len(rows()) == count
    trials = [int(row["trials"]) for row in rows()]
    assert max(trials) == PLAN.trials
    # A search ends before where a bound proves all that it still draws to be slower.
    short = [row for row in rows() if int(row["trials"]) < PLAN.trials]
    assert len(short) < count // 100
    assert {row["work"] for row in short} <= {"small prefill"}


@pytest.mark.parametrize("pattern", PLAN.bases)
def test_a_machine_takes_the_cycles_that_are_told(pattern):
    some = {"work": "small prefill", "share": "1.0", "dram.bandwidth_gb_per_s": "64.0"}
    row = rows(pattern=pattern, seed="0", **some)[0]
    keys = [f"{key}={value}" for key, value in row.items() if key.startswith(KEYS) and value]
    arch = load_arch(FOLDER / PLAN.bases[pattern], keys)
    result = simulate(arch, FOLDER / PLAN.works["small prefill"].trace)
    assert result.cycles == float(row["cycles"])
    assert result.area_um2 == pytest.approx(float(row["area_um2"]))

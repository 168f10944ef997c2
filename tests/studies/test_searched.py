"""Machines that were searched for: gains, and how far searches are apart, by hand."""

from pathlib import Path

import pytest

from accelsim.studies import searched
from accelsim.studies.searched import Searched

HEAD = "work,share,pattern,dram.bandwidth_gb_per_s,seed,trials,cycles,energy_pj,dram_bytes,"
HEAD += "mac_utilization_ratio,area_um2,mac_array.rows,mac_array.columns,mac_array.lanes,"
HEAD += "crossbar.kind,buffers.activations.capacity_kib,buffers.weights.capacity_kib,"
HEAD += "buffers.outputs.capacity_kib,buffers.compressed.capacity_kib"
ROWS = (
    "w,1,dense,64,0,8,200,9,1,0.5,7,8,4,16,,8,16,2.5,",
    "w,1,dense,64,1,8,240,5,1,0.5,7,8,8,16,,8,16,2,",
    "w,1,8:16,64,0,8,160,3,1,0.5,7,8,4,16,full,8,16,2,4",
    "w,1,8:16,64,1,8,100,4,1,0.5,7,4,4,16,window,8,16,2,4",
)


@pytest.fixture
def runs(tmp_path):
    file = tmp_path / "machines.csv"
    file.write_text("\n".join((HEAD, *ROWS)) + "\n", encoding="utf-8")
    return Searched(file, Path("plan.yaml"), tmp_path).records()


def test_a_gain_is_of_the_best_over_the_best(runs):
    assert searched.gain_over_dense()(runs) == 200 / 100
    assert searched.gain_over_dense("energy_pj")(runs) == 9 / 4  # of these machines
    assert searched.gain_over_dense()(runs[:2]) == 1


def test_seeds_are_as_far_apart_as_any_two_searches(runs):
    assert searched.seeds_span(runs) == (200 / 160, 240 / 100)
    assert searched.least_gain(runs) == 200 / 160
    assert searched.seeds_span(runs[:2]) == (200 / 240, 240 / 200)


def test_a_machine_is_told_of_the_pattern_that_comes_first(runs):
    assert searched.of_fastest(searched.array_said)(runs) == "8 × 4 × 16"
    assert searched.of_fastest(searched.array_said)(runs[::-1]) == "4 × 4 × 16, window"
    assert searched.of_fastest(searched.buffers_said)(runs) == "8 + 16 + 2.5"
    assert runs[2]["point"]["pattern"] == "8:16"

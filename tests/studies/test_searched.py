"""Machines that were searched for: gains, and how far searches are apart, by hand."""

from pathlib import Path

import pytest

from accelsim.studies import Figure, Study, searched
from accelsim.studies.searched import Searched
from accelsim.sweeps.run import usable_cores

HEAD = "work,share,pattern,dram.bandwidth_gb_per_s,seed,trials,known_trials,sampler_trials,"
HEAD += "near_trials,cycles,energy_pj,dram_bytes,"
HEAD += "mac_utilization_ratio,area_um2,mac_array.rows,mac_array.columns,mac_array.lanes,"
HEAD += "crossbar.kind,buffers.activations.capacity_kib,buffers.weights.capacity_kib,"
HEAD += "buffers.outputs.capacity_kib,buffers.compressed.capacity_kib"
ROWS = (
    "w,1,dense,64,0,8,4,2,2,200,9,1,0.5,7,8,4,16,,8,16,2.5,",
    "w,1,dense,64,1,8,4,1,3,240,5,1,0.5,7,8,8,16,,8,16,2,",
    "w,1,8:16,64,0,8,2,3,3,160,3,1,0.5,7,8,4,16,full,8,16,2,4",
    "w,1,8:16,64,1,8,4,2,2,100,4,1,0.5,7,4,4,16,window,8,16,2,4",
)


@pytest.fixture
def runs(tmp_path):
    file = tmp_path / "machines.csv"
    file.write_text("\n".join((HEAD, *ROWS)) + "\n", encoding="utf-8")
    return Searched(file, Path("plan.yaml")).records()


def test_a_gain_is_of_the_best_over_the_best(runs):
    assert searched.gain_over_dense()(runs) == 200 / 100
    assert searched.gain_over_dense("energy_pj")(runs) == 9 / 4  # of these machines
    assert searched.gain_over_dense()(runs[:2]) == 1


def test_seeds_are_as_far_apart_as_any_two_searches(runs):
    assert searched.seeds_span(runs) == (200 / 160, 240 / 100)
    assert searched.least_gain(runs) == 200 / 160
    assert searched.seeds_span(runs[:2]) == (200 / 240, 240 / 200)


def test_a_gain_is_told_with_its_seeds(runs):
    assert f"{searched.gain_with_seeds(runs)}" == "2.00× (1.25 to 2.40)"
    assert searched.gain_with_seeds(runs).best == 2


def test_the_effort_by_hand(runs):
    told = {name: quantity(runs) for name, quantity in searched.effort(0.3).items()}
    assert told == {
        **{"seeds": 2, "trials": 8, "count": 16, "short": 0, "all": 32, "cells": 2},
        **{"known": 14 / 32, "sampler": 8 / 32, "near": 10 / 32},
        **{"apart": 1, "worst": pytest.approx(160 / 100 - 1)},  # dense: 240 / 200 - 1
    }
    assert searched.effort(0.1)["apart"](runs) == 2


def test_what_was_simulated_is_kept_where_the_flag_says(tmp_path, monkeypatch):
    """`--journal` of the script reaches the search; without it, it is `out/NAME` of the project."""
    folders = []

    def run(plan, folder, workers):
        folders.append((plan.name, folder, workers))
        return [{"cycles": 1}]

    monkeypatch.setattr(searched, "run_area_plan", run)
    file = tmp_path / "experiments" / "name" / "machines.csv"
    file.parent.mkdir(parents=True)
    machines = Searched(file, file.with_name("plan.yaml"))
    study = Study("?", str(file.with_name("run.py")), {"machines": machines}, (), Figure(()))
    for flags in ([], ["--journal", str(tmp_path / "j")]):
        monkeypatch.setattr("sys.argv", ["run.py", "--measure", *flags])
        study.measure(study.parsed())
    cores = usable_cores()
    assert folders == [
        ("plan.yaml", tmp_path / "out" / "name", cores),
        ("plan.yaml", tmp_path / "j", cores),
    ]
    assert file.read_text(encoding="utf-8").split() == ["cycles", "1"]


def test_a_machine_is_told_of_the_pattern_that_comes_first(runs):
    assert searched.of_fastest(searched.array_said)(runs) == "8 × 4 × 16"
    assert searched.of_fastest(searched.array_said)(runs[::-1]) == "4 × 4 × 16, window"
    assert searched.of_fastest(searched.buffers_said)(runs) == "8 + 16 + 2.5"
    assert runs[2]["point"]["pattern"] == "8:16"

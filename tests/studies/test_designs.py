"""Designs beside each other, on runs that are made up."""

import pytest

from accelsim.studies import Choice, Data, designs
from accelsim.studies.choice import NoRunError


def run(name="dense", time_s=1.0, energy_pj=1.0, bandwidth=64, **arch):
    shared = {"name": name, "precision": "int8", "criterion": "act", "mitigation": "none"}
    totals = {"time_s": time_s, "energy_pj": energy_pj, "area_um2": 2.0}
    point = {"base": name, "dram.bandwidth_gb_per_s": bandwidth}
    arch = {**shared, "pattern": "dense", "dram": {"bandwidth_gb_per_s": bandwidth}, **arch}
    return {"point": point, "totals": totals, "baseline": {}, "arch": arch}


def loss(pattern, criterion, weights="dense"):
    keys = {"precision": "int8", "pattern": pattern, "criterion": criterion, "mitigation": "none"}
    keys["weights"] = weights
    return {"point": keys, "totals": {"is": pattern}, "baseline": {}, "arch": {}}


@pytest.mark.parametrize(
    ("arch", "operand", "said"),
    [
        ({}, "none", "dense"),
        ({"pattern": "8:16"}, "X", "8:16 of X"),
        ({"weight_pattern": "2:4"}, "W", "2:4 of W"),
        ({"weight_pattern": "2:4", "pattern": "8:16"}, "W and X", "2:4 of W, 8:16 of X"),
        ({"weight_pattern": None, "pattern": "threshold:0.5"}, "X", "threshold:0.5 of X"),
    ],
)
def test_what_is_sparse(arch, operand, said):
    assert (designs.pruned(run(**arch)), designs.sparsity(run(**arch))) == (operand, said)


def test_of_nearly_equal_times_the_thriftiest_is_best():
    fast, near, far = run("a", 1, 3), run("b", 1.01, 2), run("c", 1.1, 1)
    assert designs.best([fast, near, far])["arch"]["name"] == "b"
    dense = run(time_s=2.02, energy_pj=8)
    assert designs.gain([dense, fast, near, far]) == pytest.approx(2)
    assert designs.energy([dense, fast, near, far]) == pytest.approx(0.25)


def test_a_gain_is_of_one_memory():
    runs = [run(time_s=6, bandwidth=16), run(time_s=4), run("a", 2, bandwidth=16), run("a", 1)]
    assert [designs.gain_at(it, runs) for it in (16, 64)] == [3, 4]


def test_a_loss_is_that_of_the_pattern_and_of_the_operand_that_has_it():
    runs = [run("x", pattern="8:16"), run("w", weight_pattern="8:16"), run("free")]
    runs.append(run("xw", pattern="8:16", weight_pattern="2:4"))
    losses = [loss("8:16", "wt"), loss("8:16", "act"), loss("8:16", "act", weights="2:4")]
    data = Data({"runs": runs, "losses": losses})

    def measured(name):
        (found,) = designs.LossOf(Choice("runs")(base=name), Choice("losses")).of(data)
        return found["point"]["criterion"], found["point"]["weights"]

    assert (measured("x"), measured("w")) == (("act", "dense"), ("wt", "dense"))
    assert measured("xw") == ("act", "2:4")
    with pytest.raises(NoRunError, match="no run of 'losses'"):
        measured("free")


def test_a_work_says_what_is_done_at_once():
    prefill = {"phase": "prefill", "batch": None, "trace": {"tokens": 256}}
    assert designs.work(prefill) == "prefill 256"
    assert designs.work(prefill | {"phase": "decode", "batch": 8}) == "decode 8"

"""What criteria and mitigations ask of a machine, as their formulas need it."""

import pytest

from accelsim.sparsity import parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations import MITIGATIONS, parse_mitigation
from accelsim.sparsity.policy import Method


@pytest.mark.parametrize(
    ("criterion", "demands"),
    [
        ("act", Demands()),
        ("wt", Demands()),
        ("amber", Demands(factors="fixed")),  # a table of factors
        ("clact", Demands(factors="chunk", statistics="columns")),  # a pass over the chunk first
    ],
)
def test_a_criterion_asks_for_factors(criterion, demands):
    assert CRITERIA[criterion].demands == demands


@pytest.mark.parametrize(
    ("mitigation", "demands"),
    [
        ("none", Demands()),
        ("ls", Demands()),  # its scale hides in the weights
        ("var", Demands(moments=True, epilogue="scale")),  # a number a token
        ("l2", Demands(moments=True, epilogue="scale")),
        ("spts", Demands(shift="channel", epilogue="add")),  # a number a column
        ("lpts", Demands(shift="channel", epilogue="add")),
        ("dpts", Demands(shift="token", statistics="median", epilogue="axpy")),
        ("rsparse64", Demands(rank=64)),
        ("residual", Demands(residual=True)),  # a second pass over the weights
    ],
)
def test_a_mitigation_asks_for_units(mitigation, demands):
    assert parse_mitigation(mitigation).demands == demands


def test_nothing_is_forgotten_here():
    assert set(CRITERIA) == {"act", "wt", "amber", "clact"}
    mitigations = {"none", "ls", "var", "l2", "spts", "lpts", "dpts", "rsparse", "residual"}
    assert set(MITIGATIONS) == mitigations


def test_a_method_asks_for_both_and_a_dense_layer_for_nothing():
    both = Method(parse_pattern("8:16"), "clact", "var").demands
    assert both.units == ("statistics", "pre_scaler", "moments", "epilogue")
    assert Method(parse_pattern("dense"), "clact", "var").demands == Demands()
    assert Method(parse_pattern("8:16"), "amber", "dpts").demands.units == (
        "statistics", "pre_shifter", "pre_scaler", "epilogue",
    )  # fmt: skip


def test_which_mitigations_read_a_text():
    reading = {n for n in MITIGATIONS if MITIGATIONS[n].is_calibrated}
    assert reading == {"spts", "lpts", "ls"}


@pytest.mark.parametrize("text", ["rsparse", "rsparse0", "rsparse-3", "rsparse1.5", "VAR", "", "x"])
def test_an_unknown_mitigation_is_refused_with_what_is_allowed(text):
    from accelsim.base.errors import InputError

    with pytest.raises(InputError, match=rf"unknown mitigation '{text}'; allowed: .*rsparse64"):
        parse_mitigation(text)

"""A product as data: linear layers run, others are refused with one reason."""

from dataclasses import replace

import numpy as np
import pytest

from accelsim import simulate
from accelsim.base.errors import InputError
from accelsim.mapping import Gemm
from accelsim.precision import Operands
from accelsim.run.layers import layer_gemm
from accelsim.selection.sparsify import Selection
from accelsim.sparsity import parse_pattern
from accelsim.trace import Contraction, Linear
from tests.helpers.small import load, trace_of

ARCH = load("nm816", {"precision": "int8/int4:64"})
LINEAR = Linear(name="q", input="x", in_features=64, out_features=32).contraction
THREE_TOKENS = Selection(64, np.full(3, 64), None, None)


def test_a_linear_layer_is_a_contraction_of_a_trace_with_weights():
    assert Contraction("q", 64, 32) == LINEAR
    assert (LINEAR.x.source, LINEAR.w.source, LINEAR.y.source) == ("trace", "weights", "sums")
    assert (LINEAR.x.lifetime, LINEAR.w.lifetime) == ("step", "model")
    assert LINEAR.w.shared == {"tokens"}
    assert layer_gemm(ARCH.running(), LINEAR, THREE_TOKENS, None) == Gemm(3, 64, 32)


def test_a_format_that_the_machine_has_is_as_none():
    formats = Operands.parse("int8/int4:64")
    stored = replace(LINEAR, w=replace(LINEAR.w, format=formats.w))
    assert layer_gemm(ARCH.running(), stored, THREE_TOKENS, None) == Gemm(3, 64, 32)


HALF = parse_pattern("2:4")
INT8 = Operands.parse("int8").w


@pytest.mark.parametrize(
    ("operand", "changes", "message"),
    [
        ("x", {"source": "norm"}, "X from 'norm', not from 'trace'"),
        ("w", {"source": "k"}, "W from 'k', not from 'weights'"),
        ("w", {"lifetime": "sequence"}, "W that lives for a sequence, shared over tokens"),
        ("w", {"shared": frozenset({"heads"})}, "W that lives for a model, shared over heads"),
        ("x", {"shared": frozenset({"heads"})}, "X that lives for a step, shared over heads"),
        ("w", {"format": INT8}, "W stored as int8, not as int4:64"),
        ("w", {"pattern": HALF}, "W of pattern 2:4 and density 1"),
        ("y", {"density": 0.25}, "Y of pattern dense and density 0.25"),
        ("y", {"source": "scores"}, "Y from 'scores', not from 'sums'"),
    ],
)
def test_what_no_machine_runs_yet_is_refused_with_one_reason(
    monkeypatch, operand, changes, message
):
    changed = replace(LINEAR, **{operand: replace(getattr(LINEAR, operand), **changes)})
    with pytest.raises(InputError, match=message):
        layer_gemm(ARCH.running(), changed, THREE_TOKENS, None)
    # In a run, machine and layer are named, and nothing is simulated.
    monkeypatch.setattr(Linear, "contraction", property(lambda _: changed))
    with pytest.raises(InputError, match=rf"nm816, layer 'layers.0.linear': asks for {message}"):
        simulate(ARCH, trace_of([(64, 32)]))

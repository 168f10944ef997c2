"""`needed_rows_ratio`: which rows of W the union of real masks needs."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.precision import PRECISIONS
from accelsim.run.simulation import simulate
from accelsim.selection.decode import decode_batches
from tests.helpers.small import SHIPPED_TRACE, load, trace_of


def brute_force(machine, trace, key, batch):
    """The mean share of positions that some token of a step keeps, one step after the other."""
    real = trace.values(key)
    kept = machine.pattern.keep(PRECISIONS[machine.precision].encode_tokens(real))
    steps = decode_batches(trace.meta.sequence_lengths, batch)
    return float(np.mean([kept[tokens].any(axis=0).mean() for tokens in steps]))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
def test_rows_are_those_of_the_real_masks(batch, engine):
    trace, machine = trace_of([(64, 32), (100, 24)], lengths=(8, 6, 7)), load("nm816")
    result = simulate(machine, trace, phase="decode", batch=batch, engine=engine)
    for layer, linear in zip(result.layers, trace.linears, strict=True):
        assert layer.needed_rows_ratio == pytest.approx(
            brute_force(machine, trace, linear.input, batch)
        )


def test_the_shipped_trace_at_batch_2():
    trace, machine = acs.load_trace(SHIPPED_TRACE), load("nm24")
    result = simulate(machine, trace, phase="decode", batch=2)
    first = trace.linears[0]
    expected = brute_force(machine, trace, first.input, 2)
    assert 0.5 < expected < 1
    assert result.layers[0].needed_rows_ratio == pytest.approx(expected)


def test_prefill_has_none_and_a_dense_machine_needs_all(small_trace):
    prefill = simulate(load("nm816"), small_trace)
    assert {layer.needed_rows_ratio for layer in prefill.layers} == {None}
    dense = simulate(load("dense"), small_trace, phase="decode")
    assert {layer.needed_rows_ratio for layer in dense.layers} == {1.0}

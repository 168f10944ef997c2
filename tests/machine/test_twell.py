"""A ReLU-gated FFN a token at a time: turns by hand and by loops, values, and what it gains."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.hardware.examples import of_ffn, path
from accelsim.mapping import Gemm, Masks, Store, Stores, Tiling, tile_jobs
from accelsim.mapping.token_packing import TokenPacking, overflows
from accelsim.run import token_products
from accelsim.run.verify import verify
from accelsim.trace.record import ValueSource
from tests.helpers.small import ROOT, load

RELU = load_trace(ROOT / "traces" / "llama_relu.npz")
SILU = load_trace(ROOT / "traces" / "llama.npz")
ENDLESS = Store(1 << 30)


def first_block(trace):
    return replace(trace, meta=trace.meta.model_copy(update={"linears": trace.linears[:7]}))


def cycles(work):
    return work.array_cycles.tolist()


# By hand: 8 rows × 8 columns × 16 lanes ----------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "counts", "expected"),
    [
        ("up", [3, 9], (1 + 2) * 2),  # turns of 8 columns, each 256 of K over 8 × 16 lanes
        ("up", [0, 0], 0),
        ("down", [20, 31], 2 + 2),  # turns of 16 lanes, all 64 columns at once
        ("gate", [3, 9], 8 * 16),  # dense: one block of rows, 8 of columns, 256 / 16 steps
        ("down", [32, 5], 8 * 16 + 1),  # 32 values overflow: that token is computed dense
    ],
)
def test_turns_by_hand(product, counts, expected):
    assert cycles(of_ffn(product, counts)) == [expected]


def test_a_row_overflows_from_32_values_of_a_tile_on():
    tiles = np.arange(512) % 256 < np.array([[0], [1], [31], [32]])
    assert overflows(tiles).tolist() == [False, False, False, True]


def test_products_are_those_of_two_values_that_are_not_zero():
    assert of_ffn("up", [3, 9]).packing.macs.tolist() == [(3 + 9) * 256]
    assert of_ffn("down", [3, 9]).packing.macs.tolist() == [(3 + 9) * 64]
    assert of_ffn("gate", [3, 9]).packing.macs.tolist() == [2 * 256 * 64]


# By loops ----------------------------------------------------------------------------------------


def looped(product, hidden, jobs, machine):
    """Count cycles and products of each tile, token by token."""
    found = []
    over = [any(row[t : t + 256].sum() > 31 for t in range(0, len(row), 256)) for row in hidden]
    for job in range(len(jobs)):
        t, k, c = (
            range(start[job], start[job] + size[job])
            for start, size in (
                (jobs.token_start, jobs.tokens),
                (jobs.reduction_start, jobs.reduction),
                (jobs.column_start, jobs.columns),
            )
        )
        taken = dense = macs = 0
        for token in t:
            n = sum(hidden[token][k] if product == "down" else hidden[token][c])
            if over[token] or product == "gate":
                dense += 1
            elif product == "up":
                taken += -(-n // machine.columns) * -(-len(k) // (machine.rows * machine.lanes))
            else:
                taken += -(-n // machine.lanes) * -(-len(c) // (machine.rows * machine.columns))
            is_whole = product != "down" and (over[token] or product == "gate")
            macs += (len(c) if is_whole else n) * (len(c) if product == "down" else len(k))
        blocks = -(-dense // machine.rows) * -(-len(c) // machine.columns)
        found.append((taken + blocks * -(-len(k) // machine.lanes), macs))
    return found


@given(
    st.sampled_from(["gate", "up", "down"]),
    st.integers(1, 11),
    st.integers(1, 600),
    st.integers(1, 300),
    st.floats(0, 0.2),
    st.tuples(*[st.integers(1, 300)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_tiles_take_what_their_tokens_take(product, tokens, width, other, share, sizes):  # noqa: PLR0917
    machine = replace(path("dense"), ffn_product=product)
    hidden = np.random.default_rng(width).random((tokens, width)) < share
    gemm = Gemm(tokens, width, other) if product == "down" else Gemm(tokens, other, width)
    stores = Stores(ENDLESS, ENDLESS, ENDLESS, None)
    jobs = tile_jobs(gemm, Tiling(*sizes, "tokens_outer"), machine, stores)
    whole = np.ones((tokens, other), bool)
    masks = Masks(hidden) if product == "down" else Masks(whole, hidden=hidden)
    found = TokenPacking.of(masks, jobs, machine)
    pairs = zip(found.cycles(jobs, machine).tolist(), found.macs.tolist(), strict=True)
    assert list(pairs) == looped(product, hidden, jobs, machine)


# Runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 8])
def test_both_engines_agree_and_every_cycle_has_one_cause(batch):
    trace, phase = first_block(RELU), "prefill" if batch is None else "decode"
    short = replace(trace, meta=trace.meta.model_copy(update={"linears": trace.linears[4:7]}))
    arch = load("twell")
    fast, slow = (
        simulate(arch, short, phase=phase, batch=batch, engine=engine)
        for engine in ("recurrence", "simpy")
    )
    assert fast.cycles == slow.cycles
    for unit in fast.units.values():
        assert unit.ledger.total_cycles == fast.cycles


def test_values_of_every_product_are_exact():
    for trace in (RELU, SILU):
        checks = list(verify(load("twell"), first_block(trace)))
        assert [check.is_exact for check in checks] == [True] * 7


def test_a_payload_that_is_lost_is_found():
    gathered = token_products._gathered

    def without_last(x, found, tile, machine):
        return gathered(x, found[:-1], tile, machine)

    with patch.object(token_products, "_gathered", without_last):
        *_, down = verify(load("twell"), first_block(RELU))
    assert not down.passed


def test_patterns_that_it_does_not_run_are_refused():
    with pytest.raises(
        InputError, match=r"does not run pattern 'threshold:0.5'; allowed: dense, n"
    ):
        load_arch(ROOT / "arch_configs" / "twell.yaml", ["pattern=threshold:0.5"])


# What it gains -----------------------------------------------------------------------------------


class Sparser(ValueSource):
    """A trace of which the hidden values are zero but for the largest 0.5 %."""

    def __init__(self, trace):
        self._trace = trace

    def read(self, key):
        values = np.array(self._trace.source.read(key))
        if "down" in key:
            level = np.quantile(np.abs(values.astype(np.float32)), 0.995)
            values[np.abs(values) <= level] = 0
        return values


def ffn_speed_ups(trace, phase="prefill", batch=None):
    """Return how much faster gate, up, down and all three are than on the dense machine."""
    cycles = [
        {
            kind: sum(layer.cycles for layer in result.layers if layer.kind == kind)
            for kind in ("gate_proj", "up_proj", "down_proj")
        }
        for name in ("dense", "twell")
        for result in [simulate(load(name, {"tiling": "auto"}), trace, phase=phase, batch=batch)]
    ]
    dense, sparse = cycles
    each = [dense[kind] / sparse[kind] for kind in dense]
    return [*each, sum(dense.values()) / sum(sparse.values())]


def test_the_page_says_what_is_gained():
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    for name, trace in (("ReLU", RELU), ("SiLU", SILU)):
        said = " | ".join(f"{ratio:.2f}×" for ratio in ffn_speed_ups(trace))
        assert f"| {name}, prefill 256 | {said} |" in page
    sparser = replace(RELU, sha256="sparser", source=Sparser(RELU))
    gate, up, down, ffn = ffn_speed_ups(sparser)
    assert (
        f"| 99.5 % zeros, prefill 256 | {gate:.2f}× | {up:.2f}× | {down:.2f}× | {ffn:.2f}× |"
        in page
    )
    assert ffn < 3  # the gate stays dense


def test_without_a_relu_nothing_is_gained():
    gate, up, down, ffn = ffn_speed_ups(first_block(SILU), "decode", 1)
    assert max(gate, up, down, ffn) < 1.02

"""Both operands sparse: lanes multiply what the masks have in common, in rounds."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, simulate
from accelsim.base.errors import InputError
from accelsim.dataflows import matches
from accelsim.dataflows.matches import InnerJoin, words_of
from accelsim.mapping import Gemm, Masks, Store, Stores, Tiling, tile_jobs
from accelsim.run import joined_masks
from accelsim.run.runner import Runner
from accelsim.run.simulation import selections
from accelsim.run.verify import verify
from accelsim.selection.weights import drawn_weights
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.testing.traces import trace_of
from accelsim.trace import Linear
from tests.helpers.decode import steps_of
from tests.helpers.small import ROOT

DUAL = ROOT / "arch_configs" / "dual24_816.yaml"
STORES = Stores(*[Store(1 << 20)] * 4)


def machine(*keys):
    return load_arch(DUAL, ["tiling=quick", *keys])


def path_of(rows=2, columns=2, *, lanes=2, queue=2, x=(2, 4), w=(1, 2)):
    """A small array; X keeps N of M, W stores N of M."""
    plain = machine().path
    formats = plain.formats.with_weights(*w, w[1])
    sizes = {"rows": rows, "columns": columns, "lanes": lanes, "queue_groups": queue}
    group = {"kept_per_group": x[0], "group_size": x[1], "metadata_bits_per_group": x[1]}
    return replace(plain, formats=formats, **sizes, **group)


def jobs_of(path, gemm, tiling=None):
    whole = Tiling(gemm.tokens, gemm.out_features, gemm.in_features, "tokens_outer")
    return tile_jobs(gemm, tiling or whole, path, STORES)


# By hand ------------------------------------------------------------------------------------------


def test_matches_and_rounds_by_hand():
    """One token, two outputs, five groups of four positions; two lanes, two groups a round.

    X keeps 0 and 1 of each group. Output 0 stores 0 and 2: one match a group. Output 1 stores 1
    and 3, too, but in group 2 it stores 0 and 1: two. Groups 0, 2 and 4 go to lane 0, 1 and 3 to
    lane 1. First round, groups 0 … 3: lane 0 of output 1 takes 1 + 2 cycles, the longest. Second,
    group 4: 1.
    """
    x = np.tile([1, 1, 0, 0], 5).astype(bool)[None]
    w = np.stack([np.tile([1, 0, 1, 0], 5), np.tile([0, 1, 0, 1], 5)], axis=1).astype(bool)
    w[8:12, 1] = [True, True, False, False]
    path = path_of()
    found = InnerJoin().found(Masks(x, w), jobs_of(path, Gemm(1, 20, 2)), path)
    assert found.array_cycles.tolist() == [3 + 1]
    assert found.macs.tolist() == [5 + 6]


def test_a_group_without_a_match_takes_a_cycle():
    x = np.tile([1, 1, 0, 0], 4).astype(bool)[None]
    w = np.tile([0, 0, 1, 1], 4).astype(bool)[:, None]
    path = path_of(lanes=2, queue=4)
    found = InnerJoin().found(Masks(x, w), jobs_of(path, Gemm(1, 16, 1)), path)
    assert (found.array_cycles.tolist(), found.macs.tolist()) == ([2], [0])


def test_blocks_follow_each_other():
    """Four tokens are two blocks: one with four matches a group, one with none."""
    x = np.array([[1, 1, 1, 1]] * 2 + [[0, 0, 0, 0]] * 2, bool)
    w = np.ones((4, 2), bool)
    path = path_of(lanes=1, queue=1)
    found = InnerJoin().found(Masks(x, w), jobs_of(path, Gemm(4, 4, 2)), path)
    assert found.array_cycles.tolist() == [4 + 1]
    assert found.steps.tolist() == [3]  # their mean, rounded up


def test_cycles_and_actions_of_a_run_by_hand():
    """K of 16 × 16 positions is one group a lane; masks of W that all store 0 and 1 of four.

    X is largest at 0 … 7 of each group, of which 0, 1, 4 and 5 are stored: 4 cycles a block.
    """
    values = np.tile(np.r_[np.full(8, 100), np.ones(8)].astype(np.int8), (8, 16))
    trace = trace_of([(256, 32)], lengths=(8,), arrays={"layers.0.x": values})
    mask = np.tile(np.arange(256) % 4 < 2, (32, 1)).T
    arch = machine()
    runner = Runner(arch, weight_masks=lambda *_: mask)
    ((linear, (selection,)),) = selections([arch], trace)
    layer = runner.layer(linear, selection, None)
    array = layer.units["mac_array"]
    assert array.ledger.busy_cycles == 4 * 4  # four blocks of 8 outputs
    common = 8 * 32 * 16 * 4
    assert array.actions == {"mac": common, "mac_idle": 0, "accumulate": 8 * 32 * 4}
    x_bytes, w_bytes = 8 * 16 * 10, 32 * 16 * 10  # of a group: 8 values and a mask of 16 bits
    assert layer.units["crossbar"].actions == {"match": common, "load": 4 * x_bytes + w_bytes}
    assert layer.macs_executed == common
    assert layer.units["weight_buffer"].actions["write_bytes"] == w_bytes


# Against other oracles ---------------------------------------------------------------------------


def brute_force(x, w, job, path):
    """Cycles and matches of a tile, block by block, round by round, lane by lane, bit by bit."""
    tokens, columns, start, length = job
    m, cycles, total = path.grain, 0, 0
    groups = [range(k, min(k + m, start + length)) for k in range(start, start + length, m)]
    for t in range(tokens.start, tokens.stop, path.rows):
        for c in range(columns.start, columns.stop, path.columns):
            rounds = {}
            for token in range(t, min(t + path.rows, tokens.stop)):
                for column in range(c, min(c + path.columns, columns.stop)):
                    for number, group in enumerate(groups):
                        common = sum(bool(x[token, k] and w[k, column]) for k in group)
                        lane, turn = number % path.lanes, number // path.lanes
                        busy = rounds.setdefault(turn // path.queue_groups, {})
                        key = token, column, lane
                        busy[key] = busy.get(key, 0) + max(1, common)
                        total += common
            cycles += sum(max(busy.values()) for busy in rounds.values())
    return cycles, total


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 70), st.integers(1, 7)),
    tile=st.tuples(st.integers(1, 5), st.sampled_from([16, 32, 80]), st.integers(1, 5)),
    lanes=st.integers(1, 3),
    queue=st.integers(1, 3),
    density=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_cycles_and_macs_are_those_of_brute_force(  # noqa: PLR0917 - drawn by name
    shape, tile, lanes, queue, density, seed
):
    tokens, reduction, columns = shape
    rng = np.random.default_rng(seed)
    x = rng.random((tokens, reduction)) < density
    w = rng.random((reduction, columns)) < 0.5
    path = path_of(3, 2, lanes=lanes, queue=queue, x=(8, 16), w=(2, 4))
    gemm = Gemm(tokens, reduction, columns)
    tiling = Tiling(
        min(tile[0], tokens), min(tile[2], columns), min(tile[1], reduction), "tokens_outer"
    )
    jobs = jobs_of(path, gemm, tiling)
    found = InnerJoin().found(Masks(x, w), jobs, path)
    expected = [
        brute_force(
            x,
            w,
            (
                range(jobs.token_start[j], jobs.token_start[j] + jobs.tokens[j]),
                range(jobs.column_start[j], jobs.column_start[j] + jobs.columns[j]),
                int(jobs.reduction_start[j]),
                int(jobs.reduction[j]),
            ),
            path,
        )
        for j in range(len(jobs))
    ]
    assert list(zip(found.array_cycles.tolist(), found.macs.tolist(), strict=True)) == expected


def test_compiled_loops_count_what_the_interpreter_counts():
    rng = np.random.default_rng(0)
    x, w = rng.random((9, 64)) < 0.5, rng.random((64, 11)) < 0.5
    path = path_of(x=(8, 16), w=(2, 4))
    jobs = jobs_of(path, Gemm(9, 64, 11), Tiling(4, 5, 32, "tokens_outer"))
    both = []
    for pays in (False, True):
        with patch("accelsim.base.compiled.pays", lambda _ns, pays=pays: pays):
            found = InnerJoin().found(Masks(x, w), jobs, path)
        both.append([found.array_cycles.tolist(), found.macs.tolist()])
    assert both[0] == both[1]


@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 1), ("decode", 3)])
def test_macs_are_what_the_masks_have_in_common(phase, batch):
    """The sum over all outputs of the products of the masks, whatever the tiles."""
    trace = trace_of([(100, 72), (72, 40)], lengths=(9, 6))
    arch = machine("buffers.weights.capacity_kib=4", "buffers.weights.port_bytes=64")
    result = simulate(arch, trace, phase=phase, batch=batch)
    for layer, linear in zip(result.layers, trace.linears, strict=True):
        values = trace.values(linear.input)
        codes = np.rint(values / np.abs(values).max(1, keepdims=True) * 127)
        kept = arch.pattern.keep(values) & (codes != 0)
        stored = drawn_weights(linear, arch.path.w)
        steps = range(15) if batch is None else np.concatenate(list(steps_of((9, 6), batch)))
        assert layer.macs_executed == int((kept[list(steps)].astype(int) @ stored).sum())


def test_a_search_expects_what_it_finds():
    """Cycles of drawn masks are the expected ones, within a few per cent, at any number of rows."""
    arch = machine()
    path, rng = arch.path, np.random.default_rng(1)
    linear = Linear(name="any", input="x", in_features=1024, out_features=64)
    w = drawn_weights(linear, path.w)
    x = arch.pattern.keep(rng.standard_normal((40, 1024)))
    for tokens, tiling in ((40, Tiling(16, 32, 512, "tokens_outer")), (3, None)):
        jobs = jobs_of(path, Gemm(tokens, 1024, 64), tiling)
        found = InnerJoin().found(Masks(x[:tokens], w), jobs, path)
        expected = InnerJoin().expected(jobs, path)
        total = expected.array_cycles.sum()
        assert found.array_cycles.sum() == pytest.approx(total, rel=0.03)
        assert found.macs.sum() == pytest.approx(expected.macs.sum(), rel=0.03)


def test_large_products_are_sampled_by_row_blocks():
    """Every third row block stands for three: near the truth, exact where all blocks are alike."""
    rng = np.random.default_rng(2)
    path = path_of(x=(8, 16), w=(2, 4))
    jobs = jobs_of(path, Gemm(200, 64, 8), Tiling(90, 8, 64, "tokens_outer"))
    x, w = rng.random((200, 64)) < 0.5, rng.random((64, 8)) < 0.5
    for each, rel in ((x, 0.05), (np.ones_like(x), 1e-12)):
        whole = InnerJoin().found(Masks(each, w), jobs, path)
        with patch.object(matches, "COUNTED_GROUPS", 200 * 8 * 4 // 3):
            part = InnerJoin().found(Masks(each, w), jobs, path)
        assert part.array_cycles.sum() == pytest.approx(whole.array_cycles.sum(), rel=rel)
        assert part.macs.sum() == pytest.approx(whole.macs.sum(), rel=rel)


def test_words_hold_positions_from_the_lowest_bit():
    mask = np.zeros((1, 20), bool)
    mask[0, [0, 15, 16, 19]] = True
    assert words_of(mask, 16).tolist() == [[1 | 1 << 15, 1 | 1 << 3]]
    assert words_of(mask, 4).tolist() == [[1, 0, 0, 8, 9]]


# What comes out ----------------------------------------------------------------------------------


def test_deeper_rounds_wait_less():
    trace, whole = (
        trace_of([(1024, 32)], lengths=(16,)),
        "tiling={tokens: 16, columns: 32, reduction: 1024}",
    )
    cycles = [
        simulate(machine(f"crossbar={{kind: matcher, queue_groups: {n}}}", whole), trace)
        .units["mac_array"]
        .ledger.busy_cycles
        for n in (1, 2, 4)
    ]
    assert cycles[0] > cycles[1] > cycles[2]
    ideal = 1024 * 32 * 16 / 4 / 1024
    assert ideal < cycles[2] < 2 * ideal


@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 2)])
def test_both_engines_agree_and_every_cycle_has_one_cause(phase, batch):
    trace = trace_of([(100, 72), (72, 40)], lengths=(9, 6))
    arch = machine("buffers.weights.capacity_kib=4", "buffers.weights.port_bytes=64")
    fast, slow = (
        simulate(arch, trace, phase=phase, batch=batch, engine=engine)
        for engine in ("recurrence", "simpy")
    )
    assert (fast.cycles, fast.units) == (slow.cycles, slow.units)
    for name, unit in fast.units.items():
        assert unit.ledger.total_cycles == fast.cycles, name
    total = sum(unit.energy_pj for unit in fast.units.values())
    assert fast.totals()["energy_pj"] == pytest.approx(total)
    array = fast.units["mac_array"]
    assert array.actions["mac"] + array.actions["mac_idle"] == array.ledger.busy_cycles * 1024


def test_decode_loads_all_stored_weights_whatever_is_kept():
    trace = trace_of([(64, 64)], lengths=(4,))
    result = simulate(machine(), trace, phase="decode", batch=1)
    weight_bytes = 64 * 16 * 20 // 8  # 16 blocks a column, of two codes and four bits
    assert result.units["weight_buffer"].actions["write_bytes"] == 4 * weight_bytes
    assert result.layers[0].needed_rows_ratio == 1


def test_a_layer_may_keep_all_of_x():
    """Its blocks of W are matched with all values of X that are not zero: 2 of 4."""
    trace = trace_of([(64, 64), (64, 64)], lengths=(8,))
    dense = Method(parse_pattern("dense"))
    policy = Policy(machine().method, (("layers.1.*", dense),))
    both, whole = simulate(machine(), trace, policy=policy).layers
    assert both.macs_executed == pytest.approx(both.macs_dense / 4, rel=0.1)
    stored = drawn_weights(trace.linears[1], machine().path.w)
    present = trace.values("layers.1.x") != 0
    assert whole.macs_executed == (present.astype(int) @ stored).sum()
    assert whole.units["mac_array"].ledger.busy_cycles == 8 * 2  # 16 blocks, one a lane, 2 each
    assert whole.units["weight_buffer"].actions == both.units["weight_buffer"].actions


def test_the_dense_counterpart_joins_nothing():
    dense = machine().dense()
    assert dense.weight_pattern.is_dense
    assert "crossbar" not in dense.units
    result = simulate(dense, trace_of([(64, 64)], lengths=(8,)))
    assert result.units["mac_array"].ledger.busy_cycles == 4 * 8


CHECKED = [
    (),
    ("buffers.weights.capacity_kib=2", "buffers.weights.port_bytes=16"),
    ('pattern="4:8"', 'weight_pattern="1:2"'),
    ("precision=int8/int4:32",),
    ("precision=bf16",),
]


@pytest.mark.parametrize("keys", CHECKED)
def test_values_through_the_machine_are_those_of_numpy(keys):
    checks = list(verify(machine(*keys), trace_of([(40, 24), (128, 9)], lengths=(5, 3))))
    assert len(checks) == 2
    assert all(check.passed for check in checks)


def test_a_lost_match_is_found():
    """The check is one: values that stand elsewhere than their masks say change what comes out."""
    real = joined_masks._held

    def wrong(groups, size):
        mask, kept = real(groups, size)
        return mask, np.roll(kept, 1, axis=-1)

    with patch.object(joined_masks, "_held", wrong):
        (check,) = verify(machine(), trace_of([(40, 24)], lengths=(5,)))
    assert not check.passed


def test_a_run_says_where_masks_of_w_come_from():
    result = simulate(machine(), trace_of([(64, 64)], lengths=(4,)))
    assert any("drawn" in note for note in result.notes)
    with patch.object(matches, "COUNTED_GROUPS", 4 * 64 * 4 // 3):
        result = simulate(machine(), trace_of([(64, 64)], lengths=(4,)))
    assert any("row block" in note for note in result.notes)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("weight_pattern=dense", "N:M for both"),
        ('pattern="16:32"', "up to 16 positions"),
        ('weight_pattern="2:3"', "whole blocks of W"),
        ("format=index", "allowed: bitmask"),
        ("precision=nvfp4", "scales of blocks"),
        ("crossbar={kind: full}", "'matcher'"),
        ("mitigation=rsparse8", "does not store"),
        ('pattern="threshold:0.5"', "no groups"),
    ],
)
def test_what_it_cannot_run_is_refused(key, message):
    with pytest.raises(InputError, match=message):
        machine(key)


def test_other_dataflows_have_one_sparse_operand():
    with pytest.raises(InputError, match=r"dataflows with both: .*inner_join"):
        load_arch(ROOT / "arch_configs" / "nm816.yaml", ['weight_pattern="2:4"'])

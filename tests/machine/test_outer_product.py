"""Outer products of two sparse operands (DSTC): time from both masks, conflicts of banks."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, simulate
from accelsim.base.errors import InputError
from accelsim.dataflows.outer_product_packing import OuterProducts
from accelsim.hardware.outer_product_array import OuterProductArray
from accelsim.mapping import Gemm, Masks, Tiling, tile_jobs
from accelsim.run.verify import verify
from accelsim.selection.weights import drawn_weights
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.tech.blocks import Shape
from accelsim.testing.traces import trace_of
from accelsim.trace.shapes import synthesise_gemms
from tests.helpers.small import ROOT, SHIPPED_TRACE, load, tile

DSTC = ROOT / "arch_configs" / "dstc.yaml"
SMALL = {"mac_array.rows": 8, "mac_array.columns": 8}  # 8 x 8 / (2 x 4): eight units
NAMES = ["dense", "dstc"]
SHAPES = [(100, 72), (72, 40)]
GROUPS = {
    "dataflow": "outer_product_groups",
    "pattern": "4:8",
    "selector": "{kind: rank, instances: 8}",
}


def machine(**changes):
    """The shipped machine with the tiles of the estimate; `changes`: key with __ for dots."""
    return load("dstc", {key.replace("__", "."): value for key, value in changes.items()})


def packing(x, w, chosen, *, depth=8, units=8, size=8):
    """What is found of masks `[T, K]` and `[K, O]` on an array of blocks of size × size."""
    arch = load("dstc", {"mac_array.rows": size, "mac_array.columns": size})
    array = arch.units["mac_array"].model_copy(update={"queue_depth": depth})
    assert array.units == units
    gemm = Gemm(x.shape[0], x.shape[1], w.shape[1])
    jobs = tile_jobs(gemm, chosen, arch.path, arch.stores)
    packs = OuterProducts().serving({"mac_array": array})
    return packs.found(Masks(x, w), jobs, arch.path), jobs


def tiling(tokens, reduction, columns):
    return Tiling(tokens, columns, reduction, "tokens_outer")


# By hand ------------------------------------------------------------------------------------------


def masks(tokens, reduction, columns):
    return np.zeros((tokens, reduction), bool), np.zeros((reduction, columns), bool)


@pytest.mark.parametrize(
    ("rows", "columns", "depth", "cycles"),
    [
        ([0], [0], 0, 1),
        ([0, 1], [0, 1, 2, 3], 0, 1),  # 2 × 4 products, each in a bank of its own
        ([0, 2], [0], 0, 2),  # rows 0 and 2 are in bank row 0: two products, one bank
        ([0, 2], [0, 4], 0, 4),  # all four products in bank (0, 0)
        ([0, 2], [0, 4], 8, 4),  # they wait in the queue, which is empty when the block ends
        ([0, 1, 2], [0], 0, 2),  # three values of X are two steps
        (range(8), range(8), 0, 8),  # dense: 4 × 2 steps, no conflict
        ([], range(8), 0, 0),
    ],
)
def test_a_position_takes_its_steps_or_its_fullest_bank(rows, columns, depth, cycles):
    x, w = masks(8, 1, 8)
    x[list(rows), 0], w[0, list(columns)] = True, True
    found, _ = packing(x, w, tiling(8, 1, 8), depth=depth)
    assert found.array_cycles.tolist() == [cycles]
    assert found.macs.tolist() == [len(rows) * len(columns)]


@pytest.mark.parametrize(("depth", "cycles"), [(0, 5), (1, 4), (2, 4), (3, 4)])
def test_a_queue_evens_out_what_fits_into_it(depth, cycles):
    """Position 0 has four products for bank (0, 0) in one step, position 1 one for another bank.

    Without a queue these take 4 + 1 cycles. With room for one, position 1 begins after 3, while
    the last of the four waits; with more room it begins sooner, but four products take four cycles.
    """
    x, w = masks(8, 2, 8)
    x[[0, 2], 0], w[0, [0, 4]] = True, True
    x[1, 1], w[1, 1] = True, True
    found, _ = packing(x, w, tiling(8, 2, 8), depth=depth)
    assert found.array_cycles.tolist() == [cycles]


def test_blocks_go_to_the_unit_that_is_free_first():
    """Nine blocks for eight units: the ninth stands behind the shortest of the others."""
    x, w = masks(8, 4, 72)
    x[0] = True
    for block in range(9):
        w[: 4 - block % 2, 8 * block] = True  # 4, 3, 4, 3 … positions with one product each
    found, _ = packing(x, w, tiling(8, 4, 72))
    assert found.array_cycles.tolist() == [4 + 3]


def test_bytes_energy_and_actions_of_a_layer():
    """32 × 64 × 32 at a half of X and 8:16 of W, one tile of one block."""
    values = np.ones((32, 64), np.int8)
    values[:, ::2] = 100
    trace = trace_of([(64, 32)], lengths=(32,), arrays={"layers.0.x": values})
    arch = machine().model_copy(update={"tiling": tile(32, 64, 32)})
    (layer,) = simulate(arch, trace).layers
    (linear,) = trace.linears
    w = drawn_weights(linear, arch.path.w)
    macs = 32 * int(w[::2].sum())
    array = layer.units["mac_array"]
    assert layer.macs_executed == macs
    assert {name: array.actions[name] for name in ("mac", "route", "accumulate")} == {
        "mac": macs,
        "route": macs,
        "accumulate": macs,
    }
    assert array.actions["decode"] == 2 * 64
    assert array.actions["mac_idle"] == array.ledger.busy_cycles * 1024 - macs
    per_position = w[::2].reshape(32, 2, 16).sum(axis=1)  # of each column of banks
    steps = 4 * -(-per_position.sum(axis=1) // 16)
    assert array.ledger.busy_cycles >= max(steps.sum(), 4 * per_position.sum(axis=0).max())
    stored = 32 * 32 + 32 * 64 // 8  # kept values, and a bit for each position
    assert layer.units["compressed_buffer"].actions["write_bytes"] == stored
    assert layer.units["weight_buffer"].actions["read_bytes"] == 64 * 32 * (8 * 8 + 16) // 16 // 8
    assert layer.units["selector"].actions == {"compare": 32 * 64, "move": 32 * 64}


# Against other oracles ---------------------------------------------------------------------------


def walked(x, w, jobs, job, depth):
    """A tile product by product, with lists of what waits for each bank of each block."""
    free = [0] * 8
    token, column, start = jobs.token_start[job], jobs.column_start[job], jobs.reduction_start[job]
    for top in range(token, token + jobs.tokens[job], 8):
        for left in range(column, column + jobs.columns[job], 8):
            waiting, now = {}, 0
            for k in range(start, start + jobs.reduction[job]):
                rows = [i for i in range(8) if top + i < token + jobs.tokens[job] and x[top + i, k]]
                columns = [
                    j for j in range(8) if left + j < column + jobs.columns[job] and w[k, left + j]
                ]
                for i in rows:
                    for j in columns:
                        bank = i % 2, j % 4
                        waiting[bank] = waiting.get(bank, 0) + 1
                spent, steps = 0, -(-len(rows) // 2) * -(-len(columns) // 4)
                while spent < steps or any(number > depth for number in waiting.values()):
                    if not rows:
                        break
                    waiting = {bank: number - 1 for bank, number in waiting.items() if number > 1}
                    spent += 1
                now += spent
            unit = free.index(min(free))
            free[unit] += now + max(waiting.values(), default=0)
    return max(free)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1, 20),
    reduction=st.integers(1, 24),
    columns=st.integers(1, 40),
    shares=st.tuples(st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([0.2, 0.6, 1.0])),
    chosen=st.tuples(st.integers(1, 20), st.integers(1, 24), st.integers(1, 40)),
    depth=st.sampled_from([0, 1, 3, 8]),
    seed=st.integers(0, 999),
)
def test_cycles_and_products_are_those_of_a_walk(  # noqa: PLR0917 - drawn by name
    tokens, reduction, columns, shares, chosen, depth, seed
):
    drawn = np.random.default_rng(seed)
    x = drawn.random((tokens, reduction)) < shares[0]
    w = drawn.random((reduction, columns)) < shares[1]
    found, jobs = packing(x, w, tiling(*chosen), depth=depth)
    expected = [walked(x, w, jobs, job, depth) for job in range(len(jobs))]
    assert found.array_cycles.tolist() == expected
    assert found.macs.sum() == (x.astype(int) @ w.astype(int)).sum()
    assert (found.array_cycles * 64 >= found.macs).all()


def test_counts_of_weights_are_kept_for_the_same_weights_and_tiles_only():
    array = load("dstc", SMALL).units["mac_array"]
    arch, gemm = load("dstc", SMALL), Gemm(3, 8, 24)
    packs, w = OuterProducts().serving({"mac_array": array}), np.ones((8, 24), bool)
    for mask, chosen in ((w, (3, 8, 24)), (w, (3, 4, 8)), (w & (np.arange(24) > 5), (3, 4, 8))):
        jobs = tile_jobs(gemm, tiling(*chosen), arch.path, arch.stores)
        x, fresh = np.ones((3, 8), bool), OuterProducts().serving({"mac_array": array})
        found = [each.found(Masks(x, mask), jobs, arch.path) for each in (packs, fresh, packs)]
        cycles = [each.array_cycles.tolist() for each in found]
        assert cycles[0] == cycles[1] == cycles[2]


def test_dense_masks_take_the_cycles_of_the_dense_formula():
    for tokens, columns, chosen in ((32, 64, (32, 10, 64)), (7, 20, (7, 20, 8))):
        x, w = (np.ones(shape, bool) for shape in ((tokens, 20), (20, columns)))
        found, jobs = packing(x, w, tiling(*chosen))
        array = load("dstc", SMALL).units["mac_array"]
        assert (found.array_cycles <= array._dense_cycles(jobs)).all()
        if tokens % 8 == columns % 8 == 0:  # blocks at an edge are shorter
            assert (found.array_cycles == array._dense_cycles(jobs)).all()


def test_dense_it_is_as_fast_as_an_array_of_dot_products():
    """Eight whole blocks a tile keep all units at work: as many multiplications a cycle."""
    trace = trace_of([(256, 256)], lengths=(64,))
    chosen = tile(32, 256, 256)
    outer, dots = (load(name).model_copy(update={"tiling": chosen}) for name in ("dstc", "dense"))
    busy = [
        simulate(arch, trace).units["mac_array"].ledger.busy_cycles
        for arch in (outer.dense(), dots)
    ]
    assert busy[0] == busy[1] == 64 * 256 * 256 // 1024


@pytest.mark.parametrize("changes", [{}, GROUPS])
@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 1), ("decode", 3)])
def test_cycles_are_conserved_and_the_engines_agree(changes, phase, batch):
    trace = trace_of(SHAPES, lengths=(7, 9))
    runs = [
        simulate(machine(**changes), trace, phase=phase, batch=batch, engine=e)
        for e in ("recurrence", "simpy")
    ]
    assert replace(runs[0], engine="").to_dict() == replace(runs[1], engine="").to_dict()
    for layer in runs[0].layers:
        assert {unit.ledger.total_cycles for unit in layer.units.values()} == {layer.cycles}
        array = layer.units["mac_array"]
        assert array.actions["mac"] + array.actions["mac_idle"] == (array.ledger.busy_cycles * 1024)
        assert array.actions["mac_idle"] >= 0
        assert layer.needed_rows_ratio in (None, 1)
    total = sum(unit.energy_pj for unit in runs[0].units.values())
    assert runs[0].totals()["energy_pj"] == pytest.approx(total)


def test_products_are_those_of_the_masks():
    trace = trace_of(SHAPES, lengths=(7, 9))
    arch = machine()
    result = simulate(arch, trace)
    for linear, layer in zip(trace.linears, result.layers, strict=True):
        x = np.abs(trace.values(linear.input))
        kept = x > np.float32(np.quantile(x, 0.5))
        w = drawn_weights(linear, arch.path.w)
        assert layer.macs_executed == (kept.astype(int) @ w.astype(int)).sum()


def test_steps_that_run_together_are_those_that_run_one_by_one():
    trace = trace_of([(100, 73)], lengths=(11,))
    arch = machine().model_copy(update={"tiling": tile(32, 32, 24)})
    together = simulate(arch, trace, phase="decode", batch=2)
    apart = simulate(arch, trace, phase="decode", batch=2, observer=lambda *_: None)
    assert together.to_dict() == apart.to_dict()


@pytest.mark.parametrize(
    "changes",
    [{}, {"weight_pattern": "dense"}, {"precision": "bf16"}, {"weight_pattern": "2:5"}, GROUPS],
)
def test_the_machine_computes_what_numpy_does(changes):
    arch = machine(**changes)
    checks = list(verify(arch, trace_of(SHAPES, lengths=(30, 9))))
    assert all(check.passed for check in checks)


def test_a_product_in_the_wrong_bank_is_found():
    """The check can fail: values of a block come from one row further than their bits say."""
    right = OuterProductArray.block_sums

    def shifted(self, x, w):
        return right(self, np.roll(x, 1, axis=0), w)

    with patch.object(OuterProductArray, "block_sums", shifted):
        checks = list(verify(machine(), trace_of(SHAPES, lengths=(7, 9))))
    assert not any(check.passed for check in checks)


def test_a_dense_layer_keeps_its_pruned_weights():
    """X as it is, W by its bits; zeros of X take their steps, and are no products."""
    values = np.ones((32, 64), np.int8)
    values[:16] = 0
    trace = trace_of([(64, 32)], lengths=(32,), arrays={"layers.0.x": values})
    dense, sparse = (
        simulate(machine(), trace, policy=Policy(Method(parse_pattern(pattern))))
        for pattern in ("dense", "threshold:0.5")
    )
    assert dense.layers[0].macs_executed == 16 * 64 * 32 // 2
    assert sparse.layers[0].macs_executed == 16 * 64 * 32 // 2
    busy = [run.units["mac_array"].ledger.busy_cycles for run in (dense, sparse)]
    assert busy[0] > 1.9 * busy[1]


# What it must show -------------------------------------------------------------------------------


FIG21 = {(1, 0.4): 2500, (0.7, 1): 3300, (0.7, 0.4): 1820, (0.5, 1): 2690, (0.5, 0.4): 1480}
"""Latency of a product of 4096³ by the densities of its operands, of 4600 if both are dense."""


def test_the_density_curve_is_that_of_the_page(tmp_path):
    """What docs/model.md says of Fig. 21 of DSTC, measured again, errors included."""
    shapes = tmp_path / "gemm.csv"
    shapes.write_text("name,in_features,out_features\ngemm,1024,1024\n")
    trace = synthesise_gemms(shapes, tmp_path / "gemm.npz", tokens=1024)
    dense = simulate(load_arch(DSTC).dense(), trace).cycles
    assert dense == pytest.approx(1024**3 / 1024, rel=0.001)
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    for (x, w), latency in FIG21.items():
        level = f"pattern=threshold:{1 - x or 0.5:.1f}"
        arch = load_arch(DSTC, [level, f"weight_pattern={'16:40' if w < 1 else 'dense'}"])
        plain = Policy(Method(parse_pattern("dense"))) if x == 1 else None
        gain, published = dense / simulate(arch, trace, policy=plain).cycles, 4600 / latency
        error = f"{100 * (gain / published - 1):+.0f}".replace("-", "−")
        assert f"| {x} | {w} | {published:.2f}× | {gain:.2f}× | {error} % |" in page
        assert 0.8 <= gain / published <= 1


def test_the_gain_on_the_shipped_trace_is_that_of_the_page():
    dense, outer = (
        simulate(load_arch(ROOT / f"arch_configs/{n}.yaml"), SHIPPED_TRACE) for n in NAMES
    )
    gain = dense.cycles / outer.cycles
    energy = outer.totals()["energy_pj"] / dense.totals()["energy_pj"]
    areas = [run.units["mac_array"].area_um2 / 1e6 for run in (outer, dense)]
    page = " ".join((ROOT / "docs" / "model.md").read_text(encoding="utf-8").split())
    assert f"256 tokens {gain:.2f}× the speed and {energy:.2f} of the energy" in page
    arrays = "{:.1f} mm² where 1,024 multipliers with adder trees take {:.1f}".format(*areas)
    assert arrays in page


# What it costs -----------------------------------------------------------------------------------


def test_parts_of_the_array_by_hand():
    arch = machine()
    array, path, tech = arch.units["mac_array"], arch.path, arch.load_technology()
    assert (array.units, array.unit_shape, array._words) == (8, (8, 16), 8)
    deeper = array.model_copy(update={"queue_depth": 9})
    entry_um2 = 1024 * 19 * tech.register_um2  # 16 bits of a product, 3 of the word of its bank
    more = deeper.area_um2(tech, path) - array.area_um2(tech, path)
    leg_um2 = tech.block("crossbar_full", Shape(m=1, bits=19)).parts_um2["leg_bits"]
    assert more == pytest.approx(entry_um2 + 1024 * leg_um2)
    assert set(array.energy_pj(tech, path)) == array.action_names
    assert array.energy_pj(tech, path)["mac_idle"] < array.energy_pj(tech, path)["mac"]


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["pattern=8:16"], "does not select by '8:16'"),
        (["pattern=topk:0.5"], "does not select by 'topk:0.5'"),
        (["weight_pattern=threshold:0.5"], "has no groups"),
        (["mac_array.rows=31"], "must divide by"),
        (["mac_array.queue_depth=-1"], "queue_depth"),
        (["crossbar={kind: full}"], "no place for 'crossbar'"),
        (["precision=int8/int4:32"], "no place"),
        (["mitigation=var"], "has no place"),
    ],
)
def test_what_it_cannot_run_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        load_arch(DSTC, changes)

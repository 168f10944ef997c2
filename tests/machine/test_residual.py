"""FP4 in two parts: what pairs-2:4 keeps of X, then what that leaves, over the same weights."""

import numpy as np
import pytest

from accelsim import load_arch, simulate
from accelsim.base.errors import InputError
from accelsim.hardware import BLOCKS, SELECTORS
from accelsim.mapping import Gemm, Packing, Stores, tile_jobs
from accelsim.mapping.tiling import Store, TileBytes, Tiling
from accelsim.precision import PRECISIONS
from accelsim.run.verify import machine_matmul, verify
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method
from accelsim.tech.blocks import Shape
from accelsim.testing.traces import trace_of
from tests.helpers import pruning as naive
from tests.helpers.small import ROOT

WIDE = [f"buffers.{it}.port_bytes=2048" for it in ("activations", "weights", "compressed")]
BY_HAND = [50, 3, 10, 10, 34, 0, 7, 2]


def machine(*keys):
    return load_arch(ROOT / "arch_configs" / "sharq.yaml", ["tiling=quick", *keys])


def token(width=32):
    """Return a token whose first eight values are those by hand, the rest 0."""
    x = np.zeros((1, width), np.int8)
    x[0, : len(BY_HAND)] = BY_HAND
    return x


def test_bytes_and_cycles_by_hand():
    """64 × 64, 8 tokens. X comes in bf16. Of 64 positions, 8 groups keep 4 values: 32 codes of 4
    bits, 64 bits of masks and 4 scales of a byte are 28 bytes; what is left, 32 + 4 bytes.

    The array takes 4 groups a step, then 16 positions: 2 + 4 steps for each of 8 column blocks.
    """
    result = simulate(machine(*WIDE), trace_of([(64, 64)]), layers="isolated")
    (layer,) = result.layers
    weight_bytes = 64 * (32 + 4)
    assert layer.units["dram"].actions["read_bytes"] == 8 * 64 * 2 + weight_bytes
    assert layer.units["weight_buffer"].actions["write_bytes"] == weight_bytes
    assert layer.units["weight_buffer"].actions["read_bytes"] == 2 * weight_bytes
    assert layer.units["compressed_buffer"].actions["write_bytes"] == 8 * (28 + 36)
    assert layer.units["mac_array"].ledger.busy_cycles == 8 * (2 + 4)
    assert layer.units["splitter"].actions == {"residual": 8 * 64}
    assert layer.units["selector"].actions == {"group": 8 * 8}
    assert layer.macs_executed == 8 * 64 * (32 + 64)


@pytest.mark.parametrize(("reduction", "steps"), [(8, 1 + 1), (33, 2 + 3), (200, 7 + 13)])
def test_steps_of_both_passes(reduction, steps):
    """ceil(groups / 4) + ceil(positions / 16), ragged ends padded each by itself."""
    path = machine().path
    assert path.steps(reduction) == steps
    assert path.passes == 2


def test_a_token_by_hand():
    """MXFP4, largest 50: scale 8. 6.25, 3/8, 1.25, 1.25, 4.25, 0, 7/8 and 1/4 round to 6, 1/2, 1,
    1 (ties to even codes), 4, 0, 1 and 0. Pairs: 6.5, 2, 4, 1, so the first and the third stay.

    They leave 2, -1, 10, 10, 2, 0, 7, 2. Largest 10: scale 2. 1, -1/2, 5, 5, 1, 0, 3.5, 1: to even
    codes, 5 goes to 4 and 3.5 to 4.
    """
    mxfp4, x = PRECISIONS["mxfp4"], token().astype(np.float32)
    held = mxfp4.encode_tokens(x)
    assert held[0, :8].tolist() == [48, 4, 8, 8, 32, 0, 8, 0]
    mask = parse_pattern("pairs-2:4").keep(held)
    assert mask[0, :8].astype(int).tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    rest = mxfp4.remainders(x, held * mask)
    assert rest[0, :8].tolist() == [2, -1, 8, 8, 2, 0, 8, 2]


def test_nonzero_values_of_both_parts_are_multiplied():
    """Of the token by hand, 3 that are kept and 7 that are left; all others are idle."""
    trace = trace_of([(32, 8)], lengths=(1,), arrays={"layers.0.x": token()})
    result = simulate(machine("precision=mxfp4"), trace)
    assert result.units["mac_array"].actions["mac"] == (3 + 7) * 8
    assert result.layers[0].macs_executed == (16 + 32) * 8


def split_by_loops(row, precision):
    """Return what of a token enters the product, by its definition, one value at a time."""
    held, _ = naive.held(row, precision)
    outer = naive.f32(max(map(abs, row)) / 2688) if precision == "nvfp4" else 1.0
    kept = list(held)
    for start in range(0, len(row), 8):
        sums = [abs(held[i]) + abs(held[i + 1]) for i in range(start, start + 8, 2)]
        for pair in sorted(range(4), key=lambda p: (-sums[p], p))[2:]:
            kept[start + 2 * pair] = kept[start + 2 * pair + 1] = 0.0
    left = [
        naive.f32(np.float32(v) / np.float32(outer)) - k for v, k in zip(row, kept, strict=True)
    ]
    left = [naive.f32(value) for value in left]
    size = PRECISIONS[precision].block
    for start in range(0, len(row), size):
        part = left[start : start + size]
        scale = naive.block_scale(max(map(abs, part)), precision)
        found = [naive.fp4(naive.f32(np.float32(v) / np.float32(scale))) * scale for v in part]
        left[start : start + size] = found
    return [(k + v) * outer for k, v in zip(kept, left, strict=True)]


@pytest.mark.parametrize("precision", ["nvfp4", "mxfp4"])
def test_a_model_is_measured_with_what_loops_find(precision):
    torch = pytest.importorskip("torch")
    from accelsim.accuracy.pruning import LayerPruning, RowLayout

    rng = np.random.default_rng(3)
    rows = rng.standard_normal((5, 64)) * np.exp(2 * rng.standard_normal(64))
    rows = rows.astype(np.float32)
    method = Method(parse_pattern("pairs-2:4"), mitigation="residual")
    entering = LayerPruning(method, precision).prune(torch.from_numpy(rows), RowLayout()).inputs
    expected = [split_by_loops(row, precision) for row in rows.tolist()]
    np.testing.assert_allclose(entering.numpy(), expected, rtol=1e-6)
    dense = LayerPruning(Method(parse_pattern("dense")), precision)
    rounded = dense.prune(torch.from_numpy(rows), RowLayout()).inputs
    errors = [float((part - torch.from_numpy(rows)).abs().sum()) for part in (entering, rounded)]
    assert errors[0] < errors[1]


def test_without_rounding_nothing_is_lost():
    torch = pytest.importorskip("torch")
    from accelsim.accuracy.pruning import LayerPruning, RowLayout

    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    method = Method(parse_pattern("pairs-2:4"), mitigation="residual")
    assert torch.equal(LayerPruning(method).prune(x, RowLayout()).inputs, x)


@pytest.mark.parametrize("keys", [(), ("precision=mxfp4", "mac_array.lanes=8"), ("pattern=4:8",)])
def test_values_through_the_machine_are_those_of_numpy(keys):
    keys = (*keys, "selector.kind=rank") if "pattern=4:8" in keys else keys
    trace = trace_of([(40, 24), (128, 9)], lengths=(5, 3))
    checks = list(verify(machine(*keys, "buffers.weights.capacity_kib=1"), trace))
    assert len(checks) == 2
    assert all(check.passed for check in checks)


def test_the_second_pass_adds_what_is_left_and_nothing_else():
    arch, rng = machine("buffers.weights.capacity_kib=1"), np.random.default_rng(1)
    held, rest = (PRECISIONS["nvfp4"].encode_tokens(rng.standard_normal((9, 100))) for _ in "ab")
    weights = PRECISIONS["nvfp4"].encode_tokens(rng.standard_normal((12, 100))).T
    found = machine_matmul(arch.running(), held, weights, None, rest)
    first = machine_matmul(arch.running(), held, weights)
    scale = np.abs(rest) @ np.abs(weights)
    assert (np.abs(found - first - rest @ weights) <= 1e-4 * scale).all()
    assert (np.abs(found - first) > 1e-2 * scale).any()


def test_it_takes_half_as_long_again_as_dense():
    trace = trace_of([(256, 128)], lengths=(64,))
    arch = machine(*WIDE, "dram.bandwidth_gb_per_s=512")
    busy = [
        simulate(it, trace).units["mac_array"].ledger.busy_cycles for it in (arch, arch.dense())
    ]
    assert busy[0] == 1.5 * busy[1]


@pytest.mark.parametrize("batch", [1, 4])
def test_decode_fetches_every_row(batch):
    """A row that no token keeps is still needed for what is left of X."""
    trace, steps = trace_of([(128, 64)], lengths=(8,)), 8 // batch
    arch = machine()
    plain = machine("mitigation=none")
    found, gathering = (simulate(it, trace, phase="decode", batch=batch) for it in (arch, plain))
    whole = steps * 64 * (64 + 8)
    assert found.units["weight_buffer"].actions["write_bytes"] == whole
    assert gathering.units["weight_buffer"].actions["write_bytes"] < whole
    assert found.layers[0].needed_rows_ratio == 1.0


@pytest.mark.parametrize("batch", [None, 2])
def test_both_engines_agree(batch):
    trace = trace_of([(40, 24), (72, 18)], lengths=(5, 3))
    arch = machine("buffers.weights.capacity_kib=1", "buffers.weights.port_bytes=16")
    phase = "prefill" if batch is None else "decode"
    fast, slow = (
        simulate(arch, trace, phase=phase, batch=batch, engine=engine)
        for engine in ("recurrence", "simpy")
    )
    assert fast.cycles == slow.cycles
    assert fast.units == slow.units


def test_a_tile_is_no_larger_than_its_slot():
    """Tiles of 24 of 64: 3 groups of 24 bits, 24 codes, and twice the scales of two blocks."""
    path, gemm, tiling = machine().path, Gemm(8, 64, 8), Tiling(8, 8, 24, "tokens_outer")
    store = Store(1 << 20)
    jobs = tile_jobs(gemm, tiling, path, Stores(store, store, store, store))
    found = Packing.even(jobs, path).compressed_bytes.tolist()
    assert found[:2] == [8 * (3 * 24 + 24 * 4 + 2 * 2 * 8) // 8] * 2
    room = TileBytes.of(tiling, gemm, path)
    assert room.compressed == max(found)
    assert room.activations == 8 * 24 * 2


def test_pairs_are_ranked_by_fewer_bits_than_values():
    """4 adders of 5 bits at twice a comparator, and 6 comparators; of values, 28 of 3 bits."""
    shape = Shape(n=4, m=8, bits=4, is_float=True, significand_bits=2)
    assert dict(BLOCKS["select_pairs"].parts(shape)) == {
        "comparator_bits": 2 * 4 * 5 + 6 * 5,
        "count_bits": 4 * 3,
        "magnitude_bits": 8 * 4,
        "register_bits": 8 * 5 + 1,
    }
    arch = machine()
    tech, path = arch.load_technology(), arch.path
    areas = [SELECTORS[kind](kind=kind).area_um2(tech, path) for kind in ("pairs", "rank")]
    assert 0 < areas[0] < areas[1]


def test_a_format_without_whole_numbers_has_no_adders_of_pairs():
    with pytest.raises(InputError, match=r"selector 'pairs' adds magnitudes.*'bf16'"):
        machine("precision=bf16", "mitigation=none")
    machine("precision=int8", "mitigation=none")

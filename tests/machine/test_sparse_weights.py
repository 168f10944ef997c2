"""Weights that were pruned before the run: stored N of M, each picks its activation."""

from dataclasses import replace

import pytest

from accelsim import load_arch, simulate
from accelsim.hardware import CROSSBARS
from accelsim.run.verify import verify
from accelsim.sparsity import FORMATS
from accelsim.testing.traces import trace_of
from tests.helpers.small import ROOT

NVIDIA24 = ROOT / "arch_configs" / "nvidia24.yaml"
WIDE = ("buffers.activations.port_bytes=2048", "buffers.weights.port_bytes=2048")
QUICK = "tiling=quick"


def machine(pattern="2:4", *keys):
    return load_arch(NVIDIA24, [f'weight_pattern="{pattern}"', *WIDE, QUICK, *keys])


def test_bytes_and_cycles_by_hand():
    """64 × 64 at 2:4: 16 blocks a column, each of two codes and two places of two bits: 20 bits.

    64 positions are 16 blocks, 8 of which fill 16 lanes: 2 steps for each of 8 column blocks.
    """
    result = simulate(machine(), trace_of([(64, 64)], lengths=(8,)))
    (layer,) = result.layers
    weight_bytes = 64 * 16 * 20 // 8
    assert layer.units["dram"].actions["read_bytes"] == 8 * 64 + weight_bytes
    assert layer.units["weight_buffer"].actions["read_bytes"] == weight_bytes
    assert layer.units["activation_buffer"].actions["read_bytes"] == 8 * 8 * 64
    assert layer.units["mac_array"].ledger.busy_cycles == 2 * 8
    assert layer.units["crossbar"].actions == {"route": 8 * 64 * 32, "decode": 64 * 16}
    assert layer.macs_executed == layer.macs_dense // 2
    assert result.totals()["mac_utilization_ratio"] <= 1


def test_a_last_block_is_padded():
    """10 positions are 3 blocks; 2 + 2 + 2 of them may be other than zero, 6 are stored."""
    result = simulate(machine(), trace_of([(10, 8)], lengths=(1,)))
    (layer,) = result.layers
    assert layer.units["weight_buffer"].actions["write_bytes"] == 8 * 3 * 20 // 8
    assert layer.macs_executed == 6 * 8


@pytest.mark.parametrize("pattern", ["2:4", "8:16", "16:32"])
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_decode_gains_what_the_weights_lose_at_any_batch(pattern, batch):
    """DRAM is what decode waits for, so speed follows bytes: no union of tokens undoes it."""
    trace, (n, m) = trace_of([(512, 512)], lengths=(64,)), map(int, pattern.split(":"))
    arch = machine(pattern, "dram.bandwidth_gb_per_s=1")
    sparse, dense = (
        simulate(each, trace, phase="decode", batch=batch) for each in (arch, arch.dense())
    )
    moved = [result.totals()["dram_bytes"] for result in (dense, sparse)]
    assert dense.cycles / sparse.cycles == pytest.approx(moved[0] / moved[1], rel=0.03)
    block_bits = 8 * n + FORMATS["index"].bits_per_group(n, m)
    saved = 64 // batch * (512 * 512 // m * (8 * m - block_bits) // 8)
    loaded = [x.units["weight_buffer"].actions["write_bytes"] for x in (dense, sparse)]
    assert loaded[0] - loaded[1] == saved


@pytest.mark.parametrize("pattern", ["2:4", "8:16"])
def test_the_array_takes_as_long_as_with_sparse_activations(pattern):
    """N of M values go through the lanes a step, of whichever operand."""
    trace = trace_of([(128, 64), (96, 40)], lengths=(16,))
    weights = simulate(machine(pattern), trace, layers="isolated")
    keys = [f'pattern="{pattern}"', *WIDE, QUICK]
    activations = simulate(load_arch(ROOT / "arch_configs/nm816.yaml", keys), trace)
    busy = [each.units["mac_array"].ledger.busy_cycles for each in (weights, activations)]
    assert busy[0] == busy[1]
    macs = [each.totals()["macs_executed"] for each in (weights, activations)]
    assert macs[0] == macs[1]


@pytest.mark.parametrize("kind", [kind for kind in CROSSBARS if CROSSBARS[kind].is_routing])
def test_a_crossbar_of_activations_is_one_of_weights_with_rows_and_columns_exchanged(kind):
    """What columns share there, rows share here."""
    arch = machine("4:8", f"crossbar.kind={kind}", "mac_array.rows=4")
    tech, path, unit = arch.load_technology(), arch.path, arch.units["crossbar"]
    plain = replace(path.w, kept_per_block=1, block=1, metadata_bits=0)
    mirrored = replace(
        path,
        rows=8,
        columns=4,
        kept_per_group=4,
        group_size=8,
        metadata_bits_per_group=path.w.metadata_bits,
        formats=replace(path.formats, w=plain),
    )
    assert unit.area_um2(tech, path) == unit.area_um2(tech, mirrored) > 0
    assert unit.energy_pj(tech, path) == unit.energy_pj(tech, mirrored)


CHECKED = [
    ("2:4", ()),
    ("8:16", ("format=bitmask", "crossbar.kind=window")),
    ("16:32", ("mac_array.lanes=8",)),
    ("3:5", ("format=bitmask", "crossbar.kind=hierarchical")),
    ("2:4", ("precision=int8/int4:32",)),
    ("2:4", ("precision=bf16",)),
]


@pytest.mark.parametrize(("pattern", "keys"), CHECKED)
def test_values_through_the_machine_are_those_of_numpy(pattern, keys):
    arch = machine(pattern, *keys, "buffers.weights.capacity_kib=2")
    checks = list(verify(arch, trace_of([(40, 24), (128, 9)], lengths=(5, 3))))
    assert len(checks) == 2
    assert all(check.passed for check in checks)


def test_a_lost_place_is_found(monkeypatch):
    """The check is one: metadata that tell wrong places change what comes out."""
    real = FORMATS["index"].decode
    wrong = staticmethod(lambda bits, n, m: (real(bits, n, m) + 1) % m)
    monkeypatch.setattr(FORMATS["index"], "decode", wrong)
    (check,) = verify(machine(), trace_of([(40, 24)], lengths=(5,)))
    assert not check.passed


def test_the_dense_counterpart_routes_nothing():
    dense = machine().dense()
    assert dense.weight_pattern.is_dense
    assert "crossbar" not in dense.units
    assert not dense.path.w.is_sparse


def test_both_engines_agree():
    trace = trace_of([(40, 24), (33, 18)], lengths=(5, 3))
    arch = machine("2:4", "buffers.weights.capacity_kib=2", "buffers.weights.port_bytes=16")
    fast, slow = (simulate(arch, trace, engine=engine) for engine in ("recurrence", "simpy"))
    assert fast.cycles == slow.cycles
    assert fast.units == slow.units


def test_widths_of_weights_that_are_stored_in_groups():
    """Half of the codes of int4, places of two bits, and all scales."""
    arch = machine("2:4", "precision=int8/int4:32")
    result = simulate(arch, trace_of([(64, 64)], lengths=(8,)))
    block_bits = 2 * 4 + 4
    column_bits = 16 * block_bits + 2 * 8
    moved = result.units["weight_buffer"].actions["write_bytes"]
    assert moved == 64 * column_bits // 8
    assert result.units["unpacker"].actions["unpack"] == 64 * 32


@pytest.mark.parametrize("batch", [None, 2])
def test_every_cycle_has_one_cause_and_energy_is_the_sum_of_units(batch):
    phase = "prefill" if batch is None else "decode"
    trace = trace_of([(40, 24), (33, 18)], lengths=(5, 3))
    result = simulate(machine(), trace, phase=phase, batch=batch)
    for name, unit in result.units.items():
        assert unit.ledger.total_cycles == result.cycles, name
    total = sum(unit.energy_pj for unit in result.units.values())
    assert result.totals()["energy_pj"] == pytest.approx(total)
    assert sum(result.units["mac_array"].actions[kind] for kind in ("mac", "mac_idle")) == (
        result.units["mac_array"].ledger.busy_cycles * 1024
    )

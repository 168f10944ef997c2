"""Patterns of two ranks, of weights: N of M in P of Q blocks (HighLight)."""

import pytest

from accelsim import load_arch, simulate
from accelsim.base.errors import InputError
from accelsim.run.verify import verify
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.testing.traces import trace_of
from tests.helpers.small import ROOT

HIGHLIGHT = ROOT / "arch_configs" / "highlight.yaml"
WIDE = ("buffers.activations.port_bytes=2048", "buffers.weights.port_bytes=2048")


def machine(pattern="2:4x4:8", *keys):
    return load_arch(HIGHLIGHT, [f'weight_pattern="{pattern}"', *WIDE, "tiling=quick", *keys])


def test_bytes_and_cycles_by_hand():
    """64 positions are two groups of 32, 8 weights each, which 16 lanes take in one step.

    A group is 8 bytes and a mask of 4; 64 outputs are 8 column blocks.
    """
    (layer,) = simulate(machine(), trace_of([(64, 64)], lengths=(8,))).layers
    assert layer.units["mac_array"].ledger.busy_cycles == 8
    assert layer.units["weight_buffer"].actions["write_bytes"] == 64 * 2 * 12
    assert layer.units["activation_buffer"].actions["read_bytes"] == 8 * 8 * 64
    assert layer.macs_executed == layer.macs_dense // 4


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [("2:4x4:4", 8), ("2:4x4:5", 10), ("2:4x4:8", 8), ("1:4x4:8", 8), ("2:4x2:4", 8)],
)
def test_steps_are_those_of_the_values_that_are_stored(pattern, steps):
    """HighLight's family, 4:H of 2:4: of K groups of Q × M, floor(16 / stored) a step."""
    n, p, m, q = (int(c) for c in (pattern[0], pattern[4], pattern[2], pattern[6]))
    groups = steps * (16 // (n * p))
    trace = trace_of([(groups * m * q, 8)], lengths=(8,))
    (layer,) = simulate(machine(pattern), trace).layers
    assert layer.units["mac_array"].ledger.busy_cycles == steps
    assert layer.density == pytest.approx(n * p / (m * q))


CHECKED = [
    ("2:4x4:8", ()),
    ("2:4x4:5", ()),
    ("1:4x4:8", ("mac_array.lanes=4",)),
    ("2:4x4:8", ("format=index",)),
    ("2:4x4:8", ("precision=bf16",)),
    ("2:4x4:8", ("crossbar.kind=window",)),
]


@pytest.mark.parametrize(("pattern", "keys"), CHECKED)
def test_values_through_the_machine_are_those_of_numpy(pattern, keys):
    checks = list(verify(machine(pattern, *keys), trace_of([(130, 24), (64, 9)], lengths=(5, 3))))
    assert len(checks) == 2
    assert all(check.passed for check in checks)


def test_two_small_windows_are_smaller_than_a_large_one():
    areas = {}
    for kind in ("two_rank", "window", "full"):
        arch = machine("2:4x4:8", f"crossbar.kind={kind}", "crossbar.pipeline_stages=1")
        areas[kind] = arch.crossbar.area_um2(arch.load_technology(), arch.path)
    assert areas["two_rank"] < 0.6 * min(areas["window"], areas["full"])


def test_the_crossbar_of_one_rank_is_a_window():
    tech, areas = machine().load_technology(), []
    for kind in ("two_rank", "window"):
        arch = machine("8:32", f"crossbar.kind={kind}")
        areas.append(arch.crossbar.area_um2(tech, arch.path))
    assert areas[0] == areas[1]


def test_ports_keep_up():
    arch = load_arch(HIGHLIGHT, ["tiling=quick"])
    result = simulate(arch, trace_of([(1024, 64)], lengths=(64,)))
    assert result.units["mac_array"].ledger.busy_cycles == 8 * 8 * 16
    for buffer in ("activation_buffer", "weight_buffer"):
        assert result.units[buffer].ledger.busy_cycles == 8 * 8 * 16


@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
def test_every_cycle_has_one_cause(engine):
    trace = trace_of([(130, 24), (33, 18)], lengths=(5, 3))
    result = simulate(machine(), trace, engine=engine)
    for unit in result.units.values():
        assert unit.ledger.total_cycles == result.cycles
    assert result.cycles == simulate(machine(), trace).cycles


def test_weights_in_pairs_are_stored_like_other_groups():
    """4:8 in pairs is what fp4 tensor cores have; places are those of 4:8."""
    pairs = machine("pairs-2:4")
    assert all(check.is_exact for check in verify(pairs, trace_of([(130, 24)], lengths=(5,))))
    assert pairs.path.w == machine("4:8").path.w


# Of activations -----------------------------------------------------------------------------------

OF_X = ROOT / "arch_configs" / "highlight_x.yaml"
ROOMY = (*WIDE, "buffers.compressed.port_bytes=2048")


def selecting(pattern="2:4x4:8", *keys):
    return load_arch(OF_X, [f'pattern="{pattern}"', *ROOMY, "tiling=quick", *keys])


def test_selected_activations_take_as_long_as_stored_weights():
    """8 tokens of 64 positions are 16 groups of 32, of which 4 selectors take 4 a cycle."""
    (layer,) = simulate(selecting(), trace_of([(64, 64)], lengths=(8,))).layers
    assert layer.units["mac_array"].ledger.busy_cycles == 8
    assert layer.units["selector"].actions == {"group": 16}
    assert layer.units["selector"].ledger.busy_cycles == 4
    assert layer.units["compressed_buffer"].actions["write_bytes"] == 16 * 12
    assert layer.units["crossbar"].actions == {"route": 8 * 64 * 16, "decode": 16 * 8}
    assert layer.macs_executed == layer.macs_dense // 4


@pytest.mark.parametrize("pattern", ["2:4x4:8", "2:4x4:5", "3:4x2:3"])
def test_selected_values_through_the_machine_are_those_of_numpy(pattern):
    shapes = [(130, 24), (64, 9)]
    checks = list(verify(selecting(pattern), trace_of(shapes, lengths=(5, 3))))
    assert [check.is_exact for check in checks] == [True, True]


def test_selected_layers_may_be_dense():
    result = simulate(
        selecting(),
        trace_of([(64, 64)] * 2, lengths=(8,)),
        policy=Policy(Method(parse_pattern("dense")), ()),
    )
    assert [layer.density for layer in result.layers] == [1, 1]


def test_two_small_ranks_are_smaller_than_a_large_one():
    """Of all pairs of 32 values, only those within blocks are compared, and those of blocks."""
    areas = {}
    for kind, pattern in (("two_rank", "2:4x4:8"), ("rank", "8:32")):
        arch = selecting(pattern, f"selector.kind={kind}")
        areas[kind] = arch.selector.area_um2(arch.load_technology(), arch.path)
    assert areas["two_rank"] < 0.6 * areas["rank"]


def test_the_selector_of_one_rank_is_rank():
    tech, areas = selecting().load_technology(), []
    for kind in ("two_rank", "rank"):
        arch = selecting("8:32", f"selector.kind={kind}", "crossbar.kind=window")
        areas.append(
            (arch.selector.area_um2(tech, arch.path), arch.selector.energy_pj(tech, arch.path))
        )
    assert areas[0] == areas[1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["selector.kind=rank"], "does not select by '2:4x4:8'"),
        (["precision=bf16"], "has no adders for"),
        (["criterion=amber"], "of which pattern '2:4x4:8' has no sums"),
    ],
)
def test_what_two_ranks_cannot_run_is_refused(keys, message):
    with pytest.raises(InputError, match=message):
        selecting("2:4x4:8", *keys)


@pytest.mark.parametrize("pattern", ["8:32", "2:4", "2:4x4:4"])
def test_masks_that_are_none_of_the_machine_are_refused(pattern):
    policy = Policy(Method(parse_pattern(pattern)), ())
    with pytest.raises(InputError, match="does not run on a machine of pattern '2:4x4:8'"):
        simulate(selecting(), trace_of([(64, 64)], lengths=(8,)), policy=policy)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_both_engines_agree_on_selected_activations(phase):
    trace = trace_of([(130, 24), (33, 18)], lengths=(5, 3))
    fast, slow = (
        simulate(selecting(), trace, engine=engine, phase=phase)
        for engine in ("recurrence", "simpy")
    )
    assert fast.cycles == slow.cycles
    assert fast.units == slow.units

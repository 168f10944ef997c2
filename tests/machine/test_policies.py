"""Modes of a machine: dense layers, sparser patterns, other methods, low rank; and policies."""

from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.run.area import AreaReport
from accelsim.run.simulation import equip, simulate_all
from accelsim.run.verify import verify
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from tests.helpers.chains import trace_of_kinds
from tests.helpers.random_machines import PATTERNS
from tests.helpers.random_methods import METHODS
from tests.helpers.small import ARCHITECTURES, SHIPPED_TRACE, load, machine_for, trace_of

PHASES = [("prefill", None), ("decode", 1), ("decode", 4)]
by_phase = pytest.mark.parametrize(("phase", "batch"), PHASES)


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


def policy(default, **rules):
    """Return a policy; names of layers end in the keywords (`linear` is all of a small trace)."""
    named = tuple((f"*{name}*", method(*texts)) for name, texts in rules.items())
    return Policy(method(*default), named, "policy.yaml")


DENSE = Policy(method("dense"))


# Dense layers on a sparse machine --------------------------------------------------------------


@pytest.mark.parametrize("patterns", [("8:16", "dense"), ("dense", "8:16")])
def test_weights_load_ahead_between_layers_of_unlike_patterns(patterns):
    """A dense layer passes the compressed buffer by; those of X and W are the same."""
    trace = trace_of_kinds(["fc", "proj"], [(64, 64), (64, 64)], lengths=(4,))
    rules = policy(("8:16",), fc=patterns[:1], proj=patterns[1:])
    chained = simulate(load("nm816"), trace, policy=rules, layers="chained")
    assert chained.cycles < chained.isolated_cycles - 50  # most of 64 cycles of W


@by_phase
@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n != "dense"])
def test_dense_layers_take_what_the_dense_machine_takes(name, phase, batch, small_trace):
    sparse, options = load(name), {"phase": phase, "batch": batch, "layers": "isolated"}
    ours = simulate(sparse, small_trace, policy=DENSE, **options)
    theirs = simulate(sparse.dense(), small_trace, **options)
    for layer, dense in zip(ours.layers, theirs.layers, strict=True):
        assert layer.macs_executed == layer.macs_dense == dense.macs_executed
        assert layer.breakdown.ideal_cycles == dense.breakdown.ideal_cycles
        assert layer.breakdown.edge_cycles == dense.breakdown.edge_cycles
        assert layer.units["mac_array"].ledger.busy_cycles == (
            dense.units["mac_array"].ledger.busy_cycles
        )
        for unit in ("dram", "activation_buffer", "weight_buffer", "mac_array", "output_buffer"):
            assert layer.units[unit].actions == dense.units[unit].actions
            assert layer.units[unit].action_pj == dense.units[unit].action_pj
    # All that a dense layer waits for besides is the pipeline of the crossbar.
    steps = len(ours.layers) * (21 // (batch or 21))
    assert 0 <= ours.cycles - theirs.cycles <= steps * sparse.crossbar.pipeline_stages * 8


def test_what_a_dense_layer_passes_by_is_idle_and_leaks(small_trace):
    arch = load("nm816")
    result = simulate(arch, small_trace, policy=DENSE)
    for name in ("selector", "compressed_buffer"):
        unit = result.units[name]
        assert unit.ledger.idle_cycles == result.cycles
        assert not any(unit.actions.values())
        assert unit.energy_pj == unit.leakage_pj > 0
    assert result.area_um2 == simulate(arch, small_trace).area_um2
    crossbar = result.units["crossbar"]
    weights = sum(layer.macs_dense for layer in result.layers)
    assert crossbar.actions == {"route": weights, "decode": 0}
    sparse = simulate(arch, small_trace).units["crossbar"]
    assert crossbar.action_pj["route"] / weights == pytest.approx(
        sparse.action_pj["route"] / sparse.actions["route"]
    )


# Other patterns --------------------------------------------------------------------------------


@by_phase
def test_a_pattern_within_the_machines_takes_its_time_but_less_of_it_is_work(
    phase, batch, small_trace
):
    arch, options = load("nm816"), {"phase": phase, "batch": batch}
    own = simulate(arch, small_trace, **options)
    sparser = simulate(arch, small_trace, policy=Policy(method("1:4")), **options)
    for layer, like, linear in zip(sparser.layers, own.layers, small_trace.linears, strict=True):
        kept = parse_pattern("1:4").kept_count(linear.in_features)
        assert layer.macs_executed == layer.tokens * kept * linear.out_features
        assert layer.dropped_squared_magnitude_ratio >= like.dropped_squared_magnitude_ratio
        assert layer.units["mac_array"].actions["mac"] < like.units["mac_array"].actions["mac"]
        for unit in ("selector", "compressed_buffer", "crossbar"):
            assert layer.units[unit].actions == like.units[unit].actions
        if phase == "prefill":
            assert layer.cycles == like.cycles
    if phase == "decode":
        ours, theirs = (r.units["dram"].actions["read_bytes"] for r in (sparser, own))
        assert ours < theirs  # rows of W that no token keeps are not fetched


def test_decode_fetches_by_the_layers_pattern_as_its_own_machine_does():
    """2:4 keeps half of each four, 8:16 another half of each sixteen: bursts of a row each."""
    trace = trace_of([(256, 64)], lengths=(5,))
    options = {"phase": "decode", "batch": 1}
    on_816 = simulate(load("nm816"), trace, policy=Policy(method("2:4")), **options)
    on_24 = simulate(machine_for("2:4"), trace, **options)
    found, expected = (r.units["dram"].actions for r in (on_816, on_24))
    assert found == expected
    mac = [r.units["mac_array"].actions["mac"] for r in (on_816, on_24)]
    assert mac[0] == mac[1]


@pytest.mark.parametrize(("name", "pattern"), [("nm48", "pairs-2:4"), ("nm24", "2:4x4:8")])
def test_stricter_masks_of_blocks_take_the_machines_time_and_compute_what_they_keep(
    name, pattern, small_trace
):
    arch, rules = load(name), Policy(method(pattern))
    own, stricter = simulate(arch, small_trace), simulate(arch, small_trace, policy=rules)
    assert stricter.cycles == own.cycles
    assert all(check.is_exact for check in verify(arch, small_trace, rules))
    for layer, linear in zip(stricter.layers, small_trace.linears, strict=True):
        kept = parse_pattern(pattern).kept_count(linear.in_features)
        assert layer.macs_executed == layer.tokens * kept * linear.out_features


# Policies --------------------------------------------------------------------------------------


@by_phase
def test_everything_but_up_and_o_is_the_sum_of_its_layers(phase, batch):
    trace, arch = load_trace(SHIPPED_TRACE), load("nm816")
    options = {"phase": phase, "batch": batch, "layers": "isolated"}
    rules = Policy(
        method("8:16"), (("*.up_proj", method("dense")), ("*.o_proj", method("dense"))), "p"
    )
    mixed = simulate(arch, trace, policy=rules, **options)
    sparse = simulate(arch, trace, **options)
    dense = simulate(arch, trace, policy=DENSE, **options)
    for layer, *pair in zip(mixed.layers, sparse.layers, dense.layers, strict=True):
        is_dense = any(fnmatchcase(layer.name, glob) for glob in ("*.up_proj", "*.o_proj"))
        assert layer == pair[is_dense]
    assert {str(layer.method) for layer in mixed.layers} == {"8:16", "dense"}
    assert mixed.cycles == sum(layer.cycles for layer in mixed.layers)
    for name, unit in mixed.units.items():
        assert unit.ledger.total_cycles == mixed.cycles, name


def test_layers_that_share_an_input_may_have_different_methods():
    trace = load_trace(SHIPPED_TRACE)
    rules = policy(("8:16",), q_proj=("dense",), k_proj=("2:4", "clact"))
    both = simulate_all([load("nm816")] * 2, trace, policies=[rules, None], layers="isolated")
    kinds = {layer.kind: str(layer.method) for layer in both[0].layers}
    assert (kinds["q_proj"], kinds["k_proj"], kinds["v_proj"]) == ("dense", "2:4 clact", "8:16")
    plain = [layer.cycles for layer in both[1].layers if layer.kind == "v_proj"]
    assert [layer.cycles for layer in both[0].layers if layer.kind == "v_proj"] == plain
    assert both[1].to_dict()["policy"] is None


def test_a_machine_gets_the_units_of_all_its_layers_and_each_layer_uses_its_own(small_trace):
    rules = policy(("8:16",), **{"0.": ("8:16", "act", "var"), "1.": ("8:16", "act", "dpts")})
    result = simulate(load("nm816"), small_trace, policy=rules)
    assert result.arch["epilogue"]["kinds"] == ["scale", "add"]
    assert result.arch["statistics"]["kinds"] == ["median"]
    first, second, *others = result.layers
    assert first.units["moments"].actions["moments"] > 0
    assert first.units["epilogue"].actions["add"] == 0
    assert first.units["statistics"].ledger.idle_cycles == first.cycles
    assert first.units["prologue_dma"].ledger.idle_cycles == first.cycles
    assert second.units["moments"].ledger.idle_cycles == second.cycles
    assert second.units["epilogue"].actions["add"] > 0
    plain = simulate(load("nm816"), small_trace).layers[2:]
    assert [layer.cycles for layer in others] == [layer.cycles for layer in plain]
    for name, unit in result.units.items():
        assert unit.ledger.total_cycles == result.cycles, name


def test_the_area_grows_with_what_is_asked_for(small_trace):
    arch, areas = load("nm816"), []
    for extras in ([], ["var"], ["var", "spts"], ["var", "spts", "dpts"]):
        rules = {f"{i}.": ("8:16", "act", name) for i, name in enumerate(extras)}
        machine = equip(arch, small_trace, policy(("8:16",), **rules))
        areas.append(AreaReport.of(machine).total_um2)
    assert areas == sorted(areas)
    assert len(set(areas)) == len(areas)
    assert areas[0] == AreaReport.of(arch).total_um2


def test_a_selector_is_fitted_again_to_wider_keys(small_trace):
    fast = {"selector.kind": "rank", "clock_mhz": 2000}
    rules = policy(("8:16", "amber"))
    equipped = equip(load("nm816", fast), small_trace, rules)
    assert equipped.selector == load("nm816", fast | {"criterion": "amber"}).selector
    by_hand = load("nm816", fast | {"selector.extra_stages": 9})
    assert equip(by_hand, small_trace, rules).selector == by_hand.selector


def test_the_result_says_what_was_done(small_trace):
    rules = policy(("8:16",), **{"0.": ("2:4", "clact", "var")})
    data = simulate(load("nm816"), small_trace, policy=rules).to_dict()
    assert data["policy"] == rules.to_dict()
    said = [(x["pattern"], x["criterion"], x["mitigation"]) for x in data["layers"][:2]]
    assert said == [("2:4", "clact", "var"), ("8:16", "act", "none")]


@pytest.mark.parametrize(
    ("name", "rules", "message"),
    [
        (
            "nm816",
            policy(("8:16",), **{"1.": ("16:32",)}),
            r"nm816, layer 'layers.1.linear': pattern '16:32' does not run on a machine of "
            r"pattern '8:16'; allowed: dense, 8:16, and N:M whose groups fit",
        ),
        (
            "nm816",
            policy(("8:16",), **{"1.": ("topk:0.5",)}),
            r"layer 'layers.1.linear': pattern 'topk:0.5' does not run",
        ),
        (
            "dense",
            policy(("8:16",)),
            r"layer 'layers.0.linear': pattern '8:16' does not run .* allowed: dense$",
        ),
        (
            "nm816",
            policy(("8:16", "wt")),
            r"layer 'layers.0.linear': criterion 'wt' prunes .* allowed: act, amber, clact$",
        ),
        (
            "nm816",
            policy(("8:16", "clact", "dpts")),
            r"criterion 'clact' and mitigation 'dpts' each need a pass",
        ),
        ("nm816", policy(("8:16",), up=("dense",)), r"policy.yaml: no layer matches '\*up\*'"),
    ],
)
def test_what_a_machine_cannot_do_is_refused_before_anything_runs(
    name, rules, message, small_trace
):
    started = []
    with pytest.raises(InputError, match=message):
        simulate(load(name), small_trace, policy=rules, on_layer=started.append)
    assert not started


def test_lanes_are_those_of_the_equipped_machine_unless_given(small_trace):
    # 16-bit keys take a radix selector 17 cycles a group of 16, four at a time; 8-bit keys 9.
    radix = {"selector.kind": "radix", "clock_mhz": 100, "mitigation": "var"}
    rules = Policy(method("8:16", "amber", "var"))
    plain = load("nm816", radix)
    assert plain.moments.lanes == -(-64 // 9)
    for fields in ({}, {"moments.kinds": "[moments]"}):
        equipped = equip(load("nm816", radix | fields), small_trace, rules)
        assert equipped.pre_scaler.lanes == equipped.moments.lanes == -(-64 // 17)
    given = equip(load("nm816", radix | {"moments.lanes": 8}), small_trace, rules)
    assert (given.pre_scaler.lanes, given.moments.lanes) == (4, 8)


def test_tables_are_as_large_as_the_largest_layer_that_uses_them():
    """Sums of 4 bytes for K = 300 and 1,000; factors of a byte; 32-bit entries for O = 600."""
    trace = trace_of([(300, 40), (1000, 600), (5000, 40)])
    rules = Policy(method("8:16", "clact", "spts"), (("*.2.linear", method("8:16")),))
    machine = equip(load("nm816"), trace, rules)
    sizes = {key: unit.table_kib for key, unit in machine.method_units.items()}
    assert sizes == {"statistics": 4, "pre_shifter": 1, "pre_scaler": 1, "epilogue": 3}
    assert equip(machine, trace, rules) == machine
    own = equip(load("nm816", {"criterion": "clact", "mitigation": "spts"}), trace, None)
    assert own.statistics.table_kib == -(-5000 * 4 // 1024)
    result = simulate(load("nm816"), trace, policy=rules)
    assert result.arch["statistics"]["table_kib"] == 4
    assert result.area_um2 == AreaReport.of(machine).total_um2 < AreaReport.of(own).total_um2


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_layers_of_a_large_model_need_no_key(phase):
    trace = trace_of([(20000, 8)], lengths=(2,))
    arch = load("nm816", {"criterion": "clact", "mitigation": "spts"})
    assert simulate(arch, trace, phase=phase).arch["statistics"]["table_kib"] == 79


def test_a_table_that_does_not_fit_names_the_layer(small_trace):
    arch = load("nm816", {"criterion": "clact", "statistics.table_kib": 0.5, "statistics.lanes": 4})
    with pytest.raises(InputError, match=r"nm816, layer 'layers.3.linear': its table of 1024 "):
        simulate(arch, small_trace)


# Low rank --------------------------------------------------------------------------------------


@by_phase
@pytest.mark.parametrize(
    ("pattern", "dropped_mode"), [("8:16", "8:16"), ("2:4", "8:16"), ("1:4", "dense")]
)
def test_a_low_rank_mitigation_adds_two_products(pattern, dropped_mode, phase, batch):
    """8:16 drops 8 of 16, which 8:16 hardware takes; 1:4 drops 12 of 16, which it does not."""
    tokens, width, out, rank = 8, 128, 48, 16
    trace = trace_of([(width, out)], lengths=(tokens,))
    arch, options = load("nm816"), {"phase": phase, "batch": batch}
    with_rank = Policy(method(pattern, "act", f"rsparse{rank}"))
    (layer,) = simulate(arch, trace, policy=with_rank, **options).layers
    (alone,) = simulate(arch, trace, policy=Policy(method(pattern)), **options).layers
    kept = parse_pattern(pattern).kept_count(width)
    assert layer.macs_dense == alone.macs_dense
    # Dense, what is kept cannot be told from what is dropped: all of X goes through.
    entering = width if dropped_mode == "dense" else width - kept
    extra = tokens * (entering * rank + rank * out)
    assert layer.macs_executed == alone.macs_executed + extra
    # Nonzero: what enters and is alive, times r, and all of T × r, times O.
    alive = np.count_nonzero(trace.source.read("layers.0.x"))
    found = layer.units["mac_array"].actions["mac"]
    kept_alive = alone.units["mac_array"].actions["mac"] // out
    entering_alive = alive if dropped_mode == "dense" else alive - kept_alive
    assert found == kept_alive * out + entering_alive * rank + tokens * rank * out
    # Timing: a T × K × r and a T × r × O layer by themselves.
    first, second = (
        simulate(
            arch, trace_of([shape], lengths=(tokens,)), policy=Policy(method(mode)), **options
        ).layers[0]
        for shape, mode in (((width, rank), dropped_mode), ((rank, out), "dense"))
    )
    # The layer's own product is added to the others': T × O outputs in whole bursts of 64 bytes.
    steps, rows = (1, tokens) if batch is None else (tokens // batch, batch)
    again = steps * -(-rows * out // 64) * 64
    if phase == "prefill" or dropped_mode == "dense":  # in decode other rows of W are fetched
        summed = alone.dram_bytes + first.dram_bytes + second.dram_bytes
        assert layer.dram_bytes == summed + again
    if phase == "prefill":
        assert 0 <= layer.cycles - alone.cycles - first.cycles - second.cycles <= again // 64
    assert layer.breakdown.total_cycles == layer.cycles
    for unit in layer.units.values():
        assert unit.ledger.total_cycles == layer.cycles
    assert layer.energy_pj > alone.energy_pj


def test_dropped_rows_are_fetched_in_decode():
    """A token alone: of rows of a burst each, what is kept plus what is dropped is everything."""
    trace = trace_of([(64, 64)], lengths=(1,))
    rules = Policy(method("8:16", "act", "rsparse64"))
    seen = []
    arch = load("nm816", {"dram.burst_bytes": 64})
    simulate(arch, trace, policy=rules, phase="decode", observer=lambda *e: seen.append(e[1]))
    dropped, outer, own = (int(work.weight_bytes.sum()) for work in seen)
    assert own == dropped == 32 * 64
    assert outer == 64 * 64


def test_outputs_of_a_low_rank_product_are_read_again_and_added_to():
    """8 × 48 outputs of a byte in tiles of 4 × 64 × 16: 6 tiles, two parts of K each."""
    arch = load("nm816", {"tiling": "{tokens: 4, columns: 16, reduction: 64}"})
    trace, seen = trace_of([(128, 48)]), []
    options = {"observer": lambda *event: seen.append(event[1])}
    simulate(arch, trace, policy=Policy(method("8:16", "act", "rsparse16")), **options)
    simulate(arch, trace, **options)
    _, _, own, alone = seen
    assert own.added.tolist() == [64, 0] * 6
    assert not alone.added.any()

    def more(unit):
        with_it, without = unit.actions(own), unit.actions(alone)
        return {name: with_it[name] - without[name] for name in with_it}

    assert more(arch.dram) == {"read_bytes": 8 * 48, "write_bytes": 0}
    assert more(arch.buffers.outputs) == {"read_bytes": 8 * 48, "write_bytes": 8 * 48}
    assert more(arch.mac_array) == {"mac": 0, "mac_idle": 0, "accumulate": 8 * 48}


@by_phase
@pytest.mark.parametrize(("shape", "rank"), [((96, 20), 20), ((24, 80), 24)])
def test_a_rank_is_at_most_that_of_the_weights(shape, rank, phase, batch):
    trace, options = trace_of([shape]), {"phase": phase, "batch": batch}
    large, full = (
        simulate(
            load("nm816"), trace, policy=Policy(method("8:16", "act", f"rsparse{r}")), **options
        )
        for r in (9999, rank)
    )
    assert large.totals() == full.totals()


# Verified --------------------------------------------------------------------------------------

RUNNABLE = {
    machine: [
        pattern
        for pattern in (*PATTERNS, "pairs-2:4", "2:4x4:8")
        if parse_pattern(pattern).runs_on(parse_pattern(machine))
    ]
    for machine in ("2:4", "8:16", "16:32")
}


@given(
    machine=st.sampled_from(sorted(RUNNABLE)),
    crossbar=st.sampled_from(["full", "window", "logshift", "hierarchical"]),
    format_=st.sampled_from(["bitmask", "index"]),
    chosen=st.sampled_from(METHODS),
    data=st.data(),
)
@settings(max_examples=30)
def test_every_mode_computes_what_it_should(machine, crossbar, format_, chosen, data):
    pattern = data.draw(st.sampled_from(RUNNABLE[machine]))
    arch = machine_for(machine, {"crossbar.kind": crossbar, "format": format_})
    trace = trace_of([(64, 12), (37, 9)], lengths=(4, 3), seed=data.draw(st.integers(0, 99)))
    rules = Policy(method(pattern, *chosen))
    machine = equip(arch, trace, rules)
    checks = list(verify(machine, trace, rules))
    assert [check.is_exact for check in checks] == [True, True]

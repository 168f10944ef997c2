"""One class is enough: a pattern, selector, crossbar, format or technology needs no other edit."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import yaml
from typing_extensions import override

import accelsim as acs
from accelsim.hardware import BLOCKS, CROSSBARS, SELECTORS, Crossbar, Selector
from accelsim.run.area import AreaReport
from accelsim.run.verify import verify
from accelsim.sparsity import FORMATS, PATTERNS, Format, Pattern
from accelsim.sparsity.formats.base import positions_of
from accelsim.tech.blocks import Block
from accelsim.tech.dram import DramCost
from accelsim.tech.source import SOURCES, BlockCost, CostSource
from accelsim.tech.sram import sram_cost
from accelsim.tech.technology import Technology
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter

NM816 = (Path(__file__).parents[2] / "arch_configs" / "nm816.yaml").read_text(encoding="utf-8")
TOKENS, IN, OUT = 12, 80, 24


@pytest.fixture
def register():
    """Register a class for one test."""
    added = []

    def add(registry, name, cls):
        registry.register(name)(cls)
        added.append((registry, name))

    yield add
    for registry, name in added:
        del registry._known[name]  # a registry has no public way to forget: only tests need one


@pytest.fixture
def trace(tmp_path):
    x = np.random.default_rng(0).standard_normal((TOKENS, IN)).astype(np.float16)
    with TraceWriter(tmp_path / "t.npz") as writer:
        writer.add("x", x)
        writer.finish(
            TraceMeta(
                model="tiny",
                sequence_lengths=(TOKENS,),
                linears=(Linear(name="q", input="x", in_features=IN, out_features=OUT),),
                inputs={"x": InputInfo(dtype="float16")},
            )
        )
    return acs.load_trace(tmp_path / "t.npz")


@pytest.fixture
def load(tmp_path):
    """Load nm816 with a text replaced by another."""

    def _load(old, new, *overrides):
        assert old in NM816
        path = tmp_path / "a.yaml"
        path.write_text(NM816.replace(old, new), encoding="utf-8")
        return acs.load_arch(path, overrides)

    return _load


@dataclass(frozen=True)
class Ends(Pattern):
    """The first and the last value of every four."""

    group_size: int = 4
    kept_per_group: int = 2

    @classmethod
    def parse(cls, text):
        return cls() if text == "ends-of-4" else None

    def keep(self, values):
        return np.broadcast_to(np.arange(values.shape[-1]) % 4 % 3 == 0, values.shape).copy()

    def __str__(self):
        return "ends-of-4"


class Slow(Selector):
    """Three cycles a group, built as a rank selector is."""

    kind: Literal["slow"]

    @override
    def cycles_per_group(self, path):
        return 3

    @override
    def depth(self, path):
        return 1

    @override
    def block_name(self):
        return "select_rank"


class Wide(Crossbar):
    """Twice the legs of a full one: a block of its own, which a table must price."""

    decodes: ClassVar[str] = "index"

    kind: Literal["wide"]


def wide_parts(shape):
    counts = BLOCKS["crossbar_full"].parts(shape)
    return {**counts, "leg_bits": 2 * counts["leg_bits"]}


class Inverted(Format):
    """A bit for each dropped position, and a parity bit."""

    @staticmethod
    @override
    def bits_per_group(n, m):
        return m + 1

    @staticmethod
    def encode(mask):
        return np.concatenate([~mask, mask.sum(axis=1, keepdims=True) % 2 == 1], axis=1)

    @staticmethod
    @override
    def decode(bits, n, m):
        return positions_of(~bits[:, :m])


class Flat(CostSource):
    """100 µm² a block, 2 pJ an action, whatever the size; reads from DRAM at 1 pJ, writes at 3."""

    scope = "round numbers"
    block_scope = "the same"
    node_nm = 45
    nand2_um2 = 2.0
    register_um2 = 1.0
    register_pj = 0.5
    leakage_nw_per_um2 = 0.0

    def __init__(self, name):
        self.name = name

    @classmethod
    @override
    def read(cls, file):
        return cls(file.data["name"])

    @override
    def block(self, name, shape, *, period_ps=None):
        return BlockCost({"all": 100.0}, register_um2=0.0, register_bits=0, delay_ps=0.0)

    @override
    def energy_pj(self, name, action, area_um2):
        return 2.0

    @override
    def origin(self, name):
        return "nowhere"

    @override
    def dram(self, standard):
        return DramCost(read_pj_per_bit=1.0, write_pj_per_bit=3.0)


def test_a_new_pattern_runs_and_is_verified(register, load, trace):
    register(PATTERNS, "ends", Ends)
    arch = load('pattern: "8:16"', "pattern: ends-of-4")
    result = acs.simulate(arch, trace)
    assert result.arch["pattern"] == "ends-of-4"
    # 80 = 20 groups of which 2 are kept.
    assert result.totals()["macs_executed"] == TOKENS * 40 * OUT
    assert all(check.is_exact for check in verify(arch, trace))


def test_a_new_selector_sets_its_own_pace(register, load, trace):
    register(SELECTORS, "slow", Slow)
    arch = load("kind: rank, instances: 4", "kind: slow, instances: 2")
    result = acs.simulate(arch, trace)
    # 12 tokens × 5 groups over 2 instances, 3 cycles each.
    assert result.units["selector"].ledger.busy_cycles == 12 * 5 // 2 * 3
    assert result.units["selector"].actions == {"group": 60}
    resolved = arch.resolved()["selector"]
    assert (resolved["kind"], resolved["instances"]) == ("slow", 2)
    rank = load("kind: rank, instances: 4", "kind: rank, instances: 2")
    assert AreaReport.of(arch).area_um2 == AreaReport.of(rank).area_um2


def test_a_new_crossbar_is_sized_and_priced(register, load, trace, tmp_path, monkeypatch):
    full = acs.simulate(load("{kind: full}", "{kind: full}"), trace).units["crossbar"]
    register(CROSSBARS, "wide", Wide)
    monkeypatch.setitem(BLOCKS, "crossbar_wide", Block(wide_parts, BLOCKS["crossbar_full"].path))
    table = Technology.load("nangate45").table.model_dump(by_alias=True)
    table["blocks"]["crossbar_wide"] = table["blocks"]["crossbar_full"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
    arch = load("{kind: full}", "{kind: wide}", f"technology.table={tmp_path / 'mine.yaml'}")
    wide = acs.simulate(arch, trace).units["crossbar"]
    assert wide.area_um2 > full.area_um2
    assert wide.energy_pj > full.energy_pj
    assert wide.actions == full.actions


def test_a_new_crossbar_without_a_price_is_refused(register, load, monkeypatch):
    register(CROSSBARS, "wide", Wide)
    monkeypatch.setitem(BLOCKS, "crossbar_wide", Block(wide_parts, BLOCKS["crossbar_full"].path))
    with pytest.raises(acs.InputError, match=r"technology.table: .* no block 'crossbar_wide'"):
        load("{kind: full}", "{kind: wide}")


@pytest.fixture
def load_flat(register, load, tmp_path):
    """Load nm816 at the prices of `Flat`."""
    register(SOURCES, "flat", Flat)
    (tmp_path / "flat.yaml").write_text("kind: flat\nname: round\n", encoding="utf-8")
    table = tmp_path / "flat.yaml"
    return lambda *overrides: load("{table: nangate45}", f"{{table: {table}}}", *overrides)


def test_a_new_technology_prices_areas(load_flat):
    arch = load_flat()
    report = AreaReport.of(arch)
    # Core and compaction; behind them flip-flops for 8 values of 8 bits, 16 bits of mask, valid.
    assert report.area_um2["selector"] == 4 * (100 + 100 + 8 * 8 + 16 + 1)
    # 8 rows: one crossbar, 2 encoders, a stage of 16 × 8 bits for 8 columns and the activations.
    assert report.area_um2["crossbar"] == 8 * (100 + 2 * 100 + 16 * 8 * (8 + 1))
    assert report.area_um2["mac_array"] == 8 * 8 * 100
    assert report.gate_equivalents["mac_array"] == 6400 / 2
    assert report.scope == "round numbers"
    # It has no memories of its own: CACTI's at its node.
    macro = sram_cost(capacity_bytes=32 * 1024, width_bytes=32, banks=1, node_nm=45)
    assert report.area_um2["activation_buffer"] == 4 * macro.area_um2


def test_a_new_technology_prices_energy(load_flat, trace):
    units = acs.simulate(load_flat(), trace).units
    prices = {
        "selector": {"group": 2},
        "crossbar": {"route": 2 + 8 * 0.5, "decode": 2 + 2},  # one stage of 8 bits; an encoder
        "mac_array": {"mac": 2, "mac_idle": 2, "accumulate": 2},
        "dram": {"read_bytes": 8 * 1, "write_bytes": 8 * 3},
    }
    for name, price_pj in prices.items():
        counts = units[name].actions
        assert min(counts.values()) > 0
        assert units[name].action_pj == {kind: price_pj[kind] * n for kind, n in counts.items()}
        assert units[name].leakage_pj == 0


def test_what_a_new_technology_does_not_know_is_refused(load_flat):
    with pytest.raises(acs.InputError, match=r"technology.node_nm: .*'round' knows 45 nm only"):
        load_flat("technology.node_nm=16")
    tech = load_flat().load_technology()
    with pytest.raises(acs.InputError, match="'round' does not price wires"):
        tech.wire(8, 100.0)
    with pytest.raises(acs.InputError, match="'round' cannot pipeline dot_product"):
        AreaReport.of(load_flat("mac_array.stage_cycles=2"))


def test_a_new_format_is_stored_moved_and_verified(register, load, trace):
    register(FORMATS, "inverted", Inverted)
    arch = load("format: bitmask", "format: inverted")
    result = acs.simulate(arch, trace)
    # A row of 5 groups: 5 × (8 values × 8 bits + 17 bits) = 405 bits = 51 bytes.
    assert result.units["compressed_buffer"].actions["write_bytes"] == TOKENS * 51
    assert all(check.is_exact for check in verify(arch, trace))


def test_what_one_test_registers_is_gone_in_the_next():
    assert "ends" not in PATTERNS
    assert "slow" not in SELECTORS


def test_a_name_is_taken_once(register):
    register(FORMATS, "inverted", Inverted)
    with pytest.raises(ValueError, match="format 'inverted' is registered twice"):
        FORMATS.register("inverted")(Inverted)


@pytest.mark.parametrize(
    ("registry", "noun"),
    [(PATTERNS, "pattern"), (FORMATS, "format"), (SELECTORS, "selector.kind")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(registry, noun):
    with pytest.raises(acs.InputError, match=f"unknown {noun} 'zzz'; allowed: ") as caught:
        registry["zzz"]
    assert all(name in str(caught.value) for name in registry)

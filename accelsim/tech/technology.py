"""Technologies by synthesis: prices of the parts of blocks, each block fitted to its netlists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import YamlSource
from accelsim.tech.blocks import BLOCKS, Parts, Shape, block
from accelsim.tech.load import load_source
from accelsim.tech.scaling import area_ratio, energy_ratio
from accelsim.tech.schema import STRICT, Node, NonNegative, Number, Positive, parsed
from accelsim.tech.source import SOURCES, BlockCost, CostSource, Effort


class Fit(BaseModel):
    """Prices of the parts of a block as synthesised for area, or for delay."""

    model_config = STRICT

    area_um2: Mapping[str, NonNegative]
    delay_ps: Mapping[str, NonNegative]


class BlockPrices(BaseModel):
    """A block: both ways to synthesise it, and the energy of its actions.

    An action of energy class `x` costs `energy_pj_per_um2[x]` times the area that it switches.
    """

    model_config = STRICT

    area: Fit
    delay: Fit
    energy_pj_per_um2: Mapping[str, NonNegative] = Field(default_factory=dict)
    source: Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A technology file: `accelsim/tech/data/*.yaml`, or the user's own."""

    model_config = STRICT

    schema_: Literal[2] = Field(alias="schema")
    kind: Literal["synthesis"] = "synthesis"
    name: str
    node_nm: Node
    nand2_um2: Positive
    register_um2: Positive
    register_pj: Number
    leakage_nw_per_um2: Number
    blocks: Mapping[str, BlockPrices]


@SOURCES.register("synthesis")
class Technology(CostSource):
    """Prices of the parts of blocks, fitted to synthesis; memories and DRAM from elsewhere.

    Cells only: neither synthesis nor simulated toggles know the wires between them, so that `wire`
    is refused.

    >>> tech = Technology.load("nangate45", node_nm=45)
    >>> tech.register_um2, tech.gate_equivalents(7.98)
    (4.522, 10.0)
    """

    scope: ClassVar[str] = (
        "logic from synthesis of our RTL, no wires or clock tree; SRAM from CACTI"
    )
    block_scope: ClassVar[str] = "cell area and unwired delay; no clock tree, no placement"

    def __init__(self, table: Table, node_nm: float) -> None:
        self.table = table
        self.name = table.name
        self.node_nm = node_nm
        # An unknown node fails here, not in the middle of a run. At its own node a table is exact.
        is_native = node_nm == table.node_nm
        self._area = 1.0 if is_native else area_ratio(table.node_nm, node_nm)
        self._energy = 1.0 if is_native else energy_ratio(table.node_nm, node_nm)
        self.nand2_um2 = table.nand2_um2.value * self._area
        self.register_um2 = table.register_um2.value * self._area
        self.register_pj = table.register_pj.value * self._energy
        self.leakage_nw_per_um2 = table.leakage_nw_per_um2.value  # taken to be the same everywhere

    @classmethod
    def load(cls, name: str, *, node_nm: float | None = None) -> Self:
        """Return what `load_source` does, if it is a table of this kind."""
        source = load_source(name, node_nm=node_nm)
        if not isinstance(source, cls):
            raise InputError(f"technology '{source.name}' is no table of parts fitted to synthesis")
        return source

    @classmethod
    @override
    def read(cls, file: YamlSource) -> Self:
        table = parsed(Table, file)
        return cls(table, table.node_nm)

    @override
    def at_node(self, node_nm: float) -> Self:
        return type(self)(self.table, node_nm)

    @override
    def origin(self, name: str) -> str:
        return f"fit to {self._prices(name).source}"

    @override
    def block(self, name: str, shape: Shape, *, period_ps: float | None = None) -> BlockCost:
        # The small netlist, unless only the fast one is in time.
        small = self._synthesised(name, shape, "area")
        if period_ps is None or small.delay_ps <= period_ps:
            return small
        return self._synthesised(name, shape, "delay")

    @override
    def cut_block(self, name: str, shape: Shape, stages: int) -> BlockCost:
        # The small netlist, but for what is in a loop: that cannot be cut, and is of the fast one.
        small, fast = (self._synthesised(name, shape, effort) for effort in ("area", "delay"))
        cut = block(name).cut
        assert cut is not None
        loop = dict(cut(shape))
        register_bits = small.register_bits + (stages - 1) * int(loop.pop("register_bits"))
        prices = self._prices(name)
        for part, count in loop.items():
            fast_um2, small_um2 = (
                self._price(name, fit.area_um2, part) for fit in (prices.delay, prices.area)
            )
            loop[part] = count * (fast_um2 - small_um2) * self._area
        parts = {part: um2 + loop.get(part, 0.0) for part, um2 in small.parts_um2.items()}
        return BlockCost(
            parts_um2=parts,
            register_um2=register_bits * self.register_um2,
            register_bits=register_bits,
            delay_ps=max(small.delay_ps / stages, fast.delay_ps),
            effort="area",
        )

    @override
    def energy_pj(self, name: str, action: str, area_um2: float) -> float:
        densities = self._prices(name).energy_pj_per_um2
        if action not in densities:
            raise InputError(f"technology '{self.table.name}' has no energy '{action}' of {name}")
        return densities[action] * area_um2 / self._area * self._energy

    def _synthesised(self, name: str, shape: Shape, effort: Effort) -> BlockCost:
        fit: Fit = getattr(self._prices(name), effort)
        parts = dict(block(name).parts(shape))
        register_bits = int(parts.pop("register_bits", 0))
        return BlockCost(
            parts_um2={
                part: count * self._price(name, fit.area_um2, part) * self._area
                for part, count in parts.items()
                if count
            },
            register_um2=register_bits * self.register_um2,
            register_bits=register_bits,
            # First-order scaling: delay in proportion to the node (DEVIATIONS).
            delay_ps=self._sum(name, fit.delay_ps, block(name).path(shape))
            * self.node_nm
            / self.table.node_nm,
            effort=effort,
        )

    def _sum(self, name: str, prices: Mapping[str, float], parts: Parts) -> float:
        return sum(
            count * self._price(name, prices, part) for part, count in parts.items() if count
        )

    def _price(self, name: str, prices: Mapping[str, float], part: str) -> float:
        if part not in prices:
            raise InputError(f"technology '{self.table.name}' does not price '{part}' of {name}")
        return prices[part]

    def _prices(self, name: str) -> BlockPrices:
        known = self.table.blocks
        if name not in known and name in BLOCKS:
            name = BLOCKS[name].priced_like or name
        if name not in known:
            raise InputError(
                f"technology '{self.table.name}' has no block '{name}'{did_you_mean(name, known)}"
            )
        return known[name]

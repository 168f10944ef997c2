"""A technology: what blocks of logic, flip-flops and memories cost, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import ceil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import dotted, hint, read_yaml
from accelsim.tech.blocks import BLOCKS, Parts, Shape, block
from accelsim.tech.scaling import area_ratio, energy_ratio
from accelsim.tech.sram import NATIVE_NODES_NM, SramCost, sram_cost

_MOST = 1e15  # of any price: no result of it is beyond what a number can be
NonNegative = Annotated[float, Field(strict=True, ge=0, le=_MOST, allow_inf_nan=False)]
Effort = Literal["area", "delay"]
_STRICT = ConfigDict(frozen=True, extra="forbid")


class Number(BaseModel):
    """One number, and where it is written."""

    model_config = _STRICT

    value: NonNegative
    source: Annotated[str, Field(min_length=1)]


class DramStandard(Number):
    """Energy of a bit moved (`value`, in pJ), and the peak bandwidth of one part."""

    part: str
    peak_gb_per_s: Number


class Positive(Number):
    """One number that others are divided by."""

    value: Annotated[float, Field(strict=True, gt=0, le=_MOST, allow_inf_nan=False)]


class Fit(BaseModel):
    """Prices of the parts of a block as synthesised for area, or for delay."""

    model_config = _STRICT

    area_um2: Mapping[str, NonNegative]
    delay_ps: Mapping[str, NonNegative]


class BlockPrices(BaseModel):
    """A block: both ways to synthesise it, and the energy of its actions.

    An action of energy class `x` costs `energy_pj_per_um2[x]` times the area that it switches.
    """

    model_config = _STRICT

    area: Fit
    delay: Fit
    energy_pj_per_um2: Mapping[str, NonNegative] = Field(default_factory=dict)
    source: Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A technology file: `accelsim/tech/data/*.yaml`, or the user's own."""

    model_config = _STRICT

    schema_: Literal[2] = Field(alias="schema")
    name: str
    node_nm: Annotated[float, Field(strict=True, gt=0, le=1000, allow_inf_nan=False)]
    nand2_um2: Positive
    register_um2: Positive
    register_pj: Number
    leakage_nw_per_um2: Number
    blocks: Mapping[str, BlockPrices]


@dataclass(frozen=True, slots=True)
class BlockCost:
    """One instance of a block as it is synthesised for a clock.

    Attributes:
        logic_um2: combinational area; by part in `parts_um2`.
        register_bits: flip-flops.
        delay_ps: its slowest path between flip-flops or ports, without wires.
        effort: `area`, or `delay` where the small netlist would miss the clock.
    """

    parts_um2: Mapping[str, float]
    register_um2: float
    register_bits: int
    delay_ps: float
    effort: Effort

    @property
    def logic_um2(self) -> float:
        """Combinational area."""
        return sum(self.parts_um2.values())

    @property
    def area_um2(self) -> float:
        """Area, flip-flops included."""
        return self.logic_um2 + self.register_um2

    def cycles(self, period_ps: float) -> int:
        """Return the clock periods that the slowest path takes."""
        return clock_periods(self.delay_ps, period_ps)


def clock_periods(delay_ps: float, period_ps: float) -> int:
    """Return the clock periods that a path takes, at least one."""
    return max(1, ceil(delay_ps / period_ps))


class Technology:
    """A table of prices brought to one node.

    >>> tech = Technology.load("nangate45", node_nm=45)
    >>> tech.register_um2, tech.gate_equivalents(7.98)
    (4.522, 10.0)
    """

    def __init__(self, table: Table, node_nm: float) -> None:
        self.table = table
        self.node_nm = node_nm
        # An unknown node fails here, not in the middle of a run. At its own node a table is exact.
        is_native = node_nm == table.node_nm
        self._area = 1.0 if is_native else area_ratio(table.node_nm, node_nm)
        self._energy = 1.0 if is_native else energy_ratio(table.node_nm, node_nm)

    @classmethod
    def load(cls, name: str, *, node_nm: float | None = None) -> Technology:
        """Load a built-in table by name, or a file by path; raise InputError if neither exists.

        Args:
            name: table.
            node_nm: node to scale to; default: the table's own.
        """
        table = _read_table(name)
        return cls(table, table.node_nm if node_nm is None else node_nm)

    @property
    def leakage_nw_per_um2(self) -> float:
        """Static power of logic; taken constant per area over nodes."""
        return self.table.leakage_nw_per_um2.value

    @property
    def register_um2(self) -> float:
        """Area of one flip-flop."""
        return self.table.register_um2.value * self._area

    @property
    def register_pj(self) -> float:
        """Energy of one flip-flop in a cycle, clock pin included."""
        return self.table.register_pj.value * self._energy

    def gate_equivalents(self, area_um2: float) -> float:
        """Return an area in units of the smallest NAND2."""
        return area_um2 / (self.table.nand2_um2.value * self._area)

    def block(self, name: str, shape: Shape, *, period_ps: float | None = None) -> BlockCost:
        """Return the cost of a block: of the small netlist, unless only the fast one is in time.

        Args:
            name: of `BLOCKS`.
            shape: its parameters.
            period_ps: of the clock; default: no clock, the small netlist.

        Raises:
            InputError: the table does not price this block, or a part of it.
        """
        small = self._synthesised(name, shape, "area")
        if period_ps is None or small.delay_ps <= period_ps:
            return small
        return self._synthesised(name, shape, "delay")

    def cut_block(self, name: str, shape: Shape, stages: int) -> BlockCost:
        """Return the cost of the small netlist with each of its paths cut in `stages`.

        What is in a loop cannot be cut, and is of the fast netlist.

        Args:
            name: of `BLOCKS`, a block that has a `cut`.
            shape: its parameters.
            stages: cycles of what took one.
        """
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

    def energy_pj(self, name: str, action: str, area_um2: float) -> float:
        """Return the energy of an action of a block that switches `area_um2` of this node."""
        densities = self._prices(name).energy_pj_per_um2
        if action not in densities:
            raise InputError(f"technology '{self.table.name}' has no energy '{action}' of {name}")
        return densities[action] * area_um2 / self._area * self._energy

    def sram(self, *, capacity_bytes: int, width_bytes: int, banks: int) -> SramCost:
        """Return the cost of a memory; below the finest node of the table, scaled from there."""
        native = max(self.node_nm, min(NATIVE_NODES_NM))
        native = min(native, max(NATIVE_NODES_NM))
        cost = sram_cost(
            capacity_bytes=capacity_bytes, width_bytes=width_bytes, banks=banks, node_nm=native
        )
        energy, area = energy_ratio(native, self.node_nm), area_ratio(native, self.node_nm)
        return SramCost(
            read_pj=cost.read_pj * energy,
            write_pj=cost.write_pj * energy,
            # Leakage follows area, as for logic: the source gives no scaling for it.
            leakage_mw=cost.leakage_mw * area,
            area_um2=cost.area_um2 * area,
            cycle_time_ns=cost.cycle_time_ns,
        )

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


def dram_pj_per_bit(standard: str) -> float:
    """Return the energy of moving one bit to or from DRAM; raise InputError if not known."""
    known = _dram_table()
    if standard not in known:
        raise InputError(
            f"unknown standard '{shown(standard)}'{did_you_mean(standard, known)}; "
            f"allowed: {', '.join(known)}"
        )
    return known[standard].value


def dram_standards() -> Mapping[str, DramStandard]:
    """Return the DRAM standards whose energy is known, by name."""
    return _dram_table()


def built_in() -> list[str]:
    """Return the names of the tables that come with accelsim."""
    return sorted(f.name.removesuffix(".yaml") for f in _folder().iterdir() if _is_table(f.name))


def _is_table(file: str) -> bool:
    return file.endswith(".yaml") and file != "dram.yaml"


def _folder() -> Path:
    return Path(str(resources.files("accelsim.tech") / "data"))


@cache
def _dram_table() -> dict[str, DramStandard]:
    source = read_yaml(_folder() / "dram.yaml")
    assert isinstance(source.data, dict)
    return {name: DramStandard.model_validate(raw) for name, raw in source.data.items()}


def _read_table(name: str) -> Table:
    """Return a built-in table, parsed once, or the user's file of this path."""
    known = built_in()
    if name not in known and not _is_file(name):
        near = did_you_mean(name, known)
        raise InputError(f"no file '{shown(name, 200)}'{near}; built in: {', '.join(known)}")
    return _built_in_table(name) if name in known else _parse_table(Path(name))


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a name, or with characters that no name has
        return False


@cache
def _built_in_table(name: str) -> Table:
    return _parse_table(_folder() / f"{name}.yaml")


def _parse_table(path: Path) -> Table:
    """Parse a technology file strictly."""
    source = read_yaml(path)
    try:
        return Table.model_validate(source.data)
    except ValidationError as error:
        problem = error.errors()[0]
        key = tuple(map(str, problem["loc"]))
        given = hint(problem["type"], problem["input"])
        if problem["type"] not in ("missing", "extra_forbidden"):
            given = f", got {shown(repr(problem['input']))}{given}"
        where = source.where(key)
        raise InputError(f"{where}: {dotted(key)}: {problem['msg']}{given}") from error

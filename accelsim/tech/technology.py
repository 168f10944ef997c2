"""A technology: what actions, gates and memories cost, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError
from accelsim.registry import did_you_mean
from accelsim.tech.scaling import area_ratio, energy_ratio
from accelsim.tech.sram import NATIVE_NODES_NM, SramCost, sram_cost
from accelsim.yaml_source import read_yaml

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Number(BaseModel):
    """One published number: `value` at `node_nm`, and where it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: NonNegative
    source: Annotated[str, Field(min_length=1)]
    node_nm: float | None = None


class Table(BaseModel):
    """A technology file: `accelsim/tech/data/*.yaml`, or the user's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(alias="schema")
    name: str
    numbers: Mapping[str, Number]
    dram_pj_per_bit: Mapping[str, Number]


class Technology:
    """A table of numbers brought to one node.

    >>> tech = Technology.load("literature45", node_nm=45)
    >>> tech.energy_pj("int8_mac_pj"), tech.area_um2("mux2_um2")
    (0.561, 1.862)
    """

    def __init__(self, table: Table, node_nm: float) -> None:
        self.table = table
        self.node_nm = node_nm
        self.area_um2("nand2_um2")  # an unknown node fails here, not in the middle of a run

    @classmethod
    def load(cls, name: str, *, node_nm: float) -> Technology:
        """Load a built-in table by name, or a file by path; raise InputError if neither exists."""
        return cls(_read_table(name), node_nm)

    @cached_property
    def leakage_nw_per_um2(self) -> float:
        """Static power of logic; taken constant per area over nodes."""
        return self._number("leakage_nw_per_um2").value

    def energy_pj(self, name: str) -> float:
        """Return an energy at this node."""
        number = self._number(name)
        return number.value * energy_ratio(number.node_nm or self.node_nm, self.node_nm)

    def area_um2(self, name: str) -> float:
        """Return an area at this node."""
        number = self._number(name)
        return number.value * area_ratio(number.node_nm or self.node_nm, self.node_nm)

    def gate_equivalents(self, area_um2: float) -> float:
        """Return an area in units of the smallest NAND2."""
        return area_um2 / self.area_um2("nand2_um2")

    def dram_pj_per_bit(self, standard: str) -> float:
        """Return the energy of moving one bit to or from DRAM."""
        known = self.table.dram_pj_per_bit
        if standard not in known:
            raise InputError(
                f"unknown standard '{standard}'{did_you_mean(standard, known)}; "
                f"allowed: {', '.join(known)}"
            )
        return known[standard].value

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

    def _number(self, name: str) -> Number:
        if name not in self.table.numbers:
            raise InputError(
                f"technology '{self.table.name}' has no number '{name}'"
                f"{did_you_mean(name, self.table.numbers)}"
            )
        return self.table.numbers[name]


def _read_table(name: str) -> Table:
    """Parse a technology file strictly."""
    folder = resources.files("accelsim.tech") / "data"
    built_in = folder / f"{name}.yaml"
    if not (built_in.is_file() or Path(name).exists()):
        names = [f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")]
        raise InputError(f"no file '{name}'; built in: {', '.join(sorted(names))}")
    source = read_yaml(Path(str(built_in)) if built_in.is_file() else Path(name))
    try:
        return Table.model_validate(source.data)
    except ValidationError as error:
        first = error.errors()[0]
        key = tuple(map(str, first["loc"]))
        raise InputError(f"{source.where(key)}: {'.'.join(key)}: {first['msg']}") from error

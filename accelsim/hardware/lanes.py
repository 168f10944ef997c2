"""What the units of pruning methods have in common: equal lanes, and some with a table beside them.

They are there if some layer of a run asks for them (`accelsim.sparsity.demands`). None was
synthesised: a lane is composed of multipliers, adders and registers at the prices that the parts of
a dot product have in the technology. Square roots and divisions, one a token or a channel, are not
modelled.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator
from typing_extensions import override

from accelsim.base.errors import InputError, shown
from accelsim.base.models import remade
from accelsim.hardware.dot_product import lane_pj_per_um2
from accelsim.hardware.logic import block_cost
from accelsim.hardware.unit import Unit
from accelsim.mapping import Datapath, Gemm, Ints, Work, bytes_of, ceil_div
from accelsim.sparsity.demands import Demands
from accelsim.tech.source import CostSource
from accelsim.tech.sram import SramCost

_MACRO_BYTES = 32  # of an access of one of the memories side by side, as in the shipped machines
UNSIZED_KIB = 32  # of a table before a trace is known


class LaneUnit(Unit):
    """`lanes` equal lanes, each of which takes one value a cycle.

    Timing:
        busy    = ceil(values of the job / lanes), 0 for a layer that does not ask for the unit
        latency = 1

    Actions:
        One value through a lane, by the kind of use.

    Not modelled:
        Pipelining to the clock; square roots and divisions. Area and energy are estimates: the sum
        of multipliers, adders, registers and memory, none synthesised as a whole.
    """

    key: ClassVar[str]  # in YAML
    lane_blocks: ClassVar[Mapping[str, str]]  # kind of use, an action → block of a lane

    lanes: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=2**20),
            Field(description="Values a cycle; default: as many as keep up"),
        ]
        | None
    ) = None  # None: to keep up
    kinds: Annotated[
        tuple[str, ...], Field(description="What it can do; default: those asked for, or all")
    ] = ()  # that it can do; none: those that are asked for

    @field_validator("kinds")
    @classmethod
    def _kinds_are_known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in cls.lane_blocks:
                raise InputError(
                    f"unknown kind '{shown(kind)}'; allowed: {', '.join(cls.lane_blocks)}"
                )
        return kinds

    @classmethod
    def asked(cls, demands: Demands) -> tuple[str, ...]:
        """Return the kinds of use that a method asks for; none: the unit idles."""
        return demands.kinds.get(cls.key, ())

    @property
    def served(self) -> tuple[str, ...]:
        """The kinds of use that the unit is built for."""
        return self.kinds or tuple(self.lane_blocks)

    @abstractmethod
    def values(self, work: Work) -> Ints:
        """Return the values that each job sends through the lanes in use, `[jobs]`."""

    @property
    def has_table(self) -> bool:
        """Whether there is a memory beside the lanes, for what a prologue loads or finds out."""
        return False

    def check(self, path: Datapath) -> None:
        """Raise InputError if the parts of the unit do not fit together."""

    def check_layer(self, gemm: Gemm, path: Datapath) -> None:
        """Raise InputError if a layer needs more than the unit has."""

    def serving(self, methods: Iterable[Demands]) -> Self:
        """Return the unit with all that these ask for; with everything if that is nothing."""
        asked = {*self.kinds, *(kind for demands in methods for kind in self.asked(demands))}
        kinds = [kind for kind in self.lane_blocks if kind in asked or not asked]
        return self.model_copy(update={"kinds": tuple(kinds)})

    def sized(self, layers: Iterable[tuple[Gemm, Datapath]]) -> Self:  # noqa: ARG002
        """Return the unit with a table for these layers, if it has one whose size is open."""
        return self

    def with_default(self, key: str, value: float) -> Self:
        """Return the unit with a value for a key that the file leaves open; it stays open."""
        if key in self.model_fields_set and getattr(self, key) is not None:
            return self
        return remade(self, **{key: value})

    @override
    def serves(self, path: Datapath) -> bool:
        return bool(self.asked(path.demands))

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self.serves(work.path) * self.values(work), self._lanes)

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return 1

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        count, asked = int(self.values(work).sum()), self.asked(work.path.demands)
        return {kind: count * (kind in asked) for kind in self.lane_blocks}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        density = lane_pj_per_um2(tech, path)
        lanes = {kind: block_cost(tech, name, path) for kind, name in self.lane_blocks.items()}
        return {
            kind: density * lane.logic_um2 + lane.register_bits * tech.register_pj
            for kind, lane in lanes.items()
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        blocks = {self.lane_blocks[kind] for kind in self.served}
        return self._lanes * sum(block_cost(tech, name, path).area_um2 for name in sorted(blocks))

    @property
    def _lanes(self) -> int:
        return self.lanes or 1


class TableUnit(LaneUnit):
    """Lanes beside memories of `table_kib` in all, which give each lane an entry a cycle.

    Where `table_kib` is open, it is what the largest table of a trace's layers needs.

    Actions:
        As `LaneUnit`; read_bytes, write_bytes: bytes of the table.
    """

    table_kinds: ClassVar[frozenset[str]]  # kinds of use that need it

    table_kib: (
        Annotated[
            float,
            Field(strict=True, gt=0, le=65536),
            Field(
                description=(
                    "Table of factors, shifts, sums or entries; default: what the largest "
                    "layer of the trace that uses it needs (accelsim area, which sees no "
                    "trace, takes 32)"
                ),
            ),
        ]
        | None
    ) = None

    @abstractmethod
    def entry_bytes(self, path: Datapath) -> int:
        """Return the bytes of the table that a lane can reach in a cycle."""

    @abstractmethod
    def table_bytes(self, gemm: Gemm, path: Datapath) -> int:
        """Return what the table of a layer holds."""

    def moved_bytes(self, work: Work) -> tuple[int, int]:
        """Return what a layer reads and writes: an entry for each value, and the table once."""
        reads = int(self.values(work).sum()) * self.entry_bytes(work.path)
        return reads, self.table_bytes(work.whole, work.path)

    @property
    @override
    def has_table(self) -> bool:
        return not self.table_kinds.isdisjoint(self.served)

    def uses_table(self, path: Datapath) -> bool:
        """Whether a layer uses the memory."""
        return not self.table_kinds.isdisjoint(self.asked(path.demands))

    @override
    def sized(self, layers: Iterable[tuple[Gemm, Datapath]]) -> Self:
        needed = [
            max(self.table_bytes(gemm, path), self._access_bytes(path))
            for gemm, path in layers
            if self.uses_table(path)
        ]
        if not needed:
            return self
        largest_kib = max(ceil_div(max(needed), 1024), self.table_kib or 0)
        return self.with_default("table_kib", float(largest_kib))

    @override
    def check_layer(self, gemm: Gemm, path: Datapath) -> None:
        needed = self.table_bytes(gemm, path)
        if self.table_kib and self.uses_table(path) and needed > self._capacity_bytes(path):
            raise InputError(
                f"its table of {needed} bytes must fit in {self.key}.table_kib of "
                f"{self._capacity_bytes(path)} bytes"
            )

    @override
    def check(self, path: Datapath) -> None:
        needed = self._access_bytes(path)
        if self.has_table and needed > self._capacity_bytes(path):
            raise InputError(
                f"{self.table_kib:g} KiB is less than one access of {needed} bytes, "
                f"an entry for each of {self._lanes} lanes"
            )

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        reads, writes = self.moved_bytes(work) if self.uses_table(work.path) else (0, 0)
        return {**super().actions(work), "read_bytes": reads, "write_bytes": writes}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        macro, (_, width_bytes) = self.macro(tech, path), self._macros(path)
        read_pj, write_pj = macro.read_pj / width_bytes, macro.write_pj / width_bytes
        return {**super().energy_pj(tech, path), "read_bytes": read_pj, "write_bytes": write_pj}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        macros, _ = self._macros(path)
        return super().area_um2(tech, path) + macros * self.macro(tech, path).area_um2

    @override
    def leakage_mw(self, tech: CostSource, path: Datapath) -> float:
        macros, _ = self._macros(path)
        logic_mw = super().area_um2(tech, path) * tech.leakage_nw_per_um2 * 1e-6
        return logic_mw + macros * self.macro(tech, path).leakage_mw

    def macro(self, tech: CostSource, path: Datapath) -> SramCost:
        """Return the cost of one of the memories side by side; nothing without a table."""
        if not self.has_table:
            return SramCost(0.0, 0.0, 0.0, 0.0, 0.0)
        macros, width_bytes = self._macros(path)
        capacity_bytes = self._capacity_bytes(path) // macros
        return tech.sram(capacity_bytes=capacity_bytes, width_bytes=width_bytes, banks=1)

    def _macros(self, path: Datapath) -> tuple[int, int]:
        """Return the memories side by side, and the bytes that each of them gives in a cycle."""
        width_bytes = self._lanes * self.entry_bytes(path)
        macros = ceil_div(width_bytes, _MACRO_BYTES)
        return macros, ceil_div(width_bytes, macros)

    def _access_bytes(self, path: Datapath) -> int:
        macros, width_bytes = self._macros(path)
        return macros * width_bytes

    def _capacity_bytes(self, path: Datapath) -> int:
        if self.table_kib is None:
            return max(UNSIZED_KIB * 1024, self._access_bytes(path))
        return int(self.table_kib * 1024)


class ChannelUnit(TableUnit):
    """Lanes beside a table of K entries of value width, one a channel."""

    @override
    def entry_bytes(self, path: Datapath) -> int:
        return bytes_of(path.x.bits)

    @override
    def table_bytes(self, gemm: Gemm, path: Datapath) -> int:
        return gemm.in_features * self.entry_bytes(path)

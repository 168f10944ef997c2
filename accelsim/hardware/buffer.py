"""What every on-chip buffer has in common: an SRAM with one read and one write port."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.hardware.unit import Unit
from accelsim.mapping import Datapath, Ints, Store, TileJobs, Work, ceil_div
from accelsim.mapping.jobs import Flags
from accelsim.tech.source import CostSource
from accelsim.tech.sram import SramCost

# Of a memory that is one buffer, or that two buffers share.
Banks = Annotated[int, Field(strict=True, gt=0, le=8), Field(description="Banks of each macro")]
DoubleBuffered = Annotated[
    bool,
    Field(strict=True),
    Field(description="One tile is filled while another is used; halves what a tile may take"),
]


def check_whole_ports(port_bytes: int, macros: int) -> None:
    """Raise InputError if macros side by side cannot have equal shares of a port."""
    if port_bytes % macros:
        raise InputError(f"port_bytes {port_bytes} must divide by macros {macros}")


class Buffer(Unit):
    """An SRAM of `capacity_kib` whose two ports each move `port_bytes` a cycle.

    It is built of `macros` memories side by side, each with its share of capacity and width, which
    is how a wide port is made; each macro has `banks` banks of its full width, one in use a cycle.

    Timing:
        A port is busy ceil(bytes / port_bytes) cycles. The port that faces the array is the one
        whose cycles are charged to the buffer; the other one only limits the rate of its stage.

    Actions:
        read_bytes, write_bytes: bytes moved through a port, metadata included.

    Not modelled:
        Bank conflicts; the read latency of the SRAM (part of the stage's pipeline).
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"read_bytes", "write_bytes"})
    # The key of its section in `buffers`.
    key: ClassVar[str]
    # The port that faces the array and is charged: it gives to the array, or takes from it.
    near_port: ClassVar[str] = "read"
    # What `port_bytes` must be for the array not to wait, in the symbols of the table of keys.
    balanced_port: ClassVar[str]

    capacity_kib: Annotated[
        float,
        Field(strict=True, gt=0, le=65536),
        Field(description="Size; larger tiles fit, at more area and energy an access"),
    ]
    port_bytes: Annotated[
        int,
        Field(strict=True, gt=0, le=65536),
        Field(description="Bytes a cycle of the read port, and of the write port"),
    ]
    macros: Annotated[
        int,
        Field(strict=True, gt=0, le=4096),
        Field(description="Memories side by side that share the port's width"),
    ] = 1
    banks: Banks = 1
    double_buffered: DoubleBuffered = True

    @model_validator(mode="after")
    def _macros_are_whole(self) -> Self:
        check_whole_ports(self.port_bytes, self.macros)
        if self.store.capacity_bytes < self.port_bytes * self.banks:
            raise InputError(
                f"capacity_kib {self.capacity_kib:g} is less than one access of "
                f"{self.port_bytes} bytes in each of {self.banks} banks"
            )
        return self

    @property
    def store(self) -> Store:
        """The buffer as the tiling sees it."""
        return Store(int(self.capacity_kib * 1024), self.double_buffered, self.port_bytes)

    @abstractmethod
    def tile(self, jobs: TileJobs) -> Ints:
        """Return which tile each job works on, `[jobs]`."""

    @abstractmethod
    def fills(self, jobs: TileJobs) -> Flags:
        """Return which jobs bring their tile into the buffer, `[jobs]`; others find it there."""

    def uses(self, work: Work) -> Flags | None:  # noqa: ARG002
        """Return which jobs read their tile, `[jobs]`; None: every job."""
        return None

    @abstractmethod
    def tile_bytes(self, work: Work) -> int:
        """Return the bytes that a full tile takes."""

    @abstractmethod
    def read_bytes(self, work: Work) -> Ints:
        """Return the bytes that each job reads, `[jobs]`."""

    @abstractmethod
    def write_bytes(self, work: Work) -> Ints:
        """Return the bytes that each job writes, `[jobs]`."""

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self.read_bytes(work), self.port_bytes)

    def far_cycles(self, work: Work) -> Ints:
        """Return the cycles that each job occupies the port away from the array, `[jobs]`."""
        return ceil_div(self.write_bytes(work), self.port_bytes)

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        return {
            "read_bytes": int(self.read_bytes(work).sum()),
            "write_bytes": int(self.write_bytes(work).sum()),
        }

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        macro, width = self.macro(tech), self.port_bytes // self.macros
        return {"read_bytes": macro.read_pj / width, "write_bytes": macro.write_pj / width}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        return self.macros * self.macro(tech).area_um2

    @override
    def leakage_mw(self, tech: CostSource, path: Datapath) -> float:
        return self.macros * self.macro(tech).leakage_mw

    def macro(self, tech: CostSource) -> SramCost:
        """Return the cost of one of the memories side by side."""
        return tech.sram(
            capacity_bytes=self.store.capacity_bytes // self.macros,
            width_bytes=self.port_bytes // self.macros,
            banks=self.banks,
        )

"""The DRAM channel: one, in order, shared by all streams."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean
from accelsim.hardware.output_buffer import stored_bytes
from accelsim.hardware.resource import Resource
from accelsim.hardware.unit import UNITS
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.tech.source import CostSource

_MAX_CYCLES = 2**62


@UNITS.register("dram")
class Dram(Resource):
    """Off-chip memory behind one channel.

    Timing:
        A request moves whole bursts; tensors are laid out tile by tile, so a tile is contiguous.

            busy    = ceil(bytes / (bandwidth / clock))
            latency = ceil(latency_ns × clock): reads only; it delays, but does not occupy the
                      channel

        The channel serves requests in program order: tables and the pass for statistics, if the
        layer's method needs them, then the loads of tile i before those of tile
        i + 1, and the store of tile i after the loads of tile i + `store_lag_tiles`, so that
        prefetching goes on while a tile computes. The output buffer must hold them meanwhile.

    Actions:
        read_bytes, write_bytes: bytes moved, bursts rounded up.

    Not modelled:
        Banks, rows, refresh and bus turn-around (use an effective bandwidth); background power.

    Example:
        64 GB/s at 1 GHz is 64 bytes a cycle.

        >>> import numpy as np
        >>> dram = Dram(standard="lpddr4", bandwidth_gb_per_s=64, latency_ns=100)
        >>> dram.transfer_cycles(np.array([0, 1, 64, 65]), clock_mhz=1000)
        array([0, 1, 1, 2])
    """

    is_off_chip: ClassVar[bool] = True

    standard: Annotated[
        str, Field(description="Kind of memory, for the energy of a bit; bandwidth is given apart")
    ]
    bandwidth_gb_per_s: Annotated[
        float,
        Field(strict=True, ge=1e-9, le=1e9),
        Field(description="Effective bandwidth, 10⁹ bytes a second"),
    ]
    latency_ns: Annotated[
        float, Field(strict=True, ge=0, le=1e9), Field(description="Latency of a read")
    ] = 100.0
    burst_bytes: Annotated[
        int, Field(strict=True, gt=0, le=65536), Field(description="Smallest transfer")
    ] = 64
    store_lag_tiles: Annotated[
        int,
        Field(strict=True, ge=0, le=2**31),
        Field(description="How many tiles' loads go before a store, if its output can wait"),
    ] = 4

    def bursts(self, size_bytes: Ints) -> Ints:
        """Return sizes rounded up to whole bursts."""
        return ceil_div(size_bytes, self.burst_bytes) * self.burst_bytes

    @override
    def transfer_cycles(self, size_bytes: Ints, *, clock_mhz: float) -> Ints:
        """Return the cycles in which the channel moves so many bytes; exact at any bandwidth.

        Raises:
            InputError: more cycles than an integer of 64 bits holds.
        """
        # Through text: 0.3 is meant as 3/10, not as the binary fraction nearest to it.
        clock, bandwidth = Fraction(str(clock_mhz)), Fraction(str(self.bandwidth_gb_per_s))
        per_byte = clock / (1000 * bandwidth)
        most = int(size_bytes.max(initial=0))
        if ceil(most * per_byte) > _MAX_CYCLES:
            raise InputError(
                f"a transfer of {most} bytes takes {float(most * per_byte):.3g} cycles, more than "
                f"are counted: clock_mhz is too high for dram.bandwidth_gb_per_s"
            )
        if max(most * per_byte.numerator, per_byte.denominator) <= _MAX_CYCLES:
            cycles: Ints = ceil_div(size_bytes * per_byte.numerator, per_byte.denominator)
            return cycles
        sizes = sorted(set(size_bytes.ravel().tolist()))
        exact = np.array([ceil(size * per_byte) for size in sizes], np.int64)
        return exact[np.searchsorted(sizes, size_bytes)]

    @override
    def moved_bytes(self, operand: str, work: Work) -> Ints:
        """Return the bytes of an operand that each job moves, in whole bursts; `Resource`."""
        sizes = {
            "tables": self.prologue_bytes,
            "x": self.activation_bytes,
            "w": self.weight_bytes,
            "y": self.output_bytes,
        }
        if operand not in sizes:
            raise InputError(
                f"DRAM moves no operand '{shown(operand)}'{did_you_mean(operand, sizes)}; "
                f"allowed: {', '.join(sizes)}"
            )
        return sizes[operand](work)

    def prologue_bytes(self, work: Work) -> Ints:
        """Return the bytes that each job loads before all tiles: tables and statistics, job 0."""
        sizes = np.zeros(len(work.jobs), np.int64)
        sizes[0] = sum(-(-size // self.burst_bytes) for size in work.prologue_bytes())
        return sizes * self.burst_bytes

    def activation_bytes(self, work: Work) -> Ints:
        """Return the bytes of X that each job loads, and of outputs that it adds to or resumes."""
        jobs = work.jobs
        tile = jobs.activation_tile_bytes(work.path)
        more = self.bursts(work.added_bytes) + self.bursts(work.resumed_bytes)
        return self.bursts(tile * jobs.loads_activations) + more

    def weight_bytes(self, work: Work) -> Ints:
        """Return the bytes of W that each job loads."""
        return self.bursts(work.weight_bytes)

    def output_bytes(self, work: Work) -> Ints:
        """Return the bytes of Y that each job stores."""
        return self.bursts(stored_bytes(work.jobs, work.path))

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return -int(-self.latency_ns * path.clock_mhz // 1000)

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        bit = tech.dram(self.standard)
        return {"read_bytes": 8 * bit.read_pj_per_bit, "write_bytes": 8 * bit.write_pj_per_bit}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        """Return 0: the device is off chip and its interface is not modelled."""
        return 0.0

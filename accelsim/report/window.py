"""The part of a run that a timeline or a waveform shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.accounting.ledger import intervals
from accelsim.accounting.tally import LayerRun
from accelsim.base.errors import InputError, shown
from accelsim.base.registry import named
from accelsim.trace import Linear, Trace


@dataclass(frozen=True, slots=True)
class Window:
    """Layers by name or glob, and of each layer run the tiles `first` … `end` - 1."""

    layers: tuple[str, ...] = ("*",)
    first: int = 0
    end: int | None = None

    @classmethod
    def parse(cls, layers: str, tiles: str) -> Window:
        """Read comma-separated globs, and `first:end` where both may be left out.

        >>> Window.parse("*.0.*,lm_head", "8:16")
        Window(layers=('*.0.*', 'lm_head'), first=8, end=16)

        Raises:
            InputError: the tiles are not a range.
        """
        if not re.fullmatch(r"[0-9]{0,12}:[0-9]{0,12}", tiles):
            raise InputError(f"--watch-tiles '{tiles}': must be a range such as 0:32, 100: or :")
        first, _, end = tiles.partition(":")
        window = cls(tuple(layers.split(",")), int(first or 0), int(end) if end else None)
        if window.end is not None and window.end <= window.first:
            raise InputError(
                f"--watch-tiles '{tiles}': the end must be greater than the first tile"
            )
        return window

    def shows(self, linear: Linear) -> bool:
        """Whether a layer is inside."""
        return any(named([linear.name], glob) for glob in self.layers)

    def check(self, trace: Trace) -> None:
        """Raise InputError if no layer of a trace is inside."""
        if not any(self.shows(linear) for linear in trace.linears):
            names = ", ".join(linear.name for linear in trace.linears[:3])
            raise InputError(
                f"--watch-layers: no layer matches '{shown(','.join(self.layers))}'; "
                f"there are {names}, …"
            )

    def intervals(self, run: LayerRun, unit: str) -> Iterator[tuple[int, str, int, int]]:
        """Yield (tile, cause, start, end) of a unit for the tiles inside, in order of time."""
        for interval in intervals(run.pipeline, run.times, unit):
            tile, *_ = interval
            if tile >= self.first and (self.end is None or tile < self.end):
                yield interval

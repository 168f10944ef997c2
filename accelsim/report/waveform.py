"""A run as a waveform: VCD with one state a unit, for GTKWave and its like. Needs `pyvcd`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from accelsim.accounting.tally import LayerRun
from accelsim.base.errors import MissingExtraError
from accelsim.base.files import replacing
from accelsim.mapping import Work
from accelsim.report.text import escaped
from accelsim.report.window import Window
from accelsim.trace import Linear


class Waveform:
    """Writes layer runs, one after the other: time unit is one cycle, written as 1 ns.

    Use as `with Waveform(path, units) as waveform: simulate(..., observer=waveform.add)`.
    """

    def __init__(self, path: Path, units: list[str], window: Window | None = None) -> None:
        try:
            from vcd import VCDWriter
        except ImportError as error:
            raise MissingExtraError("pyvcd", "vcd") from error
        self._writer_type = VCDWriter
        self._path = path
        self._window = window or Window()
        self._stack = ExitStack()
        self._units = units
        self._offset = 0
        self._file: IO[str]

    def __enter__(self) -> Waveform:
        temporary = self._stack.enter_context(replacing(self._path))
        self._file = self._stack.enter_context(temporary.open("w", encoding="utf-8"))
        self._stack.push(self._finish)
        self._vcd = self._writer_type(
            self._file, timescale="1 ns", date="-", comment="1 ns = 1 cycle"
        )
        self._layer = self._vcd.register_var("accelsim", "layer", "string", init="")
        self._states = {
            unit: self._vcd.register_var("accelsim", f"{unit}_state", "string", init="idle")
            for unit in self._units
        }
        self._busy = {
            unit: self._vcd.register_var("accelsim", f"{unit}_busy", "wire", size=1, init=0)
            for unit in self._units
        }
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)

    def _finish(self, kind: object, *_: object) -> bool:
        if kind is None:
            self._vcd.close(self._offset)
        return False

    def add(self, linear: Linear, work: Work, run: LayerRun) -> None:  # noqa: ARG002
        """Append one layer run."""
        changes: dict[tuple[int, str], str] = {}
        for unit in run.pipeline.units:
            for _, cause, start, end in self._window.intervals(run, unit):
                changes[start, unit] = cause
                changes.setdefault((end, unit), "idle")  # unless the next interval begins here
        self._vcd.change(self._layer, self._offset, escaped(linear.name))
        for (cycle, unit), state in sorted(changes.items()):
            self._vcd.change(self._states[unit], self._offset + cycle, state)
            self._vcd.change(self._busy[unit], self._offset + cycle, int(state == "busy"))
        self._offset += run.times.cycles

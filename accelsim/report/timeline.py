"""A run as a timeline: Chrome-trace JSON, which ui.perfetto.dev opens; one track a unit."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from accelsim.accounting.tally import LayerRun
from accelsim.base.files import replacing
from accelsim.base.strict_json import json_text
from accelsim.mapping import Work
from accelsim.report.window import Window
from accelsim.trace import Linear


class Timeline:
    """Collects layer runs, one after the other, and writes them when the block ends well.

    Use as `with Timeline(path, clock_mhz) as timeline: simulate(..., observer=timeline.add)`.
    """

    def __init__(self, path: Path, clock_mhz: float, window: Window | None = None) -> None:
        self._path = path
        self._window = window or Window()
        self._us_per_cycle = 1 / clock_mhz
        self._offset = 0
        self._tracks: dict[str, int] = {}
        self._stack = ExitStack()
        self._file: IO[str]

    def __enter__(self) -> Timeline:
        temporary = self._stack.enter_context(replacing(self._path))
        self._file = self._stack.enter_context(temporary.open("w", encoding="utf-8"))
        self._stack.push(self._finish)
        self._file.write('{"displayTimeUnit": "ns", "traceEvents": [\n')
        self._write({"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "accelsim"}})
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)

    def _finish(self, kind: object, *_: object) -> bool:
        if kind is None:
            self._file.write('{"name": "end", "ph": "M", "pid": 1}\n]}\n')
        return False

    def add(self, linear: Linear, work: Work, run: LayerRun) -> None:
        """Append one layer run: a slice for the layer, and one for each state of each unit."""
        self._slice("layer", linear.name, 0, run.times.cycles, {"tokens": work.gemm.tokens})
        for unit in run.pipeline.units:
            for tile, cause, start, end in self._window.intervals(run, unit):
                self._slice(unit, f"tile {tile}" if cause == "busy" else cause, start, end, {})
        self._offset += run.times.cycles

    def _slice(self, track: str, name: str, start: int, end: int, args: dict[str, Any]) -> None:
        if track not in self._tracks:
            self._tracks[track] = len(self._tracks) + 1
            thread = {"ph": "M", "pid": 1, "tid": self._tracks[track]}
            self._write({"name": "thread_name", **thread, "args": {"name": track}})
            self._write(
                {"name": "thread_sort_index", **thread, "args": {"sort_index": self._tracks[track]}}
            )
        self._write(
            {
                "name": name,
                "ph": "X",
                "pid": 1,
                "tid": self._tracks[track],
                "ts": round((self._offset + start) * self._us_per_cycle, 6),
                "dur": round((end - start) * self._us_per_cycle, 6),
                "args": args,
            }
        )

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json_text(event) + ",\n")

"""Machines that were tuned once, and are kept as architecture files beside a sweep of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim.base.cache import DiskCache
from accelsim.base.files import write_texts
from accelsim.base.yaml_source import read_yaml
from accelsim.studies.runs import Run, runs_of
from accelsim.sweeps.totals import Workload
from accelsim.trace import load_trace
from accelsim.tuning import Workbench, tune
from accelsim.tuning.record import file_text

LOSS = 0.01
"""The share of cycles that may be lost, as `accelsim tune` has it by default."""


@dataclass(frozen=True)
class TunedMachines:
    """Machines as `accelsim tune` makes them for prefill of a trace.

    Attributes:
        sweep: the sweep file of the tuned machines.
        originals: the files that they are made from.
        folder: of the tuned machines, each in a file of the same name.
        trace: what they are tuned for.
    """

    sweep: Path
    originals: Sequence[Path]
    folder: Path
    trace: Path

    def records(self) -> list[Run]:
        """Return the runs of the sweep."""
        return runs_of(self.sweep)

    def measure(self) -> None:
        """Tune all of them again, and write their files."""
        workload = Workload(load_trace(self.trace), DiskCache.of_user())
        texts = {}
        for path in self.originals:
            bench = Workbench(read_yaml(path), workload)
            texts[self.folder / path.name] = file_text(tune(bench, LOSS), bench, LOSS)
        self.folder.mkdir(exist_ok=True)
        write_texts(texts)

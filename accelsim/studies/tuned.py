"""Machines that were tuned once, and are kept as architecture files beside a sweep of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from accelsim.base.cache import DiskCache
from accelsim.base.files import write_texts
from accelsim.base.yaml_source import read_yaml
from accelsim.studies.choice import Choice, Joined
from accelsim.studies.quantities import growth, over
from accelsim.studies.runs import Run, runs_of
from accelsim.studies.tables import Column, Table
from accelsim.sweeps.totals import Workload
from accelsim.trace import load_trace
from accelsim.tuning import Workbench, tune
from accelsim.tuning.record import file_text

_LOSS = 0.01  # of the cycles, as `accelsim tune` has it by default


@dataclass(frozen=True)
class TunedMachines:
    """Machines as `accelsim tune` makes them for prefill of a trace.

    Attributes:
        sweep: the sweep file that runs the tuned machines on that trace. Each is made from the
            shipped file of the same name.
    """

    sweep: Path

    def records(self) -> list[Run]:
        """Return the runs of the sweep."""
        return runs_of(self.sweep)

    def measure(self) -> None:
        """Tune all machines of the sweep again, and write their files."""
        asked, beside = read_yaml(self.sweep).data, self.sweep.parent
        shipped = beside.parents[1] / "arch_configs"
        workload = Workload(load_trace(beside / asked["traces"]), DiskCache.of_user())
        texts = {}
        for name in asked["base"]:
            bench = Workbench(read_yaml(shipped / Path(name).name), workload)
            texts[beside / name] = file_text(tune(bench, _LOSS), bench, _LOSS)
        write_texts(texts)


_COLUMNS: Mapping[str, str | Column] = MappingProxyType(
    {
        "pattern": "{last.pattern}",
        "mm²": "{last.area_mm2:.2f}",
        "speed-up": Column("{it:.2f}×", values={"it": lambda runs: 1 / over("cycles")(runs)}),
        "energy": Column("{it:.2f}×", values={"it": over("energy_pj")}),
        "area": Column("{it:+.1%}", values={"it": growth("area_um2")}),
        "work per area": Column("{it:.2f}×", values={"it": over("tops_per_mm2")}),
    }
)


def tuned_table(group: str, patterns: Sequence[str]) -> Table:
    """Return the table of tuned machines, with ratios to the tuned dense one.

    Args:
        group: of the study, by which the section is called, too.
        patterns: besides dense.
    """
    machines = Choice(group)

    def with_dense(pattern: str) -> Joined:
        return machines(pattern="dense") + machines(pattern=pattern)

    return Table(group, with_dense, {"pattern": ("dense", *patterns)}, _COLUMNS)

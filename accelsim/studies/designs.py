"""Designs beside each other: against one of them, the best of some, and what they do to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from accelsim.studies.choice import Choice, Chosen, Data, Joined
from accelsim.studies.facts import Names, fact
from accelsim.studies.figure import Look
from accelsim.studies.panels import Bar, Bars
from accelsim.studies.quantities import over
from accelsim.studies.runs import Run, runs_of
from accelsim.studies.tables import Column, Table
from accelsim.trace.shapes import synthesise

Work = dict[str, Any]
"""A phase and a batch."""

_KEYS = {"W": "weight_pattern", "X": "pattern"}
_TIE = 0.02  # of the time: less is no reason to build another machine


def pruned(run: Run) -> str:
    """Return which operands a machine expects to be sparse: `W`, `X`, `W and X` or `none`."""
    sparse = [name for name, key in _KEYS.items() if _pattern(run, key) != "dense"]
    return " and ".join(sparse) or "none"


def sparsity(run: Run) -> str:
    """Return the patterns of a machine with their operands: `2:4 of W, 8:16 of X`; or `dense`."""
    said = {name: _pattern(run, key) for name, key in _KEYS.items()}
    parts = [f"{pattern} of {name}" for name, pattern in said.items() if pattern != "dense"]
    return ", ".join(parts) or "dense"


def _pattern(run: Run, key: str) -> str:
    """Return a pattern of a machine; one that is dense may be left out of its description."""
    return run["arch"].get(key) or "dense"


def best(runs: Sequence[Run]) -> Run:
    """Return the thriftiest of the runs that are nearly as fast as the fastest."""
    least = min(run["totals"]["time_s"] for run in runs)
    near = [run for run in runs if run["totals"]["time_s"] <= (1 + _TIE) * least]
    return min(near, key=lambda run: run["totals"]["energy_pj"])


def gain(runs: Sequence[Run]) -> float:
    """Return the time of the first of several runs over that of the best of the others."""
    return 1 / over("time_s")([runs[0], best(runs[1:])])


def gain_at(bandwidth_gb_per_s: float, runs: Sequence[Run]) -> float:
    """Return the gain with a memory, of runs with several."""
    return gain([run for run in runs if fact(run, "bandwidth") == bandwidth_gb_per_s])


def energy(runs: Sequence[Run]) -> float:
    """Return the energy of the best of several runs but the first, as a share of the first's."""
    return over("energy_pj")([runs[0], best(runs[1:])])


def larger(runs: Sequence[Run]) -> float:
    """Return how much larger the second of two machines is, as a share of the first."""
    return over("area_um2")(runs[:2]) - 1


def works_of(
    sweep: Path, model: str, prefills: Sequence[int], batches: Sequence[int], few: int
) -> list[Run]:
    """Return the runs of a sweep file in prefill and in decode, on its trace and on a model.

    Args:
        sweep: the file; its traces have values.
        model: of `accelsim.trace.shapes`, of which one block runs, too: in prefill by its shapes
            alone, in decode with normally distributed values, two tokens of each sequence.
        prefills: tokens of the model in prefill.
        batches: sequences in decode.
        few: how many of these batches run on the traces of the file.
    """
    prefill: Work = {"phase": "prefill", "batch": None}
    decode: list[Work] = [{"phase": "decode", "batch": batch} for batch in batches]
    runs = runs_of(sweep, works=[prefill, *decode[:few]])
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{model}.npz"
        for tokens in prefills:
            synthesise(model, path, tokens=tokens, distribution="none", layers=1)
            runs += runs_of(sweep, path, works=[prefill])
        synthesise(model, path, tokens=2 * max(batches), seq_len=2, layers=1)
        return runs + runs_of(sweep, path, works=decode)


def work(run: Run) -> str:
    """Return the phase of a run, with its tokens or sequences at once: `decode 8`."""
    at_once = run["batch"] if run["phase"] == "decode" else run["trace"]["tokens"]
    return f"{run['phase']} {at_once}"


@dataclass(frozen=True)
class LossOf:
    """The measured loss of what a machine does to a model: its pattern, of X or of W.

    Attributes:
        machine: the choice of a machine, of whose runs the first counts.
        losses: all measurements.
    """

    machine: Chosen
    losses: Choice

    @property
    def names(self) -> Names:
        """Names that the measurements give to facts."""
        return self.losses.names

    def of(self, data: Data) -> list[Run]:
        """Return the measurement; NoRunError if it was not made."""
        run = self.machine.of(data)[0]
        arch, x, w = run["arch"], _pattern(run, "pattern"), _pattern(run, "weight_pattern")
        wanted = {key: arch[key] for key in ("precision", "mitigation", "criterion")}
        if x == "dense":  # weights alone are pruned by a criterion of their own
            wanted |= {"pattern": w, "criterion": "wt", "weights": "dense"}
        else:
            wanted |= {"pattern": x, "weights": w}
        return self.losses(**wanted).of(data)


@dataclass(frozen=True)
class Field:
    """The designs that are compared, in several works.

    Attributes:
        at: a choice of their runs.
        losses: of what was measured of their patterns.
        bases: the machines by name; the first is what others are compared with.
        precisions: in which they run.
        bandwidths: of their memories, in GB/s.
    """

    at: Choice
    losses: Choice
    bases: Sequence[str]
    precisions: Sequence[str]
    bandwidths: Sequence[float]

    def against(self, base: str, **settings: Any) -> Joined:
        """Return the runs of the first design, and then those of another."""
        return self.at(base=self.bases[0], **settings) + self.at(base=base, **settings)

    def loss(self, base: str, **settings: Any) -> LossOf:
        """Return what a design does to the model."""
        return LossOf(self.at(base=base, **settings), self.losses)

    def speeds(self, model: str, works: Sequence[str]) -> Table:
        """Return the table of speed-ups in some works, with each memory."""
        gains = {f"at_{number}": partial(gain_at, number) for number in self.bandwidths}
        cell = " · ".join(f"{{{name}:.2f}}" for name in gains)
        return self._table("speed", model, works, Column(cell, self._every_memory, values=gains))

    def energies(self, model: str, works: Sequence[str]) -> Table:
        """Return the table of energies in some works, with the slowest memory."""
        slowest = {"bandwidth": min(self.bandwidths)}
        cell = Column("{it:.2f}×", slowest, values={"it": energy})
        return self._table("energy", model, works, cell)

    def bars(self, model: str, work: str, legend: int | None = None) -> Bars:
        """Return the speed-ups of all designs in a work, with each memory."""
        look = Look(f"{model}, {work}", "speed-up", ylim=(0, 2.7), legend=legend)
        groups = {it: partial(self.against, it, model=model, work=work) for it in self.bases[1:]}
        of_memory = {f"{it} GB/s": Bar(gain, {"bandwidth": it}) for it in self.bandwidths}
        return Bars(groups, of_memory, look, rule=1)

    @property
    def _every_memory(self) -> dict[str, Any]:
        return {"bandwidth": tuple(self.bandwidths)}

    def _table(self, section: str, model: str, works: Sequence[str], cell: Column) -> Table:
        rows = {"model": (model,), "precision": self.precisions, "base": self.bases[1:]}
        said = {"": Column("{last.label}"), "design": Column("{last.design}")}
        head = {name: replace(it, at={"work": works[0]}) for name, it in said.items()}
        columns = {work: replace(cell, at={**cell.at, "work": work}) for work in works}
        return Table(f"{section} {model}", self.against, rows, head | columns)


NAMES: Names = MappingProxyType(
    {"work": work, "design": lambda run: run["arch"]["name"], "sparsity": sparsity}
)
"""Names of these facts, for studies that ask for them."""

"""Designs beside each other: against one of them, the best of some, and what they do to a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from accelsim.base.yaml_source import read_yaml
from accelsim.studies.choice import Choice, Chosen, Data, Joined, NoRunError, Value
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
_PREFILL: Work = {"phase": "prefill", "batch": None}
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


def per_area(runs: Sequence[Run]) -> float:
    """Return the gain over what the area of the second machine grows by."""
    return gain(runs) / (1 + larger(runs))


def works_on_trace(sweeps: Iterable[Path], batches: Sequence[int]) -> list[Run]:
    """Return the runs of sweep files on their trace, in prefill and in decode of some batches."""
    works = [_PREFILL, *map(_decode, batches)]
    return [run for sweep in sweeps for run in runs_of(sweep, works=works)]


def works_on_model(
    sweep: Path, model: str, prefills: Sequence[int], batches: Sequence[int]
) -> list[Run]:
    """Return the runs of a sweep file on one block of a model of `accelsim.trace.shapes`.

    In prefill by its shapes alone, in decode with normally distributed values, two tokens of each
    sequence.
    """
    runs: list[Run] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{model}.npz"
        for tokens in prefills:
            synthesise(model, path, tokens=tokens, distribution="none", layers=1)
            runs += runs_of(sweep, path, works=[_PREFILL])
        synthesise(model, path, tokens=2 * max(batches), seq_len=2, layers=1)
        return runs + runs_of(sweep, path, works=[*map(_decode, batches)])


def _decode(batch: int) -> Work:
    return {"phase": "decode", "batch": batch}


def bases_of(sweep: Path) -> list[str]:
    """Return the names of the architecture files of a sweep file."""
    return [Path(base).stem for base in read_yaml(sweep).data["base"]]


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

    def tables(self, model: str, works: Sequence[str], name: str = "") -> Iterator[Table]:
        """Yield speed-ups in some works, with each memory, and energies, with the slowest one."""
        gains = {f"at_{number}": partial(gain_at, number) for number in self.bandwidths}
        cell = " · ".join(f"{{{key}:.2f}}" for key in gains)
        every, slowest = {"bandwidth": tuple(self.bandwidths)}, {"bandwidth": min(self.bandwidths)}
        yield self._table(f"speed {name or model}", model, works, Column(cell, every, values=gains))
        cell = "{it:.2f}×"
        sizes = Column(cell, slowest, values={"it": energy})
        yield self._table(f"energy {name or model}", model, works, sizes)

    def overview(
        self, section: str, works: Sequence[str], labels: Mapping[str, str] | None = None
    ) -> Table:
        """Return a row for each design: area, perplexity, speed-ups with the memory of the choice.

        Args:
            section: of the page.
            works: with a speed-up each; the first also per area.
            labels: precisions with perplexities of their own, by label; default: that of the field.
        """
        columns: dict[str, str | Column] = {"design": "{last.design}", "sparse": "{last.sparsity}"}
        columns["area"] = Column("{it:+.1%}", values={"it": larger})
        for bits, label in (labels or {self.precisions[0]: ""}).items():
            head = f"perplexity, {label}" if label else "perplexity"
            columns[head] = Column("{increase}", {"precision": bits}, self.loss)
        for work in works:
            columns[work] = Column("{it:.2f}×", {"work": work}, values={"it": gain})
        if works:
            columns["prefill per area"] = Column("{it:.2f}×", values={"it": per_area})
        rows = {"base": self.bases[1:], "precision": self.precisions[:1]}
        return Table(section, self.against, rows, columns, missing="–")

    def told(
        self, bases: Iterable[str], settings: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Value | LossOf]:
        """Return area, loss and speed-ups of some designs, for a sentence: `nm816_area` and so on.

        Args:
            bases: the designs.
            settings: of each speed-up, by what it is called in the sentence.
        """
        found: dict[str, Value | LossOf] = {}
        for base in bases:
            found[f"{base}_area"] = Value(larger, self.against(base))
            found[f"{base}_loss"] = self.loss(base)
            for name, those in settings.items():
                found[f"{base}_{name}"] = Value(gain, self.against(base, **those))
        return found

    def bars(self, model: str, work: str) -> Bars:
        """Return the speed-ups of all designs in a work, with the memory of the choice."""
        look = Look(f"{model}, {work}", "speed-up", ylim=(0, 4.5))
        groups = {it: partial(self.against, it, model=model, work=work) for it in self.bases[1:]}
        return Bars(groups, {"": Bar(gain)}, look, rule=1)

    def _table(self, section: str, model: str, works: Sequence[str], cell: Column) -> Table:
        """Return a table with a row for each precision and design that was run in it."""

        def rows(data: Data) -> Iterator[dict[str, Any]]:
            for precision, base in product(self.precisions, self.bases[1:]):
                row = {"model": model, "precision": precision, "base": base}
                with suppress(NoRunError):
                    self.at(**row, work=works[0]).of(data)
                    yield row

        said = {"": Column("{last.label}"), "design": Column("{last.design}")}
        head = {name: replace(it, at={"work": works[0]}) for name, it in said.items()}
        columns = {work: replace(cell, at={**cell.at, "work": work}) for work in works}
        return Table(section, self.against, rows, head | columns)


NAMES: Names = MappingProxyType(
    {"work": work, "design": lambda run: run["arch"]["name"], "sparsity": sparsity}
)
"""Names of these facts, for studies that ask for them."""

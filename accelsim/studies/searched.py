"""Machines that were searched for once, and are kept as a table for studies to compare."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import override

from accelsim.base.files import read_text, write_texts
from accelsim.results.export import csv_text
from accelsim.studies.prose import Span
from accelsim.studies.quantities import Measure, across, largest
from accelsim.studies.runs import Run
from accelsim.sweeps.run import usable_cores
from accelsim.tuning.area_run import run_area_plan
from accelsim.tuning.search import ORIGINS, Origin

_TOTALS = ("cycles", "energy_pj", "dram_bytes", "mac_utilization_ratio", "area_um2")


@dataclass(frozen=True)
class Searched:
    """The best machine of every search of a plan: a row for each, with the machine in it.

    Attributes:
        file: the table (CSV).
        plan: the plan, which `measure` carries out.
    """

    file: Path
    plan: Path

    def records(self) -> list[Run]:
        """Return one record for each machine, in the shape of a run.

        Its point has `work`, `share`, `pattern`, `seed` and the keys of the machine.
        """
        rows = csv.DictReader(io.StringIO(read_text(self.file)))
        return [_record({name: _number(text) for name, text in row.items()}) for row in rows]

    def measure(self, journal: Path | None = None) -> None:
        """Search for all machines on all cores, and write the table.

        Args:
            journal: a folder for what was simulated, from which a search that was stopped goes on;
                default: `out/NAME` of the project.
        """
        folder = journal or self.file.parents[2] / "out" / self.file.parent.name
        rows = run_area_plan(self.plan, folder, workers=usable_cores())
        write_texts({self.file: csv_text(rows)})


def _record(row: dict[str, Any]) -> Run:
    point = {name: value for name, value in row.items() if name not in _TOTALS}
    return {"point": point, "totals": {name: row[name] for name in _TOTALS}, "baseline": {}} | {
        "arch": {}
    }


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def fastest_of(runs: Sequence[Run], *, is_dense: bool) -> Run:
    """Return the quickest machine of all seeds: a dense one, or one that is not."""
    some = [run for run in runs if (run["point"]["pattern"] == "dense") == is_dense]
    return min(some, key=lambda run: (run["totals"]["cycles"], run["totals"]["energy_pj"]))


def of_fastest(fact: Callable[[Run], Any]) -> Measure:
    """Return a quantity: a fact of the quickest machine of the first run's pattern."""
    return lambda runs: fact(fastest_of(runs, is_dense=runs[0]["point"]["pattern"] == "dense"))


def gain_over_dense(metric: str = "cycles") -> Measure:
    """Return a quantity: a total of the quickest dense machine over the quickest sparse one's.

    Where only dense machines are compared, it is 1.
    """

    def ratio(runs: Sequence[Run]) -> float:
        dense = fastest_of(runs, is_dense=True)
        if all(run["point"]["pattern"] == "dense" for run in runs):
            return 1.0
        sparse = fastest_of(runs, is_dense=False)
        return float(dense["totals"][metric] / sparse["totals"][metric])

    return ratio


class Gain(NamedTuple):
    """A gain of the best over the best, and of any search over any, by seed.

    >>> f"{Gain(1.2, 1.1, 1.25)}"
    '1.20× (1.10 to 1.25)'
    """

    best: float
    low: float
    high: float

    @override
    def __str__(self) -> str:
        return f"{self.best:.2f}× ({self.low:.2f} to {self.high:.2f})"


def gain_with_seeds(runs: Sequence[Run]) -> Gain:
    """Return a quantity: the gain of cycles, with the least and the most between two searches."""
    return Gain(gain_over_dense()(runs), *seeds_span(runs))


def least_gain(runs: Sequence[Run]) -> float:
    """Return the gain of the unluckiest sparse search over the luckiest dense one."""
    return seeds_span(runs).low


def seeds_apart(runs: Sequence[Run]) -> float:
    """Return a quantity of one pattern: by how much its unluckiest search exceeds its luckiest."""
    cycles = [run["totals"]["cycles"] for run in runs]
    return float(max(cycles) / min(cycles) - 1)


def simulated(runs: Sequence[Run]) -> int:
    """Return the number of machines that were simulated, by all searches."""
    return sum(run["point"]["trials"] for run in runs)


def effort(far: float) -> dict[str, Measure]:
    """Return quantities of all searches: how many there were, and how far seeds are apart.

    `count` is the machines that were simulated for a cell by all of its seeds, `all` those of all
    cells, `short` the searches that ended before, since a bound proved all that they still drew to
    be slower; an origin has the share of machines that came from it.

    Args:
        far: a share of cycles; `apart` counts the cells whose seeds are further apart.
    """
    cell = ("work", "share", "bandwidth", "pattern")
    counts: dict[str, Callable[[list[float]], float]] = {
        "apart": lambda some: sum(it > far for it in some),
        "cells": len,
        "worst": max,
    }
    return {
        "seeds": lambda runs: len({run["point"]["seed"] for run in runs}),
        "trials": largest("trials"),
        "count": across(max, simulated, *cell),
        "short": lambda runs: _short_of(runs, max(run["point"]["trials"] for run in runs)),
        "all": simulated,
        **{origin: share_of(origin) for origin in ORIGINS},
        **{name: across(pick, seeds_apart, *cell) for name, pick in counts.items()},
    }


def _short_of(runs: Sequence[Run], trials: int) -> int:
    """Return how many searches simulated fewer machines."""
    return sum(run["point"]["trials"] < trials for run in runs)


def share_of(origin: Origin) -> Measure:
    """Return a quantity: the share of all trials whose machines have an origin."""
    return lambda runs: sum(run["point"][f"{origin}_trials"] for run in runs) / simulated(runs)


def seeds_span(runs: Sequence[Run]) -> Span:
    """Return a quantity: the gains between any two searches, by seed, the least and the most."""
    dense, sparse = (
        [r["totals"]["cycles"] for r in runs if (r["point"]["pattern"] == "dense") == is_dense]
        for is_dense in (True, False)
    )
    if not sparse:
        sparse = dense
    return Span(min(dense) / max(sparse), max(dense) / min(sparse))


def array_said(run: Run) -> str:
    """Return the array of a machine and its crossbar: `8 × 12 × 16, full`."""
    point = run["point"]
    array = " × ".join(str(point[f"mac_array.{name}"]) for name in ("rows", "columns", "lanes"))
    return f"{array}, {point['crossbar.kind']}" if point["crossbar.kind"] else array


def buffers_said(run: Run) -> str:
    """Return the KiB of the buffers of a machine: activations, weights, outputs, compressed."""
    names = ("activations", "weights", "outputs", "compressed")
    sizes = [run["point"][f"buffers.{name}.capacity_kib"] for name in names]
    return " + ".join(f"{size:g}" for size in sizes if size != "")

"""Perplexities that were measured once and are kept as JSON, for studies to show beside costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.files import write_texts
from accelsim.base.renamed import with_new_names
from accelsim.studies.runs import Run

ERRORS = 2
"""By how many standard errors, to its bad side, a measured number must meet its bound."""

_SAME = ("model", "text", "settings", "compute_type")
_KEPT = ("accelsim", *_SAME, "dense")


@dataclass(frozen=True)
class Perplexities:
    """Perplexities of the shipped model: `accelsim accuracy --exact --json`, without its layers.

    Attributes:
        file: one measurement, or several by precision.
        patterns: what `measure` measures again.
        mitigations: with which of them.
        criteria: ranked by which of them.
        others: measurements of another experiment that are shown, too, and not measured here.
    """

    file: Path
    patterns: Sequence[str] = ()
    mitigations: Sequence[str] = ("none",)
    criteria: Sequence[str] = ("act",)
    others: Sequence[Path] = ()

    def read(self) -> Mapping[str, Any]:
        """Return the contents of the file."""
        data: Mapping[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return data

    def records(self) -> list[Run]:
        """Return one record for each measurement, in the shape of a run.

        Its point has `precision`, `pattern`, `criterion`, `mitigation`, and `weights`, the pattern
        of W beside it; its totals what was measured, and `dense_perplexity`.
        """
        files = [Perplexities(path).read() for path in self.others] + [self.read()]
        return [
            _record(row, measured)
            for data in files
            for measured in _measurements(data)
            for row in measured["rows"]
        ]

    def measure(self) -> None:
        """Measure the patterns on this machine, and replace their rows in the file.

        Nothing is measured if no patterns are given: another experiment measures this file.

        Raises:
            InputError: another model or text: increases of different ones must not stand side by
                side.
        """
        if not self.patterns:
            return
        known = self.read()
        if "rows" in known:
            new: Mapping[str, Any] = self._updated(known)
        else:
            new = {precision: self._updated(old) for precision, old in known.items()}
        write_texts({self.file: json.dumps(new, indent=1) + "\n"})

    def _updated(self, known: Mapping[str, Any]) -> dict[str, Any]:
        new = self._measured(known)
        for key in _SAME:
            if new[key] != known[key]:
                raise InputError(f"{self.file}: rows that are kept are of another {key}")
        rows = {_key(row): row for row in known["rows"]}
        for fresh in new["rows"]:
            rows[_key(fresh)] = {k: v for k, v in fresh.items() if k not in ("layers", "policy")}
        return {**{key: new[key] for key in _KEPT}, "rows": list(rows.values())}

    def _measured(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the patterns measured in the settings of what is known; with pruned W, its own."""
        settings, criteria, patterns = known["settings"], self.criteria, self.patterns
        command = ["accuracy", "--exact", "--json", "--precision", settings["precision"]]
        if "weights" in settings:
            criteria = ("act",)
            patterns = tuple(dict.fromkeys(row["pattern"] for row in known["rows"]))
            command += ["--weights", settings["weights"]]
        command += ["--patterns", ",".join(patterns)]
        command += ["--mitigations", ",".join(self.mitigations)]
        command += ["--criteria", ",".join(criteria)]
        done = subprocess.run(
            [sys.executable, "-m", "accelsim", *command],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        data: dict[str, Any] = json.loads(done.stdout)
        return data


def at_most(records: Sequence[Run]) -> float:
    """Return a quantity: the increase of perplexity with `ERRORS` standard errors more."""
    increase, error = _increase(records[0])
    return increase + ERRORS * error


def loss_ratio(records: Sequence[Run]) -> float:
    """Return a quantity of two: the increase of the first over the last's, both to the bad side."""
    increase, error = _increase(records[-1])
    return at_most(records) / (increase - ERRORS * error)


def steepness(runs: Sequence[Run]) -> float:
    """Return the perplexity that an area buys in the first of two steps, over that in the second.

    Args:
        runs: three machines, one larger than the other, and then the records of their patterns.
            Increases are taken to the bad side by `ERRORS` standard errors each.
    """
    small, middle, large = (run["totals"]["area_um2"] for run in runs[:3])
    (first, second, third), errors = zip(*map(_increase, runs[3:]), strict=True)
    steep = first - second - ERRORS * (errors[0] + errors[1])
    flat = second - third + ERRORS * (errors[1] + errors[2])
    return float(steep / (middle - small) * (large - middle) / flat)


def _increase(record: Run) -> tuple[float, float]:
    return record["totals"]["perplexity_increase_ratio"], record["totals"][
        "perplexity_increase_ratio_stderr"
    ]


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["pattern"], row["criterion"], row["mitigation"]


def _measurements(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [data] if "rows" in data else list(data.values())


def _record(row: Mapping[str, Any], measured: Mapping[str, Any]) -> Run:
    point = {key: row[key] for key in ("pattern", "criterion", "mitigation")}
    dense = {"dense_perplexity": measured["dense"]["perplexity"]}
    settings = measured["settings"]
    point |= {"precision": settings["precision"], "weights": settings.get("weights", "dense")}
    return {
        "point": point,
        "totals": {**with_new_names(row), **dense},
        "baseline": {},
        "arch": {},
    }

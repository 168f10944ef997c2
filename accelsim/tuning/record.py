"""What tuning came to: data for `--json`, and an architecture file that says how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from accelsim.base.yaml_source import KeyPath
from accelsim.config.file import key_of
from accelsim.run.simulation import simulate
from accelsim.tuning.bench import Contents, Workbench, got
from accelsim.tuning.descent import Tried, Tuned

_LONGEST_NAME = 80
_SUFFIX = "_tuned"


def tuned_name(name: str) -> str:
    """Return the name of a tuned machine.

    >>> tuned_name("nm816")
    'nm816_tuned'
    """
    return name[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX


def record(tuned: Tuned, bench: Workbench, loss: float) -> dict[str, Any]:
    """Return what tuning came to: the JSON contract of `accelsim tune`.

    Each number is given of the file (`before`), of the machine with generous parts that cycles are
    lost against (`generous`), and of the smallest machine (`after`).
    """
    machines = {"before": tuned.before, "generous": tuned.generous, "after": tuned.after}
    totals = {
        which: [bench.totals(it.candidate, duty) for duty in bench.duties]
        for which, it in machines.items()
    }
    rows = []
    for place, duty in enumerate(bench.duties):
        row: dict[str, Any] = {"phase": duty.phase, "batch": duty.batch}
        row["cycles"] = {which: it.cycles[place] for which, it in machines.items()}
        row["energy_pj"] = {which: totals[which][place]["energy_pj"] for which in machines}
        cycles = row["cycles"]
        row["loss_ratio"] = cycles["after"] / cycles["generous"] - 1
        rows.append(row)
    return {
        "schema": 1,
        "machine": tuned.before.candidate.arch.name,
        "keep": list(bench.fixed),
        "allowed_loss_ratio": loss,
        "loss_ratio": tuned.loss_ratio,
        "doublings": tuned.doublings,
        "simulations": tuned.simulations,
        "area_um2": {which: it.area_um2 for which, it in machines.items()},
        "duties": rows,
        "warnings": power_warnings(tuned, bench),
        "units": list(_units(tuned)),
        "arch": contents_of(tuned),
    }


def power_warnings(tuned: Tuned, bench: Workbench) -> list[str]:
    """Return a warning for each duty in which the smallest machine is too dense in power."""
    name = tuned_name(str(tuned.after.contents["name"]))
    said = []
    for duty in bench.duties:
        result = simulate(
            tuned.after.candidate.arch,
            bench.workload.trace,
            policy=bench.policy,
            phase=duty.phase,
            batch=duty.batch,
            cache=bench.workload.cache,
        )
        said += [f"{name}: {duty}: {note}" for note in result.power_notes]
    return said


def _units(tuned: Tuned) -> Iterator[dict[str, Any]]:
    """Yield for each unit its areas, and those of its keys that tuning may change."""
    machines = {"before": tuned.before, "generous": tuned.generous, "after": tuned.after}
    for name in tuned.before.candidate.unit_um2:
        areas = {which: it.candidate.unit_um2[name] for which, it in machines.items()}
        keys = {
            ".".join(key): {which: _value(it, name, key) for which, it in machines.items()}
            for key in _keys(tuned, name)
        }
        yield {"unit": name, "area_um2": areas, "keys": keys}


def _keys(tuned: Tuned, unit: str) -> list[KeyPath]:
    """Return the keys of a unit that differ between file, generous parts and the smallest."""
    machines = (tuned.before, tuned.generous, tuned.after)
    sections = [got(it.contents, key_of(unit)) or {} for it in machines]
    names = dict.fromkeys(name for section in sections for name in section)
    keys = [(*key_of(unit), name) for name in names]
    return [key for key in keys if len({_value(it, unit, key) for it in machines}) > 1]


def _value(it: Tried, unit: str, key: KeyPath) -> Any:
    """Return the value of a key of a unit: that of the file, or its default."""
    value = got(it.contents, key)
    return getattr(it.candidate.arch.units[unit], key[-1], None) if value is None else value


def contents_of(tuned: Tuned) -> Contents:
    """Return the contents of the architecture file of the smallest machine."""
    contents = dict(tuned.after.contents)
    return {**contents, "name": tuned_name(str(contents["name"]))}


def file_text(tuned: Tuned, bench: Workbench, loss: float) -> str:
    """Return the architecture file of the smallest machine, with what was measured in comments."""
    trace = bench.workload.trace
    kept = ", ".join(bench.fixed) or "the array and DRAM"
    lines = [
        f"{bench.source.path.name} with the smallest buffers, ports and selectors that lose at "
        f"most {100 * loss:.3g} % of the cycles.",
        f"Found by `accelsim tune` on {trace.path.name} ({trace.sha256[:12]}); kept: {kept}.",
        f"Area {tuned.after.area_um2:,.0f} um2; of the file it was made from: "
        f"{tuned.before.area_um2:,.0f} um2.",
    ]
    for place, duty in enumerate(bench.duties):
        before, best, after = (
            it.cycles[place] for it in (tuned.before, tuned.generous, tuned.after)
        )
        lines.append(
            f"Cycles in {duty}: {after:,}; with generous parts {best:,} "
            f"({after / best - 1:+.2%}), of the file {before:,}."
        )
    comments = "".join(f"# {_printable(line)}\n" for line in lines)
    body = yaml.safe_dump(contents_of(tuned), sort_keys=False, default_flow_style=None, width=1000)
    return comments + body


def _printable(line: str) -> str:
    """Return a comment on one line, whatever the names of files are."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)

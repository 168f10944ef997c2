"""Results on disk, as `run --out` and `compare --out` write them, and ratios between them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.files import exists, read_bytes
from accelsim.base.renamed import with_new_names
from accelsim.base.strict_json import read_json
from accelsim.results.comparison import Ratios
from accelsim.results.export import raw_cell
from accelsim.results.result import SCHEMA
from accelsim.trace.places import places

Run = Mapping[str, Any]
"""The data of `accelsim run --json`."""

_SHARED = ("mac_array", "clock_mhz", "precision", "dram", "technology")
WORK = ("trace", "phase", "batch")
"""What two runs must share for their numbers to compare."""
_LAYER_KEYS = (
    "needed_rows_ratio",
    "unit_busy_cycles",
)  # the oldest results lack them
_TOTALS = ("cycles", "time_s", "energy_pj", "area_um2", "edp_pj_s", "tops_per_mm2")
_KEYS = {"arch": dict, "trace": dict, "phase": str, "totals": dict, "units": dict, "layers": list}


def load_runs(folders: Iterable[Path]) -> list[Run]:
    """Return the runs of result folders: one of a `run`, all machines of a `compare`.

    Raises:
        InputError: a folder or a file in it is missing, or is not what a command wrote.
    """
    return [load_run(folder) for given in folders for folder in _machines(given)]


def load_run(folder: Path) -> Run:
    """Return the run of one folder; its place is kept under `folder`."""
    path = folder / "result.json"
    data = read_json(path, "; a run folder is what `accelsim run … --out DIR` writes")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{path}: not a result of schema {SCHEMA}")
    missing = _missing(data)
    if missing:
        raise InputError(f"{path}: key '{missing[0]}' is missing; run it again with this version")
    return {**data, "layers": _with_kinds(data["layers"]), "folder": str(folder)}


def bandwidths_gb_per_s(arch: Mapping[str, Any]) -> list[float]:
    """Return the bandwidth of each DRAM channel, from the keys of a machine.

    >>> second = {"weight_dram": {"bandwidth_gb_per_s": 32}, "row_gather": {}}
    >>> bandwidths_gb_per_s({"dram": {"bandwidth_gb_per_s": 12.8}, "units": second})
    [12.8, 32]
    """
    units, key = (arch["dram"], *arch.get("units", {}).values()), "bandwidth_gb_per_s"
    return [unit[key] for unit in units if key in unit]


def _with_kinds(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return layers as of today: kinds are told from all names, not from their ends."""
    shapes = {one["name"]: (one.get("in_features"), one.get("out_features")) for one in layers}
    found = places(shapes)
    return [with_new_names({**layer, "kind": found[layer["name"]].kind}) for layer in layers]


def _missing(data: Mapping[str, Any]) -> list[str]:
    """Return the keys that a result lacks; a part of another type has none."""
    missing = [key for key, kind in _KEYS.items() if not isinstance(data.get(key), kind)]
    arch, units = data.get("arch"), data.get("units")
    missing += [f"arch.{key}" for key in ("name", "pattern") if key not in (arch or ())]
    missing += [f"units.{name}" for name, unit in _items(units) if not isinstance(unit, dict)]
    trace, batch = data.get("trace"), data.get("batch")
    hashed = trace.get("sha256") if isinstance(trace, dict) else None
    missing += ["trace.sha256"] * (not isinstance(hashed, str | None))
    missing += ["batch"] * (not isinstance(batch, int | None))
    layers, totals = data.get("layers"), data.get("totals")
    found_layers = layers if isinstance(layers, list) and layers else [None]
    parts = [("layers", layer, _LAYER_KEYS) for layer in found_layers]
    names = [layer.get("name") for layer in found_layers if isinstance(layer, dict)]
    missing += ["layers.name"] * any(not isinstance(name, str) for name in names)
    for part, found, keys in (*parts, ("totals", totals, _TOTALS)):
        there = found if isinstance(found, dict) else {}
        missing += [f"{part}.{key}" for key in keys if key not in there]
    return missing


def _items(section: object) -> Iterable[tuple[str, Any]]:
    return section.items() if isinstance(section, dict) else ()


def _machines(folder: Path) -> list[Path]:
    """Return the folders of a comparison in its order, or the folder of a run itself."""
    table = folder / "comparison.csv"
    if not exists(table):
        return [folder]
    try:
        rows = list(csv.DictReader(read_bytes(table).decode().splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a comparison: {error}") from error
    if not rows or "name" not in rows[0]:
        raise InputError(f"{table}: not a comparison: no column 'name'")
    return [folder / raw_cell(row["name"]) for row in rows]


def is_dense(run: Run) -> bool:
    """Whether a run is of a dense machine."""
    return bool(run["arch"]["pattern"] == "dense")


def labels(runs: Sequence[Run]) -> list[str]:
    """Return labels that tell runs apart: patterns, else names, else names with numbers.

    Where a policy prunes layers differently, `+ rules` follows.

    >>> labels([{"arch": {"pattern": pattern, "name": "mine"}} for pattern in ("2:4", "8:16")])
    ['2:4', '8:16']
    """
    for key in ("pattern", "name"):
        found = [f"{run['arch'][key]}{_rules(run)}" for run in runs]
        if len(set(found)) == len(found):
            return found
    seen: Counter[str] = Counter()
    numbered = []
    for name in found:
        seen[name] += 1
        numbered.append(f"{name} {seen[name]}")
    return numbered


def check_same_work(what: str, runs: Sequence[Run], parts: Sequence[str] = WORK) -> None:
    """Raise InputError unless runs did the same work: only then do their numbers compare.

    Args:
        what: what is to compare them, for the message.
        runs: any runs.
        parts: in which they must not differ, of `WORK`.
    """
    for part in parts:
        found = {_part(run, part): run for run in runs}
        if len(found) > 1:
            each = ", ".join(f"{_named(run)}: {_said(run, part)}" for run in found.values())
            raise InputError(
                f"{what} shows runs of the same {part}, these are not: {each}; draw each by itself"
            )


def _part(run: Run, part: str) -> Any:
    """Return what identifies a part of a run's work."""
    return run["trace"].get("sha256") if part == "trace" else run.get(part)


def _said(run: Run, part: str) -> str:
    """Return a part of a run's work for people."""
    if part == "trace":
        return f"{run['trace'].get('path')} (sha256 {str(run['trace'].get('sha256'))[:8]})"
    return f"batch {run.get('batch')}" if part == "batch" else str(run.get(part))


def _named(run: Run) -> str:
    return str(run.get("folder") or run["arch"]["name"])


def ratios(run: Run, runs: Sequence[Run]) -> Mapping[str, float]:
    """Return the ratios of a run to a dense one.

    That is the dense one of `runs` on the same work and array, else the run's own baseline.

    Raises:
        InputError: there is neither.
    """
    dense = [other for other in runs if is_dense(other) and _work(other) == _work(run)]
    for other in dense:
        if not _difference(run, other):
            return Ratios.between(run["totals"], other["totals"]).to_dict()
    if run.get("baseline") is not None:
        return {key: value for key, value in run["baseline"].items() if isinstance(value, float)}
    name = run["arch"]["name"]
    if dense:
        raise InputError(
            f"{name}: the dense run differs in {_difference(run, dense[0])}, not only in sparsity"
        )
    raise InputError(
        f"{name}: nothing to compare with: give a dense run of the same trace, phase and batch as "
        f"well, or a run with a baseline"
    )


def captions(runs: Sequence[Run]) -> list[str]:
    """Return labels for figures side by side, with the parts of the work in which runs differ."""
    parts = [part for part in WORK if len({_part(run, part) for run in runs}) > 1]
    return [
        ", ".join([label, *(_said(run, part).partition(" (")[0] for part in parts)])
        for label, run in zip(labels(runs), runs, strict=True)
    ]


def _rules(run: Run) -> str:
    return " + rules" if run.get("policy") else ""


def _work(run: Run) -> tuple[Any, ...]:
    return tuple(_part(run, part) for part in WORK)


def _difference(run: Run, other: Run) -> str:
    """Return the keys that both machines have to share and do not; buffers may differ."""
    return ", ".join(key for key in _SHARED if run["arch"].get(key) != other["arch"].get(key))

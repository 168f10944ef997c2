"""How busy units are over the time of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from accelsim.accounting.breakdown import leaders
from accelsim.base.errors import InputError
from accelsim.base.files import exists
from accelsim.base.strict_json import read_json
from accelsim.dataflows import DATAFLOWS, DEFAULT_DATAFLOW
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run
from accelsim.report.style import legend_above, named, unit_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TIMELINE = "timeline.json"
_ROUNDING = 1e-3  # of the times in it
_SHARE = "_ratio"  # ends the keys of busy shares


@PLOTS.register("utilization")
class Utilization(Plot):
    """Share of cycles in which array, DRAM channels and selector work, one step for each layer.

    With a `timeline.json` in the folder of the run (`run --timeline DIR/timeline.json --out DIR`),
    a step is one of `bins` equal spans of it instead.
    """

    about: ClassVar[str] = "busy share of MAC array, DRAM and selector over time"
    options: ClassVar[tuple[str, ...]] = ("bins",)
    is_of_one_run: ClassVar[bool] = True

    @staticmethod
    @override
    def numbers(runs: Sequence[Run], bins: int = 200) -> list[Row]:  # type: ignore[override]
        (run,) = runs
        if bins < 1:
            raise InputError(f"bins {bins}: must be at least 1")
        timeline = Path(run.get("folder", "")) / _TIMELINE
        if "folder" in run and exists(timeline):
            rows = list(_binned(timeline, _shown(run), bins))
            _check_whole(timeline, run, rows)
            return rows
        return list(_by_layer(run))

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        edges = [row["start_us"] for row in rows] + [rows[-1]["end_us"]]
        for key in (key for key in rows[0] if key.endswith(_SHARE)):
            unit, values = key.removesuffix(_SHARE), [100 * row[key] for row in rows]
            ax.stairs(values, edges, baseline=None, color=unit_colour(unit), label=named(unit))
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(0, 103)
        ax.set_xlabel("time (µs)")
        ax.set_ylabel("busy (%)")
        legend_above(ax)


def _shown(run: Run) -> Sequence[str]:
    """Return the units that are drawn, by the run's dataflow: array, resources, selector."""
    return leaders(DATAFLOWS[run["arch"].get("dataflow", DEFAULT_DATAFLOW)])


def _check_whole(path: Path, run: Run, rows: Sequence[Row]) -> None:
    """Raise InputError if a timeline shows only a part of the run, or is of another one."""
    array = _shown(run)[0]
    shown = sum((row["end_us"] - row["start_us"]) * row.get(array + _SHARE, 0) for row in rows)
    worked = run["units"][array]["busy_cycles"] / run["arch"]["clock_mhz"]
    if not math.isclose(shown, worked, rel_tol=_ROUNDING):
        raise InputError(
            f"{path}: shows {shown:,.0f} µs of MAC array work, the run has {worked:,.0f}: record "
            f"all layers and tiles (without --watch-layers, --watch-tiles), or remove the file"
        )


def _by_layer(run: Run) -> Iterator[Row]:
    start_us = 0.0
    for layer in run["layers"]:
        end_us = start_us + layer["cycles"] / run["arch"]["clock_mhz"]
        busy = layer["unit_busy_cycles"]
        shares = {f"{u}_ratio": busy[u] / layer["cycles"] for u in _shown(run) if u in busy}
        yield {"layer": layer["name"], "start_us": start_us, "end_us": end_us, **shares}
        start_us = end_us


def _binned(path: Path, units: Sequence[str], bins: int) -> Iterator[Row]:
    """Yield equal spans of a timeline, with the share of each that units work on tiles."""
    data = read_json(path)
    try:
        events = data["traceEvents"]
        tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
        slices = [event for event in events if event.get("ph") == "X"]
        end_us = max(event["ts"] + event["dur"] for event in slices)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a timeline of `accelsim run --timeline`") from error
    edges = np.linspace(0, end_us, bins + 1)
    shares = {}
    for unit in units:
        work = [e for e in slices if tracks.get(e["tid"]) == unit and e["name"].startswith("tile")]
        if work:
            shares[f"{unit}_ratio"] = _covered(work, edges)
    for place in range(bins):
        span = {"start_us": float(edges[place]), "end_us": float(edges[place + 1])}
        yield span | {name: float(values[place]) for name, values in shares.items()}


def _covered(work: Sequence[Any], edges: Any) -> Any:
    """Return the share of each span between edges that disjoint slices of time cover."""
    starts = np.array([event["ts"] for event in work])
    ends = starts + [event["dur"] for event in work]
    moments = np.concatenate([[0.0], np.ravel(np.column_stack([starts, ends]))])
    lengths = np.ravel(np.column_stack([np.zeros(len(work)), ends - starts]))
    worked = np.concatenate([[0.0], np.cumsum(lengths)])
    return np.diff(np.interp(edges, moments, worked)) / np.diff(edges)

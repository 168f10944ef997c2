"""The points of a sweep file, each simulated in full, with the dense machine of its array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.base.cache import DiskCache
from accelsim.base.renamed import both, with_new_names
from accelsim.results.comparison import Ratios
from accelsim.results.result import Result
from accelsim.run.simulation import simulate_all
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.task import Bench, Ready

Run = Mapping[str, Any]


def runs_of(
    sweep: Path,
    trace: Path | None = None,
    *,
    works: Sequence[Mapping[str, Any]] = ({},),
    on_layer: Callable[..., None] | None = None,
) -> list[Run]:
    """Simulate every point of a sweep file; return the data of `accelsim run --json` of each.

    A run has the settings of its point besides, as `point`, and its `baseline` is the dense machine
    of the same array, buffers and DRAM on the same work: `name`, `totals`, `units`, ratios to it.

    Args:
        sweep: the sweep file (`docs/sweep.md`).
        trace: replaces the traces of the file.
        works: every point runs in each of these, a `phase` and a `batch` instead of its own.
        on_layer: called before each layer on each machine, for progress.

    Raises:
        InputError: the file is wrong, or one of its points is no machine.
    """
    plan = load_plan(sweep, trace)
    bench = Bench(plan)
    runs: dict[int, Run] = {}
    work: dict[tuple[Any, ...], list[int]] = {}
    settings = [plan.grid.settings(index) for index in range(len(plan.grid))]
    points = [{**point, **own} for own in works for point in settings]
    for index, point in enumerate(points):
        work.setdefault((point["trace"], point["phase"], point["batch"]), []).append(index)
    for (name, phase, batch), indices in work.items():
        ready = [bench.ready(points[index]) for index in indices]
        options = {"phase": phase, "batch": batch, "cache": DiskCache.of_user()}
        pairs = _with_dense(ready, bench.workload(name).trace, on_layer=on_layer, **options)
        for index, (result, dense) in zip(indices, pairs, strict=True):
            runs[index] = _run(points[index], result, dense)
    return [runs[index] for index in range(len(points))]


def _with_dense(
    ready: Sequence[Ready], trace: Any, **options: Any
) -> Iterator[tuple[Result, Result]]:
    """Yield each machine's result and its dense machine's; equal dense machines run once."""
    denses = {one.arch.dense().model_dump_json(): one.arch.dense() for one in ready}
    results = simulate_all(
        [*(one.arch for one in ready), *denses.values()],
        trace,
        policies=[*(one.policy for one in ready), *(None for _ in denses)],
        **options,
    )
    references = dict(zip(denses, results[len(ready) :], strict=True))
    for one, result in zip(ready, results, strict=False):
        yield result, references[one.arch.dense().model_dump_json()]


def _run(point: Mapping[str, Any], result: Result, dense: Result) -> Run:
    units = {name: unit.to_dict() for name, unit in dense.units.items()}
    baseline = {"name": dense.arch["name"], "totals": dense.totals(), "units": units}
    ratios = Ratios.of(result, dense).to_dict()
    return {**result.to_dict(), "point": dict(point), "baseline": baseline | ratios}


def row(run: Run) -> dict[str, Any]:
    """Return a run as a flat row: settings, totals, ratios to the dense machine."""
    ratios = {key: value for key, value in run["baseline"].items() if isinstance(value, float)}
    return {
        **run["point"],
        **run["totals"],
        **ratios,
        **both("dropped_energy_ratio", dropped_squared_magnitude_ratio(run)),
    }


def dropped_squared_magnitude_ratio(run: Run, kind: str | None = None) -> float | None:
    """Return the share of squared magnitude that selection drops: the mean over layers of a kind.

    Without a kind it is that of all layers; None if it is known of none.
    """
    layers = [
        layer for layer in map(with_new_names, run["layers"]) if kind in (None, layer["kind"])
    ]
    dropped = [layer["dropped_squared_magnitude_ratio"] for layer in layers]
    known = [ratio for ratio in dropped if ratio is not None]
    return sum(known) / len(known) if known else None

"""What selection drops of each layer's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.base.renamed import both, with_new_names
from accelsim.report.heatmap import layer_map
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, is_dense
from accelsim.trace.places import block_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@PLOTS.register("heatmap")
class Heatmap(Plot):
    """Blocks downwards, kinds of layers across."""

    about: ClassVar[str] = "dropped squared magnitude of each layer: blocks down, kinds across"
    is_of_one_run: ClassVar[bool] = True

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        (run,) = runs
        if is_dense(run):
            raise InputError("plot 'heatmap' needs a run that drops something, not a dense one")
        rows: list[Row] = [
            {
                "layer": layer["name"],
                "block": block_of(layer["name"]),
                "kind": layer["kind"],
                **both("dropped_energy_ratio", layer["dropped_squared_magnitude_ratio"]),
            }
            for layer in map(with_new_names, run["layers"])
        ]
        if any(row["dropped_squared_magnitude_ratio"] is None for row in rows):
            raise InputError(f"{run['trace']['path']}: has no values, so nothing is known to drop")
        return rows

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        values = {row["layer"]: 100 * row["dropped_squared_magnitude_ratio"] for row in rows}
        places = {row["layer"]: (row["block"], row["kind"]) for row in rows}
        layer_map(ax, values, places, label="dropped share of squared magnitude (%)")

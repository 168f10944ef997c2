"""A heat map of layers: blocks downwards, kinds across."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from accelsim.errors import InputError, MissingExtraError
from accelsim.files import replacing
from accelsim.report.places import grid

_FORMATS = (".png", ".pdf", ".svg")


def layer_heatmap(layers: Mapping[str, Mapping[str, float]], *, title: str, path: Path) -> None:
    """Draw the output error of each layer, in percent, and write the figure.

    Args:
        layers: by name, with `output_error_ratio`.
        title: above the map.
        path: a file ending in .png, .pdf or .svg.

    Raises:
        InputError: another ending, or not writable.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    from matplotlib.figure import Figure

    blocks, kinds, at = grid(layers)
    errors = {name: 100 * layer["output_error_ratio"] for name, layer in layers.items()}
    values = np.array(
        [[errors.get(at.get((block, kind), ""), np.nan) for kind in kinds] for block in blocks]
    )
    figure = Figure(figsize=(1.6 + 0.75 * len(kinds), 1.4 + 0.32 * len(blocks)), dpi=150)
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", aspect="auto", vmin=0)
    axes.set_xticks(range(len(kinds)), kinds, rotation=30, ha="right")
    axes.set_yticks(range(len(blocks)), blocks)
    axes.set_ylabel("block")
    axes.set_title(title, fontsize=9)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = "white" if value < np.nanmax(values) / 2 else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=shade, size=7)
    figure.colorbar(image, ax=axes, label="squared output error (%)")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], bbox_inches="tight")


def check_format(path: Path) -> None:
    """Raise InputError unless figures can be written as such a file; MissingExtraError if none."""
    if path.suffix not in _FORMATS:
        raise InputError(f"{path}: figures are written as {', '.join(_FORMATS)}")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "plot")

"""A map of layers: blocks downwards, kinds across."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.report.labels import name_colours, plain, slant
from accelsim.report.style import check_format, figure, save, styled
from accelsim.trace.places import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAP = "cividis"  # even for colour-blind readers
_MM_PER_LETTER = 0.75  # of the height of slanted names
_MOST_BLOCKS = 16  # that leave room for numbers


def layer_heatmap(layers: Mapping[str, Mapping[str, Any]], *, title: str, path: Path) -> None:
    """Draw the output error of each layer, in percent, and write the figure.

    Args:
        layers: by name, with `block`, `kind` and `output_error_ratio`.
        title: above the map.
        path: a file ending in .png, .pdf or .svg.

    Raises:
        InputError: another ending, or not writable.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    errors = {name: 100 * layer["output_error_ratio"] for name, layer in layers.items()}
    places = {name: (layer["block"], layer["kind"]) for name, layer in layers.items()}
    blocks, kinds, _ = grid(places)
    names_mm = _MM_PER_LETTER * max(map(len, kinds))
    size: dict[str, Any] = {
        "width_mm": 40 + 15 * len(kinds),
        "height_mm": 25 + 7 * len(blocks) + names_mm,
    }
    drawn, (ax,) = figure(**size)
    with styled():
        layer_map(ax, errors, places, label="squared output error (%)")
        ax.set_title(plain(title))
    save(drawn, path)


def layer_map(
    ax: Axes, values: Mapping[str, float], places: Mapping[str, tuple[str, str]], *, label: str
) -> None:
    """Draw a value a layer, blocks downwards, kinds across.

    Several layers of one block and kind, such as experts, are drawn as their mean; where there is
    no layer, nothing is.

    Args:
        ax: where to draw.
        values: of each layer, by its name.
        places: block and kind of each layer.
        label: of the colour bar.
    """
    blocks, kinds, at = grid(places)
    table = np.full((len(blocks), len(kinds)), np.nan)
    for (block, kind), names in at.items():
        cell = [values[name] for name in names]
        table[blocks.index(block), kinds.index(kind)] = sum(cell) / len(cell)
    image = ax.imshow(table, cmap=_MAP, aspect="auto", vmin=0)
    ax.set_xticks(range(len(kinds)), [plain(kind) for kind in kinds])
    slant(ax)
    step = max(1, len(blocks) // _MOST_BLOCKS)
    ax.set_yticks(range(0, len(blocks), step), blocks[::step])
    ax.set_ylabel("block")
    ax.tick_params(length=0)
    if len(blocks) <= _MOST_BLOCKS:
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                shade = "white" if value < 0.6 * np.nanmax(table) else "black"
                text: Any = {"ha": "center", "va": "center", "color": shade, "fontsize": 5.5}
                ax.text(column, row, f"{value:.1f}", **text)
    name_colours(ax, image, label)

"""How figures look: one palette, one set of sizes, one way to write them.

Colours are Okabe and Ito's, which colour-blind readers tell apart; markers and hatches say the same
again, for print in grey.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from accelsim.base.errors import InputError, check_extra
from accelsim.base.files import replacing
from accelsim.dataflows import DATAFLOWS
from accelsim.report.labels import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes  # noqa: PLC0414 (for others to name)
    from matplotlib.figure import Figure as Figure  # noqa: PLC0414 (for others to name)

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, GREY, LEMON = "#E69F00", "#56B4E9", "#999999", "#F0E442"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, GREY, LEMON)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oo", "**")
PALETTE = MappingProxyType(
    {
        "blue": BLUE,
        "orange": ORANGE,
        "green": GREEN,
        "pink": PINK,
        "yellow": YELLOW,
        "sky": SKY,
        "grey": GREY,
        "lemon": LEMON,
    }
)
OTHER_UNIT = "#000000"
"""Of units that no dataflow gives a colour: those that only pruning methods need."""
CAUSES = MappingProxyType(
    {"busy": GREEN, "starved": SKY, "blocked": ORANGE, "contended": PINK, "idle": "#DDDDDD"}
)
COLUMN_MM, PAGE_MM = 85, 180
"""Widths of one and of two columns of a paper."""
_FORMATS = (".png", ".pdf", ".svg")
_MM_PER_INCH = 25.4
_STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "hatch.linewidth": 0.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "accelsim",  # equal figures are equal files
    "pdf.fonttype": 42,  # text stays text
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house style inside of this block."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def figure(
    panels: int = 1, *, width_mm: float = COLUMN_MM, height_mm: float = 60, rows: int = 1
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure and its axes, side by side in `rows`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    check_extra("matplotlib", "plot")
    from matplotlib.figure import Figure

    with styled():
        drawn = Figure(
            figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH), layout="constrained"
        )
        axes = drawn.subplots(rows, -(-panels // rows), squeeze=False)
    return drawn, list(axes.flat)


def save(drawn: Figure, path: Path) -> None:
    """Write a figure, whole or not at all.

    Raises:
        InputError: another ending than .png, .pdf or .svg, or not writable.
    """
    check_format(path)
    kind = path.suffix[1:]
    # No date: equal figures are equal files.
    dates: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with styled():
        spread(drawn)
    contents = io.BytesIO()  # first: on a full disk matplotlib fails in ways of its own
    with styled():
        drawn.savefig(contents, format=kind, dpi=200, metadata=dates.get(kind))
    with replacing(path) as temporary:
        temporary.write_bytes(contents.getvalue())


def check_format(path: Path) -> None:
    """Raise InputError unless figures can be written as such a file; MissingExtraError if none."""
    if path.suffix not in _FORMATS:
        raise InputError(f"{path}: figures are written as {', '.join(_FORMATS)}")
    check_extra("matplotlib", "plot")


def legend_above(axes: Axes, *, columns: int = 3, **options: Any) -> None:
    """Put the legend over the axes, where no data is."""
    look: Any = {"borderaxespad": 0.2, "handlelength": 1.3, "columnspacing": 0.9}
    look |= {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "handletextpad": 0.4}
    axes.legend(ncols=columns, **look | options)


def legend_beside(axes: Axes) -> None:
    """Put the legend to the right of the axes, in the order in which parts are stacked."""
    handles, names = axes.get_legend_handles_labels()
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axes.legend(handles[::-1], names[::-1], **place)


def plain_log_ticks(axes: Axes) -> None:
    """Write the ticks of logarithmic axes as numbers: 1, 2, 5, 10."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())


def named(unit: str) -> str:
    """Return the name that figures write for a unit, or for anything else with underscores.

    >>> named("mac_array"), named("weight_dma")
    ('MAC array', 'weight DMA')
    """
    words = unit.split("_")
    return " ".join(word.upper() if word in {"mac", "dma", "dram"} else word for word in words)


def unit_colour(unit: str) -> str:
    """Return the colour that the first dataflow with this unit gives it; else `OTHER_UNIT`."""
    return unit_colours().get(unit, OTHER_UNIT)


@cache
def unit_colours() -> Mapping[str, str]:
    """Return the colour of every unit that a dataflow gives one."""
    colours: dict[str, str] = {}
    for diagram in DATAFLOWS.values():
        for unit, name in diagram.colours.items():
            colours.setdefault(unit, PALETTE[name])
    return MappingProxyType(colours)

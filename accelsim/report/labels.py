"""Text in figures: names as they are, and labels that do not lie on each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from accelsim.report.text import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_FREE, _ON_LINE = "accelsim.free", "accelsim.line"
_POINTS_PER_LETTER = 3.7  # at 7 points
_SLANTED_POINTS = 15  # that slanted names need from group to group
_MARKER_POINTS = 2.5  # half of its size
_SIDES = (
    *((1, 1), (-1, 1), (1, -1), (-1, -1)),
    *((0, 1), (0, -1), (1, 0), (-1, 0)),
)
_DISTANCES = (3, 6, 10, 15, 20)  # points
_ALIGNED = {1: ("left", "bottom"), 0: ("center", "center"), -1: ("right", "top")}


def plain(name: object) -> str:
    r"""Return a name that matplotlib writes as it is: no formula, and not left out of a legend.

    >>> print(plain("$x$"), plain("_hidden"))
    \$x\$  _hidden
    """
    text = escaped(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def name_groups(ax: Axes, groups: Sequence[str]) -> None:
    """Write names under groups at 0, 1, …, at an angle where they are too long to stand."""
    names = ["\n".join(map(plain, group.split("\n"))) for group in groups]
    ax.set_xticks(range(len(names)), names)
    width = 72 * ax.figure.get_figwidth() / _columns(ax)  # type: ignore[union-attr]
    room = 0.6 * width / len(names)
    longest = max(len(line) for name in names for line in name.split("\n"))
    if _POINTS_PER_LETTER * (longest + 1) > 1.3 * room:
        slant(ax, 35 if room > _SLANTED_POINTS else 90)


def slant(ax: Axes, degrees: float = 35) -> None:
    """Write the names under groups at an angle."""
    for label in ax.get_xticklabels():
        label.set(rotation=degrees, ha="right", rotation_mode="anchor")
        if degrees == 90:  # noqa: PLR2004
            label.set(va="center")


def name_colours(ax: Axes, image: Any, text: str) -> None:
    """Put a colour bar beside a map, with as many lines of text as its height asks for."""
    assert ax.figure is not None
    height = 72 * ax.figure.get_figheight()  # type: ignore[union-attr]
    letters = max(8, int(0.45 * height / _POINTS_PER_LETTER))
    ax.figure.colorbar(image, ax=ax, label=fill(text, letters))


def label_point(ax: Axes, text: str, spot: tuple[float, float]) -> None:
    """Label a point; `spread` moves the label if it lies on another, or on a marker."""
    look: Any = {"textcoords": "offset points", "fontsize": 5.5, "gid": _FREE}
    ax.annotate(plain(text), spot, (3, 3), **look)


def label_line(ax: Axes, text: str, x: float) -> None:
    """Label a vertical line; `spread` moves the label to where no marker is."""
    look: Any = {"xycoords": ("data", "axes fraction"), "fontsize": 5.5, "rotation": 90}
    ax.annotate(plain(text), (x, 0.98), ha="right", va="top", gid=_ON_LINE, **look)


def spread(figure: Figure) -> None:
    """Move the labels of a figure to where they hide nothing, as far as there is room."""
    labelled = [ax for ax in figure.axes if any(True for _ in _labels(ax))]
    if not labelled:
        return
    figure.draw_without_rendering()  # now it is known where everything is
    for ax in labelled:
        taken = list(_markers(ax))
        for label in _labels(ax):
            _place(label, taken)
            taken.append(label.get_window_extent())


def _labels(ax: Axes) -> Iterator[Annotation]:
    for text in ax.texts:
        if text.get_gid() in (_FREE, _ON_LINE):
            yield text  # type: ignore[misc]


def _place(label: Annotation, taken: Sequence[Bbox]) -> None:
    """Put a label where it covers least; of equal places, at the first."""
    candidates = _beside_line(label) if label.get_gid() == _ON_LINE else _around_point()
    least, best = float("inf"), None
    for candidate in candidates:
        label.set(**candidate)
        covered = _covered(label, taken)
        if covered < least:
            least, best = covered, candidate
        if not covered:
            break
    label.set(**(best or {}))


def _around_point() -> Iterator[dict[str, Any]]:
    for distance in _DISTANCES:
        for x, y in _SIDES:
            horizontal, vertical = _ALIGNED[x][0], _ALIGNED[y][1]
            yield {"position": (distance * x, distance * y), "ha": horizontal, "va": vertical}


def _beside_line(label: Annotation) -> Iterator[dict[str, Any]]:
    x = label.xy[0]
    for y, vertical in ((0.98, "top"), (0.02, "bottom"), (0.5, "center")):
        for horizontal in ("right", "left"):
            yield {"position": (x, y), "ha": horizontal, "va": vertical}


def _covered(label: Annotation, taken: Iterable[Bbox]) -> float:
    """Return the area of other things, and of what is outside of the figure, under a label."""
    from matplotlib.transforms import Bbox

    box = label.get_window_extent()
    assert label.figure is not None
    inside = Bbox.intersection(box, label.figure.bbox)
    lost = box.width * box.height - (inside.width * inside.height if inside else 0)
    shared = (Bbox.intersection(box, other) for other in taken)
    return lost + sum(part.width * part.height for part in shared if part)


def _markers(ax: Axes) -> Iterator[Bbox]:
    """Yield the boxes of all markers."""
    from matplotlib.transforms import Bbox

    assert ax.figure is not None
    half = _MARKER_POINTS * ax.figure.dpi / 72
    for line in ax.lines:
        if line.get_marker() in ("None", "", None):
            continue
        for x, y in ax.transData.transform(line.get_xydata()):
            yield Bbox.from_extents(x - half, y - half, x + half, y + half)


def _columns(ax: Axes) -> int:
    """Return how many axes stand side by side in the figure."""
    place = ax.get_subplotspec()
    return 1 if place is None else place.get_gridspec().ncols

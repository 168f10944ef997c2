"""Grouped and stacked bars that several kinds draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelsim.report.labels import name_groups
from accelsim.report.quantity import digits
from accelsim.report.style import COLOURS, HATCHES, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GROUP = 0.84  # of the distance between groups


Range = tuple[float, float]
"""Its lower and its upper end."""


def grouped(  # noqa: PLR0913
    ax: Axes,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    colours: Sequence[str] = COLOURS,
    form: str | None = None,
    spans: Mapping[str, Sequence[Range]] | None = None,
) -> None:
    """Draw one bar of each series in each group, and above it its value (with three digits).

    Args:
        ax: to draw on.
        groups: their names, from left to right.
        series: heights in each group, by name.
        colours: of the series.
        form: how values are written.
        spans: by the name of a series, a lower and an upper end around each of its values.
    """
    width = _GROUP / len(series)
    for place, (name, values) in enumerate(series.items()):
        at = [group - _GROUP / 2 + (place + 0.5) * width for group in range(len(groups))]
        style: Any = {"color": colours[place], "edgecolor": "white", "hatch": HATCHES[place]}
        if spans is not None:
            pairs = list(zip(values, spans[name], strict=True))
            style["yerr"] = [
                [v - low for v, (low, _) in pairs],
                [high - v for v, (_, high) in pairs],
            ]
            style["error_kw"] = {"elinewidth": 0.7}
        bars = ax.bar(at, values, width * 0.94, label=name, **style)
        text: Any = {"fontsize": 5.5, "rotation": 90, "padding": 1.5}
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}  # hides lines
        ax.bar_label(
            bars,
            [form.format(value) if form else digits(value) for value in values],
            bbox=behind,
            **text,
        )
    name_groups(ax, groups)
    ax.tick_params(axis="x", length=0)
    ax.margins(y=0.18)


def stacked(
    ax: Axes,
    groups: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
) -> list[float]:
    """Stack parts on each other in each group; return the height of each stack."""
    base = [0.0] * len(groups)
    for name, values in parts.items():
        ax.bar(
            range(len(groups)),
            values,
            0.7,
            bottom=base,
            color=colours[name],
            edgecolor="white",
            linewidth=0.3,
            label=named(name),
        )
        base = [low + value for low, value in zip(base, values, strict=True)]
    name_groups(ax, groups)
    return base

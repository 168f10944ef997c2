"""Panels of what was measured: bars with standard errors, alone and beside published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelsim.report.style import GREY, PINK
from accelsim.studies.choice import Chosen, Data, facts
from accelsim.studies.figure import Look
from accelsim.studies.panels import height
from accelsim.studies.words import written

if TYPE_CHECKING:
    from accelsim.report.style import Axes


_INCREASE, _ERROR = "perplexity_increase_ratio", "perplexity_increase_ratio_stderr"


def _increases(groups: Mapping[str, Chosen], data: Data) -> tuple[list[float], list[float]]:
    """Return the increase of perplexity of each group in per cent, and its standard error."""
    chosen = groups.values()
    increases = [100 * height(_INCREASE, it, data) for it in chosen]
    return increases, [100 * height(_ERROR, it, data) for it in chosen]


@dataclass(frozen=True)
class Whiskers:
    """Bars of increases of perplexity, with their standard errors, in per cent.

    Attributes:
        groups: from left to right.
        look: of the axes.
        rule: of which runs the height is drawn as a line.
        rule_label: a template that may name facts of these.
    """

    groups: Mapping[str, Chosen]
    look: Look
    rule: Chosen | None = None
    rule_label: str = ""

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw them."""
        percents, errors = _increases(self.groups, data)
        look: Any = {"color": PINK, "capsize": 2, "error_kw": {"linewidth": 0.8}}
        bars = ax.bar(list(self.groups), percents, 0.7, yerr=errors, **look)
        ax.bar_label(bars, [f"{percent:.0f}" for percent in percents], padding=1)
        if self.rule:
            percent = 100 * height(_INCREASE, self.rule, data)
            label = written(self.rule_label, facts(self.rule, data))
            ax.axhline(percent, color="black", linewidth=0.8, linestyle=":", label=label)
        ax.set_ylabel("increase of perplexity (%)")
        self.look.dress(ax, {})


@dataclass(frozen=True)
class Beside:
    """Bars of increases of perplexity, and published numbers on an axis of their own.

    Attributes:
        groups: from left to right.
        published: the right bars.
        labels: of both kinds, in the legend.
        ylabels: of both axes.
    """

    groups: Mapping[str, Chosen]
    published: Sequence[float]
    labels: tuple[str, str]
    ylabels: tuple[str, str]

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw them."""
        percents, errors = _increases(self.groups, data)
        places = range(len(self.groups))
        look: Any = {"color": PINK, "capsize": 1.5, "error_kw": {"linewidth": 0.6}}
        lefts, rights = ([place + side for place in places] for side in (-0.2, 0.2))
        ax.bar(lefts, percents, 0.4, yerr=errors, label=self.labels[0], **look)
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        look = {"color": GREY, "hatch": "////", "edgecolor": "white"}
        right.bar(rights, self.published, 0.4, label=self.labels[1], **look)
        ax.set_xticks(places, list(self.groups))
        for side, label in zip((ax, right), self.ylabels, strict=True):
            side.set_ylabel(label)
        handles = [side.get_legend_handles_labels() for side in (ax, right)]
        both = [left + other for left, other in zip(*handles, strict=True)]
        ax.legend(*both, loc="lower left", bbox_to_anchor=(0, 1.0))

"""A panel of tiles, one for each pair of values of two settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelsim.studies.choice import Chosen, Data, facts
from accelsim.studies.facts import Quantity, number
from accelsim.studies.figure import Look
from accelsim.studies.words import written

if TYPE_CHECKING:
    from accelsim.report.style import Axes


@dataclass(frozen=True)
class Map:
    """A tile for each pair of settings, coloured by what is the case, with a number on it.

    Attributes:
        chosen: the runs of a tile, called with its settings.
        across, up: a setting and its values, from left to right, and from the bottom up.
        kind: which of `kinds` a tile is, as a place in it.
        kinds: colour, opacity and name of each.
        text, across_text, up_text: templates: on a tile, and beside the axes.
        look: of the axes.
    """

    chosen: Callable[..., Chosen]
    across: tuple[str, Sequence[Any]]
    up: tuple[str, Sequence[Any]]
    kind: Quantity
    kinds: Sequence[tuple[str, float, str]]
    text: str
    across_text: str
    up_text: str
    look: Look

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw it."""
        (x_name, xs), (y_name, ys) = self.across, self.up
        for y, up in enumerate(ys):
            for x, across in enumerate(xs):
                self._tile(ax, x, y, self.chosen(**{x_name: across, y_name: up}), data)
        for colour, opacity, label in self.kinds:
            ax.bar(0, 0, color=colour, alpha=opacity, label=label)
        ax.set_xticks(range(len(xs)), [self._said(self.across_text, x_name, x, data) for x in xs])
        ax.set_yticks(range(len(ys)), [self._said(self.up_text, y_name, y, data) for y in ys])
        ax.set_xlim(-0.5, len(xs) - 0.5)
        ax.set_ylim(-0.5, len(ys) - 0.5)
        self.look.dress(ax, facts(self.chosen(), data))

    def _tile(self, ax: Axes, x: int, y: int, chosen: Chosen, data: Data) -> None:
        colour, opacity, _ = self.kinds[number(self.kind, chosen.of(data), chosen.names)]
        look: Any = {"color": colour, "alpha": opacity, "edgecolor": "white"}
        ax.bar(x, 1, width=1, bottom=y - 0.5, **look)
        ax.text(x, y, written(self.text, facts(chosen, data)), ha="center", va="center")

    def _said(self, text: str, name: str, value: Any, data: Data) -> str:
        return written(text, facts(self.chosen(**{name: value}), data))

"""The figure of a study: panels side by side, each drawn from runs, in one house style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from accelsim.report import style
from accelsim.report.plots import draw
from accelsim.studies.choice import Chosen, Data, facts
from accelsim.studies.words import written

if TYPE_CHECKING:
    from accelsim.report.style import Axes


@dataclass(frozen=True)
class Look:
    """The dress of an axes; what is not given stays as it is.

    Attributes:
        xlabel, ylabel: templates that may name facts of the runs of the panel.
        xlim, ylim: ends of the axes.
        xbase, ybase: base of a logarithmic axis.
        xticks, yticks: places, or texts by place.
        has_minor_ticks: whether ticks between those are drawn.
        legend: columns of the legend over the axes, or its options.
    """

    xlabel: str | None = None
    ylabel: str | None = None
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    xbase: float | None = None
    ybase: float | None = None
    xticks: Sequence[float] | Mapping[float, str] | None = None
    yticks: Sequence[float] | Mapping[float, str] | None = None
    has_minor_ticks: bool = True
    legend: int | Mapping[str, Any] | None = None

    def dress(self, ax: Axes, names: Mapping[str, Any]) -> None:
        """Dress an axes."""
        if self.xbase:
            ax.set_xscale("log", base=self.xbase)
        if self.ybase:
            ax.set_yscale("log", base=self.ybase)
        for set_ticks, ticks in ((ax.set_xticks, self.xticks), (ax.set_yticks, self.yticks)):
            if isinstance(ticks, Mapping):
                set_ticks(list(ticks), list(ticks.values()))
            elif ticks is not None:
                set_ticks(ticks)
        if not self.has_minor_ticks:
            ax.minorticks_off()
        texts = {"xlabel": self.xlabel, "ylabel": self.ylabel}
        limits = {"xlim": self.xlim, "ylim": self.ylim}
        ax.set(**{side: written(text, names) for side, text in texts.items() if text is not None})
        ax.set(**{side: ends for side, ends in limits.items() if ends is not None})
        if self.legend is not None:
            options = {"columns": self.legend} if isinstance(self.legend, int) else self.legend
            style.legend_above(ax, **options)


def plain(ticks: Sequence[float]) -> dict[float, str]:
    """Return ticks with their texts: 0.5 as 0.5 and 1 as 1, on logarithmic axes too."""
    return {tick: str(tick) for tick in ticks}


class Panel(Protocol):
    """A drawing on one axes; a study may bring a kind of its own."""

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw it."""


@dataclass(frozen=True)
class Plotted:
    """A kind of plot that `accelsim plot` draws, of some runs.

    Attributes:
        kind: of `accelsim.report.plots.PLOTS`.
        chosen: the runs.
        look: what is changed of the kind's own look.
        options: those of the kind; a function is called when it is drawn.
    """

    kind: str
    chosen: Chosen
    look: Look = field(default_factory=Look)
    options: Mapping[str, Any] = field(default_factory=dict)

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw it."""
        options = {name: it() if callable(it) else it for name, it in self.options.items()}
        draw(self.kind, self.chosen.of(data), ax, **options)
        self.look.dress(ax, facts(self.chosen, data))


@dataclass(frozen=True)
class Figure:
    """Panels side by side, over the width of a page.

    Attributes:
        panels: from left to right.
        height_mm: of the figure.
    """

    panels: Sequence[Panel]
    height_mm: float = 62.0

    def drawn(self, data: Data) -> style.Figure:
        """Return the figure; MissingExtraError without matplotlib."""
        figure, axes = style.figure(
            len(self.panels), width_mm=style.PAGE_MM, height_mm=self.height_mm
        )
        with style.styled():
            for ax, panel in zip(axes, self.panels, strict=True):
                panel.paint(ax, data)
        return figure

"""Panels that several studies draw: bars by group, stacks, lines, and a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accelsim.report.plots.bars import grouped, stacked
from accelsim.report.style import COLOURS, GREY, MARKERS
from accelsim.studies.choice import Chosen, Data, facts
from accelsim.studies.facts import Facts, Quantity, number
from accelsim.studies.figure import Look
from accelsim.studies.prose import Span
from accelsim.studies.runs import Run
from accelsim.studies.words import written

if TYPE_CHECKING:
    from accelsim.report.style import Axes

Groups = Mapping[str, Callable[..., Chosen]]
"""By label, the runs of a group of bars: called with the settings of a bar."""


@dataclass(frozen=True)
class Bar:
    """One bar of each group.

    Attributes:
        quantity: its height.
        at: settings of its runs, besides those of the group.
        span: a lower and an upper end around the height; all bars of a panel have one, or none.
    """

    quantity: Quantity
    at: Mapping[str, Any] = field(default_factory=dict)
    span: Callable[[Sequence[Run]], Span] | None = None


@dataclass(frozen=True)
class Bars:
    """Bars in groups, each with its number over it.

    Attributes:
        groups: from left to right.
        bars: of each group, by label.
        look: of the axes.
        scale: by which numbers are multiplied: 100 for per cent.
        form: how numbers are written; default: with three digits.
        rule: a height at which a line is drawn.
        colours: of the bars of a group.
    """

    groups: Groups
    bars: Mapping[str, Bar]
    look: Look
    scale: float = 1.0
    form: str | None = None
    rule: float | None = None
    colours: Sequence[str] = COLOURS

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw them."""
        series = {
            label: [self.scale * height(bar.quantity, of(**bar.at), data) for of in self._groups]
            for label, bar in self.bars.items()
        }
        spans = {
            label: [self._span(bar.span, of(**bar.at), data) for of in self._groups]
            for label, bar in self.bars.items()
            if bar.span is not None
        }
        options: Any = {"form": self.form, "colours": self.colours}
        grouped(ax, list(self.groups), series, spans=spans or None, **options)
        if self.rule is not None:
            ax.axhline(self.rule, color="black", linewidth=0.6, linestyle="--", zorder=0)
        self.look.dress(ax, {})

    def _span(
        self, span: Callable[[Sequence[Run]], Span], chosen: Chosen, data: Data
    ) -> tuple[float, float]:
        low, high = span(chosen.of(data))
        return self.scale * low, self.scale * high

    @property
    def _groups(self) -> list[Callable[..., Chosen]]:
        return list(self.groups.values())


@dataclass(frozen=True)
class Stacks:
    """Stacks: for each group of runs, parts on each other.

    Attributes:
        groups: the stacks, from left to right.
        parts: colours by part; parts that no run has are left out.
        height: how high a part of a run is.
        look: of the axes.
        label_size: of the labels of the groups, in points.
    """

    groups: Mapping[str, Chosen]
    parts: Mapping[str, str]
    height: Callable[[Run, str], float]
    look: Look
    label_size: float | None = None

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw them."""
        runs = [chosen.of(data)[0] for chosen in self.groups.values()]
        heights = {part: [self.height(run, part) for run in runs] for part in self.parts}
        there = {part: some for part, some in heights.items() if any(some)}
        stacked(ax, list(self.groups), there, self.parts)
        if self.label_size:
            ax.tick_params(axis="x", labelsize=self.label_size)
        self.look.dress(ax, facts(next(iter(self.groups.values())), data))


@dataclass(frozen=True)
class Line:
    """A line with one point for each run.

    Attributes:
        chosen: the runs, from left to right.
        x: where a run stands.
        y: how high; a function gets the run, and then all runs of the line.
        place: of its colour and its marker in the palette.
        label: in the legend.
        is_dashed: whether it is the second of two lines of one colour.
    """

    chosen: Chosen
    x: str
    y: Quantity
    place: int
    label: str | None = None
    is_dashed: bool = False


Pair = tuple[tuple[Chosen, Quantity], tuple[Chosen, Quantity]]
"""The runs and the heights of a full line, and those of a dashed one."""


@dataclass(frozen=True)
class Lines:
    """Lines, and what full and dashed ones mean.

    Attributes:
        lines: in the order in which they are drawn.
        look: of the axes.
        scale: by which heights are multiplied: 100 for per cent.
        ticks: a template: at each point of the last line, what is written there.
        full, dashed: legends of the two kinds of lines.
        rule: a height at which a line is drawn.
    """

    lines: Sequence[Line]
    look: Look
    scale: float = 1.0
    ticks: str | None = None
    full: str | None = None
    dashed: str | None = None
    rule: float | None = None

    @classmethod
    def of(cls, lines: Mapping[str, Chosen], x: str, y: str, look: Look, **options: Any) -> Lines:
        """Return lines of the same facts, by their labels; options: other attributes."""
        drawn = [Line(it, x, y, place, label) for place, (label, it) in enumerate(lines.items())]
        return cls(drawn, look, **options)

    @classmethod
    def pairs(cls, lines: Mapping[str, Pair], x: str, look: Look, **options: Any) -> Lines:
        """Return two lines of one colour by label: a full one and a dashed one."""
        drawn = []
        for place, (label, (full, dashed)) in enumerate(lines.items()):
            drawn.append(Line(full[0], x, full[1], place, label))
            drawn.append(Line(dashed[0], x, dashed[1], place, is_dashed=True))
        return cls(drawn, look, **options)

    def paint(self, ax: Axes, data: Data) -> None:
        """Draw them."""
        for line in self.lines:
            self._draw(line, ax, data)
        for label, kind in ((self.full, "-"), (self.dashed, "--")):
            if label:
                ax.plot([], [], color="black", linestyle=kind, label=label)
        if self.rule is not None:
            ax.axhline(self.scale * self.rule, color=GREY, linewidth=0.6, zorder=0)
        self.look.dress(ax, facts(self.lines[0].chosen, data))
        if self.ticks:
            self._write(self.ticks, self.lines[-1], ax, data)

    @staticmethod
    def _write(ticks: str, line: Line, ax: Axes, data: Data) -> None:
        runs, names = line.chosen.of(data), line.chosen.names
        places = [number(line.x, [run], names) for run in runs]
        ax.set_xticks(places, [written(ticks, Facts([run], names)) for run in runs])

    def _draw(self, line: Line, ax: Axes, data: Data) -> None:
        runs, names = line.chosen.of(data), line.chosen.names
        heights = [number(line.y, [run, *runs], names) for run in runs]
        ax.plot(
            [number(line.x, [run], names) for run in runs],
            [self.scale * height for height in heights],
            color=COLOURS[line.place],
            marker=MARKERS[line.place],
            linestyle="--" if line.is_dashed else "-",
            markerfacecolor="white" if line.is_dashed else COLOURS[line.place],
            label=line.label,
        )


def height(quantity: Quantity, chosen: Chosen, data: Data) -> float:
    """Return a number of some runs as a height."""
    return float(number(quantity, chosen.of(data), chosen.names))

"""What a kind of plot is: numbers taken from runs, and how they are drawn on an `ax`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from accelsim.base.errors import InputError
from accelsim.base.registry import Registry
from accelsim.report.saved import WORK, Run, check_same_work
from accelsim.report.style import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]


class Plot(ABC):
    """A kind of plot: one file, found by its name.

    Attributes:
        about: what the figure shows, in a line.
        options: keywords that `numbers` takes besides the runs.
        is_of_one_run: whether an axes shows a single run; `accelsim plot` draws one for each.
        same: those parts of `accelsim.report.saved.WORK` that the runs of an axes must share.
    """

    about: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    is_of_one_run: ClassVar[bool] = False
    same: ClassVar[Sequence[str]] = WORK

    @staticmethod
    @abstractmethod
    def numbers(runs: Sequence[Run], **options: Any) -> list[Row]:
        """Return the numbers to draw, one row for each mark; raise InputError if runs lack them."""

    @staticmethod
    @abstractmethod
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        """Draw the numbers."""


PLOTS: Registry[Plot] = Registry("plot")
# What numbers of a result that was edited or damaged, or that no run writes, lead to.
_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def draw(kind: str, runs: Sequence[Run], ax: Axes, **options: Any) -> list[Row]:
    """Draw runs on an axes, and return the numbers.

    Args:
        kind: of `PLOTS`.
        runs: data of `accelsim run --json`, e.g. `result.to_dict()`, or of `load_runs`.
        ax: where to draw.
        options: those of the kind.

    Raises:
        InputError: no such kind or option, runs of different work, or they lack what it shows.
    """
    plot = PLOTS[kind]
    unknown = [name for name in options if name not in plot.options]
    if unknown:
        allowed = ", ".join(plot.options) or "none"
        raise InputError(f"plot '{kind}' has no option '{unknown[0]}'; allowed: {allowed}")
    if not runs:
        raise InputError(f"plot '{kind}' needs at least one run")
    if plot.is_of_one_run and len(runs) > 1:
        raise InputError(f"plot '{kind}' shows one run an axes, not {len(runs)}")
    try:
        check_same_work(f"plot '{kind}'", runs, plot.same)
        rows = plot.numbers(runs, **options)
        with styled():
            plot.paint(rows, ax)
    except InputError:
        raise
    except _MALFORMED as error:
        raise InputError(
            f"plot '{kind}': a result holds what no run writes ({type(error).__name__}: {error}); "
            f"run it again with this version"
        ) from error
    return rows

"""Sparse machines against dense ones that spend the same area on a larger array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from accelsim.studies.choice import Choice, Joined
from accelsim.studies.prose import Span
from accelsim.studies.quantities import Measure, of_picked
from accelsim.studies.runs import Run
from accelsim.studies.tables import Column


@dataclass(frozen=True)
class Rivals:
    """A function of a pattern and other settings: the runs to compare in equal area.

    Attributes:
        shipped: the machine whose dense one sets the area.
        sizes: machines of many sizes, dense ones among them.
    """

    shipped: Choice
    sizes: Choice

    def __call__(self, pattern: str, **settings: Any) -> Joined:
        """Return the shipped machine, dense ones of all sizes, and those with the pattern."""
        sizes = self.sizes(**settings)
        return self.shipped + sizes(pattern="dense") + sizes(pattern=pattern)


def fastest(runs: Sequence[Run], area_um2: float) -> Run | None:
    """Return the machine with the most throughput that is not larger; of equals, the thriftiest."""
    fitting = [run for run in runs if run["totals"]["area_um2"] <= area_um2]
    order = itemgetter("effective_tops", "tops_per_w")
    return max(fitting, key=lambda run: order(run["totals"]), default=None)


def rivals(runs: Sequence[Run], share: float = 1.0) -> tuple[Run | None, Run | None]:
    """Return the fastest sparse machine and the fastest dense one in the area of a dense machine.

    Args:
        runs: first the machine whose dense one sets the area, then those to choose from. If all
            of these are dense, the fastest is its own rival.
        share: of the area of that dense machine.
    """
    budget_um2 = share * runs[0]["baseline"]["totals"]["area_um2"]
    dense = [run for run in runs[1:] if run["arch"]["pattern"] == "dense"]
    sparse = [run for run in runs[1:] if run["arch"]["pattern"] != "dense"]
    return fastest(sparse or dense, budget_um2), fastest(dense, budget_um2)


def gain(metric: str = "effective_tops", share: float = 1.0) -> Measure:
    """Return a quantity of the runs of `rivals`: a total of the sparse one over the dense one's.

    It is 0 if no machine fits into the area.
    """

    def ratio(runs: Sequence[Run]) -> float:
        sparse, dense = rivals(runs, share)
        return sparse["totals"][metric] / dense["totals"][metric] if sparse and dense else 0.0

    return ratio


def gains(shares: Sequence[float]) -> Callable[[Sequence[Run]], Span]:
    """Return a quantity: the smallest and the largest gain of throughput in several areas."""
    measures = [gain(share=share) for share in shares]

    def span(runs: Sequence[Run]) -> Span:
        found = [measure(runs) for measure in measures]
        return Span(min(found), max(found))

    return span


def winner(runs: Sequence[Run]) -> Run:
    """Return the fastest sparse machine in the area of the dense one."""
    sparse, _ = rivals(runs)
    assert sparse is not None
    return sparse


def winners() -> dict[str, Column]:
    """Return columns of a table: the fastest machine, and what it gains over the dense one."""
    cells = {
        "columns": ("{:}", of_picked(winner, "columns")),
        "TOPS": ("{:.2f}", of_picked(winner, "effective_tops")),
        "speed-up": ("{:.2f}×", gain()),
        "energy": ("{:.2f}×", gain("energy_pj")),
    }
    return {
        head: Column(form.replace("{", "{it"), values={"it": quantity})
        for head, (form, quantity) in cells.items()
    }


def budget_columns(shares: Sequence[float]) -> dict[str, Column]:
    """Return columns of a table: the speed-up at each share of the area of the dense machine."""
    return {
        f"{share:.2f} ×": Column("{it:.2f}×", values={"it": gain(share=share)}) for share in shares
    }

"""Shares of a run: what layers that read one input, run as one product, come to by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise

from accelsim.accounting.breakdown import Breakdown
from accelsim.accounting.ledger import UnitLedger
from accelsim.accounting.tally import Counts, Tally


def shares(tally: Tally, sizes: Sequence[int]) -> list[Tally]:
    """Share out a tally in proportion to sizes, such as columns; counts stay whole and add up.

    A tile may hold columns of two layers, so that the cycles of each are not a stretch of time of
    their own. Of every count a layer has its share, rounded so that the sum over the layers is that
    of the tally; causes of cycles are rounded so that those of each unit add up to the layer's.

    Args:
        tally: of all of them together.
        sizes: of each.
    """
    if len(sizes) == 1:
        return [tally]
    cycles = _parts(tally.cycles, sizes)
    ledgers = {unit: _apart(asdict(of), cycles) for unit, of in tally.ledgers.items()}
    parts = {f"{name}_cycles": getattr(tally.breakdown, f"{name}_cycles") for name in _SEEN}
    seen = _apart({**parts, **tally.breakdown.stall_cycles}, cycles)
    bounds, actions, slopes = (
        {unit: _each(counts, sizes) for unit, counts in tables.items()}
        for tables in ({"": tally.bound_cycles}, tally.actions, tally.nonzero_actions)
    )
    return [
        Tally(
            cycles=cycles[i],
            ledgers={unit: UnitLedger(**of[i]) for unit, of in ledgers.items()},
            breakdown=_breakdown(seen[i]),
            bound_cycles=bounds[""][i],
            actions={unit: of[i] for unit, of in actions.items()},
            nonzero_actions={unit: of[i] for unit, of in slopes.items()},
        )
        for i in range(len(sizes))
    ]


_SEEN = ("ideal", "edge", "fill", "drain")


def _breakdown(counts: Counts) -> Breakdown:
    stalls = dict(counts)
    parts = {f"{name}_cycles": stalls.pop(f"{name}_cycles") for name in _SEEN}
    return Breakdown(**parts, stall_cycles={name: n for name, n in stalls.items() if n})


def _parts(count: int, sizes: Sequence[int]) -> list[int]:
    """Share out one count.

    >>> _parts(10, [3, 1, 1])
    [6, 2, 2]
    >>> _parts(-1, [1, 1])
    [-1, 0]
    """
    ends = accumulate(sizes, initial=0)
    return [b - a for a, b in pairwise(count * end // sum(sizes) for end in ends)]


def _each(counts: Counts, sizes: Sequence[int]) -> list[dict[str, int]]:
    """Share out each count by itself."""
    parts = {name: _parts(count, sizes) for name, count in counts.items()}
    return [{name: of[i] for name, of in parts.items()} for i in range(len(sizes))]


def _apart(counts: Mapping[str, int], sizes: Sequence[int]) -> list[dict[str, int]]:
    """Share out counts that add up to the sum of sizes, so that those of each add up to its size.

    Rounded down, then one more each where most was cut off. Counts of a brief tally are all 0.

    >>> _apart({"busy": 5, "idle": 5}, [3, 7])
    [{'busy': 2, 'idle': 1}, {'busy': 3, 'idle': 4}]
    """
    left, result = dict(counts), []
    for size in sizes:
        whole = max(1, sum(left.values()))
        part = {name: count * size // whole for name, count in left.items()}
        cut_off = sorted(left, key=lambda name: -(left[name] * size % whole))
        for name in cut_off[: max(0, min(size, whole) - sum(part.values()))]:
            part[name] += left[name] > 0
        left = {name: count - part[name] for name, count in left.items()}
        result.append(part)
    return result

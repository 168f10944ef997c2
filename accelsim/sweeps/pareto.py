"""The points that nothing beats in everything, and how much of the space they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.sweeps.metrics import METRICS, MINIMIZE
from accelsim.sweeps.task import OK

Costs = tuple[float, ...]
"""One number an objective; less is better."""


def costs_of(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> list[Costs]:
    """Return rows as costs: metrics of which more is better, negated."""
    signs = [1.0 if METRICS[name] == MINIMIZE else -1.0 for name in metrics]
    return [
        tuple(s * float(row[name]) for s, name in zip(signs, metrics, strict=True)) for row in rows
    ]


def usable(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the rows that ran within the constraints and know these metrics."""
    return [
        row
        for row in rows
        if row["status"] == OK and all(row.get(name) is not None for name in metrics)
    ]


def front(points: Sequence[Costs]) -> list[int]:
    """Return the numbers of points that no other dominates, the best in the first objective first.

    One dominates another if it is nowhere worse and somewhere better; equal points all stay.

    >>> front([(1, 3), (2, 2), (2, 3), (3, 1)])
    [0, 1, 3]
    """
    order = sorted(range(len(points)), key=lambda place: (points[place], place))
    kept: list[int] = []
    for place in order:
        # Sorted so, only those already kept can dominate; the latest are the likeliest to.
        if not any(_dominates(points[other], points[place]) for other in reversed(kept)):
            kept.append(place)
    return kept


def best_rows(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows that no other one dominates, one of those that are equal in all metrics.

    That is the one of the lowest point; the points of the others are its `tied`.
    """
    costs = costs_of(rows, metrics)
    equal: dict[Costs, list[Mapping[str, Any]]] = {}
    for place in front(costs):
        equal.setdefault(costs[place], []).append(rows[place])
    groups = [sorted(group, key=lambda row: row["point"]) for group in equal.values()]
    return [{**one, "tied": [row["point"] for row in others]} for one, *others in groups]


def _dominates(one: Costs, other: Costs) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def hypervolume(points: Sequence[Costs], reference: Costs) -> float:
    """Return the volume that lies between some points and a reference, exactly.

    By slices: along the last objective, the volume grows by the area that the points up to there
    dominate in the others, times the distance to the next point. Points that are not better than
    the reference everywhere count for nothing.

    >>> hypervolume([(1, 3), (2, 2), (3, 1)], (4, 4))  # 3 + 2 + 1 unit squares
    6.0
    """
    inside = [p for p in set(points) if all(a < b for a, b in zip(p, reference, strict=True))]
    inside = [inside[place] for place in front(inside)]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - inside[0][0])
    inside.sort(key=lambda point: point[-1])
    ends = [*(point[-1] for point in inside[1:]), reference[-1]]
    if len(reference) == 2:  # noqa: PLR2004 - the first objective falls where the last one rises
        widths = (reference[0] - point[0] for point in inside)
        return float(sum(w * (end - p[1]) for w, end, p in zip(widths, ends, inside, strict=True)))
    return sum(
        (end - point[-1]) * hypervolume([p[:-1] for p in inside[: place + 1]], reference[:-1])
        for place, (point, end) in enumerate(zip(inside, ends, strict=True))
    )


def covered_share(points: Sequence[Costs], box: Sequence[Costs]) -> float:
    """Return the hypervolume of points as a share of the box around other points.

    The reference is the worst corner of the box.

    >>> covered_share([(1, 3), (3, 1)], [(1, 3), (3, 1), (5, 5)])
    0.75
    """
    if not box:
        return 0.0
    best, worst = (tuple(map(edge, zip(*box, strict=True))) for edge in (min, max))
    spans = [high - low or 1.0 for low, high in zip(best, worst, strict=True)]
    scaled = [
        tuple((x - low) / span for x, low, span in zip(point, best, spans, strict=True))
        for point in points
    ]
    return hypervolume(scaled, tuple(1.0 for _ in spans))

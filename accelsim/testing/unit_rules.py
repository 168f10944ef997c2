"""Rules that a unit keeps by itself: what it counts, what that costs, how long it takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from accelsim.hardware import Unit
from accelsim.mapping import Datapath, Ints, Work
from accelsim.tech.technology import Technology
from accelsim.testing.parameters import variants
from accelsim.testing.rules import Findings
from accelsim.testing.works import BURST_BYTES, path_of, ragged_work

Counts = Mapping[str, int]
_SLOW_MHZ = 1  # sizes are compared, not ways to synthesise: always the small netlist


@cache
def technology() -> Technology:
    """Load the table of costs that units are priced with here."""
    return Technology.load("nangate45")


def names(found: Iterable[str]) -> str:
    """Return names as a sentence has them.

    >>> names({"b", "a"}), names([])
    ('a, b', 'nothing')
    """
    return ", ".join(sorted(found)) or "nothing"


def actions_are_declared_and_priced(unit: Unit, work: Work) -> Findings:
    """A unit counts and prices exactly the actions that it declares."""
    declared = set(unit.action_names)
    counted = set(unit.actions(work))
    priced = set(unit.energy_pj(technology(), work.path))
    if counted != declared:
        yield f"actions() counts {names(counted)}, where action_names has {names(declared)}"
    if priced != declared:
        yield f"energy_pj() prices {names(priced)}, where action_names has {names(declared)}"


def counts_are_whole(unit: Unit, work: Work) -> Findings:
    """Counts are int, as numpy's integers would not survive JSON, and not negative."""
    for name, count in unit.actions(work).items():
        if type(count) is not int or count < 0:
            yield f"actions() counts {count!r} of '{name}'; expected an int of at least 0"


def counts_follow_nonzero(unit: Unit, work: Work, first: int = 1900, second: int = 77) -> Findings:
    """What one more nonzero activation adds does not depend on how many there are."""

    def counts(nonzero: int) -> Counts:
        return unit.actions(replace(work, nonzero=nonzero))

    none, one, some, others = counts(0), counts(1), counts(first), counts(second)
    if added(some, others) != added(counts(first + second), none):
        yield f"{first} and {second} nonzero activations count otherwise together than apart"
    for name in none:
        expected = none[name] + first * (one[name] - none[name])
        if some[name] != expected:
            yield (
                f"{first} nonzero activations count {some[name]} of '{name}'; expected {expected}, "
                f"in proportion to what one of them adds"
            )


def counts_follow_weights(
    unit: Unit, work: Work, first: Ints | None = None, second: Ints | None = None
) -> Findings:
    """Two decode steps together, or one of them thrice, count what they count one by one.

    Args:
        unit: that is checked.
        work: a layer.
        first: `[jobs]`, bytes of weights that each job of a step fetches, in whole bursts.
        second: of another step.
    """
    jobs, none = np.arange(len(work.jobs)), 0 * work.weight_bytes
    first = BURST_BYTES * (jobs % 5) if first is None else first
    second = BURST_BYTES * (jobs * 7 % 11) if second is None else second

    def counts(weight_bytes: Ints, nonzero: int = work.nonzero) -> Counts:
        changed = replace(work, weight_bytes=weight_bytes, is_decode=True, nonzero=nonzero)
        return unit.actions(changed)

    if added(counts(first), counts(second)) != added(counts(first + second), counts(none)):
        yield "two decode steps count otherwise together than apart, in weight_bytes"
    if added(*3 * [counts(first)]) != added(counts(3 * first), *2 * [counts(none)]):
        yield "thrice the weight_bytes do not add thrice as much to the counts"
    apart = added(counts(first, 0), counts(none, 7))
    if added(counts(first, 7), counts(none, 0)) != apart:
        yield "what nonzero activations add to the counts depends on weight_bytes"


def added(*counts: Counts) -> dict[str, int]:
    """Add up counts by name; names that only some have are there, too."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total)


def cycles_are_whole(unit: Unit, work: Work) -> Findings:
    """busy_cycles() is one whole number a job, and the same whenever it is asked."""
    busy, jobs = unit.busy_cycles(work), len(work.jobs)
    if not isinstance(busy, np.ndarray) or busy.dtype != np.int64 or busy.shape != (jobs,):
        kind = f"{getattr(busy, 'dtype', type(busy).__name__)} {getattr(busy, 'shape', '')}"
        yield f"busy_cycles() is {kind}; expected int64 ({jobs},), one number for each job"
        return
    if (busy < 0).any():
        yield f"busy_cycles() has {int(busy.min())}; expected no negative number"
    if not np.array_equal(busy, unit.busy_cycles(work)):
        yield "busy_cycles() differs when it is asked again; expected the same for equal work"
    if not np.array_equal(busy, unit.busy_cycles(replace(work, nonzero=work.nonzero // 2))):
        yield "busy_cycles() depends on work.nonzero, on which only energy may depend"


def some_job_is_busy(unit: Unit, works: Iterable[Work]) -> Findings:
    """Some job of some work takes time; a unit that never works cannot be seen to."""
    if not any(np.any(unit.busy_cycles(work)) for work in works):
        yield "busy_cycles() is 0 for every job of every layer tried; expected some work"


def latency_is_whole(unit: Unit, path: Datapath) -> Findings:
    """latency_cycles() is an int of at least 0."""
    latency = unit.latency_cycles(path)
    if not isinstance(latency, int) or latency < 0:
        yield f"latency_cycles() is {latency!r}; expected an int of at least 0"


def costs_are_finite(unit: Unit, path: Datapath) -> Findings:
    """Prices, area and leakage are finite and not negative."""
    tech = technology()
    costs = {f"energy_pj() of '{name}'": cost for name, cost in unit.energy_pj(tech, path).items()}
    costs |= {"area_um2()": unit.area_um2(tech, path), "leakage_mw()": unit.leakage_mw(tech, path)}
    for name, cost in costs.items():
        if not math.isfinite(cost) or cost < 0:
            yield f"{name} is {cost}; expected a finite number of at least 0"


def unit_grows(unit: Unit, pattern: str) -> Findings:
    """Twice the tokens take no fewer cycles; wider values and more columns take no less area."""
    few, many = (ragged_work(pattern, tokens=tokens) for tokens in (21, 42))
    cycles = [int(unit.busy_cycles(work).sum()) for work in (few, many)]
    if cycles[0] > cycles[1]:
        yield f"{many.gemm.tokens} tokens take {cycles[1]} cycles, and half of them {cycles[0]}"
    plain = path_of(pattern, clock_mhz=_SLOW_MHZ)
    wider = {
        "values of 16 bits": path_of(pattern, bits=16, precision="bf16", clock_mhz=_SLOW_MHZ),
        "twice the columns": path_of(pattern, columns=8, clock_mhz=_SLOW_MHZ),
    }
    small = unit.area_um2(technology(), plain)
    for what, path in wider.items():
        large = unit.area_um2(technology(), path)
        if large < small * (1 - 1e-12):
            yield f"area_um2() shrinks from {small:g} to {large:g} with {what}"


def key_tells_units_apart(unit: Unit, works: Iterable[Work]) -> Findings:
    """Units that run otherwise have other timing keys, so no run is taken for another's."""
    works = list(works)
    for field, other in variants(unit):
        facts = [(_facts(one, works), one.timing_key()) for one in (unit, other)]
        if facts[0][0] != facts[1][0] and facts[0][1] == facts[1][1]:
            values = [getattr(one, field) for one in (unit, other)]
            yield (
                f"timing_key() is the same for {field}={values[0]} and {field}={values[1]}, which "
                f"differ in cycles or counts; expected different keys"
            )


def _facts(unit: Unit, works: Iterable[Work]) -> list[object]:
    """Return all that a unit says of works that enters a run."""
    return [
        (
            unit.busy_cycles(work).tolist(),
            unit.latency_cycles(work.path),
            unit.serves(work.path),
            sorted(unit.actions(work).items()),
        )
        for work in works
    ]


OF_WORK: dict[str, Callable[[Unit, Work], Findings]] = {
    "actions are declared and priced": actions_are_declared_and_priced,
    "counts are whole": counts_are_whole,
    "counts follow nonzero activations": counts_follow_nonzero,
    "counts follow weight bytes": counts_follow_weights,
    "cycles are whole": cycles_are_whole,
    "latency is whole": lambda unit, work: latency_is_whole(unit, work.path),
    "costs are finite": lambda unit, work: costs_are_finite(unit, work.path),
}
"""Rules of a unit and a piece of work, by name."""

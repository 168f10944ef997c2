"""Checks of a unit or of a dataflow of one's own, each in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, get_args

from accelsim.base.errors import DeadlockError, InputError
from accelsim.config import Architecture
from accelsim.dataflows import DATAFLOWS, Diagram
from accelsim.hardware import Unit
from accelsim.testing.machine_rules import (
    OF_RUNS,
    PHASES,
    Observed,
    others_work_as_without,
    small_trace,
    sweep_rows_are_runs,
)
from accelsim.testing.machines import (
    Keys,
    Place,
    machine_at,
    machine_of,
    machines_of,
    merged,
    places_of,
)
from accelsim.testing.parameters import OF_FIELDS, variants
from accelsim.testing.rules import Findings, Problem, Problems, keep, problems_of
from accelsim.testing.unit_rules import OF_WORK, key_tells_units_apart, some_job_is_busy, unit_grows
from accelsim.testing.works import PATTERNS, ragged_work

_OTHERS = "others work as without it"


def check_unit(unit: type[Unit] | Unit) -> None:
    """Check that a unit keeps every rule, by itself and in machines of each registered dataflow.

    Args:
        unit: the unit, or its class, whose fields then have their defaults.

    Raises:
        AssertionError: it breaks rules; one sentence each, which says what was found and what is
            expected.
    """
    found = unit if isinstance(unit, Unit) else with_defaults(unit)
    keep(problems_of_unit(found))
    keep(problem for diagram in DATAFLOWS.values() for problem in problems_in(found, diagram))


def check_dataflow(diagram: Diagram, keys: Mapping[str, Any] | None = None) -> None:
    """Check that machines of a dataflow keep every rule.

    They are small ones: dense, and with selection where the diagram has a selector.

    Args:
        diagram: the dataflow; it need not be registered.
        keys: of an architecture file, as nested mappings, for what the diagram has besides the
            shipped units.

    Raises:
        AssertionError: it breaks rules; one sentence each, which says what was found and what is
            expected.
    """
    keep(problems_of_dataflow(diagram, keys or {}))


def with_defaults(cls: type[Unit]) -> Unit:
    """Return a unit whose fields have their defaults, and where there is one choice only, that.

    Raises:
        AssertionError: a field has neither.
    """
    required = {name: f for name, f in cls.model_fields.items() if f.is_required()}
    single = {name: get_args(f.annotation)[:1] for name, f in required.items()}
    for name, choices in single.items():
        if not choices or not isinstance(choices[0], str):
            raise AssertionError(
                f"{cls.__name__}: field '{name}' has no default; give a unit, "
                f"{cls.__name__}({name}=…), instead of the class"
            )
    return cls.model_validate({name: choices[0] for name, choices in single.items()})


def problems_of_unit(unit: Unit, patterns: tuple[str, ...] = PATTERNS) -> Problems:
    """Yield the rules that a unit breaks by itself.

    Args:
        unit: the unit.
        patterns: of the layers on which it is tried; where it does not serve, it is not.
    """
    works = [ragged_work(pattern) for pattern in patterns]
    works = [work for work in works if unit.serves(work.path)]
    name = type(unit).__name__
    yield from problems_of(name, ((rule, partial(of, unit)) for rule, of in OF_FIELDS.items()))
    for rule, of in OF_WORK.items():
        yield from _first(problems_of(name, ((rule, partial(of, unit, work)) for work in works)))
    growing = (("costs and cycles grow", partial(unit_grows, unit, p)) for p in patterns)
    yield from _first(problems_of(name, growing))
    yield from problems_of(
        name,
        [
            ("some job is busy", partial(some_job_is_busy, unit, works)),
            ("the timing key tells units apart", partial(key_tells_units_apart, unit, works)),
        ],
    )


def problems_in(unit: Unit, diagram: Diagram) -> Problems:
    """Yield the rules that machines of a dataflow break with a unit in each place it can have."""
    places, refusals, without = list(places_of(unit, diagram)), list[Problem](), _Without()
    machines = machines_of(diagram)
    cases = [(place, machine) for place in places for machine in machines]
    for place, machine in cases:
        subject = f"{type(unit).__name__} {place.where}, machine {machine},"
        with ExitStack() as lent:
            try:
                arch = lent.enter_context(machine_at(place, machines[machine]))
            except InputError as error:
                refusals.append(Problem(subject, "a machine can have it", str(error)))
                continue
            near = list(_neighbours(place, machines[machine]))
            for batch in PHASES:
                others = partial(without.findings, place, machine)
                yield from _problems_of_runs(subject, arch, batch, near, {_OTHERS: others})
    if cases and len(refusals) == len(cases):
        yield refusals[-1]


def _neighbours(place: Place, keys: Keys) -> Iterator[tuple[str, Architecture]]:
    """Yield machines that differ in one field of the unit in a place, and in which."""
    for field, other in variants(place.unit):
        with suppress(InputError), machine_at(place.holding(other), keys) as arch:
            yield f"with {field}={getattr(other, field)}", arch


class _Without:
    """Machines without the unit that is checked, each run once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int | None], Observed] = {}

    def findings(self, place: Place, machine: str, seen: Observed) -> Findings:
        """Yield what others do otherwise than without the unit, if the diagram is one without."""
        if place.plain is None:
            return
        key = machine, seen.batch
        if key not in self._known:
            with machine_of(place.plain, machines_of(place.plain)[machine]) as plain:
                self._known[key] = Observed.of(plain, seen.trace, seen.batch)
        yield from others_work_as_without(seen, self._known[key])


def _problems_of_runs(
    subject: str,
    arch: Architecture,
    batch: int | None,
    neighbours: list[tuple[str, Architecture]],
    more: Mapping[str, Callable[[Observed], Findings]],
) -> Problems:
    """Yield the rules that runs of a machine break, and rows of a sweep over machines like it.

    Args:
        subject: what is checked, as sentences begin.
        arch: the machine.
        batch: sequences of a decode step; None is prefill.
        neighbours: machines that are nearly alike, and what is said of each.
        more: rules beside those of all machines.
    """
    subject, seen = f"{subject} in {'prefill' if batch is None else 'decode'}", list[Observed]()

    def run() -> Findings:
        try:
            seen.append(Observed.of(arch, small_trace(), batch))
        except DeadlockError:
            raise
        except InputError:
            return  # there is no such machine
        yield from ()

    yield from problems_of(subject, [("it runs", run)])
    for found in seen:
        rules = [(name, partial(rule, found)) for name, rule in {**OF_RUNS, **more}.items()]
        rows = partial(sweep_rows_are_runs, found, neighbours)
        yield from problems_of(subject, [*rules, ("rows of sweeps are runs", rows)])


def problems_of_dataflow(diagram: Diagram, keys: Keys) -> Problems:
    """Yield the rules that machines of a dataflow break."""
    refusals = list[Problem]()
    machines = machines_of(diagram)
    for machine, small in machines.items():
        subject = f"dataflow {diagram.name}, machine {machine},"
        with ExitStack() as lent:
            try:
                arch = lent.enter_context(machine_of(diagram, merged(small, keys)))
            except InputError as error:
                refusals.append(Problem(subject, "a machine can have it", str(error)))
                continue
            for name in diagram.classes.keys() & arch.units.keys():
                yield from problems_of_unit(arch.units[name])
            for batch in PHASES:
                yield from _problems_of_runs(subject, arch, batch, [], {})
    if len(refusals) == len(machines):
        yield refusals[0]


def _first(problems: Problems) -> Problems:
    """Yield the first problem, if there is one."""
    yield from list(problems)[:1]

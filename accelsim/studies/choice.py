"""The runs that a table, a claim or a curve is about, declared before any are simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Protocol

from accelsim.base.errors import InputError
from accelsim.studies.facts import SHARED, Facts, Names, Quantity, fact, number
from accelsim.studies.runs import Run

if TYPE_CHECKING:
    from accelsim.studies.claims import Claim
    from accelsim.studies.verdict import Verdict


class NoRunError(InputError):
    """A study has no run with some settings."""


@dataclass(frozen=True)
class Data:
    """The runs that a study simulated or read, and its claims as they were tested.

    Attributes:
        groups: runs, in the order in which they were simulated, by the name of their group.
    """

    groups: Mapping[str, Sequence[Run]]
    _verdicts: dict[Claim, Verdict] = field(default_factory=dict)

    def settings(self, group: str, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return the values that each run of a group has for some settings."""
        return [{name: fact(run, name) for name in names} for run in self.groups[group]]

    def verdict(self, claim: Claim) -> Verdict:
        """Return a claim with its runs; always the same object, which remembers its extremes."""
        if claim not in self._verdicts:
            self._verdicts[claim] = claim.on(self)
        return self._verdicts[claim]


class Chosen(Protocol):
    """Runs that are known once there are data."""

    @property
    def names(self) -> Names:
        """Names that the study gives to facts."""

    def of(self, data: Data) -> list[Run]:
        """Return the runs."""


@dataclass(frozen=True)
class Choice:
    """The runs of a group with these settings; called with others, the runs with those, too.

    Attributes:
        group: of the study.
        names: what the study calls things, besides `SHARED`.
        settings: by name of a fact. A tuple stands for any of its values, in this order; the
            setting that was named first varies slowest.
        narrowing: picks one of the runs.

    Example:
        >>> nothing = {"totals": {}, "baseline": {}, "arch": {}}
        >>> runs = [{"point": {"batch": batch}, **nothing} for batch in (1, 2)]
        >>> at = Choice("decode", settings={"batch": 1})
        >>> [run["point"]["batch"] for run in at(batch=(2, 1)).of(Data({"decode": runs}))]
        [2, 1]
    """

    group: str
    names: Names = field(default_factory=lambda: SHARED)
    settings: Mapping[str, Any] = field(default_factory=dict)
    narrowing: Callable[[Sequence[Run]], Run] | None = None

    def __call__(self, **settings: Any) -> Choice:
        """Return the choice with these settings added or changed."""
        return replace(self, settings={**self.settings, **settings})

    def only(self, narrowing: Callable[[Sequence[Run]], Run]) -> Choice:
        """Return the choice of the one run that a function picks."""
        return replace(self, narrowing=narrowing)

    def among(self, *names: str) -> Callable[..., Joined]:
        """Return a function of settings: the runs with all of these, and then their competitors.

        Args:
            names: of those settings that competitors must share.
        """
        return lambda **keys: self(**keys) + self(**{name: keys[name] for name in names})

    def __add__(self, other: Chosen) -> Joined:
        return Joined((self, other))

    def of(self, data: Data) -> list[Run]:
        """Return the runs; NoRunError if there is none for some of the settings."""
        values = (v if isinstance(v, tuple) else (v,) for v in self.settings.values())
        wanted = (dict(zip(self.settings, some, strict=True)) for some in product(*values))
        found = [run for settings in wanted for run in self._with(settings, data)]
        return [self.narrowing(found)] if self.narrowing else found

    def _with(self, settings: Mapping[str, Any], data: Data) -> list[Run]:
        found = [
            run
            for run in data.groups[self.group]
            if all(fact(run, name, self.names) == value for name, value in settings.items())
        ]
        if not found:
            raise NoRunError(f"no run of '{self.group}' has {dict(settings)}")
        return found


@dataclass(frozen=True)
class Joined:
    """The runs of several choices, one after the other."""

    parts: tuple[Chosen, ...]

    @property
    def names(self) -> Names:
        """Names that the first of them gives to facts."""
        return self.parts[0].names

    def __add__(self, other: Chosen) -> Joined:
        return Joined((*self.parts, other))

    def of(self, data: Data) -> list[Run]:
        """Return the runs."""
        return list(chain.from_iterable(part.of(data) for part in self.parts))


@dataclass(frozen=True)
class Value:
    """A number of some runs.

    Attributes:
        quantity: which number.
        chosen: of which runs.
    """

    quantity: Quantity
    chosen: Chosen

    def of(self, data: Data) -> Any:
        """Return the number."""
        return number(self.quantity, self.chosen.of(data), self.chosen.names)


def facts(chosen: Chosen, data: Data, **given: Any) -> Facts:
    """Return the facts of some runs that a template may name."""
    return Facts(chosen.of(data), chosen.names, **given)

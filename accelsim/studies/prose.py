"""The sentences of a study, and the kinds of numbers that they tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from accelsim.studies.choice import Chosen, Data, Value, facts
from accelsim.studies.claims import Claim, Claims
from accelsim.studies.facts import Quantity, number
from accelsim.studies.words import written


@dataclass(frozen=True)
class Prose:
    """Sentences whose numbers come from runs.

    Attributes:
        section: of the page.
        template: the sentences, with formats as of `words`.
        names: what they name: a `Value`, `Ends`, `Extremes`, a `Count`, a number, or a choice, of
            whose first run they may name each fact: `{dense.area_um2:.0f}`.
    """

    section: str
    template: str
    names: Mapping[str, Any]

    def text(self, data: Data) -> str:
        """Return the sentences."""
        return written(self.template, {name: _seen(it, data) for name, it in self.names.items()})


def _seen(named: Any, data: Data) -> Any:
    """Return the value that a template gets for a name."""
    if isinstance(named, Value | Ends | Extremes | Count):
        return named.of(data)
    return facts(named, data) if hasattr(named, "of") else named


class Span(NamedTuple):
    """The smallest and the largest value of a number."""

    low: float
    high: float


@dataclass(frozen=True)
class Ends:
    """The smallest and the largest value of a fact: `{loss.low:.0p} to {loss.high:.0 %}`.

    Attributes:
        quantity: of each run by itself.
        chosen: the runs.
    """

    quantity: Quantity
    chosen: Chosen

    def of(self, data: Data) -> Span:
        """Return both ends."""
        some = [number(self.quantity, [run], self.chosen.names) for run in self.chosen.of(data)]
        return Span(min(some), max(some))


@dataclass(frozen=True)
class Extremes:
    """The range of a claim's number as prices vary: `{area.low:.2f} to {area.high:.2f}`.

    Attributes:
        claim: which claim.
        base: is subtracted from both ends, e.g. 1 to say how much a ratio exceeds 1.
    """

    claim: Claim
    base: float = 0.0

    def of(self, data: Data) -> Span:
        """Return both ends."""
        low, high = data.verdict(self.claim).extremes
        return Span(low - self.base, high - self.base)


@dataclass(frozen=True)
class Count:
    """The number of claims of a kind.

    Attributes:
        claims: which ones.
        kind: `is_priced`, `is_robust` or `is_shaky`.
    """

    claims: Claims
    kind: str

    def of(self, data: Data) -> int:
        """Return the number."""
        return sum(getattr(data.verdict(claim), self.kind) for _, claim in self.claims.pairs())

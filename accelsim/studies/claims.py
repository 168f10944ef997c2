"""What an experiment concludes: that numbers of some runs are above, or below, their bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.studies.choice import Chosen, Data, facts
from accelsim.studies.facts import Quantity, number
from accelsim.studies.page import markdown_table
from accelsim.studies.verdict import Verdict, claims_table
from accelsim.studies.words import written


@dataclass(frozen=True, eq=False)
class Claim:
    """That a number of some runs is above (or below) a bound; a study says so in a sentence.

    Attributes:
        quantity: the number.
        chosen: the runs.
        above, below: the bound; one of them.
        form: how the number is written.
        is_priced: whether a price could move the number; otherwise the runs are taken as they are.
    """

    quantity: Quantity
    chosen: Chosen
    above: float | None = None
    below: float | None = None
    form: str = "{:.2f}×"
    is_priced: bool = True

    def on(self, data: Data) -> Verdict:
        """Return the claim with its runs; what was measured and not simulated has no price."""
        runs, names = self.chosen.of(data), self.chosen.names
        priced = [run for run in runs if self.is_priced and "units" in run]
        fixed = [run for run in runs if not (self.is_priced and "units" in run)]
        return Verdict(
            value=lambda some: float(number(self.quantity, [*some, *fixed], names)),
            runs=priced,
            above=self.above,
            below=self.below,
            form=self.form,
        )

    def said(self, sentence: str, data: Data) -> str:
        """Return a sentence about the claim.

        Its template may name facts of the first run (`{batch}`), of `{first.…}` and `{last.…}`, and
        of the bound: `{bound}` itself, what it has `{more}` or `{less}` than 1, and `{share}`, 1
        over it.
        """
        bound = self.below if self.above is None else self.above
        assert bound is not None
        said = {"bound": bound, "more": bound - 1, "less": 1 - bound}
        share = {"share": 1 / bound} if bound else {}
        return written(sentence, facts(self.chosen, data, **said, **share))


def above(bound: float, quantity: Quantity, chosen: Chosen, **options: Any) -> Claim:
    """Return the claim that a number is above a bound; options: other attributes of `Claim`."""
    return Claim(quantity, chosen, above=bound, **options)


def below(bound: float, quantity: Quantity, chosen: Chosen, **options: Any) -> Claim:
    """Return the claim that a number is below a bound; options: other attributes of `Claim`."""
    return Claim(quantity, chosen, below=bound, **options)


@dataclass(frozen=True)
class Claims:
    """The table of what a study claims, and what flips it.

    Attributes:
        claims: by sentence, a template (`Claim.said`): the claim, or several that share it.
        section: of the page.
    """

    claims: Mapping[str, Claim | Sequence[Claim]]
    section: str = "claims"

    def text(self, data: Data) -> str:
        """Return the table in Markdown."""
        said = [(claim.said(text, data), data.verdict(claim)) for text, claim in self.pairs()]
        return markdown_table(claims_table(said))

    def pairs(self) -> list[tuple[str, Claim]]:
        """Return each claim with its sentence."""
        return [
            (sentence, claim)
            for sentence, some in self.claims.items()
            for claim in ([some] if isinstance(some, Claim) else some)
        ]

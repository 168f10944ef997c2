"""Which layers bear pruning worst: perplexity with one kind, or one block, pruned at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accelsim.accuracy.greedy import blocks_of
from accelsim.accuracy.perplexity import Losses, known
from accelsim.accuracy.pruning import DENSE
from accelsim.base.renamed import both
from accelsim.sparsity.policy import Policy
from accelsim.trace.places import Place, places


def probes(
    policy: Policy, layers: Iterable[str], found: Mapping[str, Place] | None = None
) -> dict[tuple[str, str], Policy]:
    """Return policies that prune one kind of layer, or one block, as `policy` does, and no other.

    Args:
        policy: how a layer is pruned.
        layers: names of all layers.
        found: their places; default: told from the names alone.

    >>> from accelsim.sparsity.policy import Method
    >>> from accelsim.sparsity import parse_pattern
    >>> found = probes(Policy(Method(parse_pattern("2:4"))), ["h.0.up", "h.0.down", "h.1.up"])
    >>> list(found)
    [('kind', 'up'), ('kind', 'down'), ('block', 'h.0'), ('block', 'h.1')]
    """
    names = list(layers)
    groups: dict[tuple[str, str], list[str]] = {}
    for name, place in (found or places(names)).items():
        groups.setdefault(("kind", place.kind), []).append(name)
    groups |= {("block", block): members for block, members in blocks_of(names).items()}
    return {
        group: Policy(DENSE, tuple((name, policy.of(name)) for name in members))
        for group, members in groups.items()
    }


def sensitivity_rows(
    groups: Iterable[tuple[str, str]], losses: Sequence[Losses], dense: Losses
) -> list[dict[str, Any]]:
    """Return one row a group: what pruning it alone does to perplexity."""
    rows = []
    for (group, name), found in zip(groups, losses, strict=True):
        increase, error = found.increase_over(dense)
        rows.append(
            {
                "group": group,
                "name": name,
                "perplexity": found.perplexity,
                **both("relative_drop", increase),
                **both("relative_drop_stderr", known(error)),
            }
        )
    return rows

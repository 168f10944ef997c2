"""Masks of a product's operands, for machines whose time depends on what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.sparsity import Mask


@dataclass(frozen=True, slots=True)
class Masks:
    """Which values of a product's operands are there, and not zero.

    Attributes:
        x: `[T, K]`, activations that are kept.
        w: `[K, O]`, weights that are stored; None: all.
        hidden: `[T, N]`, hidden values of the FFN that the product is part of; None: those are X.
    """

    x: Mask
    w: Mask | None = None
    hidden: Mask | None = None

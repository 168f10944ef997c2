"""A product of two operands as data: what each is, where it comes from, how it is stored.

A linear layer is the simplest one: X from a trace, W the weights of the model. Others are the same
with other operands: scores of attention have the KV cache for their W, which lives as long as a
sequence; weights that were pruned are a W with a pattern; an output of which only a part is asked
for is a Y with a density below 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from accelsim.precision import OperandFormat, Operands
from accelsim.sparsity import Pattern, parse_pattern

TRACE, WEIGHTS, SUMS = "trace", "weights", "sums"
Lifetime = Literal["model", "sequence", "step"]
Shared = Literal["tokens", "heads"]
_DENSE = parse_pattern("dense")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One operand of a contraction.

    Attributes:
        source: `trace`, `weights`, `sums` (Y: what the contraction adds up), or the name of the
            operation that puts it out.
        lifetime: how long its values stay what they are: for all runs of the model, while a
            sequence lasts, or for one step.
        shared: over what one copy of it serves: all tokens, all heads.
        format: how it is stored; None: as the machine stores this operand.
        pattern: which of its values may be other than zero.
        density: the share of its values that a mask leaves.
    """

    source: str
    lifetime: Lifetime
    shared: frozenset[Shared] = frozenset()
    format: OperandFormat | None = None
    pattern: Pattern = _DENSE
    density: float = 1.0

    @property
    def is_dense(self) -> bool:
        """Whether all of its values count, whatever they are."""
        return self.pattern.is_dense and self.density == 1


FROM_TRACE = Operand(source=TRACE, lifetime="step")
OF_MODEL = Operand(source=WEIGHTS, lifetime="model", shared=frozenset({"tokens"}))
COMPUTED = Operand(source=SUMS, lifetime="step")


@dataclass(frozen=True, slots=True)
class Contraction:
    """`Y[T, out_features] = X[T, in_features] @ W[in_features, out_features]`, T open.

    As they stand, the operands are those of a linear layer.
    """

    name: str
    in_features: int
    out_features: int
    x: Operand = FROM_TRACE
    w: Operand = OF_MODEL
    y: Operand = COMPUTED

    def beyond_linear(self, formats: Operands) -> Iterator[str]:
        """Yield what it asks for that a linear layer with operands of these formats does not."""
        plain = {"X": (self.x, FROM_TRACE), "W": (self.w, OF_MODEL), "Y": (self.y, COMPUTED)}
        held = {"X": formats.x, "W": formats.w, "Y": formats.y}
        for name, (operand, usual) in plain.items():
            if operand.source != usual.source:
                yield f"{name} from '{operand.source}', not from '{usual.source}'"
            if (operand.lifetime, operand.shared) != (usual.lifetime, usual.shared):
                shared = f", shared over {' and '.join(sorted(operand.shared) or ['nothing'])}"
                yield f"{name} that lives for a {operand.lifetime}{shared}"
            if operand.format not in (None, held[name]):
                yield f"{name} stored as {operand.format}, not as {held[name]}"
            if not operand.is_dense:
                yield f"{name} of pattern {operand.pattern} and density {operand.density:g}"

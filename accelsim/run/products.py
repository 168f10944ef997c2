"""The matrix products of a layer: its own, and those of a low-rank method before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Ints
from accelsim.planning import Planner
from accelsim.run.layers import TiledProduct, layer_gemm
from accelsim.selection.sparsify import Selection
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method
from accelsim.trace import Linear


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product, and the machine as it is set for it.

    Attributes:
        machine: what the product finds (`Architecture.running`).
        linear: its sizes.
        selection: what enters it.
        kept_per_token: number of values of a token that it multiplies, zeros included.
    """

    machine: LayerMachine
    linear: Linear
    selection: Selection
    kept_per_token: int

    def tiled(self, steps: Ints | None, planner: Planner) -> TiledProduct:
        """Return the product of all tokens, or of each decode step `[steps, rows]`, with a tile."""
        gemm = layer_gemm(self.machine, self.linear.contraction, self.selection, steps)
        kept, is_decode = self.kept_per_token, steps is not None
        return TiledProduct.of(
            self.machine, gemm, kept_per_token=kept, is_decode=is_decode, planner=planner
        )

    def nonzero(self, steps: Ints | None) -> int:
        """Return the nonzero activations that enter it, over all of its tokens or steps."""
        tokens = slice(None) if steps is None else steps
        return int(self.selection.nonzero[tokens].sum())

    def kept(self, steps: Ints | None) -> int:
        """Return the values that are multiplied, zeros included, over all tokens or steps."""
        if self.machine.path.is_gathered:
            return int(self.selection.kept_counts[slice(None) if steps is None else steps].sum())
        tokens = self.selection.tokens if steps is None else steps.size
        return tokens * self.kept_per_token

    def needed_rows_ratio(self, steps: Ints | None) -> float | None:
        """Return the mean share of rows of W that some sequence of a decode step needs."""
        if steps is None:
            return None
        if not self.machine.gathers(is_decode=True):
            return 1.0
        return float(self.selection.unions(steps).mean())


def layer_products(
    machine_for: Callable[[Method], LayerMachine],
    method: Method,
    linear: Linear,
    selection: Selection,
) -> Iterator[Product]:
    """Yield the products of a layer: with low rank two for what was dropped, then its own.

    What was dropped goes through K × r, as the layer does if the machine's groups have room for it.
    Else the selector cannot part it from the rest, and all of X goes through, dense; the weights of
    the layer's own product make up for that. Then, dense, r × O; to those outputs the layer's own
    product is added.

    Args:
        machine_for: the machine as a method sets it.
        method: how the layer is pruned.
        linear: the layer.
        selection: what survives of its input.
    """
    machine, pattern, width = machine_for(method), method.pattern, linear.in_features
    kept = pattern.kept_count(width)
    rank = min(method.demands.rank, width, linear.out_features)
    if rank:
        dense = machine_for(Method(parse_pattern("dense")))
        inner = linear.model_copy(update={"out_features": rank})
        path = machine.path
        groups = path.group_size // pattern.group_size
        if path.group_size - groups * pattern.kept_per_group <= path.kept_per_group:
            plain = machine_for(replace(method, mitigation="none"))
            yield Product(plain, inner, selection.rest, width - kept)
        else:
            yield Product(dense, inner, selection.everything, width)
        outer = linear.model_copy(update={"in_features": rank})
        ranks = np.broadcast_to(np.int64(rank), selection.tokens)
        yield Product(dense, outer, Selection(rank, ranks, None, None), rank)
    if selection.ffn_product:
        machine = machine.for_ffn(selection.ffn_product, selection.hidden_share)
    yield Product(machine, linear, selection, machine.products_per_output(pattern, width))

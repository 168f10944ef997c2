"""A machine as a layer finds it, set for the method by which the layer is pruned."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from accelsim.base.errors import InputError
from accelsim.dataflows.diagram import Diagram
from accelsim.hardware import LaneUnit, Unit
from accelsim.hardware.crossbars.banked import BankedCrossbar
from accelsim.mapping import Datapath, Gemm, Packs, Stores, Tiling, ceil_div, check_tiling
from accelsim.mapping.mapper import check_room
from accelsim.sparsity import Pattern
from accelsim.sparsity.policy import Method
from accelsim.tech.source import CostSource

Found = TypeVar("Found")

Objective = Literal["cycles", "energy", "edp"]
"""What the search for a tile makes least: cycles, energy, or their product."""
Aim = Objective | Literal["quick"]
"""How a tile is found: by a search with an objective, or, `quick`, by an estimate."""


@dataclass(frozen=True, slots=True)
class LayerMachine:
    """What a pipeline is built of: a machine without the units that a layer passes by.

    Attributes:
        name: of the machine.
        method: as the layer finds it: the pattern is the machine's own, or dense.
        path: what the array takes in a step, and how wide values are.
        units: by the names of the diagram, in the order of the data flow.
        stores: the on-chip buffers as the tiling sees them.
        diagram: which units stream into each other.
        technology: returns the source of costs, which a search for a tile may ask.
        costs: all that those costs depend on.
        tiling: the tile set by hand, or the aim of the search for one.
        splits: of a machine with one memory for X and W, it with each share of that memory for X,
            smallest first; a layer runs on one of these.
    """

    name: str
    method: Method
    path: Datapath
    units: Mapping[str, Unit]
    stores: Stores
    diagram: Diagram
    technology: Callable[[], CostSource]
    costs: Hashable
    tiling: Tiling | Aim = "cycles"
    splits: tuple[LayerMachine, ...] = ()

    @property
    def pattern(self) -> Pattern:
        """What is kept of a group."""
        return self.method.pattern

    @property
    def deciding_costs(self) -> Hashable:
        """What the choice of a tile depends on beside time: costs, where energy is the aim."""
        return self.costs if self.tiling in ("energy", "edp") else None

    @property
    def weight_burst_bytes(self) -> int:
        """The smallest transfer of weights, 1 if what moves them has none."""
        return int(getattr(self.units.get(self.diagram.resource_of("w")), "burst_bytes", 1))

    def gathers(self, *, is_decode: bool) -> bool:
        """Whether a layer fetches only those rows of W that some token of a decode step keeps."""
        return is_decode and self.path.drops_rows and self.diagram.fetches_selected

    @property
    def packs(self) -> Packs | None:
        """How tiles are packed whose time depends on the masks of X and W; None: it does not."""
        if not (self.path.is_sparse or self.path.w.is_sparse):
            return None
        crossbar, packs = self.units.get("crossbar"), self.diagram.packs
        if isinstance(crossbar, BankedCrossbar):
            return crossbar
        return None if packs is None else packs.serving(self.units)

    def packs_in(self, *, is_decode: bool) -> Packs | None:
        """Return the same for prefill, or for decode, which may gather rows instead."""
        return None if is_decode and self.path.is_gathered else self.packs

    def for_ffn(self, product: str, share: float) -> LayerMachine:
        """Return the machine for a product of an FFN of which hidden values are looked at.

        Args:
            product: gate, up or down.
            share: of hidden values that are not zero, as a search for tiles counts on.
        """
        return replace(self, path=replace(self.path, ffn_product=product, kept_share=share))

    @property
    def is_searched(self) -> bool:
        """Whether tiles are searched for, as opposed to set by hand or estimated."""
        return not isinstance(self.tiling, Tiling) and self.tiling != "quick"

    def products_per_output(self, pattern: Pattern, in_features: int) -> int:
        """Return the products of an output: values of X that a pattern keeps, or stored ones of W.

        Where both are sparse, what they have in common on average; where blocks are unrolled in
        time those of X: a lane takes each, whether it meets a weight or a zero. A residual has all
        of X once more.
        """
        path, kept = self.path, pattern.kept_count(in_features)
        products = kept if path.is_unrolled else path.w.kept_count(kept)
        return products + in_features * path.demands.residual

    def least_columns(self, *, is_decode: bool) -> int:
        """Return the columns of a tile whose rows DRAM fetches one by one without waste."""
        if not self.gathers(is_decode=is_decode):
            return 1
        return ceil_div(8 * self.weight_burst_bytes, self.path.w.bits)

    def least_tokens(self, gemm: Gemm, *, is_decode: bool) -> int:
        """Return the tokens that a tile has to hold, if it can.

        All of a decode step where X is compacted to what some token keeps: it is not known before.
        """
        return gemm.tokens if self.path.is_gathered and is_decode else 1

    def check_room(self, gemm: Gemm) -> None:
        """Raise InputError if no tile of a layer, or not a table that it needs, fits."""
        self.check_tables(gemm)
        if self.splits:
            those_that(self.splits, lambda split: split.check_room(gemm))
        elif isinstance(self.tiling, Tiling):
            check_tiling(self.tiling, gemm, self.path, self.stores)
        else:
            check_room(gemm, self.path, self.stores)

    def has_room(self, gemm: Gemm) -> bool:
        """Return whether a tile of a layer fits, or that set by hand, and the tables it needs."""
        try:
            self.check_room(gemm)
        except InputError:
            return False
        return True

    def check_tables(self, gemm: Gemm) -> None:
        """Raise InputError if a table that a layer needs does not fit."""
        for unit in self.units.values():
            if isinstance(unit, LaneUnit):
                unit.check_layer(gemm, self.path)


def those_that(
    splits: Sequence[LayerMachine], find: Callable[[LayerMachine], Found]
) -> list[tuple[LayerMachine, Found]]:
    """Return what is found for each split in which a layer fits.

    Raises:
        InputError: it fits in none of them.
    """
    found, problem = [], None
    for split in splits:
        try:
            found.append((split, find(split)))
        except InputError as error:
            problem = error
    if not found and problem is not None:
        raise InputError(f"in no split of buffers.shared: {problem}") from problem
    return found

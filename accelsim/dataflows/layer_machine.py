"""A machine as a layer finds it, set for the method by which the layer is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.dataflows.diagram import Diagram
from accelsim.hardware import LaneUnit, Unit
from accelsim.mapping import Datapath, Gemm, Stores, Tiling, check_tiling, choose_tiling
from accelsim.mapping.mapper import check_room
from accelsim.sparsity import Pattern
from accelsim.sparsity.policy import Method


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
        fixed_tiling: the tile set by hand; None: the mapper's choice.
    """

    name: str
    method: Method
    path: Datapath
    units: Mapping[str, Unit]
    stores: Stores
    diagram: Diagram
    fixed_tiling: Tiling | None = None

    @property
    def pattern(self) -> Pattern:
        """What is kept of a group."""
        return self.method.pattern

    @property
    def weight_burst_bytes(self) -> int:
        """The smallest transfer of weights, 1 if what moves them has none."""
        return int(getattr(self.units.get(self.diagram.resource_of("w")), "burst_bytes", 1))

    def tile(self, gemm: Gemm, *, least_columns: int = 1) -> Tiling:
        """Return the tile of a layer: the one set by hand, checked, or the mapper's choice.

        Args:
            gemm: the layer.
            least_columns: the fewest columns that the mapper may choose, if the layer has them.

        Raises:
            InputError: no tile, or not this one, fits the buffers.
        """
        if self.fixed_tiling is None:
            return choose_tiling(gemm, self.path, self.stores, least_columns=least_columns)
        check_tiling(self.fixed_tiling, gemm, self.path, self.stores)
        return self.fixed_tiling

    def check_room(self, gemm: Gemm) -> None:
        """Raise InputError if no tile of a layer, or not a table that it needs, fits."""
        self.check_tables(gemm)
        if self.fixed_tiling is None:
            check_room(gemm, self.path, self.stores)
        else:
            check_tiling(self.fixed_tiling, gemm, self.path, self.stores)

    def check_tables(self, gemm: Gemm) -> None:
        """Raise InputError if a table that a layer needs does not fit."""
        for unit in self.units.values():
            if isinstance(unit, LaneUnit):
                unit.check_layer(gemm, self.path)

"""Selection by a level: whatever is above it stays, however much that is (TEAL)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.logic import period_ps, shape
from accelsim.hardware.selectors.base import Selector
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.sparsity import Pattern
from accelsim.sparsity.patterns.threshold import Threshold
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits, select_path, value_path
from accelsim.tech.source import BlockCost, CostSource


class ThresholdSelector(Selector):
    """`instances` comparators: each tells in a cycle whether a value is above the layer's level.

    In a decode step the masks of all tokens of a tile are united; then each token's values at the
    positions of the union are moved together, word by word, zeros where the token itself drops the
    value. One token is its own union and is moved as it is compared; several pass twice. In prefill
    nothing is united: each token's own values are moved as they are compared.

    Timing:
            busy    = passes × ceil(tokens × reduction / instances), for a job that selects;
                      passes 2 for several tokens of a decode step, else 1
            latency = 2 + extra_stages: compare, move

    Actions:
        compare: one value compared with the level.
        move: one value that enters the network of moves.

    Not modelled:
        The second reading of the activation buffer; the memory of the union's mask, a bit for each
        position; the level in codes of int8, which is another one for each token, as its scale is:
        the division is that of whoever rounded the token. No RTL: area and energy are sums of
        parts, at the prices of the selector `rank`.

    Example:
        8 × 96 values through 64 comparators: 12 cycles, twice.

        >>> from accelsim.hardware.examples import work
        >>> unit = ThresholdSelector(kind="threshold", instances=64)
        >>> unit.busy_cycles(work("threshold:0.5", tokens=8, reduction=96, is_decode=True))
        array([24])
        >>> unit.busy_cycles(work("threshold:0.5", tokens=8, reduction=96))
        array([12])
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"compare", "move"})

    kind: Annotated[Literal["threshold"], Field(description="Which design")]
    instances: Annotated[
        int,
        Field(strict=True, gt=0, le=2**10),
        Field(description="Values compared, and moved, a cycle"),
    ] = 64

    @override
    def block_name(self) -> str:
        return "select_threshold"

    @override
    def depth(self, path: Datapath) -> int:
        return 1

    @classmethod
    @override
    def takes(cls, pattern: Pattern) -> bool:
        return isinstance(pattern, Threshold)

    @override
    def busy_cycles(self, work: Work) -> Ints:
        passes = 1 + (work.jobs.tokens > 1) * work.is_decode
        return passes * ceil_div(self.groups(work), self.instances)

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        values = int(self.groups(work).sum())
        return {"compare": values, "move": values}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        compare, move = self._core(tech, path), self._others(tech, path)["compact"]
        moved_um2 = move.area_um2 + self._output_bits(path) * tech.register_um2
        stages_pj = (self.extra_stages or 0) * self._stage_bits(path) * tech.register_pj
        return {
            "compare": tech.energy_pj("select_rank", "group", compare.area_um2) / self.instances,
            "move": (tech.energy_pj("select_rank", "group", moved_um2) + stages_pj)
            / self.instances,
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        logic = self._core(tech, path).area_um2
        logic += sum(cost.area_um2 for cost in self._others(tech, path).values())
        registers = (self.extra_stages or 0) * self._stage_bits(path) + self._output_bits(path)
        return logic + registers * tech.register_um2

    @override
    def _core(self, tech: CostSource, path: Datapath) -> BlockCost:
        return tech.block(self.block_name(), self._word(path), period_ps=period_ps(path))

    @override
    def _others(self, tech: CostSource, path: Datapath) -> dict[str, BlockCost]:
        return {"compact": tech.block("move_together", self._word(path), period_ps=period_ps(path))}

    @override
    def _stage_bits(self, path: Datapath) -> int:
        return self.instances * (path.x.bits + 1) + 1

    @override
    def _output_bits(self, path: Datapath) -> int:
        return self._stage_bits(path)

    def _word(self, path: Datapath) -> Shape:
        """Return the shape of the blocks for the values of a cycle, any of which may stay."""
        return replace(shape(path), n=self.instances, m=self.instances)


def _compare_parts(s: Shape) -> Parts:
    """Return a comparator a value, and the level."""
    return {
        "comparator_bits": s.m * s.key_bits,
        "count_bits": 0,
        "magnitude_bits": 0 if s.is_float else s.m * s.bits,
        "register_bits": s.m * (s.bits + 1) + 1 + s.key_bits,
    }


def _move_parts(s: Shape) -> Parts:
    """Return a network of ceil(log2 W) ranks, each of which moves values by a power of two."""
    ranks = index_bits(s.m)
    return {"leg_bits": s.m * ranks * s.bits, "places": s.m * ranks}


BLOCKS["select_threshold"] = Block(_compare_parts, select_path, priced_like="select_rank")
BLOCKS["move_together"] = Block(_move_parts, value_path, priced_like="compact")

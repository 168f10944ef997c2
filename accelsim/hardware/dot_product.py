"""The dot product of an element of the array, and the MAC: multipliers, adders and registers.

Lanes of other units are composed of the same parts and priced like these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log2

from accelsim.hardware.logic import arithmetic, dot_product_block, shape
from accelsim.mapping import Datapath
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits
from accelsim.tech.source import CostSource

_MEASURED_LANES = 16  # of the dot products in energy_*.csv


def lane_pj_per_um2(tech: CostSource, path: Datapath) -> float:
    """Return the energy of the logic of a lane of a dot product, without its flip-flops.

    The energy density of a MAC is that of the whole lane over the area of its logic. Of the
    dot product that was measured (16 lanes), the flip-flops between products, adders and
    accumulator are taken out again.
    """
    block, measured = dot_product_block(path), shape(path)
    measured = replace(measured, lanes=_MEASURED_LANES, scale_lanes=_MEASURED_LANES)
    cost = tech.block(block, measured)
    logic_um2 = (cost.logic_um2 - cost.parts_um2.get("block_sums", 0.0)) / _MEASURED_LANES
    if not logic_um2:  # a table without a price for it
        return 0.0
    action = f"{arithmetic(path)}_mac"
    registers = rank_bits(path, measured) / _MEASURED_LANES
    whole_pj = tech.energy_pj(block, action, logic_um2)
    return max(0.0, whole_pj - registers * tech.register_pj) / logic_um2


def rank_bits(path: Datapath, s: Shape) -> float:
    """Return the flip-flops of a rank of registers in every stage of a dot product of a shape."""
    cut = BLOCKS[dot_product_block(path)].cut
    assert cut is not None
    return cut(s)["register_bits"]


def _multipliers(s: Shape, count: float) -> Parts:
    """Return multipliers; a float's grows with the square of its significand (bf16 has 8 bits).

    bf16 and fp8 (4 bits) were synthesised; fp16 (11 bits) follows from them, and int4 from int8.
    """
    if s.is_float:
        return {"bf16_multipliers": count * (s.significand_bits / 8) ** 2}
    if s.bits < 8:  # noqa: PLR2004 - narrower ones were not synthesised
        return {"int8_multipliers": count * (s.bits / 8) ** 2}
    return {f"int{s.bits}_multipliers": count}


def _accumulator(s: Shape) -> Parts:
    """Return the adder of a running sum of 32 bits."""
    return {"float_adders": 1} if s.is_float else {"accumulator_bits": 32}


def _path(s: Shape) -> Parts:
    """Return the critical path of a MAC: its multiplier or its adder, whatever the lanes."""
    return {"float": 1.0} if s.is_float else {"log_bits": log2(s.bits)}


def _mac(s: Shape) -> Parts:
    """Return one multiplier in front of one accumulator."""
    return {**_multipliers(s, 1), **_accumulator(s), "register_bits": 32}


def _dot_product(s: Shape) -> Parts:
    """Return L multipliers, a tree of adders with registers between its levels, a sum behind it."""
    adders, adder_bits, registers = _tree(s)
    tree = {"float_adders": adders + 1} if s.is_float else {"adder_bits": adder_bits}
    depth = index_bits(s.lanes)
    return {
        **_multipliers(s, s.lanes),
        **_accumulator(s),
        **tree,
        "register_bits": registers + 64 + 3 * (depth + 2),  # two accumulators; flags of each stage
    }


def _dot_product_cut(s: Shape) -> Parts:
    """Return a rank of registers in every stage; a sum is added to in every cycle."""
    return {"register_bits": stage_register_bits(s), **_accumulator(s)}


def stage_register_bits(s: Shape) -> int:
    """Return the flip-flops of a dot product between its stages: without accumulators and flags.

    >>> stage_register_bits(Shape(lanes=4))  # 4 products of 16 bits, sums of 17, 17 and 18
    116
    """
    return _tree(s)[2]


def _tree(s: Shape) -> tuple[int, int, int]:
    """Return adders, their bits and flip-flops of the products of a dot product and their sums."""
    # Of a product of floats: sign, exponent and 2 × significand - 1 others; the rest is 0.
    product = s.exponent_bits + 2 * s.significand_bits if s.is_float else 2 * s.bits
    adder_bits, adders, registers = 0, 0, s.lanes * product
    count, width = s.lanes, product
    while count > 1:
        width = 32 if s.is_float else min(32, width + 1)
        adders += count // 2
        adder_bits += count // 2 * width
        count = -(-count // 2)
        registers += count * width
    return adders, adder_bits, registers


def lane_block(parts: Callable[[Shape], Parts]) -> Block:
    """Return the block of a lane: its parts have the prices that those of a dot product have."""
    return Block(parts, _path, priced_like="dot_product")


def lane_parts(s: Shape, *, products: float = 0, adders: Sequence[int] = ()) -> Parts:
    """Return a lane: multipliers of B × B bits, adders by their width, and registers behind them.

    Of floats, an adder is one of fp32, whatever the width.
    """
    registers = {"register_bits": sum(adders) or 2 * s.bits}
    if s.is_float:
        return {**_multipliers(s, products), "float_adders": len(adders), **registers}
    return {**_multipliers(s, products), "accumulator_bits": sum(adders), **registers}


def _block_dot_product(scale_bits: int, more_bits: int) -> Callable[[Shape], Parts]:
    """Return what counts the parts of a dot product of fp4 with scales of blocks.

    Products and sums of a block are integers: quarters, of 9 bits and one more a level. A block
    ends in a multiplication by its scales and an adder of fp32, together a `block_sum`.

    Args:
        scale_bits: of a scale, as far as they are used.
        more_bits: by how many a scaled sum has more significant bits than the sum itself.
    """

    def parts(s: Shape) -> Parts:
        blocks, levels = -(-s.lanes // s.scale_lanes), index_bits(s.scale_lanes)
        widths = [9 + level for level in range(1, levels + 1)]
        adders = [-(-s.scale_lanes // 2**level) for level in range(1, levels + 1)]
        sums = sum(width * count for width, count in zip(widths, adders, strict=True))
        # The last bits of a scaled sum are 0; the adders behind it fill all 32.
        scaled = min(32, 9 + levels + more_bits + 9)
        behind = 32 * sum(-(-blocks // 2**n) for n in range(1, index_bits(blocks) + 1))
        scales = 2 * scale_bits * (levels + 1)
        flags = 3 * (levels + index_bits(blocks) + 3)
        return {
            "fp4_multipliers": s.lanes,
            "adder_bits": blocks * sums,
            "block_sums": blocks,
            "register_bits": 9 * s.lanes + blocks * (sums + scales + scaled) + behind + 64 + flags,
        }

    return parts


def _block_cut(parts: Callable[[Shape], Parts]) -> Callable[[Shape], Parts]:
    """Return what counts a further rank of registers; of a block sum, the adder is in a loop."""

    def cut(s: Shape) -> Parts:
        flags_and_sums = 64 + 3 * (index_bits(s.scale_lanes) + 3)
        return {"register_bits": parts(s)["register_bits"] - flags_and_sums, "block_sums": 1}

    return cut


for _name, _sizes in (("e4m3", (7, 7)), ("e8m0", (8, 1))):
    _parts = _block_dot_product(*_sizes)
    BLOCKS[f"block_dot_product_{_name}"] = Block(
        _parts, lambda _: {"float": 1.0}, cut=_block_cut(_parts)
    )
BLOCKS["mac"] = Block(_mac, _path)
BLOCKS["dot_product"] = Block(_dot_product, _path, cut=_dot_product_cut)

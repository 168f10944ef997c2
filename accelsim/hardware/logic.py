"""A datapath as the technology sees it: the shape of its blocks, and the period of its clock."""

from __future__ import annotations

from accelsim.mapping import Datapath
from accelsim.precision import PRECISIONS
from accelsim.tech.blocks import Shape
from accelsim.tech.source import BlockCost, CostSource


def shape(path: Datapath) -> Shape:
    """Return the parameters of the blocks of one row of the array."""
    precision = PRECISIONS[path.x.precision]
    return Shape(
        n=path.kept_per_group,
        m=path.group_size,
        bits=path.x.bits,
        is_float=precision.is_float(),
        significand_bits=precision.significand_bits,
        exponent_bits=precision.exponent_bits,
        lanes=path.lanes,
        scale_lanes=scale_lanes(path),
        columns=path.columns,
        score_bits=path.score_bits,
        code_bits=path.w.bits if path.formats.unpacks else 0,
        modes=path.modes,
    )


def scale_lanes(path: Datapath) -> int:
    """Return the lanes that share a scale of a block: of 16 values, 8 are kept at 8:16.

    >>> from accelsim.hardware.examples import path
    >>> from accelsim.precision import Operands
    >>> from dataclasses import replace
    >>> scale_lanes(replace(path("8:16"), lanes=32, formats=Operands.of("nvfp4")))
    8
    """
    n, m = path.lane_group
    kept = PRECISIONS[path.x.precision].block * (1 if path.is_unrolled else n) // m
    return max(1, min(kept, path.lanes))


def dot_product_block(path: Datapath) -> str:
    """Return the block of the RTL that an element of the array is."""
    return PRECISIONS[path.x.precision].dot_product


def arithmetic(path: Datapath) -> str:
    """Return whose energy multipliers and adders take: `int`, `fp4`, `fp8` or `float`."""
    return PRECISIONS[path.x.precision].arithmetic


def block_cost(tech: CostSource, name: str, path: Datapath) -> BlockCost:
    """Return a block of one row of the array, synthesised for the clock."""
    return tech.block(name, shape(path), period_ps=period_ps(path))


def period_ps(path: Datapath) -> float:
    """Return the clock period.

    >>> from accelsim.hardware.examples import path
    >>> period_ps(path("8:16"))
    1000.0
    """
    return 1e6 / path.clock_mhz

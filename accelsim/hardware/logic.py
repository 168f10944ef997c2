"""A datapath as the technology sees it: the shape of its blocks, and the period of its clock."""

from __future__ import annotations

from dataclasses import replace

from accelsim.mapping import Datapath
from accelsim.precision import PRECISIONS
from accelsim.tech.blocks import Shape, stage_register_bits
from accelsim.tech.technology import BlockCost, Technology

_MEASURED_LANES = 16  # of the dot products in energy_*.csv


def shape(path: Datapath) -> Shape:
    """Return the parameters of the blocks of one row of the array."""
    precision = PRECISIONS[path.precision]
    return Shape(
        n=path.kept_per_group,
        m=path.group_size,
        bits=path.value_bits,
        is_float=precision.significand_bits > 0,
        significand_bits=precision.significand_bits,
        lanes=path.lanes,
        columns=path.columns,
        score_bits=path.score_bits,
    )


def block_cost(tech: Technology, name: str, path: Datapath) -> BlockCost:
    """Return a block of one row of the array, synthesised for the clock."""
    return tech.block(name, shape(path), period_ps=period_ps(path))


def lane_pj_per_um2(tech: Technology, path: Datapath) -> float:
    """Return the energy of the logic of a lane of a dot product, without its flip-flops.

    The energy density of a MAC is that of the whole lane over the area of its logic. Of the
    dot product that was measured (16 lanes), the flip-flops between products, adders and
    accumulator are taken out again.
    """
    measured = replace(shape(path), lanes=_MEASURED_LANES)
    logic_um2 = tech.block("dot_product", measured).logic_um2 / _MEASURED_LANES
    if not logic_um2:  # a table without a price for it
        return 0.0
    action = f"{measured.arithmetic}_mac"
    registers = stage_register_bits(measured) / _MEASURED_LANES
    whole_pj = tech.energy_pj("dot_product", action, logic_um2)
    return max(0.0, whole_pj - registers * tech.register_pj) / logic_um2


def period_ps(path: Datapath) -> float:
    """Return the clock period.

    >>> from accelsim.hardware.examples import path
    >>> period_ps(path("8:16"))
    1000.0
    """
    return 1e6 / path.clock_mhz

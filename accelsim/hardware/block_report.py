"""One block on its own: what a synthesis of the same block can be held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from accelsim.base.errors import InputError
from accelsim.hardware.crossbars import CROSSBARS
from accelsim.hardware.logic import block_cost
from accelsim.hardware.selectors import SELECTORS
from accelsim.mapping import Datapath
from accelsim.precision import PRECISIONS, Operands
from accelsim.tech.source import BlockCost, CostSource

BLOCKS = ("selector", "crossbar", "mac", "dot_product")
LARGEST_GROUP, MOST_LANES = 64, 1024  # as in architecture files
NO_CLOCK_MHZ = 1e-3  # a period that every block meets: the smallest netlist, no pipelining


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleBlock:
    """A block, its size and its speed.

    Attributes:
        block, kind: what it is.
        area_um2, ge: area, flip-flops included; the same in gate equivalents.
        delay_ps: the slowest path between flip-flops or ports, unwired.
        stages: ranks of flip-flops from input to output; 0: combinational.
        effort: `area` or `delay`, the netlist that was taken.
        source: where the prices come from.
    """

    block: str
    kind: str
    area_um2: float
    ge: float
    delay_ps: float
    stages: int
    effort: str
    source: str


def single_block(  # noqa: PLR0913
    tech: CostSource,
    *,
    block: str,
    kind: str,
    n: int = 8,
    m: int = 16,
    bits: int = 8,
    lanes: int = 16,
    columns: int = 8,
    pipelined: bool = False,
    clock_mhz: float | None = None,
) -> SingleBlock:
    """Return one selector with compaction, the crossbar of one row, one MAC or one dot product.

    Args:
        tech: prices.
        block: one of `BLOCKS`.
        kind: of selector or crossbar; of a MAC its precision.
        n: kept values.
        m: of a group.
        bits: of a value: 8 is int8, 16 is bf16.
        lanes: of the crossbar, or of the dot product.
        columns: that share the decoding of a crossbar.
        pipelined: the pipelined form of a selector that has both.
        clock_mhz: clock to meet, by a faster netlist and then by stages; default none.

    Raises:
        InputError: unknown block or kind, or a shape that the block cannot have.
    """
    _check(block, n=n, m=m, bits=bits, lanes=lanes, columns=columns)
    precision = kind if block in ("mac", "dot_product") else _precision(bits)
    path = Datapath(
        rows=1,
        columns=columns,
        lanes=lanes,
        accumulator_bits=PRECISIONS[precision].accumulator_bits,
        formats=Operands.of(precision),
        clock_mhz=clock_mhz or NO_CLOCK_MHZ,
        kept_per_group=n,
        group_size=m,
    )
    if block == "selector":
        return _selector(tech, path, kind, is_pipelined=pipelined)
    if block == "crossbar":
        return _crossbar(tech, path, kind, has_clock=clock_mhz is not None)
    cost = block_cost(tech, block, path)
    stages = 1 if block == "mac" else 3 + (lanes - 1).bit_length()
    return _report(tech, block, block, kind, cost.area_um2, cost.delay_ps, stages, cost.effort)


def _selector(tech: CostSource, path: Datapath, kind: str, *, is_pipelined: bool) -> SingleBlock:
    raw: dict[str, Any] = {"kind": kind}
    if is_pipelined:
        if "pipelined" not in SELECTORS[kind].model_fields:
            raise InputError(f"selector kind '{kind}' is always pipelined; leave --pipelined out")
        raw["pipelined"] = True
    unit = SELECTORS[kind].model_validate(raw).fit_clock(tech, path)
    core, compact = (block_cost(tech, name, path) for name in (unit.block_name(), "compact"))
    slower: BlockCost = max(core, compact, key=lambda cost: cost.delay_ps)
    return _report(
        tech,
        "selector",
        unit.block_name(),
        kind,
        unit.area_um2(tech, path),
        slower.delay_ps,
        unit.latency_cycles(path),
        slower.effort,
    )


def _crossbar(tech: CostSource, path: Datapath, kind: str, *, has_clock: bool) -> SingleBlock:
    if not CROSSBARS[kind].is_routing:
        raise InputError(f"crossbar kind '{kind}' is wires only; it has no area")
    unit = CROSSBARS[kind].model_validate(
        {"kind": kind, "pipeline_stages": None if has_clock else 0}
    )
    path = replace(path, metadata_format=unit.decodes)  # without a converter
    unit = unit.fit_clock(tech, path)
    name = unit.block_name
    cost = block_cost(tech, name, path)
    area = cost.area_um2
    stages = unit.latency_cycles(path)
    area += stages * path.x.bits * path.lanes * path.columns * tech.register_um2
    return _report(tech, "crossbar", name, kind, area, cost.delay_ps, stages, cost.effort)


def _report(  # noqa: PLR0913, PLR0917
    tech: CostSource,
    block: str,
    name: str,
    kind: str,
    area_um2: float,
    delay_ps: float,
    stages: int,
    effort: str,
) -> SingleBlock:
    return SingleBlock(
        block=block,
        kind=kind,
        area_um2=area_um2,
        ge=tech.gate_equivalents(area_um2),
        delay_ps=delay_ps,
        stages=stages,
        effort=effort,
        source=tech.origin(name),
    )


def _precision(bits: int) -> str:
    return {8: "int8", 16: "bf16"}[bits]


def _check(  # noqa: PLR0913
    block: str, *, n: int, m: int, bits: int, lanes: int, columns: int
) -> None:
    if block not in BLOCKS:
        raise InputError(f"unknown block '{block}'; allowed: {', '.join(BLOCKS)}")
    if not 1 <= n <= m <= LARGEST_GROUP:
        raise InputError(f"pattern {n}:{m}: needs 1 <= N <= M <= {LARGEST_GROUP}")
    if bits not in (8, 16):
        raise InputError(f"bits {bits}: allowed: 8 (int8), 16 (bf16)")
    if not (1 <= lanes <= MOST_LANES and 1 <= columns <= MOST_LANES):
        raise InputError(f"lanes {lanes}, columns {columns}: allowed: 1 to {MOST_LANES} each")

"""What a layer comes to on a machine: its counts, priced, as a result."""

from __future__ import annotations

from accelsim.accounting.breakdown import bound, leaders
from accelsim.accounting.cost import PricedTally, Prices
from accelsim.accounting.ledger import UnitLedger
from accelsim.accounting.tally import Tally
from accelsim.config import Architecture
from accelsim.mapping import Ints
from accelsim.mapping.tiling import describe
from accelsim.results.result import LayerResult, UnitResult
from accelsim.run.layers import TiledProduct
from accelsim.run.products import Product
from accelsim.sparsity.policy import Method

Placed = tuple[TiledProduct, Tally]
"""The product that a layer ran in, its own or one with others, and what the layer adds up to."""


def priced_layer(  # noqa: PLR0913, PLR0917
    arch: Architecture,
    prices: Prices,
    method: Method,
    product: Product,
    steps: Ints | None,
    placed: Placed,
) -> LayerResult:
    """Return a product of a layer, in prefill or over decode steps `[steps, rows]`, as a result."""
    tiled, tally = placed
    linear = product.linear
    tokens = tiled.gemm.tokens * (1 if steps is None else len(steps))
    return LayerResult(
        name=linear.name,
        kind=linear.kind,
        method=method,
        tokens=tokens,
        in_features=linear.in_features,
        out_features=linear.out_features,
        cycles=tally.cycles,
        macs_dense=tokens * linear.in_features * linear.out_features,
        macs_executed=_macs_executed(product, steps, tally),
        dropped_squared_magnitude_ratio=product.selection.dropped_squared_magnitude_ratio,
        needed_rows_ratio=product.needed_rows_ratio(steps),
        bound=bound(tally.bound_cycles, leaders(product.machine.diagram)),
        leaders=leaders(product.machine.diagram),
        bound_cycles=tally.bound_cycles,
        breakdown=tally.breakdown,
        tiling=describe(tiled.tiling),
        units=_unit_results(arch, prices, tally, product.nonzero(steps)),
    )


def _macs_executed(product: Product, steps: Ints | None, tally: Tally) -> int:
    """Return the multiplications of kept values; of those, where both masks tell, the counted."""
    if product.machine.packs is not None and not product.machine.path.is_gathered:
        return tally.actions[product.machine.diagram.array.name]["mac"]
    return product.kept(steps) * product.linear.out_features


def _unit_results(
    arch: Architecture, prices: Prices, tally: Tally, nonzero: int
) -> dict[str, UnitResult]:
    """Price every unit; the DMA engines have a ledger but no cost of their own.

    Units that the layer has no use for are idle all the time, and leak.
    """
    priced = PricedTally(prices, tally)
    idle = UnitLedger(idle_cycles=tally.cycles)
    results = {}
    for name, unit in arch.units.items():
        actions = dict.fromkeys(sorted(unit.action_names), 0)
        if name in tally.actions:
            actions = tally.actions_with(name, nonzero)
        results[name] = UnitResult(
            area_um2=prices.area_um2[name],
            leakage_pj=priced.leakage_pj(name),
            ledger=tally.ledgers.get(name, idle),
            actions=actions,
            action_pj=priced.action_pj(name, nonzero),
            is_off_chip=unit.is_off_chip,
        )
    for name in arch.streams:
        results[name] = UnitResult(0.0, 0.0, tally.ledgers.get(name, idle), {}, {})
    return results

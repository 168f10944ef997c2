"""The sentences around the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from accelsim.config.operands import check_precision, operands_of
from accelsim.report.quantity import (
    change,
    counted,
    digits,
    efficiency_scale,
    percent,
    scaled,
    scaled_area,
    times,
)
from accelsim.report.saved import bandwidths_gb_per_s
from accelsim.report.tables import J_PER_PJ, OPS_PER_TOPS, W_PER_MW
from accelsim.report.text import escaped
from accelsim.results.comparison import Ratios
from accelsim.results.result import Result


def _formats(precision: Any) -> str:
    """Return the number formats of a machine as text: `int8`, or `int8/int4:64`."""
    return str(operands_of(check_precision(precision)))


def headline(result: Result) -> str:
    """Return the headline of a run in lines: machine, trace, and totals."""
    arch, trace = result.arch, result.trace
    totals = result.totals() | result.chip_power()
    array, tokens = arch["mac_array"], _tokens(result)
    batch = f" batch {result.batch}" if result.batch else ""
    bandwidth = " + ".join(f"{rate:g}" for rate in bandwidths_gb_per_s(arch))
    extras = [arch[key] for key in ("criterion", "mitigation") if arch[key] not in ("act", "none")]
    return (
        f"{escaped(arch['name'])}: {' '.join([arch['pattern'], *extras])} "
        f"{_formats(arch['precision'])}, "
        f"{array['rows']}×{array['columns']}×{array['lanes']} MACs at {arch['clock_mhz']:g} MHz, "
        f"{bandwidth} GB/s, {arch['technology']['node_nm']:g} nm\n"
        f"{escaped(trace['path'])}: {escaped(trace['model'])}, {result.phase}{batch}, {tokens}, "
        f"{counted(trace['linears'], 'layer')}\n"
        f"{_policy_line(result)}"
        f"{totals['cycles']:,} cycles, {scaled(totals['time_s'], 's')}, "
        f"{_effective(totals['effective_tops'])}, "
        f"{scaled(J_PER_PJ * totals['energy_pj'], 'J')}, {scaled_area(totals['area_um2'])}\n"
        f"{scaled(W_PER_MW * totals['power_mw'], 'W')}, {_efficiency(totals['tops_per_w'])}; "
        f"without DRAM {scaled(W_PER_MW * totals['chip_power_mw'], 'W')}, "
        f"{digits(totals['power_density_w_per_mm2'])} W/mm²"
    )


def _effective(tops: float) -> str:
    """Return throughput in dense-equivalent operations.

    >>> _effective(3.95)
    '3.95 effective TOPS'
    """
    number, unit = scaled(OPS_PER_TOPS * tops, "OPS").split()
    return f"{number} effective {unit}"


def _efficiency(tops_per_w: float) -> str:
    return efficiency_scale([tops_per_w]).with_unit(tops_per_w)


def _tokens(result: Result) -> str:
    """Return how many tokens ran, and of how many: an incomplete decode step does not run."""
    there = result.trace["tokens"]
    ran = max(layer.tokens for layer in result.layers) if result.batch else there
    return counted(ran, "token") if ran == there else f"{ran:,} of {counted(there, 'token')}"


def _policy_line(result: Result) -> str:
    """Return the policy's file, and how many layers are pruned how; nothing without a policy."""
    if result.policy is None:
        return ""
    counts = Counter(str(layer.method) for layer in result.layers)
    methods = ", ".join(f"{count} × {method}" for method, count in counts.items())
    return f"policy {escaped(result.policy.name)}: {methods}\n"


def one_by_one_line(result: Result) -> Iterator[str]:
    """Yield what it is worth that layers follow each other, where they do."""
    if result.isolated_cycles is not None:
        gain = change(result.cycles / result.isolated_cycles - 1)
        parts = [f"{gain} cycles, one by one {result.isolated_cycles:,}", result.chain_note]
        yield f"layers follow each other: {'; '.join(filter(None, parts))}"


def speedup_line(result: Result, against: Result) -> Iterator[str]:
    """Yield the comparison with a baseline, and the factors that the speed-up is made of."""
    ratios = Ratios.of(result, against)
    yield (
        f"against {escaped(against.arch['name'])}: {times(ratios.speedup)} speed, "
        f"{times(ratios.energy_ratio)} energy, {change(ratios.area_overhead_ratio)} area, "
        f"{times(ratios.edp_ratio)} energy-delay"
    )
    ours, theirs = result.breakdown, against.breakdown
    ideal = theirs.ideal_cycles / ours.ideal_cycles
    here = ours.ideal_cycles / ours.total_cycles
    there = theirs.ideal_cycles / theirs.total_cycles
    clock = result.clock_mhz / against.clock_mhz
    yield (
        f"speed-up = MAC cycles there / here {digits(ideal)} × useful cycles {percent(here)} / "
        f"{percent(there)}" + (f" × clock {digits(clock)}" if clock != 1 else "")
    )
    if result.dropped_squared_magnitude_ratio is None:
        yield "shapes only: no values, so every kept activation counts as nonzero"
    elif result.dropped_squared_magnitude_ratio:
        dropped = percent(result.dropped_squared_magnitude_ratio)
        yield f"selection drops {dropped} of the squared activation magnitude (mean over layers)"

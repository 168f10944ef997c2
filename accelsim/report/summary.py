"""The sentences around the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from accelsim.report.tables import percent
from accelsim.results.comparison import Ratios
from accelsim.results.result import Result


def headline(result: Result) -> str:
    """Return what was run on what."""
    arch, trace, totals = result.arch, result.trace, result.totals()
    array = arch["mac_array"]
    # An expert runs fewer of them; steps that are not full run none.
    in_steps = max(layer.tokens for layer in result.layers)
    tokens = in_steps if result.batch else trace["tokens"]
    batch = f" batch {result.batch}" if result.batch else ""
    extras = [arch[key] for key in ("criterion", "mitigation") if arch[key] not in ("act", "none")]
    return (
        f"{arch['name']}: {' '.join([arch['pattern'], *extras])} {arch['precision']}, "
        f"{array['rows']}×{array['columns']}×{array['lanes']} MACs at {arch['clock_mhz']:g} MHz, "
        f"{arch['dram']['bandwidth_gb_per_s']:g} GB/s, {arch['technology']['node_nm']:g} nm\n"
        f"{trace['path']}: {trace['model']}, {result.phase}{batch}, {tokens} tokens, "
        f"{trace['linears']} layers\n"
        f"{_policy_line(result)}"
        f"{totals['cycles']:,} cycles, {totals['time_s'] * 1e3:.3f} ms, "
        f"{totals['effective_tops']:.2f} effective TOPS, "
        f"{totals['energy_pj'] / 1e9:.3f} mJ, {totals['area_um2'] / 1e6:.2f} mm²"
    )


def _policy_line(result: Result) -> str:
    """Return the policy's file, and how many layers are pruned how; nothing without a policy."""
    if result.policy is None:
        return ""
    counts = Counter(str(layer.method) for layer in result.layers)
    methods = ", ".join(f"{count} × {method}" for method, count in counts.items())
    return f"policy {result.policy.name}: {methods}\n"


def speedup_line(result: Result, against: Result) -> Iterator[str]:
    """Return the comparison with a baseline, and why the speed-up is what it is."""
    ratios = Ratios.of(result, against)
    yield (
        f"against {against.arch['name']}: {ratios.speedup:.2f}× speed, "
        f"{ratios.energy_ratio:.2f}× energy, {ratios.area_overhead_ratio:+.1%} area, "
        f"{ratios.edp_ratio:.2f}× energy-delay"
    )
    ours, theirs = result.breakdown, against.breakdown
    ideal = theirs.ideal_cycles / ours.ideal_cycles
    here = ours.ideal_cycles / ours.total_cycles
    there = theirs.ideal_cycles / theirs.total_cycles
    clock = result.clock_mhz / against.clock_mhz
    yield (
        f"speed-up = MAC cycles there / here {ideal:.2f} × useful cycles {percent(here)} / "
        f"{percent(there)}" + (f" × clock {clock:.2f}" if clock != 1 else "")
    )
    if result.dropped_energy_ratio is None:
        yield "shapes only: no values, so every kept activation counts as nonzero"
    elif result.dropped_energy_ratio:
        dropped = percent(result.dropped_energy_ratio)
        yield f"selection drops {dropped} of the squared activation magnitude (mean over layers)"

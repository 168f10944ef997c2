"""The outcome of a simulation: frozen, self-describing, and the JSON contract of `accelsim run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add, mul
from typing import TYPE_CHECKING, Any

from accelsim.accounting.breakdown import Breakdown, bound
from accelsim.accounting.cost import unit_pj
from accelsim.accounting.ledger import UnitLedger
from accelsim.accounting.tally import weighted_sum
from accelsim.base.errors import MissingExtraError
from accelsim.base.renamed import both
from accelsim.base.strict_json import json_text
from accelsim.sparsity.policy import Method, Policy
from accelsim.version import __version__

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class UnitResult:
    """One unit over a layer or the whole run: counted actions, what each cost, and leakage.

    `is_off_chip` is true of DRAM channels: what they move and take is told apart.
    """

    area_um2: float
    leakage_pj: float
    ledger: UnitLedger
    actions: Mapping[str, int]
    action_pj: Mapping[str, float]
    is_off_chip: bool = False

    @property
    def energy_pj(self) -> float:
        """Energy of all actions, and leakage."""
        return unit_pj(self.action_pj.values(), self.leakage_pj)

    def __add__(self, other: UnitResult) -> UnitResult:
        """Add what the same unit did in two runs."""
        return UnitResult(
            area_um2=self.area_um2,
            leakage_pj=self.leakage_pj + other.leakage_pj,
            ledger=self.ledger + other.ledger,
            actions={name: n + other.actions[name] for name, n in self.actions.items()},
            action_pj={name: pj + other.action_pj[name] for name, pj in self.action_pj.items()},
            is_off_chip=self.is_off_chip,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "area_um2": self.area_um2,
            "energy_pj": self.energy_pj,
            "leakage_pj": self.leakage_pj,
            **asdict(self.ledger),
            "actions": dict(self.actions),
            "action_pj": dict(self.action_pj),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """One linear layer `Y[T, O] = X[T, K] @ W[K, O]`. Over a decode run, the sum over its steps.

    Attributes:
        name: dotted name of the layer.
        kind: the name that the same layer of every block shares, e.g. `up_proj`.
        method: how it was pruned.
        tokens: T.
        in_features: K.
        out_features: O.
        cycles: from the first cycle of the layer to the last.
        macs_dense: T × K × O.
        macs_executed: multiplications of kept values, zeros among them included.
        dropped_squared_magnitude_ratio: share of the input that selection dropped; None without
            values.
        needed_rows_ratio: share of rows of W that some sequence of a decode step keeps, by the
            real masks, as a mean over the steps; None in prefill, where every row is fetched.
        bound: the unit or resource that needs the most cycles.
        bound_cycles: least cycles that each of them needs.
        leaders: who is `bound` if several need equally many.
        breakdown: the cycles, as seen from the array.
        tiling: tile sizes and loop order, for people.
        units: by name.
    """

    name: str
    kind: str
    method: Method
    tokens: int
    in_features: int
    out_features: int
    cycles: int
    macs_dense: int
    macs_executed: int
    dropped_squared_magnitude_ratio: float | None
    needed_rows_ratio: float | None
    bound: str
    bound_cycles: Mapping[str, int]
    leaders: Sequence[str]
    breakdown: Breakdown
    tiling: str
    units: Mapping[str, UnitResult]

    @property
    def density(self) -> float:
        """Executed over dense MACs."""
        return self.macs_executed / self.macs_dense

    @property
    def energy_pj(self) -> float:
        """Energy of all units."""
        return sum(unit.energy_pj for unit in self.units.values())

    @property
    def dram_bytes(self) -> int:
        """Bytes moved to and from DRAM, over all of its channels."""
        return sum(sum(unit.actions.values()) for unit in self.units.values() if unit.is_off_chip)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the keys of the contract first."""
        parts = self.breakdown
        return {
            "name": self.name,
            "tokens": self.tokens,
            "in_features": self.in_features,
            "out_features": self.out_features,
            "cycles": self.cycles,
            "macs_dense": self.macs_dense,
            "macs_executed": self.macs_executed,
            "density": self.density,
            "energy_pj": self.energy_pj,
            "dram_bytes": self.dram_bytes,
            "bound": self.bound,
            "kind": self.kind,
            "pattern": str(self.method.pattern),
            "criterion": self.method.criterion,
            "mitigation": self.method.mitigation,
            **both("dropped_energy_ratio", self.dropped_squared_magnitude_ratio),
            "needed_rows_ratio": self.needed_rows_ratio,
            "ideal_cycles": parts.ideal_cycles,
            "edge_cycles": parts.edge_cycles,
            "fill_cycles": parts.fill_cycles,
            "drain_cycles": parts.drain_cycles,
            "stall_cycles": dict(parts.stall_cycles),
            "bound_cycles": dict(self.bound_cycles),
            "tiling": self.tiling,
            "unit_energy_pj": {name: unit.energy_pj for name, unit in self.units.items()},
            "unit_busy_cycles": {
                name: unit.ledger.busy_cycles for name, unit in self.units.items()
            },
        }


def with_products(layer: LayerResult, products: Sequence[LayerResult]) -> LayerResult:
    """Return a layer together with the extra products of its method, such as low-rank ones.

    Costs add up; sizes, `macs_dense`, tiling and the dropped share are those of the layer itself.
    """
    runs = [layer, *products]
    bound_cycles = weighted_sum((1, run.bound_cycles) for run in runs)
    return replace(
        layer,
        cycles=sum(run.cycles for run in runs),
        macs_executed=sum(run.macs_executed for run in runs),
        bound=bound(bound_cycles, layer.leaders),
        bound_cycles=bound_cycles,
        breakdown=sum((run.breakdown for run in runs), Breakdown()),
        units={name: reduce(add, (run.units[name] for run in runs)) for name in layer.units},
    )


def over_steps(parts: Sequence[LayerResult], steps: Sequence[int]) -> LayerResult:
    """Return a layer over all of its decode steps, of which not all run equally many rows.

    Counts are sums, ratios are means over the steps; the tiling is that of the last part.

    Args:
        parts: the layer over the steps that run the same number of rows.
        steps: number of steps of each part.
    """
    needed = [part.needed_rows_ratio or 0.0 for part in parts]
    return replace(
        with_products(parts[-1], parts[:-1]),
        tokens=sum(part.tokens for part in parts),
        macs_dense=sum(part.macs_dense for part in parts),
        needed_rows_ratio=sum(map(mul, needed, steps)) / sum(steps),
    )


def mean_if_known(ratios: Sequence[float | None]) -> float | None:
    """Return the mean, or None if one of them is not known."""
    known = [ratio for ratio in ratios if ratio is not None]
    return sum(known) / len(known) if len(known) == len(ratios) else None


def headline(  # noqa: PLR0913
    *,
    cycles: int,
    macs_dense: int,
    macs_executed: int,
    energy_pj: float,
    dram_bytes: int,
    area_um2: float,
    clock_mhz: float,
    macs_per_cycle: int,
) -> dict[str, float]:
    """Return the headline numbers of a run from its sums; `Result.totals` says what they mean."""
    time_s = cycles / (clock_mhz * 1e6)
    effective_tops = 2 * macs_dense / time_s / 1e12
    power_mw = energy_pj / time_s * 1e-9
    return {
        "cycles": cycles,
        "time_s": time_s,
        "macs_dense": macs_dense,
        "macs_executed": macs_executed,
        "effective_tops": effective_tops,
        "mac_utilization_ratio": macs_executed / (cycles * macs_per_cycle),
        "energy_pj": energy_pj,
        "energy_pj_per_dense_mac": energy_pj / macs_dense,
        "power_mw": power_mw,
        "area_um2": area_um2,
        "tops_per_w": effective_tops / (power_mw * 1e-3),
        "tops_per_mm2": effective_tops / (area_um2 * 1e-6),
        "edp_pj_s": energy_pj * time_s,
        "dram_bytes": dram_bytes,
    }


# The densest power that is known to be cooled, HBM included: NVIDIA H100 SXM, 700 W (data sheet) on
# 814 mm² (Hopper white paper). A100 SXM: 400 W on 826 mm², 0.48 W/mm².
MAX_DENSITY_W_PER_MM2 = 700 / 814
_MAX_WITH_DRAM_W_PER_MM2 = 2.0  # the interface of such a memory, not modelled, would be the chip


def power_notes(totals: Mapping[str, float]) -> Iterator[str]:
    """Yield a warning if a machine takes more power for its area than it plausibly can."""
    area_mm2, power_w = totals["area_um2"] * 1e-6, totals["power_mw"] * 1e-3
    density = totals["power_density_w_per_mm2"]
    if density > MAX_DENSITY_W_PER_MM2:
        yield (
            f"power: {totals['chip_power_mw'] * 1e-3:.3g} W on {area_mm2:.3g} mm² are "
            f"{density:.2g} W/mm², more than chips are cooled at (NVIDIA H100: 700 W on 814 mm², "
            f"0.86 W/mm²): it has to run slower, or is larger than modelled"
        )
    elif power_w / area_mm2 > _MAX_WITH_DRAM_W_PER_MM2:
        yield (
            f"power: {power_w:.3g} W for a chip of {area_mm2:.3g} mm², most of it in DRAM: a chip "
            f"of this size has no room for such an interface, which is not modelled"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """A whole run on one architecture. Totals and units are sums over the layers.

    Attributes:
        arch: the machine with all its keys, defaults included.
        trace: path, hash, model and sizes of the workload.
        phase: `prefill` or `decode`.
        batch: sequences of a decode step; None for prefill.
        engine: that ran it.
        clock_mhz: of the machine.
        macs_per_cycle: multipliers of the machine.
        area_um2: of all units.
        layers: the layers, in the order of the trace.
        policy: which layer was pruned how; None: all as the machine says.
        notes: warnings of what the trace cannot show, such as more sequences than it has.
        isolated_cycles: where layers follow each other, what they take one by one, each from an
            empty machine; None where they do run so.
        chain_note: what to know of layers that follow each other.
    """

    arch: Mapping[str, Any]
    trace: Mapping[str, Any]
    phase: str
    batch: int | None
    engine: str
    clock_mhz: float
    macs_per_cycle: int
    area_um2: float
    layers: tuple[LayerResult, ...]
    policy: Policy | None = None
    notes: tuple[str, ...] = ()
    isolated_cycles: int | None = None
    chain_note: str = ""

    @property
    def cycles(self) -> int:
        """Cycles of all layers, one after the other."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def time_s(self) -> float:
        """Seconds of all layers."""
        return self.cycles / (self.clock_mhz * 1e6)

    @property
    def energy_pj(self) -> float:
        """Energy of all layers."""
        return sum(layer.energy_pj for layer in self.layers)

    @property
    def dropped_squared_magnitude_ratio(self) -> float | None:
        """Mean over the layers of the share of squared magnitude dropped; None without values."""
        return mean_if_known([layer.dropped_squared_magnitude_ratio for layer in self.layers])

    @property
    def breakdown(self) -> Breakdown:
        """The cycles of all layers, as seen from the array."""
        return sum((layer.breakdown for layer in self.layers), Breakdown())

    def __repr__(self) -> str:
        """Return the result in a line: all layers with all units would fill many screens."""
        totals, phase = self.totals(), self.phase + (f" by {self.batch}" if self.batch else "")
        return (
            f"<Result of {self.arch['name']} on {self.trace['model']!r}, {phase}: "
            f"{len(self.layers)} layers, {self.cycles:,} cycles, "
            f"{totals['effective_tops']:.3g} effective TOPS, {self.energy_pj / 1e9:.3g} mJ, "
            f"{self.area_um2 / 1e6:.3g} mm²>"
        )

    def totals(self) -> dict[str, float]:
        """Return the headline numbers.

        `effective_tops` counts dense-equivalent operations (two a MAC); `mac_utilization_ratio`
        counts executed MACs only, so it never exceeds 1. `power_mw` is of chip and DRAM.
        """
        return headline(
            cycles=self.cycles,
            macs_dense=sum(layer.macs_dense for layer in self.layers),
            macs_executed=sum(layer.macs_executed for layer in self.layers),
            energy_pj=self.energy_pj,
            dram_bytes=sum(layer.dram_bytes for layer in self.layers),
            area_um2=self.area_um2,
            clock_mhz=self.clock_mhz,
            macs_per_cycle=self.macs_per_cycle,
        )

    def chip_power(self) -> dict[str, float]:
        """Return the power without DRAM, which is not on the chip, and the same over its area."""
        units = [unit for layer in self.layers for unit in layer.units.values()]
        dram_pj = sum(unit.energy_pj for unit in units if unit.is_off_chip)
        chip_mw = (self.energy_pj - dram_pj) / self.time_s * 1e-9
        density = chip_mw * 1e-3 / (self.area_um2 * 1e-6)
        return {"chip_power_mw": chip_mw, "power_density_w_per_mm2": density}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the numbers: on the trace, and on power."""
        return (*self.notes, *self.power_notes)

    @property
    def power_notes(self) -> tuple[str, ...]:
        """Warnings that the machine takes more power for its area than can be; most often none."""
        return tuple(power_notes(self.totals() | self.chip_power()))

    @property
    def units(self) -> dict[str, UnitResult]:
        """Every unit, summed over the layers."""
        return {
            name: reduce(add, (layer.units[name] for layer in self.layers))
            for name in self.layers[0].units
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `accelsim run --json`."""
        return {
            "schema": SCHEMA,
            "accelsim": __version__,
            "arch": dict(self.arch),
            "trace": dict(self.trace),
            "phase": self.phase,
            "batch": self.batch,
            "engine": self.engine,
            "policy": self.policy and self.policy.to_dict(),
            "warnings": list(self.warnings),
            "totals": self.totals(),
            "isolated_cycles": self.isolated_cycles,
            "power": self.chip_power(),
            "units": {name: unit.to_dict() for name, unit in self.units.items()},
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def to_json(self) -> str:
        """Return the result as JSON text; equal runs give equal text."""
        return json_text(self.to_dict(), indent=1)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a layer as a pandas DataFrame; raise MissingExtraError without pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("pandas", "sweep") from error
        return pd.json_normalize([layer.to_dict() for layer in self.layers])

"""What can be named of a run: its settings, totals, ratios to dense, and what a study adds.

A column, a claim, a sentence and a curve ask for numbers by these names, so that none is typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.renamed import both
from accelsim.config.operands import check_precision, operands_of
from accelsim.report.style import unit_colours
from accelsim.studies.runs import Run, dropped_squared_magnitude_ratio
from accelsim.studies.words import written

Names = Mapping[str, str | Callable[[Run], Any]]
"""By short name: a key of the machine, with dots (`dram.standard`), or a function of the run."""

Quantity = str | Callable[[Sequence[Run]], Any]
"""A number of some runs: a function of them, or the name of a fact of the first one."""


_MHZ = 1000  # a GHz


def multipliers(run: Run) -> int:
    """Return the number of multipliers of a machine."""
    array = run["arch"]["mac_array"]
    return int(array["rows"] * array["columns"] * array["lanes"])


def clock_said(run: Run) -> str:
    """Return the clock of a machine with its unit: 500 MHz, 1 GHz."""
    mhz = run["arch"]["clock_mhz"]
    return f"{mhz:g} MHz" if mhz < _MHZ else f"{mhz / _MHZ:g} GHz"


def selector(run: Run) -> str:
    """Return the kind of a run's selector, and of one with steps whether each has hardware."""
    kind: Mapping[str, Any] = run["arch"]["selector"]
    if "pipelined" not in kind:
        return str(kind["kind"])
    return f"{kind['kind']}, {'unrolled' if kind['pipelined'] else 'iterative'}"


def share(*units: str, of: str) -> Callable[[Run], float]:
    """Return a fact: the share of some units in a machine's `energy_pj` or `area_um2`."""
    return lambda run: _taken(run, units, of) / run["totals"][of]


def share_of_dense(*units: str, of: str) -> Callable[[Run], float]:
    """Return a fact: the same of some units, as a share of the dense machine's total."""
    return lambda run: _taken(run, units, of) / run["baseline"]["totals"][of]


def _taken(run: Run, units: Sequence[str], of: str) -> float:
    return float(sum(run["units"][unit][of] for unit in units if unit in run["units"]))


def fj_per_mac(unit: str) -> Callable[[Run], float]:
    """Return a fact: the energy of a unit for each multiplication of the dense product, in fJ."""
    return lambda run: float(1000 * (run["units"][unit]["energy_pj"] / run["totals"]["macs_dense"]))


_SHARES = {
    f"{unit}_{metric}_{name}": of(unit, of=key)
    for unit in unit_colours()
    for metric, key in (("area", "area_um2"), ("energy", "energy_pj"))
    for name, of in (("share", share), ("of_dense", share_of_dense))
} | {f"{unit}_fj_per_mac": fj_per_mac(unit) for unit in unit_colours()}


def unit_area_mm2(run: Run, unit: str) -> float:
    """Return the area of a unit; 0 of one that the machine lacks."""
    return float(run["units"].get(unit, {}).get("area_um2", 0) / 1e6)


def ideal_speedup(run: Run) -> float:
    """Return the speed-up if only kept values took time: 2 at 8:16."""
    kept, size = map(int, run["arch"]["pattern"].split(":"))
    return size / kept


SHARED: Names = MappingProxyType(
    _SHARES
    | {
        "area_mm2": lambda run: run["totals"]["area_um2"] / 1e6,
        "bandwidth": "dram.bandwidth_gb_per_s",
        "bits": lambda run: operands_of(check_precision(run["arch"]["precision"])).x.bits,
        "clock": "clock_mhz",
        "clock_ghz": lambda run: run["arch"]["clock_mhz"] / _MHZ,
        "clock_said": clock_said,
        "columns": "mac_array.columns",
        "crossbar": "crossbar.kind",
        "dense_area_mm2": lambda run: run["baseline"]["totals"]["area_um2"] / 1e6,
        "dense_energy_mj": lambda run: run["baseline"]["totals"]["energy_pj"] / 1e9,
        "dram": "dram.standard",
        **both("dropped_energy_ratio", dropped_squared_magnitude_ratio),
        "energy_mj": lambda run: run["totals"]["energy_pj"] / 1e9,
        "ideal_speedup": ideal_speedup,
        "increase": lambda run: (
            "{perplexity_increase_ratio:+.0%} ± {perplexity_increase_ratio_stderr:.0%}".format_map(
                run["totals"]
            )
        ),
        "increase_said": lambda run: written(
            "{perplexity_increase_ratio:.0p} ± {perplexity_increase_ratio_stderr:.0 %}",
            run["totals"],
        ),
        "kept": lambda run: 1 / ideal_speedup(run),
        "layers": lambda run: len(run["layers"]),
        "multipliers": multipliers,
        "node": "technology.node_nm",
        "size": lambda run: int(run["arch"]["pattern"].split(":")[1]),
        "selector": selector,
        "selectors": "selector.instances",
    }
)
"""Names that every study knows, besides the keys of points, totals, ratios and machines.

Of each unit there are `_area_share` and `_energy_share`, the same `_of_dense`, and `_fj_per_mac`.
"""


def fact(run: Run, name: str, names: Names = SHARED) -> Any:
    """Return the fact of this name of a run.

    Args:
        run: as of `runs_of`.
        name: of `names`, of `SHARED`, of the point of the run, of its totals, of its ratios to the
            dense machine, or a key of its machine.
        names: what the study calls things.

    Raises:
        InputError: the run has nothing of this name.

    >>> run = {"point": {"batch": 4}, "totals": {"cycles": 7}, "baseline": {"speedup": 1.5}}
    >>> run["arch"] = {"dram": {"standard": "lpddr4"}}
    >>> [fact(run, name) for name in ("batch", "cycles", "speedup", "dram")]
    [4, 7, 1.5, 'lpddr4']
    """
    known = names.get(name, SHARED.get(name, name))
    if callable(known):
        return known(run)
    for part in (run["point"], run["totals"], run["baseline"]):
        if known in part:
            return part[known]
    value = run["arch"]
    for key in known.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"a run has no '{name}'")
        value = value[key]
    return value


def number(quantity: Quantity, runs: Sequence[Run], names: Names = SHARED) -> Any:
    """Return a quantity of some runs."""
    return fact(runs[0], quantity, names) if isinstance(quantity, str) else quantity(runs)


class Facts(Mapping[str, Any]):
    """The facts of some runs, for a template: `{speedup:.2f}` of the first, `{last.pattern}`.

    >>> run = {"point": {"batch": 4}, "totals": {}, "baseline": {}, "arch": {}}
    >>> "{batch} and {more:.0f}".format_map(Facts([run], more=0.1 * 10))
    '4 and 1'
    """

    def __init__(self, runs: Sequence[Run], names: Names = SHARED, **given: Any) -> None:
        self._runs, self._names, self._given = runs, names, given

    def __getitem__(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        if name in ("first", "last"):
            return Facts([self._runs[0 if name == "first" else -1]], self._names)
        return fact(self._runs[0], name, self._names)

    def __getattr__(self, name: str) -> Any:
        """Return the same as `[name]`: what a template writes with a dot."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

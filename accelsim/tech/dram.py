"""Energy of a bit moved to or from DRAM, as published; `data/dram.yaml` has the sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import read_yaml
from accelsim.tech.schema import Number


@dataclass(frozen=True, slots=True)
class DramCost:
    """Energy of one bit, interface included, read or written."""

    read_pj_per_bit: float
    write_pj_per_bit: float


class DramStandard(Number):
    """Energy of a bit moved (`value`, in pJ), and the peak bandwidth of one part."""

    part: str
    peak_gb_per_s: Number


def published_dram(standard: str) -> DramCost:
    """Return the cost of a standard, as published; raise InputError if it is not known.

    Published energies do not tell reads from writes.

    >>> published_dram("lpddr4").read_pj_per_bit == published_dram("lpddr4").write_pj_per_bit
    True
    """
    known = dram_standards()
    if standard not in known:
        raise InputError(
            f"unknown standard '{shown(standard)}'{did_you_mean(standard, known)}; "
            f"allowed: {', '.join(known)}"
        )
    return DramCost(known[standard].value, known[standard].value)


@cache
def dram_standards() -> Mapping[str, DramStandard]:
    """Return the DRAM standards whose energy is known, by name."""
    source = read_yaml(Path(str(resources.files("accelsim.tech") / "data" / "dram.yaml")))
    assert isinstance(source.data, dict)
    return {name: DramStandard.model_validate(raw) for name, raw in source.data.items()}

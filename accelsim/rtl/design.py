"""The parameters of the RTL that belong to an architecture."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from accelsim.base.errors import InputError
from accelsim.config import Architecture
from accelsim.dataflows import DATAFLOWS
from accelsim.hardware import Crossbar, Selector
from accelsim.precision import PRECISIONS

SELECTOR_KINDS = {"rank": 0, "bitonic": 1, "radix": 2, "cascade": 3}
CROSSBAR_KINDS = {"full": 0, "window": 1, "logshift": 2, "hierarchical": 3}
METADATA_FORMATS = {"bitmask": 0, "index": 1}

Parameters = dict[str, int]


def sources() -> list[Path]:
    """Return the files of the library by name, the testbench last."""
    folder = Path(str(resources.files("accelsim.rtl")))
    return [*sorted((folder / "sv").glob("*.sv")), folder / "testbench.sv"]


def parameters(arch: Architecture) -> Parameters:
    """Return the structural parameters of `tile_pipeline` for an architecture.

    Raises:
        InputError: a part of the architecture has no RTL.
    """
    if not arch.diagram.has_rtl or arch.diagram.classes:
        with_rtl = ", ".join(name for name in DATAFLOWS if DATAFLOWS[name].has_rtl)
        raise InputError(f"dataflow '{arch.dataflow}' has no RTL; with RTL: {with_rtl}")
    if arch.selector is None or not arch.crossbar.is_routing:
        raise InputError(
            f"pattern '{arch.pattern}' has no selector and no crossbar; the tile pipeline is "
            "written for N:M patterns (a dense array is mac_array.sv with N = M = 1)"
        )
    if arch.modes:
        raise InputError(
            "'modes' have no tile pipeline in RTL; their blocks are selector_flex.sv and "
            "crossbar_flex.sv"
        )
    if arch.buffers.shared is not None:
        raise InputError("'buffers.shared' has no RTL; only activations and weights apart have")
    _choice("criterion", arch.criterion, {"act": 0})
    _choice("mitigation", arch.mitigation, {"none": 0})
    for name in arch.extra_units:
        raise InputError(f"unit '{name}' has no RTL; only machines without extra units have")
    for key in arch.method_units:
        raise InputError(f"'{key}' has no RTL; only machines without units of pruning methods have")
    path = arch.path
    return {
        **_selector(arch.selector),
        **_crossbar(arch.crossbar),
        "INDEX_FORMAT": _choice("format", arch.format, METADATA_FORMATS),
        "N": path.kept_per_group,
        "M": path.group_size,
        "B": path.x.bits,
        "FLOAT": _choice("precision", str(path.formats), _float_parameters()),
        "R": path.rows,
        "C": path.columns,
        "L": path.lanes,
    }


def _selector(selector: Selector) -> Parameters:
    return {
        "SELECTOR": _choice("selector.kind", selector.kind, SELECTOR_KINDS),
        "INSTANCES": selector.instances,
        "PIPELINED": int(getattr(selector, "pipelined", True)),
        "STEP_CYCLES": selector.step_cycles or 1,
        "EXTRA": selector.extra_stages or 0,
    }


def _crossbar(crossbar: Crossbar) -> Parameters:
    kind = _choice("crossbar.kind", crossbar.kind, CROSSBAR_KINDS)
    return {"CROSSBAR": kind, "STAGES": crossbar.pipeline_stages or 0}


def _float_parameters() -> dict[str, int]:
    """Return the parameter FLOAT of each number format that has RTL, for all three operands."""
    numbers = {name: PRECISIONS[name].rtl_float for name in sorted(PRECISIONS)}
    return {name: number for name, number in numbers.items() if number is not None}


def _choice(key: str, name: str, numbers: dict[str, int]) -> int:
    if name not in numbers:
        raise InputError(f"{key} '{name}' has no RTL; with RTL: {', '.join(numbers)}")
    return numbers[name]


def with_parameters(text: str, values: Parameters) -> str:
    """Return a module with other default values of its parameters.

    >>> with_parameters("parameter N = 2, M = 4;", {"M": 16})
    'parameter N = 2, M = 16;'

    Raises:
        KeyError: the module has no such parameter.
    """
    for name, value in values.items():
        text, count = re.subn(rf"\b({name}\s*=\s*)\d+", rf"\g<1>{value}", text, count=1)
        if not count:
            raise KeyError(name)
    return text

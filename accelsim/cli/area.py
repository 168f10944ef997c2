"""`accelsim area`: what an architecture costs in silicon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelsim.cli.options import ArchArgument, JsonOption, SetOption, show, show_json

if TYPE_CHECKING:
    from accelsim.results.cost import AreaReport

EXAMPLE = "accelsim area arch_configs/nm816.yaml"


def command(arch: ArchArgument, overrides: SetOption = None, json_: JsonOption = False) -> None:
    """Show the area of each unit, and the overhead of sparsity over the dense array."""
    from accelsim.config import load_arch
    from accelsim.report.tables import area_table
    from accelsim.results.cost import AreaReport

    machine = load_arch(arch, overrides or ())
    report = AreaReport.of(machine)
    if json_:
        show_json(area_json(report))
        return
    show(
        area_table(machine.name, report),
        f"overhead over the dense machine: {report.overhead_vs_dense_ratio:+.1%}",
        "logic from published cells, no wires or clock tree; SRAM from CACTI",
        *(f"warning: {text}" for text in report.warnings),
    )


def area_json(report: AreaReport) -> dict[str, Any]:
    """Return the JSON contract; `buffers` adds up the memories, `parts` lists them."""
    units: dict[str, Any] = {
        name: {"area_um2": area, "ge": report.gate_equivalents[name]}
        for name, area in report.area_um2.items()
        if name != "dram"
    }
    parts = {name: units.pop(name) for name in list(units) if name.endswith("_buffer")}
    units["buffers"] = {
        "area_um2": sum(part["area_um2"] for part in parts.values()),
        "ge": sum(part["ge"] for part in parts.values()),
        "parts": parts,
    }
    for name in ("selector", "crossbar"):  # a dense machine has none
        units.setdefault(name, {"area_um2": 0.0, "ge": 0.0})
    return {
        "schema": 1,
        "totals": {"area_um2": report.total_um2},
        "units": units,
        "overhead_vs_dense_ratio": report.overhead_vs_dense_ratio,
        "warnings": list(report.warnings),
    }

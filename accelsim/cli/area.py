"""`accelsim area`: what an architecture, or a single block, costs in silicon."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.base.errors import InputError
from accelsim.cli.options import JsonOption, SetOption, show, show_json

if TYPE_CHECKING:
    from accelsim.run.area import AreaReport

EXAMPLE = (
    "accelsim area arch_configs/nm816.yaml\n\n"
    "accelsim area --block crossbar --kind window --n 16 --m 32 --lanes 16 --columns 8"
)
_BLOCK = "A single block"
Number = Annotated[int, typer.Option(rich_help_panel=_BLOCK)]


def command(
    arch: Annotated[
        Path | None, typer.Argument(help="Architecture file.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the block diagram.")] = False,
    block: Annotated[
        str | None,
        typer.Option(help="selector, crossbar, mac or dot_product.", rich_help_panel=_BLOCK),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Kind of selector or crossbar; precision of a MAC.", rich_help_panel=_BLOCK
        ),
    ] = None,
    n: Number = 8,
    m: Number = 16,
    bits: Annotated[int, typer.Option(help="8: int8, 16: bf16.", rich_help_panel=_BLOCK)] = 8,
    lanes: Number = 16,
    columns: Annotated[
        int, typer.Option(help="Columns that share a crossbar's decoding.", rich_help_panel=_BLOCK)
    ] = 8,
    pipelined: Annotated[
        bool, typer.Option("--pipelined", help="Radix, cascade.", rich_help_panel=_BLOCK)
    ] = False,
    clock_mhz: Annotated[
        float | None,
        typer.Option(min=1, help="Clock to meet; default none.", rich_help_panel=_BLOCK),
    ] = None,
    technology: Annotated[
        str, typer.Option(help="Table of prices.", rich_help_panel=_BLOCK)
    ] = "nangate45",
    json_: JsonOption = False,
) -> None:
    """Show the area of each unit and the overhead of sparsity, or one block on its own."""
    if (arch is None) == (block is None):
        raise InputError("give an architecture file, or --block for a single block")
    if arch is not None:
        _show_architecture(arch, overrides, explain=explain, json_=json_)
        return
    from accelsim.hardware.block_report import single_block
    from accelsim.report.tables import block_table
    from accelsim.tech.load import load_source

    tech = load_source(technology)
    found = single_block(
        tech,
        block=str(block),
        kind=kind or _default_kind(str(block), bits),
        n=n,
        m=m,
        bits=bits,
        lanes=lanes,
        columns=columns,
        pipelined=pipelined,
        clock_mhz=clock_mhz,
    )
    if json_:
        show_json({"schema": 1, **asdict(found)})
        return
    show(block_table(found), found.source, tech.block_scope)


def _default_kind(block: str, bits: int) -> str:
    if block in ("mac", "dot_product"):
        return {8: "int8", 16: "bf16"}.get(bits, f"of {bits} bits")
    raise InputError(f"--block {block} needs --kind")


def _show_architecture(
    arch: Path, overrides: list[str] | None, *, explain: bool, json_: bool
) -> None:
    from accelsim.config import load_arch
    from accelsim.report.diagram import drawing
    from accelsim.report.quantity import change
    from accelsim.report.tables import area_table
    from accelsim.run.area import AreaReport

    machine = load_arch(arch, overrides or ())
    report = AreaReport.of(machine)
    if json_:
        show_json(area_json(report))
        return
    if explain:
        show(drawing(machine.diagram, machine.units, machine.streams), "")
    show(
        area_table(machine.name, report),
        f"overhead over the dense machine: {change(report.overhead_vs_dense_ratio)}",
        report.scope,
        *map(str, report.notes),
    )


def area_json(report: AreaReport) -> dict[str, Any]:
    """Return the JSON contract; `buffers` adds up the memories, `parts` lists them."""
    units: dict[str, Any] = {
        name: {"area_um2": area, "ge": report.gate_equivalents[name]}
        for name, area in report.area_um2.items()
        if name not in report.off_chip
    }
    parts = {name: units.pop(name) for name in list(units) if name in report.buffers}
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
        "warnings": [str(note) for note in report.notes],
    }

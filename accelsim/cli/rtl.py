"""`accelsim rtl`: the SystemVerilog of an architecture, with a testbench that knows the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.options import ArchArgument, JsonOption, SetOption, show, show_json

EXAMPLE = "accelsim rtl arch_configs/nm816.yaml --out rtl_nm816"


def command(
    arch: ArchArgument,
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write.", metavar="DIR", show_default=False)
    ],
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the values in the testbench.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Write the RTL of an architecture: design, testbench, stimulus, expected events, README."""
    from accelsim.base.files import filling
    from accelsim.config import load_arch
    from accelsim.rtl.design import parameters
    from accelsim.rtl.generator import write_design
    from accelsim.version import __version__

    machine = load_arch(arch, overrides or ())
    parameters(machine)  # an architecture without RTL leaves no folder behind
    with filling(out) as target:
        program = write_design(machine, target, version=__version__, seed=seed)
    files = sorted(str(file.relative_to(out)) for file in out.rglob("*.*") if file.is_file())
    if json_:
        data = {"schema": 1, "folder": str(out), "parameters": program.parameters, "files": files}
        show_json(data)
        return
    show(f"wrote {len(files)} files to {out}; `make -C {out}` simulates and compares")

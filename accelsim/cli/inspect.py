"""`accelsim inspect`: what is in a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.options import JsonOption, progress, show, show_json

EXAMPLE = "accelsim inspect traces/llama.npz --patterns 2:4,8:16"


def command(
    trace: Annotated[Path, typer.Argument(help="Trace file (.npz).", show_default=False)],
    patterns: Annotated[
        str, typer.Option(help="Patterns whose dropped squared magnitude is shown.")
    ] = "2:4,4:8,8:16,16:32",
    json_: JsonOption = False,
) -> None:
    """Show layers, shapes, zeros, magnitudes, and what N:M selection would drop."""
    from accelsim.report.quantity import counted
    from accelsim.report.tables import inspect_table
    from accelsim.report.text import escaped
    from accelsim.sparsity import parse_pattern
    from accelsim.trace import load_trace
    from accelsim.trace.coverage import coverage_line
    from accelsim.trace.statistics import statistics

    names = [str(parse_pattern(text)) for text in patterns.split(",")]
    opened = load_trace(trace)
    inputs = []
    with progress("inputs", len(opened.meta.inputs)) as advance:
        for entry in statistics(opened, names):
            inputs.append(entry)
            advance()
    if json_:
        layers = [linear.model_dump() for linear in opened.linears]
        rows = [entry.to_dict() for entry in inputs]
        show_json({"schema": 1, "trace": opened.describe(), "layers": layers, "inputs": rows})
        return
    about = opened.describe()
    show(
        f"{escaped(trace)}: {escaped(about['model'])}, {counted(about['tokens'], 'token')} "
        f"in {counted(about['sequences'], 'sequence')}, "
        f"{counted(about['linears'], 'linear layer')} reading "
        f"{counted(len(inputs), 'distinct input')}",
        inspect_table(inputs, names),
        "zeros: exactly 0; p50, p99, max: of |x|",
        *filter(None, [coverage_line(about.get("coverage"))]),
    )

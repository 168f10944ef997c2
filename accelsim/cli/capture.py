"""`accelsim capture`: run a language model on a text and write a trace."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import JsonOption, show, show_json, stages
from accelsim.cli.streams import tell
from accelsim.version import __version__

if TYPE_CHECKING:
    from accelsim.trace import Trace

EXAMPLE = (
    "accelsim capture --model traces/models/llama-docs-16m --text traces/text/capture.txt "
    "--tokens 256 --seq-len 32 --layers '*.layers.*' --out llama.npz"
)
_SHOWN = 8  # parts that are left out


def command(
    *,
    model: Annotated[
        str, typer.Option(help="Model folder, or repository of the Hugging Face hub.")
    ],
    text: Annotated[Path, typer.Option(help="Text file (UTF-8) that the model reads.")],
    tokens: Annotated[int, typer.Option(help="Tokens to capture, from the start of the text.")],
    out: Annotated[Path, typer.Option(help="Trace to write (.npz).")],
    layers: Annotated[
        str, typer.Option(help="Comma-separated globs over the names of linear layers.")
    ] = "*",
    dtype: Annotated[
        str, typer.Option(help="Stored as float16, bfloat16 or int8 (one scale per input).")
    ] = "float16",
    seq_len: Annotated[
        int, typer.Option(help="Tokens in a sequence; decode batches are formed of sequences.")
    ] = 128,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub repository.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, …")] = "cpu",
    bos: Annotated[
        bool | None,
        typer.Option(
            "--bos/--no-bos",
            help="Begin each sequence with BOS; default: where the tokenizer does.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Run a language model on a text and write what enters its linear layers to a trace.

    Needs the extra 'capture' (torch and transformers). Experts of a mixture are layers with the
    tokens that are routed to them. The summary says which share of the model's multiplications
    that is, and names everything else that multiplies.
    """
    from accelsim.capture import capture_pretrained

    logging.getLogger("accelsim").addHandler(logging.NullHandler())  # the summary says the same
    with stages() as progress:
        trace = capture_pretrained(
            model,
            text,
            tokens=tokens,
            out=out,
            layers=layers,
            dtype=dtype,
            seq_len=seq_len,
            revision=revision,
            device=device,
            bos=bos,
            progress=progress,
        )
    _warn_of_zeros(trace)
    if json_:
        show_json(_record(trace))
    else:
        show(_summary(trace))


def _warn_of_zeros(trace: Trace) -> None:
    """Say on stderr which inputs lost values to the format they are stored in."""
    from accelsim.capture.coverage import zeros_line

    zeroed: dict[str, float] = trace.meta.provenance.get("zeroed", {})
    if zeroed:
        tell(f"warning: {zeros_line(zeroed, trace.meta.provenance['dtype'])}")


def _record(trace: Trace) -> dict[str, Any]:
    """Return the facts of a capture for `--json`."""
    return {
        "schema": 1,
        "accelsim": __version__,
        **trace.describe(),
        "inputs": len(trace.meta.inputs),
        "dtype": trace.meta.provenance["dtype"],
        "bos": trace.meta.provenance["bos"],
        "size_bytes": trace.path.stat().st_size,
        "skipped": trace.meta.provenance["skipped"],
        "zeroed": trace.meta.provenance.get("zeroed", {}),
    }


def _summary(trace: Trace) -> str:
    """Return what was captured, in lines for people."""
    from accelsim.capture.coverage import left_out_lines
    from accelsim.report.quantity import counted
    from accelsim.trace.coverage import coverage_line

    record = _record(trace)
    lines = [
        f"captured {counted(record['linears'], 'linear layer')} with "
        f"{counted(record['inputs'], 'distinct input')} of {record['model']}",
        f"{counted(record['tokens'], 'token')} in {counted(record['sequences'], 'sequence')}"
        + (f", each begins with {record['bos']}" if record["bos"] else "")
        + f", {record['dtype']}",
        f"wrote {record['path']} ({record['size_bytes'] / 1e6:.1f} MB)",
    ]
    coverage = trace.meta.coverage
    if coverage is not None:
        lines += [coverage_line(coverage.describe(), shown=0), *left_out_lines(coverage, _SHOWN)]
    return "\n".join(lines)

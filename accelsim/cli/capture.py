"""`accelsim capture`: run a language model on a text and write a trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import JsonOption, show, show_json, stages
from accelsim.version import __version__

if TYPE_CHECKING:
    from accelsim.trace import Trace

EXAMPLE = (
    "accelsim capture --model traces/models/llama-docs-16m --text traces/text/capture.txt "
    "--tokens 256 --seq-len 32 --layers '*.layers.*' --out llama.npz"
)
_SKIPPED_SHOWN = 8


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
    json_: JsonOption = False,
) -> None:
    """Run a language model on a text and write what enters its linear layers to a trace.

    Needs the extra 'capture' (torch and transformers). Layers that do not see every token once,
    such as the experts of a mixture, are left out; the summary says which and why.
    """
    from accelsim.capture import capture_pretrained

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
            progress=progress,
        )
    if json_:
        show_json(_record(trace))
    else:
        show(_summary(trace))


def _record(trace: Trace) -> dict[str, Any]:
    """Return the facts of a capture for `--json`."""
    return {
        "schema": 1,
        "accelsim": __version__,
        **trace.describe(),
        "inputs": len(trace.meta.inputs),
        "dtype": trace.meta.provenance["dtype"],
        "size_bytes": trace.path.stat().st_size,
        "skipped": trace.meta.provenance["skipped"],
    }


def _summary(trace: Trace) -> str:
    """Return what was captured, in lines for people."""
    record = _record(trace)
    lines = [
        f"captured {record['linears']} linear layers with {record['inputs']} distinct inputs "
        f"of {record['model']}",
        f"{record['tokens']} tokens in {record['sequences']} sequences, {record['dtype']}",
        f"wrote {record['path']} ({record['size_bytes'] / 1e6:.1f} MB)",
    ]
    skipped = list(record["skipped"].items())
    lines += [f"left out {name}: {reason}" for name, reason in skipped[:_SKIPPED_SHOWN]]
    if len(skipped) > _SKIPPED_SHOWN:
        more = len(skipped) - _SKIPPED_SHOWN
        lines.append(f"left out {more} more; all are in the trace's provenance, with reasons")
    return "\n".join(lines)

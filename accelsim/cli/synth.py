"""`accelsim synth`: a trace of a public model's shapes without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.options import JsonOption, show, show_json

EXAMPLE = "accelsim synth --model llama-3-8b --tokens 256 --distribution laplace --out llama8b.npz"


def command(
    model: Annotated[
        str,
        typer.Option(help="llama-2-7b, llama-3-8b, qwen2.5-7b, gemma-3-4b, …", show_default=False),
    ],
    tokens: Annotated[int, typer.Option(help="Tokens over all sequences.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Trace file to write.", show_default=False)],
    distribution: Annotated[
        str, typer.Option(help="gaussian, laplace, uniform, relu; or none: shapes only, no values.")
    ] = "gaussian",
    quantiles: Annotated[
        Path | None,
        typer.Option(help="Quantiles of real activations (.npz); replaces the distribution."),
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(help="Length of each sequence; default: one sequence.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Only the first so many blocks.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Make a trace of a public model's true shapes; values are drawn when they are read."""
    from accelsim.trace.shapes import synthesise

    trace = synthesise(
        model,
        out,
        tokens=tokens,
        seq_len=seq_len,
        distribution=distribution,
        quantiles=quantiles,
        seed=seed,
        layers=layers,
    )
    about = trace.describe()
    if json_:
        show_json({"schema": 1, **about})
        return
    source = quantiles.name if quantiles else distribution
    show(
        f"{out}: {about['model']}, {about['linears']} layers, {about['tokens']} tokens in "
        f"{about['sequences']} sequences, {source}, seed {seed}; {out.stat().st_size:,} bytes"
    )

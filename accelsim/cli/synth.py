"""`accelsim synth`: a trace of a public model's shapes without the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import JsonOption, show, show_json

if TYPE_CHECKING:
    from accelsim.trace import Trace

EXAMPLE = (
    "accelsim synth --model llama-3-8b --tokens 256 --distribution laplace --out llama8b.npz\n\n"
    "accelsim synth --shapes traces/gpt2.csv --tokens 256 --distribution none --out gpt2.npz"
)


def command(
    out: Annotated[Path, typer.Option(help="Trace file to write.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            help="llama-3-8b, llama-3.1-405b, qwen2.5-72b, mixtral-8x7b, deepseek-v3, …",
            show_default=False,
        ),
    ] = None,
    shapes: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a model: a YAML or CSV file of name, in_features, out_features, and "
            "optionally tokens and count.",
            metavar="FILE",
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens over all sequences; not needed if the file of --shapes says them all.",
            show_default=False,
        ),
    ] = None,
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
    """Make a trace of true shapes without the model; values are drawn when they are read."""
    from accelsim.base.files import check_apart
    from accelsim.report.quantity import counted

    check_apart([out], [shapes, quantiles])
    options = {"seq_len": seq_len, "distribution": distribution, "seed": seed}
    trace = _made(model, shapes, out, tokens, options, {"quantiles": quantiles, "layers": layers})
    about = trace.describe()
    if json_:
        show_json({"schema": 1, **about})
        return
    source = quantiles.name if quantiles else distribution
    show(
        f"{out}: {about['model']}, {counted(about['linears'], 'layer')}, "
        f"{counted(about['tokens'], 'token')} in {counted(about['sequences'], 'sequence')}, "
        f"{source}, seed {seed}; {out.stat().st_size:,} bytes"
    )
    if trace.meta.synthetic and trace.meta.synthetic.get("routing"):
        routing = trace.meta.synthetic["routing"]
        show(
            f"tokens go to {routing['per_token']} of {routing['experts']} experts in turn: each "
            f"expert runs the same share, unlike those of a trained router"
        )


def _made(
    model: str | None,
    shapes: Path | None,
    out: Path,
    tokens: int | None,
    options: dict[str, Any],
    of_models: dict[str, Any],
) -> Trace:
    """Write the trace of a model or of a file of shapes."""
    from accelsim.base.errors import InputError
    from accelsim.trace.shapes import synthesise, synthesise_gemms

    if (model is None) == (shapes is None):
        raise InputError("give --model for a public model, or --shapes for a file of shapes")
    if model is None:
        for name, value in of_models.items():
            if value is not None:
                raise InputError(f"--{name} is for public models, not for --shapes")
        return synthesise_gemms(str(shapes), out, tokens=tokens, **options)
    if tokens is None:
        raise InputError("--model needs --tokens")
    return synthesise(model, out, tokens=tokens, **options, **of_models)

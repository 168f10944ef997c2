"""Shapes of public models as tables, and synthetic traces of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import InputError
from accelsim.registry import did_you_mean
from accelsim.trace.archive import Archive, naming
from accelsim.trace.npz import TraceWriter, load_trace
from accelsim.trace.record import (
    MAX_TOKENS,
    SHAPES_ONLY,
    InputInfo,
    Linear,
    Trace,
    TraceMeta,
)
from accelsim.trace.synthetic import (
    QUANTILES,
    Recipe,
    check_distribution,
    check_size,
    quantile_array,
)
from accelsim.version import __version__

# Arrays of a quantile file, and the layer input that each describes.
QUANTILE_ARRAYS = {
    "q_proj": "attn_in",
    "o_proj": "o_proj_in",
    "gate_proj": "mlp_in",
    "down_proj": "down_proj_in",
}


class ModelShape(BaseModel):
    """Dimensions of a Llama-like decoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    intermediate: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)

    def linears(self) -> Iterator[Linear]:
        """Yield the seven linear layers of every block; q/k/v and gate/up share their input."""
        query, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        table = (
            ("self_attn.q_proj", "self_attn.q_proj", self.hidden, query),
            ("self_attn.k_proj", "self_attn.q_proj", self.hidden, keys),
            ("self_attn.v_proj", "self_attn.q_proj", self.hidden, keys),
            ("self_attn.o_proj", "self_attn.o_proj", query, self.hidden),
            ("mlp.gate_proj", "mlp.gate_proj", self.hidden, self.intermediate),
            ("mlp.up_proj", "mlp.gate_proj", self.hidden, self.intermediate),
            ("mlp.down_proj", "mlp.down_proj", self.intermediate, self.hidden),
        )
        for layer in range(self.layers):
            block = f"model.layers.{layer}"
            for name, shared, in_features, out_features in table:
                yield Linear(
                    name=f"{block}.{name}",
                    input=f"{block}.{shared}",
                    in_features=in_features,
                    out_features=out_features,
                )


@cache
def model_shapes() -> dict[str, ModelShape]:
    """Return the table of public models."""
    text = (resources.files("accelsim.trace") / "shapes.yaml").read_text(encoding="utf-8")
    return {name: ModelShape(**fields) for name, fields in yaml.safe_load(text).items()}


def model_shape(name: str) -> ModelShape:
    """Return the shape of a public model; raise InputError with the known names otherwise."""
    known = model_shapes()
    if name.lower() not in known:
        near = did_you_mean(name.lower(), known)
        raise InputError(f"unknown model '{name}'{near}; allowed: {', '.join(known)}")
    return known[name.lower()]


def synthesise(  # noqa: PLR0913
    model: str,
    out: str | Path,
    *,
    tokens: int,
    seq_len: int | None = None,
    distribution: str = "gaussian",
    quantiles: str | Path | None = None,
    seed: int = 0,
    layers: int | None = None,
) -> Trace:
    """Write a synthetic trace: the true shapes of a public model, activations drawn when read.

    Args:
        model: a name of `model_shapes()`.
        out: the trace file to write; it holds the recipe, not the values.
        tokens: tokens over all sequences.
        seq_len: length of each sequence; default: one sequence.
        distribution: a name of `accelsim.trace.synthetic.DISTRIBUTIONS`, or `none` for shapes
            only; unused with `quantiles`.
        quantiles: an .npz of quantiles `[layers, n]` per layer input (`attn_in`, `o_proj_in`,
            `mlp_in`, `down_proj_in`), which replaces the distribution.
        seed: of the draws.
        layers: keep only the first so many blocks.

    Raises:
        InputError: unknown model or distribution, or a quantile file that does not fit the model.
    """
    shape = model_shape(model)
    if layers is not None and not 1 <= layers <= shape.layers:
        raise InputError(f"--layers {layers}: {model} has 1 to {shape.layers} blocks")
    if tokens < 1 or (seq_len is not None and seq_len < 1):
        raise InputError("tokens and sequence length must be at least 1")
    if tokens > MAX_TOKENS:
        raise InputError(f"{out}: {tokens} tokens; a trace holds at most {MAX_TOKENS}")
    if layers is not None:
        shape = shape.model_copy(update={"layers": layers})
    if distribution == QUANTILES and not quantiles:
        raise InputError("distribution 'quantiles' needs a file of quantiles: --quantiles FILE")
    check_distribution(distribution)
    linears = tuple(shape.linears())
    if distribution != SHAPES_ONLY or quantiles:
        check_size(Path(out), tokens, max(linear.in_features for linear in linears))
    keys = dict.fromkeys(linear.input for linear in linears)
    recipe = Recipe(
        distribution=QUANTILES if quantiles else distribution, seed=seed, shape_of=model.lower()
    )
    whole, rest = divmod(tokens, seq_len or tokens)
    meta = TraceMeta(
        model=model.lower(),
        sequence_lengths=(seq_len or tokens,) * whole + ((rest,) if rest else ()),
        linears=linears,
        inputs={key: InputInfo(dtype="float16") for key in keys},
        synthetic=recipe.model_dump(),
        provenance={
            "accelsim": __version__,
            "quantiles": Path(quantiles).name if quantiles else None,
        },
    )
    tables = _quantile_tables(Path(quantiles), shape.layers) if quantiles else {}
    with TraceWriter(out) as writer:
        for key in keys if tables else ():
            block, kind = key.split(".")[2], key.rsplit(".", 1)[-1]
            writer.add_array(quantile_array(key), tables[QUANTILE_ARRAYS[kind]][int(block)])
        writer.finish(meta)
    return load_trace(out)


def _quantile_tables(path: Path, layers: int) -> dict[str, NDArray[np.float32]]:
    """Read and check a quantile file."""
    damaged = "damaged, or not an .npz of quantiles"
    with naming(path, unreadable="cannot read", damaged=damaged), Archive(path) as archive:
        tables = {name: archive.read_array(name) for name in QUANTILE_ARRAYS.values()}
    for name, table in tables.items():
        if table.ndim != 2 or table.shape[0] < layers or table.shape[1] < 2:  # noqa: PLR2004
            raise InputError(
                f"{path}: array '{name}' has shape {list(table.shape)}; "
                f"needed: at least {layers} rows (layers) of at least 2 quantiles"
            )
        if table.dtype.kind != "f" or not np.isfinite(table).all():
            raise InputError(f"{path}: array '{name}' must hold finite floating-point numbers")
        if (np.diff(table, axis=1) < 0).any() or np.abs(table).max() > np.finfo(np.float16).max:
            raise InputError(f"{path}: array '{name}' must be ascending along a row, within ±65504")
    return {name: table.astype(np.float32) for name, table in tables.items()}

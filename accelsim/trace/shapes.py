"""Shapes of public models as tables, or of a file, and synthetic traces of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from accelsim.base.arguments import check_count, check_text, path_of
from accelsim.base.errors import InputError
from accelsim.base.registry import did_you_mean
from accelsim.trace.archive import Archive, naming
from accelsim.trace.gemms import read_gemms
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
    Routing,
    check_distribution,
    check_drawn,
    check_size,
    expert_of,
    quantile_array,
)
from accelsim.trace.units import half_unit
from accelsim.version import __version__

# Arrays of a quantile file, and the layer input that each describes.
QUANTILE_ARRAYS = {
    "q_proj": "attn_in",
    "q_a_proj": "attn_in",
    "o_proj": "o_proj_in",
    "gate_proj": "mlp_in",
    "gate_up_proj": "mlp_in",
    "gate": "mlp_in",
    "down_proj": "down_proj_in",
}
MAX_LENGTHS = 2**22  # of sequences of a trace, over all inputs that have their own
_LinearRow = tuple[str, str, int, int]  # name, input, in_features, out_features
_SMALLEST_NORMAL_HALF = 2.0**-14


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latent(_Part):
    """Multi-head latent attention: queries, and keys with values, through low ranks."""

    query_rank: int = Field(gt=0)
    key_rank: int = Field(gt=0)
    nope_dim: int = Field(gt=0)
    rope_dim: int = Field(gt=0)
    value_dim: int = Field(gt=0)


class Experts(_Part):
    """A mixture of experts, of which a router picks `per_token` for each token.

    Attributes:
        count: experts of a block.
        per_token: experts that a token is routed to.
        intermediate: inner width of an expert.
        shared: experts that every token runs besides.
        dense_layers: first blocks, which have a plain MLP instead.
        is_fused: gate and up are one matrix.
    """

    count: int = Field(gt=0)
    per_token: int = Field(gt=0)
    intermediate: int = Field(gt=0)
    shared: int = Field(default=0, ge=0)
    dense_layers: int = Field(default=0, ge=0)
    is_fused: bool = False


class ModelShape(_Part):
    """Dimensions of a Llama-like decoder, and where they are published.

    Attributes:
        layers: blocks.
        hidden: width of the residual stream.
        intermediate: inner width of a plain MLP.
        heads: query heads.
        kv_heads, head_dim: key and value heads, and the width of a head; none with `latent`.
        latent: latent attention.
        experts: a mixture instead of a plain MLP.
        source: of these numbers.
    """

    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    intermediate: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int | None = Field(default=None, gt=0)
    head_dim: int | None = Field(default=None, gt=0)
    latent: Latent | None = None
    experts: Experts | None = None
    source: str = Field(min_length=1)

    def linears(self) -> Iterator[Linear]:
        """Yield the linear layers of every block; layers that read the same input share it."""
        for layer in range(self.layers):
            block = f"model.layers.{layer}"
            for name, shared, in_features, out_features in self._block(layer):
                yield Linear(
                    name=f"{block}.{name}",
                    input=f"{block}.{shared}",
                    in_features=in_features,
                    out_features=out_features,
                )

    def _block(self, layer: int) -> Iterator[_LinearRow]:
        yield from self._attention() if self.latent is None else self._latent(self.latent)
        if self.experts is None or layer < self.experts.dense_layers:
            yield from self._gated("mlp", self.intermediate)
        else:
            yield from self._mixture(self.experts)

    def _attention(self) -> Iterator[_LinearRow]:
        head_dim = self.head_dim or self.hidden // self.heads
        query, keys = self.heads * head_dim, (self.kv_heads or self.heads) * head_dim
        for name, out_features in (("q", query), ("k", keys), ("v", keys)):
            yield f"self_attn.{name}_proj", "self_attn.q_proj", self.hidden, out_features
        yield "self_attn.o_proj", "self_attn.o_proj", query, self.hidden

    def _latent(self, latent: Latent) -> Iterator[_LinearRow]:
        """Yield the projections by their names in the model; what is cached comes from `kv_a`."""
        query = self.heads * (latent.nope_dim + latent.rope_dim)
        keys = self.heads * (latent.nope_dim + latent.value_dim)
        compressed, values = latent.key_rank + latent.rope_dim, self.heads * latent.value_dim
        a, b = "self_attn.q_a_proj", "self_attn.q_b_proj"
        yield a, a, self.hidden, latent.query_rank
        yield b, b, latent.query_rank, query
        yield "self_attn.kv_a_proj_with_mqa", a, self.hidden, compressed
        yield "self_attn.kv_b_proj", "self_attn.kv_b_proj", latent.key_rank, keys
        yield "self_attn.o_proj", "self_attn.o_proj", values, self.hidden

    def _gated(self, part: str, inner: int, *, is_fused: bool = False) -> Iterator[_LinearRow]:
        if is_fused:
            yield f"{part}.gate_up_proj", f"{part}.gate_up_proj", self.hidden, 2 * inner
        else:
            yield f"{part}.gate_proj", f"{part}.gate_proj", self.hidden, inner
            yield f"{part}.up_proj", f"{part}.gate_proj", self.hidden, inner
        yield f"{part}.down_proj", f"{part}.down_proj", inner, self.hidden

    def _mixture(self, experts: Experts) -> Iterator[_LinearRow]:
        """Yield the router, the experts, and those that every token runs."""
        yield "mlp.gate", "mlp.gate", self.hidden, experts.count
        for expert in range(experts.count):
            part = f"mlp.experts.{expert}"
            yield from self._gated(part, experts.intermediate, is_fused=experts.is_fused)
        if experts.shared:
            yield from self._gated("mlp.shared_experts", experts.shared * experts.intermediate)


@cache
def model_shapes() -> dict[str, ModelShape]:
    """Return the table of public models."""
    text = (resources.files("accelsim.trace") / "shapes.yaml").read_text(encoding="utf-8")
    return {name: ModelShape(**fields) for name, fields in yaml.safe_load(text).items()}


def model_shape(name: str) -> ModelShape:
    """Return the shape of a public model; raise InputError with the known names otherwise."""
    check_text(name, "model")
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

    Of a mixture of experts each runs tokens × experts per token / experts: tokens are routed in
    turn, since a trace without a model cannot know better. Experts that no token reaches are left
    out.

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
        ArgumentError: an argument has a type that it cannot have.
    """
    shape, out = model_shape(model), path_of(out, "out")
    lengths = _lengths(out, tokens, seq_len)
    if layers is not None:
        check_count(layers, "layers")
        if not 1 <= layers <= shape.layers:
            raise InputError(f"--layers {layers}: {model} has 1 to {shape.layers} blocks")
        shape = shape.model_copy(update={"layers": layers})
    if distribution == QUANTILES and not quantiles:
        raise InputError("distribution 'quantiles' needs a file of quantiles: --quantiles FILE")
    file = None if quantiles is None else path_of(quantiles, "quantiles")
    linears, inputs, routing = _routed(shape, lengths)
    recipe = Recipe(
        distribution=distribution if file is None else QUANTILES,
        seed=seed,
        shape_of=model.lower(),
        routing=routing,
    )
    tables = None if file is None else _quantile_tables(file, shape.layers, inputs)
    for key, row in (tables or {}).items():
        inputs[key] = inputs[key].model_copy(update={"scale": _unit_of(row)})
    return _write(out, recipe, lengths, linears, inputs, tables, file)


def synthesise_gemms(  # noqa: PLR0913
    shapes: str | Path,
    out: str | Path,
    *,
    tokens: int | None = None,
    seq_len: int | None = None,
    distribution: str = "gaussian",
    seed: int = 0,
) -> Trace:
    """Write a synthetic trace of the matrix products in a file, activations drawn when read.

    Args:
        shapes: YAML or CSV with `name`, `in_features`, `out_features`, and optionally `tokens` and
            `count`: `accelsim.trace.gemms`.
        out: the trace file to write.
        tokens: of products that the file says none of; default: the most that it says. Products
            with other rows than the trace has tokens run in prefill only.
        seq_len: length of each sequence of tokens; default: one sequence.
        distribution: a name of `accelsim.trace.synthetic.DISTRIBUTIONS`, or `none`.
        seed: of the draws.

    Raises:
        InputError: the file is wrong, with its row, or nobody says how many tokens there are.
        ArgumentError: an argument has a type that it cannot have.
    """
    file, out = path_of(shapes, "shapes"), path_of(out, "out")
    gemms = read_gemms(file)
    if tokens is None:
        if any(gemm.tokens is None for gemm in gemms):
            unsaid = next(gemm.name for gemm in gemms if gemm.tokens is None)
            raise InputError(f"{file}: '{unsaid}' has no tokens; say them there, or with --tokens")
        tokens = max(gemm.tokens or 0 for gemm in gemms)
    if distribution == QUANTILES:
        raise InputError("distribution 'quantiles' is for public models; use another")
    lengths = _lengths(out, tokens, seq_len)
    linears, inputs = [], {}
    for gemm in gemms:
        own = None if gemm.tokens in (None, tokens) else (gemm.tokens,)
        for linear in gemm.linears():
            linears.append(linear)
            inputs[linear.input] = InputInfo(dtype="float16", sequence_lengths=own)
    recipe = Recipe(distribution=distribution, seed=seed, shape_of=file.name)
    return _write(out, recipe, lengths, linears, inputs)


def _unit_of(quantiles: NDArray[np.float32]) -> float:
    """Return the unit of an input's float16 numbers: a small one where most are too small for 1."""
    magnitudes = np.abs(quantiles[quantiles != 0])
    if not magnitudes.size or np.median(magnitudes) >= _SMALLEST_NORMAL_HALF:
        return 1.0
    return half_unit(float(magnitudes.max()))


def _lengths(out: Path, tokens: int, seq_len: int | None) -> tuple[int, ...]:
    """Return the tokens of each sequence."""
    check_count(tokens, "tokens")
    if seq_len is not None:
        check_count(seq_len, "seq_len")
    if tokens < 1 or (seq_len is not None and seq_len < 1):
        raise InputError("tokens and sequence length must be at least 1")
    if tokens > MAX_TOKENS:
        raise InputError(f"{out}: {tokens} tokens; a trace holds at most {MAX_TOKENS}")
    whole, rest = divmod(tokens, seq_len or tokens)
    if whole > MAX_LENGTHS:
        raise InputError(f"{out}: {whole} sequences; a trace holds at most {MAX_LENGTHS}")
    return (seq_len or tokens,) * whole + ((rest,) if rest else ())


def _routed(
    shape: ModelShape, lengths: tuple[int, ...]
) -> tuple[list[Linear], dict[str, InputInfo], Routing | None]:
    """Return the layers that some token reaches, their inputs, and which tokens those are."""
    linears = list(shape.linears())
    plain = InputInfo(dtype="float16")
    if shape.experts is None:
        return linears, {linear.input: plain for linear in linears}, None
    of_experts = len({one.input for one in linears if expert_of(one.input) is not None})
    if of_experts * len(lengths) > MAX_LENGTHS:
        raise InputError(
            f"{of_experts} inputs of experts × {len(lengths)} sequences are "
            f"{of_experts * len(lengths)} lengths; a trace holds at most {MAX_LENGTHS}: take fewer "
            f"sequences, or --layers"
        )
    routing = Routing(experts=shape.experts.count, per_token=shape.experts.per_token)
    counts = {expert: routing.lengths(expert, lengths) for expert in range(routing.experts)}
    first: dict[int, str] = {}  # the input that the tokens of an expert are named after
    reached, inputs = [], {}
    for linear in linears:
        expert = expert_of(linear.input)
        if expert is None:
            inputs[linear.input] = plain
        elif sum(counts[expert]):
            key = first.setdefault(expert, linear.input)
            inputs[linear.input] = InputInfo(
                dtype="float16", sequence_lengths=counts[expert], tokens=key
            )
        else:
            continue
        reached.append(linear)
    return reached, inputs, routing


def _write(  # noqa: PLR0913, PLR0917
    out: Path,
    recipe: Recipe,
    lengths: tuple[int, ...],
    linears: Iterable[Linear],
    inputs: dict[str, InputInfo],
    tables: dict[str, NDArray[np.float32]] | None = None,
    quantiles: Path | None = None,
) -> Trace:
    """Check that the activations can be drawn, and write the recipe."""
    check_distribution(recipe.distribution)
    meta = TraceMeta(
        model=recipe.shape_of,
        sequence_lengths=lengths,
        linears=tuple(linears),
        inputs=inputs,
        synthetic=recipe.model_dump(exclude_none=True),
        provenance={
            "accelsim": __version__,
            "quantiles": None if quantiles is None else quantiles.name,
        },
    )
    if recipe.distribution != SHAPES_ONLY:
        for key in inputs:
            check_size(out, *meta.shape(key))
        check_drawn(out, meta)
    with TraceWriter(out) as writer:
        for key, table in (tables or {}).items():
            writer.add_array(quantile_array(key), table)
        writer.finish(meta)
    return load_trace(out)


def _quantile_tables(
    path: Path, layers: int, inputs: Iterable[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the quantiles of each input."""
    tables = _read_quantiles(path, layers)
    found = {}
    for key in inputs:
        block, kind = key.split(".")[2], key.rsplit(".", 1)[-1]
        if kind not in QUANTILE_ARRAYS:
            raise InputError(f"{path}: quantiles of '{kind}', which this model has, are not known")
        found[key] = tables[QUANTILE_ARRAYS[kind]][int(block)]
    return found


def _read_quantiles(path: Path, layers: int) -> dict[str, NDArray[np.float32]]:
    """Read and check a quantile file."""
    damaged = "damaged, or not an .npz of quantiles"
    with naming(path, unreadable="cannot read", damaged=damaged), Archive(path) as archive:
        tables = {name: archive.read_array(name) for name in set(QUANTILE_ARRAYS.values())}
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

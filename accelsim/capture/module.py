"""Capture from any `torch.nn.Module`; transformers is not needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.base.errors import InputError
from accelsim.base.files import folder_beside
from accelsim.capture.coverage import BY_LAYERS, Account, tell
from accelsim.capture.extra import require
from accelsim.capture.frame import BatchReader
from accelsim.capture.hooks import Recorder
from accelsim.capture.linears import candidates, find_linears, find_stacks, select
from accelsim.capture.run import Progress, ignore, run_batches
from accelsim.capture.spill import Spill, stored_dtype
from accelsim.capture.table import Sequences, linear_table, sort_out, write_inputs
from accelsim.trace import Trace, TraceMeta, TraceWriter, load_trace
from accelsim.version import __version__

if TYPE_CHECKING:
    import torch


def capture(  # noqa: PLR0913  # all but two are optional, and named
    model: torch.nn.Module,
    batches: Iterable[Any],
    *,
    out: str | Path,
    layers: str = "*",
    dtype: str = "float16",
    batch_first: bool = True,
    model_name: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = ignore,
) -> Trace:
    """Run `model` on `batches` and write what enters its linear layers to the trace `out`.

    A batch is a tensor, a tuple of positional arguments or a dict of named ones. Integer token
    ids `[B, S]` (or `input_ids`) are B sequences of S tokens. Places that an `attention_mask`
    (or torch's `key_padding_mask`) of that shape hides are no tokens, nor are those that no token
    sees by an `attention_mask` `[B, heads, S, S]`. Where `position_ids` restart, `cu_seq_lens_q`,
    `cu_seqlens` or `seq_idx` say so, or a token sees none before it, another sequence begins. For
    batches without ids or mask, the input of the first selected layer that is called says how
    they are cut: `[B, S, F]`, or `[T, F]` for one sequence. The model is put in evaluation mode
    and back.

    Captured are `torch.nn.Linear`, transformers' `Conv1D`, convolutions of one point, and the
    experts of a mixture, a layer each: slices of stacked weights `[experts, …]`, or modules. A
    layer has the tokens that reach it, as an expert those that are routed to it; rows that are
    no tokens (patches, channels) are sequences of their own. All else that multiplies is named
    in `meta.coverage` and logged, with its share of the parameters and of the multiplications.

    Args:
        model: any module.
        batches: taken one at a time.
        out: path of the trace; its folder must exist. Rows are spilled to a temporary folder
            beside it: at most one array is in memory at a time.
        layers: comma-separated globs over dotted names.
        dtype: `float16`, `bfloat16`, or `int8` with one symmetric scale per input.
        batch_first: whether ids, masks and inputs are `[B, S, …]`; else they are `[S, B, …]`.
            Torch's padding masks are `[B, S]` always.
        model_name: name for the trace; the class of the model if not given.
        provenance: more facts to keep in the trace.
        progress: told after each batch and each array.

    Raises:
        InputError: unknown dtype or layer; the model fails on a batch; a mask that does not fit
            its ids; NaN, infinity or a value that `dtype` cannot hold (with the layer's name);
            nothing captured; not writable.
        MissingExtraError: torch is not installed.

    Warns:
        UserWarning: sequences end or begin with the model's padding id, and nothing masks it.
    """
    require("torch")
    out, stored = Path(out), stored_dtype(dtype)
    linears, stacks = find_linears(model, pointwise=True), find_stacks(model)
    names = candidates(linears, stacks)
    if not names:
        raise InputError(f"the model {type(model).__name__} has no linear layer")
    wanted = select(names, layers)
    reader = BatchReader(model, batch_first=batch_first)
    with TraceWriter(out) as writer, folder_beside(out) as folder:
        spill = Spill(folder, stored)
        recorder = Recorder(model, linears, stacks, wanted, spill, batch_first=batch_first)
        sequences = Sequences(run_batches(model, batches, recorder, reader, progress))
        taps, skipped = sort_out(recorder.taps, [n for n in names if n in wanted])
        account = Account(model, recorder.meter, linears, stacks, wanted)
        coverage = account.coverage({tap.name for tap in taps}, skipped)
        reasons = {p.name: p.reason for p in coverage.left_out if p.reason != BY_LAYERS}
        settings = {"dtype": dtype, "layers": layers, "skipped": reasons}
        inputs = write_inputs(writer, spill, taps, recorder.inputs, sequences, progress)
        if spill.zeroed:
            settings["zeroed"] = spill.zeroed
        meta = TraceMeta(
            model=model_name or type(model).__name__,
            sequence_lengths=sequences.lengths,
            linears=linear_table(taps),
            inputs=inputs,
            provenance=_with_versions(provenance or {}) | settings,
            coverage=coverage,
        )
        writer.finish(meta)
    tell(coverage, spill.zeroed, dtype)
    return load_trace(out)


def _with_versions(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Add the versions of what captured; the same versions give the same bytes."""
    versions = {
        "accelsim": __version__,
        "numpy": np.__version__,
        "torch": require("torch").__version__,
    }
    return {**provenance, "versions": versions | provenance.get("versions", {})}

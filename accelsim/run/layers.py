"""The work of a layer on a machine: its product, its tiles, and what each decode step fetches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from accelsim.base.errors import DeadlockError, InputError
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Datapath, Gemm, Ints, Tiling, Work, ceil_div, tile_jobs
from accelsim.selection.decode import Fetches, dense_weight_bytes
from accelsim.selection.sparsify import Selection
from accelsim.trace import Linear

_VALUES_AT_ONCE = 2**16  # runs × jobs of decode steps that are run together
_MOST_BITS = 2**53
_MASK_BYTES = 2**24  # tokens × K of decode steps whose unions are in memory at once


def layer_work(  # noqa: PLR0913
    machine: LayerMachine,
    linear: Linear,
    selection: Selection,
    steps: Ints | None,
    *,
    kept: int | None = None,
    one_by_one: bool = False,
) -> Iterator[Work]:
    """Yield the tiled work of a layer: once for prefill, once for like steps of decode.

    Args:
        machine: as the layer finds it.
        linear: the layer.
        selection: what survives of its input.
        steps: `[steps, batch]`, tokens of each decode step; None for prefill.
        kept: activations of a token that survive; default: as the machine's pattern has it.
        one_by_one: yield each decode step by itself, in order of time.
    """
    gemm = layer_gemm(linear, selection, steps)
    with naming(machine, linear):
        work = whole_work(machine, gemm, kept=kept, is_decode=steps is not None)
    if steps is None:
        yield replace(work, nonzero=int(selection.nonzero.sum()))
        return
    nonzero = selection.nonzero[steps].sum(axis=1)
    sizes, which = work.weight_bytes[None], np.zeros(len(steps), np.int64)
    if machine.path.is_sparse:  # only rows of W that some token of the batch keeps are fetched
        chunks = np.array_split(steps, ceil_div(steps.size * gemm.in_features, _MASK_BYTES))
        unions = (selection.unions(chunk) for chunk in chunks)
        fetches = Fetches.of(work.jobs, work.path, unions, machine.weight_burst_bytes)
        sizes, which = fetches.distinct()
    if one_by_one:
        for like, alive in zip(which.tolist(), nonzero.tolist(), strict=True):
            yield replace(work, weight_bytes=sizes[like], nonzero=alive)
        return
    repeats = np.bincount(which)
    # Steps run together must have work in the same jobs.
    alike = bool(((sizes > 0) == (sizes[:1] > 0)).all())
    chunk = max(1, _VALUES_AT_ONCE // len(work.jobs)) if alike else 1
    for first in range(0, len(sizes), chunk):
        part = slice(first, first + chunk)
        same = (which >= first) & (which < first + chunk)
        yield replace(
            work,
            weight_bytes=sizes[part],
            repeats=repeats[part],
            nonzero=int(nonzero[same].sum()),
        )


def layer_gemm(linear: Linear, selection: Selection, steps: Ints | None) -> Gemm:
    """Return the product that a layer computes, in prefill or in each of its decode steps."""
    tokens = selection.tokens if steps is None else steps.shape[1]
    return Gemm(tokens, linear.in_features, linear.out_features)


def layer_tiling(machine: LayerMachine, gemm: Gemm, *, is_decode: bool) -> Tiling:
    """Return the tile of a layer; where rows of W are fetched one by one, wide enough for DRAM."""
    gathers = is_decode and machine.path.is_sparse
    burst_columns = (
        ceil_div(8 * machine.weight_burst_bytes, machine.path.value_bits) if gathers else 1
    )
    return machine.tile(gemm, least_columns=burst_columns)


@contextmanager
def naming(machine: Architecture | LayerMachine, linear: Linear) -> Iterator[None]:
    """Say in errors which layer of which machine they are about."""
    try:
        yield
    except DeadlockError:
        raise
    except InputError as error:
        raise InputError(f"{machine.name}, layer '{linear.name}': {error}") from error


def whole_work(
    machine: LayerMachine,
    gemm: Gemm,
    *,
    kept: int | None = None,
    is_decode: bool = False,
    outer_tiles: int | None = None,
) -> Work:
    """Return the tiled work of a layer that fetches every row of W, nonzero values not counted.

    Args:
        machine: as the layer finds it.
        gemm: the layer.
        kept: activations of a token that survive; default: as the machine's pattern has it.
        is_decode: whether it is a decode step.
        outer_tiles: leave out all but so many outer iterations.

    Raises:
        InputError: no tile, or not a table that the layer's method needs, fits; or the layer is too
            large to count its bits.
    """
    path = machine.path
    _check_size(gemm, path)
    machine.check_tables(gemm)
    tiling = layer_tiling(machine, gemm, is_decode=is_decode)
    jobs = tile_jobs(gemm, tiling, path, machine.stores, outer_tiles)
    walked = gemm if outer_tiles is None else tiling.shortened(gemm, outer_tiles)
    kept = machine.pattern.kept(gemm.in_features) if kept is None else kept
    return Work(
        gemm=walked,
        path=path,
        tiling=tiling,
        jobs=jobs,
        weight_bytes=dense_weight_bytes(jobs, path),
        kept=walked.tokens * kept,
        nonzero=0,
        is_decode=is_decode,
        layer=gemm,
    )


def _check_size(gemm: Gemm, path: Datapath) -> None:
    """Raise InputError if an operand of a layer has more bits than are counted exactly."""
    sides = {"X": gemm.tokens, "W": gemm.out_features}
    sizes = {name: side * gemm.in_features for name, side in sides.items()}
    sizes["Y"] = gemm.tokens * gemm.out_features
    for name, values in sizes.items():
        if values * path.accumulator_bits > _MOST_BITS:
            raise InputError(f"{name} of {values:.3g} values: more than 2^53 bits of sums")

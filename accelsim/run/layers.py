"""A layer on a machine: its product, cut into tiles, as work for the units; its decode steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from accelsim.base.errors import DeadlockError, InputError
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import (
    Datapath,
    Gemm,
    Ints,
    Masks,
    Packing,
    Packs,
    Tiling,
    Work,
    ceil_div,
    tile_jobs,
)
from accelsim.mapping.packing import needed_rows
from accelsim.mapping.tiling import Reuse
from accelsim.planning import Planner
from accelsim.selection.decode import Fetches, dense_weight_bytes
from accelsim.selection.sparsify import Selection
from accelsim.sparsity import Mask, parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import Contraction, Linear

_VALUES_AT_ONCE = 2**16  # runs × jobs of decode steps that are run together
_MOST_BITS = 2**53
_MASK_BYTES = 2**24  # tokens × K of decode steps whose unions are in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledProduct:
    """A matrix product on the machine as its layer finds it, with the tile it is cut into.

    Attributes:
        machine: as the layer's method sets it.
        gemm: the product; of a decode step, that of one step.
        kept_per_token: products of an output, zeros included: activations of a token that survive,
            or weights that are stored.
        is_decode: whether it is a decode step.
        tiling: tile and loop order.
        on_chip: operands that are on chip before it, or stay there (`Work`).
    """

    machine: LayerMachine
    gemm: Gemm
    kept_per_token: int
    is_decode: bool
    tiling: Tiling
    on_chip: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        machine: LayerMachine,
        gemm: Gemm,
        *,
        kept_per_token: int | None = None,
        is_decode: bool = False,
        planner: Planner = Planner(),  # noqa: B008 - immutable
    ) -> Self:
        """Find the tile of a product.

        Args:
            machine: as the layer's method sets it.
            gemm: the product.
            kept_per_token: activations that survive; default: as the machine's pattern has it.
            is_decode: whether it is a decode step.
            planner: finds the tile.

        Raises:
            InputError: no tile, or not a table that the layer's method needs, fits; or the layer is
                too large to count its bits.
        """
        machine, tiling = planner.fitted(machine, gemm, is_decode=is_decode)
        _check_size(gemm, machine.path)
        machine.check_tables(gemm)
        if kept_per_token is None:
            kept_per_token = machine.products_per_output(machine.pattern, gemm.in_features)
        return cls(
            machine=machine,
            gemm=gemm,
            kept_per_token=kept_per_token,
            is_decode=is_decode,
            tiling=tiling,
        )

    @property
    def gathers(self) -> bool:
        """Whether only those rows of W are fetched that some token of a decode step keeps."""
        return self.machine.gathers(is_decode=self.is_decode)

    @property
    def depends_on_values(self) -> bool:
        """Whether its time depends on which values survive, not on their number alone."""
        return self.gathers or self.packs is not None

    @property
    def packs(self) -> Packs | None:
        """How its tiles are packed where that depends on masks."""
        return self.machine.packs_in(is_decode=self.is_decode)

    @property
    def content(self) -> tuple[Hashable, ...]:
        """All that a run of it depends on besides its machine, if every row of W is fetched."""
        return self.gemm, self.tiling, self.kept_per_token, self.is_decode, self.on_chip

    @property
    def spills(self) -> bool:
        """Whether partial sums go to DRAM and come back."""
        machine = self.machine
        return bool(Reuse.of(self.tiling, self.gemm, machine.path, machine.stores).spills)

    @property
    def outer_tiles(self) -> int:
        """Iterations of the outer loop over tiles."""
        return self.tiling.outer_tiles(self.gemm)

    def work(self, outer_tiles: int | None = None) -> Work:
        """Return the work of the product if every row of W is fetched, nonzero values not counted.

        Args:
            outer_tiles: make the layer shorter, to so many outer iterations (`Tiling.shortened`).
        """
        path, gemm = self.machine.path, self.gemm
        jobs = tile_jobs(gemm, self.tiling, path, self.machine.stores, outer_tiles)
        walked = gemm if outer_tiles is None else self.tiling.shortened(gemm, outer_tiles)
        return Work(
            gemm=walked,
            path=path,
            tiling=self.tiling,
            jobs=jobs,
            weight_bytes=dense_weight_bytes(jobs, path),
            kept=walked.tokens * self.kept_per_token,
            nonzero=0,
            is_decode=self.is_decode,
            layer=gemm,
            on_chip=self.on_chip,
        )

    def works(
        self,
        selection: Selection,
        steps: Ints | None,
        *,
        weights: Mask | None = None,
        one_by_one: bool = False,
    ) -> Iterator[Work]:
        """Yield the work for what was selected: once for prefill, once for like steps of decode.

        Args:
            selection: what survives of the input.
            steps: `[steps, rows]`, rows of the input in each decode step; None for prefill.
            weights: `[K, O]`, weights that are stored, where time depends on them; None: all.
            one_by_one: yield each decode step by itself, in order of time.
        """
        work = self.work()
        if self.packs is not None:
            yield from self._matched(work, selection, steps, weights, one_by_one=one_by_one)
            return
        if steps is None:
            yield replace(work, nonzero=int(selection.nonzero.sum()))
            return
        nonzero = selection.nonzero[steps].sum(axis=1)
        if self.gathers and work.path.is_gathered:
            yield from self._gathered(work, selection, steps, one_by_one=one_by_one)
            return
        sizes, which = work.weight_bytes[None], np.zeros(len(steps), np.int64)
        if self.gathers:
            sizes, which = self._fetches(work, selection, steps).distinct()
        if one_by_one:
            for like, alive in zip(which.tolist(), nonzero.tolist(), strict=True):
                yield replace(work, weight_bytes=sizes[like], nonzero=alive)
            return
        repeats = np.bincount(which)
        chunk = _runs_at_once(sizes)
        for first in range(0, len(sizes), chunk):
            part = slice(first, first + chunk)
            same = (which >= first) & (which < first + chunk)
            yield replace(
                work,
                weight_bytes=sizes[part],
                repeats=repeats[part],
                nonzero=int(nonzero[same].sum()),
            )

    def _gathered(
        self, work: Work, selection: Selection, steps: Ints, *, one_by_one: bool
    ) -> Iterator[Work]:
        """Yield the work of decode steps of which X and W are compacted to the rows they need."""
        nonzero = selection.nonzero[steps].sum(axis=1)
        kept = selection.kept_counts[steps].sum(axis=1)
        sizes = self._fetches(work, selection, steps).of_steps
        chunk = 1 if one_by_one else _runs_at_once(sizes)
        for first in range(0, len(steps), chunk):
            part = slice(first, first + chunk)
            rows = needed_rows(selection.unions(steps[part]), work.jobs)
            found = Packing.gathered(rows, work.jobs, work.path)
            alive = int(nonzero[part].sum())
            if one_by_one:
                size_bytes, alone = sizes[first], found.of_run(0)
                number = int(kept[first])
                yield replace(
                    work, weight_bytes=size_bytes, found=alone, kept=number, nonzero=alive
                )
            else:
                yield replace(
                    work,
                    weight_bytes=sizes[part],
                    found=found,
                    kept=kept[part],
                    repeats=np.ones(len(rows), np.int64),
                    nonzero=alive,
                )

    def _matched(
        self,
        work: Work,
        selection: Selection,
        steps: Ints | None,
        weights: Mask | None,
        *,
        one_by_one: bool,
    ) -> Iterator[Work]:
        """Yield the work of prefill, or of decode steps, packed by the masks of X and W."""
        packs, kept = self.packs, selection.kept_mask
        hidden = None if selection.hidden is None else selection.hidden.kept_mask
        assert packs is not None

        def found(rows: Ints | slice) -> Packing:
            of_rows = None if hidden is None else hidden[rows]
            return packs.found(Masks(kept[rows], weights, of_rows), work.jobs, work.path)

        if steps is None:
            number = int(selection.kept_counts.sum()) if work.path.is_gathered else work.kept
            alive = int(selection.nonzero.sum())
            yield replace(work, found=found(slice(None)), kept=number, nonzero=alive)
            return
        nonzero = selection.nonzero[steps].sum(axis=1)
        if one_by_one:
            for step, alive in zip(steps, nonzero.tolist(), strict=True):
                yield replace(work, found=found(step), nonzero=alive)
            return
        for part in _alike([found(step) for step in steps], len(work.jobs)):
            runs = Packing.of_runs([packing for _, packing in part])
            yield replace(
                work,
                weight_bytes=np.broadcast_to(work.weight_bytes, runs.steps.shape),
                found=runs,
                repeats=np.ones(len(part), np.int64),
                nonzero=int(nonzero[[place for place, _ in part]].sum()),
            )

    def _fetches(self, work: Work, selection: Selection, steps: Ints) -> Fetches:
        """Return what each decode step fetches of W."""
        chunks = np.array_split(steps, ceil_div(steps.size * self.gemm.in_features, _MASK_BYTES))
        unions = (selection.unions(chunk) for chunk in chunks)
        return Fetches.of(work.jobs, work.path, unions, self.machine.weight_burst_bytes)


def _runs_at_once(sizes: Ints) -> int:
    """Return how many decode steps of weights `[steps, jobs]` run together.

    Such steps must have work in the same jobs.
    """
    alike = bool(((sizes > 0) == (sizes[:1] > 0)).all())
    return max(1, _VALUES_AT_ONCE // sizes.shape[1]) if alike else 1


def _alike(found: Sequence[Packing], jobs: int) -> Iterator[list[tuple[int, Packing]]]:
    """Yield decode steps, by their places, that have work in the same jobs and run together."""
    groups = defaultdict(list)
    for place, packing in enumerate(found):
        works = b"".join((values > 0).tobytes() for values in packing.arrays.values())
        groups[works].append((place, packing))
    chunk = max(1, _VALUES_AT_ONCE // jobs)
    for group in groups.values():
        for first in range(0, len(group), chunk):
            yield group[first : first + chunk]


def method_of(
    arch: Architecture, policy: Policy | None, linear: Linear, *, is_decode: bool
) -> Method:
    """Return how a layer is pruned: as the policy says, or as the machine does.

    A machine that gathers rows, and nothing else, runs prefill dense; others, all layers of some
    kinds.
    """
    if arch.diagram.is_dense_in_prefill and not is_decode:
        return Method(parse_pattern("dense"))
    if policy is not None:
        return policy.of(linear.name)
    is_dense = linear.kind in arch.diagram.dense_kinds
    return Method(parse_pattern("dense")) if is_dense else arch.method


def layer_gemm(
    machine: LayerMachine, contraction: Contraction, selection: Selection, steps: Ints | None
) -> Gemm:
    """Return the product that a layer computes, in prefill or in each of its decode steps.

    Raises:
        InputError: the machine cannot get at one of its operands, or not in this format.
    """
    problem = next(contraction.beyond_linear(machine.path.formats), None)
    if problem is not None:
        raise InputError(f"asks for {problem}; this machine runs linear layers of a trace")
    tokens = selection.tokens if steps is None else steps.shape[1]
    return Gemm(tokens, contraction.in_features, contraction.out_features)


@contextmanager
def naming(machine: Architecture | LayerMachine, linear: Linear) -> Iterator[None]:
    """Say in errors which layer of which machine they are about."""
    try:
        yield
    except DeadlockError:
        raise
    except InputError as error:
        raise InputError(f"{machine.name}, layer '{linear.name}': {error}") from error


def _check_size(gemm: Gemm, path: Datapath) -> None:
    """Raise InputError if an operand of a layer has more bits than are counted exactly."""
    sides = {"X": gemm.tokens, "W": gemm.out_features}
    sizes = {name: side * gemm.in_features for name, side in sides.items()}
    sizes["Y"] = gemm.tokens * gemm.out_features
    for name, values in sizes.items():
        if values * path.accumulator_bits > _MOST_BITS:
            raise InputError(f"{name} of {values:.3g} values: more than 2^53 bits of sums")

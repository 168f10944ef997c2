"""The functional pass: which activations survive, once for a layer input, before any timing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError
from accelsim.mapping.datapath import Ints
from accelsim.precision import PRECISIONS, Values
from accelsim.sparsity import Mask, Pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.trace import Trace

Floats = NDArray[np.float64]
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)  # of a byte
_BLOCK_VALUES = 2**17  # of a layer input in work at once on a core: its copies stay in the cache


class _Scratch(threading.local):
    """Memory of a thread that every block uses again: fresh pages would cost more than the sums."""

    def __init__(self) -> None:
        self._memory = np.empty(0)

    def arrays(self, count: int, shape: tuple[int, ...]) -> Iterator[Floats]:
        """Return so many arrays, to be used until the next call."""
        size = prod(shape)
        if size > 2 * _BLOCK_VALUES:  # a whole layer at once: not to be kept
            return (np.empty(shape) for _ in range(count))
        if self._memory.size < count * size:
            self._memory = np.empty(count * size)
        return (self._memory[i * size : (i + 1) * size].reshape(shape) for i in range(count))


_scratch = _Scratch()


@dataclass(frozen=True, slots=True)
class Selection:
    """The activations selected from one layer input `[T, K]`, as far as time and energy need them.

    Attributes:
        features: K.
        nonzero: `[T]`, kept activations of each token that are not zero; where what they leave of
            the token is multiplied, too, with the values of that that are not zero.
        squared_magnitude: `[T]`, sum of x² of each token; None for a trace without values.
        dropped_squared_magnitude: `[T]`, the part of it that is dropped.
        packed_mask: `[T, K / 8]`, packed bits, set where the activation is kept; None if not
            asked for.
        alive: `[T]`, all activations of each token that are not zero.
        hidden: where a machine looks at them, what survives of the hidden values of the FFN that
            the layer is part of.
        ffn_product: which product of it the layer is then: gate, up or down.
    """

    features: int
    nonzero: Ints
    squared_magnitude: Floats | None
    dropped_squared_magnitude: Floats | None
    packed_mask: NDArray[np.uint8] | None = None
    alive: Ints | None = None
    hidden: Selection | None = None
    ffn_product: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of the layer input."""
        return len(self.nonzero)

    @property
    def dropped_squared_magnitude_ratio(self) -> float | None:
        """Share of the squared magnitude that is dropped; None if there are no values."""
        if self.squared_magnitude is None or self.dropped_squared_magnitude is None:
            return None
        total = float(self.squared_magnitude.sum())
        return float(self.dropped_squared_magnitude.sum()) / total if total else 0.0

    @property
    def hidden_mask(self) -> Mask:
        """Which hidden values of the FFN survive, `[T, N]`; of a down product, those of X."""
        return (self if self.hidden is None else self.hidden).kept_mask

    @property
    def hidden_share(self) -> float:
        """Share of the hidden values that survive, to the next power of two."""
        of = self if self.hidden is None else self.hidden
        share = float(of.kept_counts.sum()) / max(1, of.tokens * of.features)
        return float(2.0 ** np.ceil(np.log2(max(share, 2.0**-10))))

    @property
    def rest(self) -> Selection:
        """The selection of exactly the activations that this one drops."""
        assert self.alive is not None
        mask = None if self.packed_mask is None else ~self.packed_mask
        return Selection(self.features, self.alive - self.nonzero, None, None, mask)

    @property
    def everything(self) -> Selection:
        """The selection of all activations, as by a dense pattern."""
        assert self.alive is not None
        return Selection(self.features, self.alive, None, None)

    @property
    def kept_mask(self) -> Mask:
        """Mask `[T, K]`, set where the activation is kept."""
        return self._unpacked(self._known_mask)

    @property
    def kept_counts(self) -> Ints:
        """Number of activations that each token keeps, `[T]`."""
        counts: Ints = _ONES[self._known_mask].sum(axis=1, dtype=np.int64)
        return counts

    def unions(self, steps: Ints) -> Mask:
        """Return the mask `[steps, K]` of activations that at least one token of a step keeps."""
        packed = self._known_mask[steps[:, 0]]
        for tokens in steps.T[1:]:
            packed = packed | self._known_mask[tokens]
        return self._unpacked(packed)

    @property
    def _known_mask(self) -> NDArray[np.uint8]:
        if self.packed_mask is None:
            raise ValueError("selected without a mask")
        return self.packed_mask

    def _unpacked(self, packed: NDArray[np.uint8]) -> Mask:
        return np.unpackbits(packed, axis=1, count=self.features).view(np.bool_)


def select(operands: Values, pattern: Pattern, real: Values | None = None) -> Selection:
    """Select the activations `[T, K]` of one layer input.

    Args:
        operands: what the hardware sees and ranks.
        pattern: what to keep.
        real: the values whose squared magnitude is summed; default: the operands.

    >>> from accelsim.sparsity import parse_pattern
    >>> chosen = select(np.array([[3, 0, 0, 4], [1, 1, 1, 1]], np.int8), parse_pattern("1:2"))
    >>> chosen.nonzero.tolist(), chosen.dropped_squared_magnitude_ratio
    ([2, 2], 0.06896551724137931)
    """
    (selection,) = select_each(operands, [pattern], real, with_masks=True)
    return selection


def select_each(  # noqa: PLR0913 - all but two are optional, and named
    operands: Values,
    patterns: Sequence[Pattern],
    real: Values | None = None,
    *,
    scores: Values | None = None,
    with_masks: bool = False,
    without_zeros: bool = False,
    rounded: Values | None = None,
    rest_of: Callable[[Mask], Values] | None = None,
) -> list[Selection]:
    """Select the activations `[T, K]` of one layer input by several patterns.

    `scores` are what is ranked, by default the operands; `rounded`, the real values that these
    stand for, are what levels are compared with. `without_zeros`, masks leave out kept zeros.
    `rest_of` returns what a mask leaves, where that is multiplied, too.
    """
    values = operands if real is None else real
    squares, dropped = _scratch.arrays(2, operands.shape)
    np.multiply(values, values, out=squares, dtype=np.float64)
    squared_magnitude, alive = squares.sum(axis=1), operands != 0
    alive_count = np.count_nonzero(alive, axis=1).astype(np.int64)
    selections = []
    for pattern in patterns:
        ranked = operands if scores is None else scores
        mask = pattern.keep(rounded if pattern.has_level and rounded is not None else ranked)
        nonzero = np.count_nonzero(alive & mask, axis=1)
        if rest_of is not None:
            nonzero = nonzero + np.count_nonzero(rest_of(mask), axis=1)
        selections.append(
            Selection(
                features=operands.shape[1],
                nonzero=nonzero.astype(np.int64),
                squared_magnitude=squared_magnitude,
                dropped_squared_magnitude=np.multiply(squares, ~mask, out=dropped).sum(axis=1),
                packed_mask=np.packbits(mask & alive if without_zeros else mask, axis=1)
                if with_masks
                else None,
                alive=alive_count,
            )
        )
    return selections


def select_input(  # noqa: PLR0913
    trace: Trace,
    key: str,
    precision: str,
    patterns: Sequence[Pattern],
    *,
    with_masks: bool,
    criterion: str = "act",
    is_centred: bool = False,
    without_zeros: bool = False,
    has_residual: bool = False,
) -> list[Selection]:
    """Select input `key` of a trace by several patterns, in one pass over its values.

    The tokens are cut into blocks that the cores take in turn; numpy and the compiled selection
    leave the interpreter free meanwhile. The result does not depend on the cut, which is between
    sequences where the criterion looks at those. Criteria that look at weights, which a trace does
    not have, rank by magnitude.
    """
    if not trace.has_values:
        return [
            _without_values(trace, key, pattern, with_masks=with_masks, has_residual=has_residual)
            for pattern in patterns
        ]
    read, rule = trace.row_reader(key), CRITERIA[criterion]
    ranks_chunks = rule.demands.factors == "chunk"
    if ranks_chunks:
        lengths = filter(None, trace.meta.lengths(key))  # no token of a sequence may reach a layer
        cuts = list(accumulate(lengths, initial=0))
    else:
        block = max(1, _BLOCK_VALUES // trace.features(key))
        cuts = [*range(0, trace.meta.rows(key), block), trace.meta.rows(key)]

    def scores_of(held: Values, real: Values) -> Values | None:
        if not ranks_chunks:
            return None
        factors = rule.chunk_factors(held * trace.token_scales(key, real, precision))
        return None if factors is None else PRECISIONS[precision].scores(held, factors)

    patterns = _with_levels(trace, key, patterns)

    def selected(cut: tuple[int, int]) -> list[Selection]:
        held, real = held_values(trace, key, read(slice(*cut)), precision, is_centred=is_centred)
        scores, rounded = scores_of(held, real), None
        if any(pattern.has_level for pattern in patterns):
            rounded = held * trace.token_scales(key, real, precision)
        return select_each(
            held,
            patterns,
            real,
            scores=scores,
            with_masks=with_masks,
            without_zeros=without_zeros,
            rounded=rounded,
            rest_of=partial(_rest, precision, held, real) if has_residual else None,
        )

    blocks = list(_cores().map(selected, pairwise(cuts)))
    return [_joined(parts) for parts in zip(*blocks, strict=True)]


def _rest(precision: str, held: Values, real: Values, mask: Mask) -> Values:
    """Return what is left of tokens `[T, K]` as the hardware holds it, once a mask is taken out."""
    return PRECISIONS[precision].remainders(real, np.where(mask, held, held.dtype.type(0)))


def _with_levels(trace: Trace, key: str, patterns: Sequence[Pattern]) -> list[Pattern]:
    """Return patterns with the levels that they keep values above, calibrated on the whole input.

    The level is the quantile of |x| over all tokens of the trace, one for each input, so that each
    input loses the same share (uniform, as opposed to greedy).
    """
    if not any(pattern.has_level for pattern in patterns):
        return list(patterns)
    strength = np.abs(trace.values(key))
    return [pattern.calibrated(strength) for pattern in patterns]


def held_values(
    trace: Trace, key: str, stored: Values, precision: str, *, is_centred: bool
) -> tuple[Values, Values]:
    """Return tokens `[T, K]` as the hardware selects from them, and their real values.

    Centred on the median of each token, the lower of two, both are what is left of the values.
    """
    if not is_centred:
        return trace.encoded(key, stored, precision)
    real = trace.encoded(key, stored, precision)[1]
    middle = (real.shape[1] - 1) // 2
    centred = real - np.partition(real, middle, axis=1)[:, middle : middle + 1]
    return trace.rounded(key, centred, precision), centred


@cache
def _cores() -> ThreadPoolExecutor:
    """Return one thread a core, which keep their memory from input to input."""
    usable = getattr(os, "sched_getaffinity", None)  # of a container there may be fewer
    return ThreadPoolExecutor(len(usable(0)) if usable else os.cpu_count() or 1)


if hasattr(os, "register_at_fork"):  # threads do not survive in a forked process
    os.register_at_fork(after_in_child=_cores.cache_clear)


def _joined(blocks: Sequence[Selection]) -> Selection:
    """Put blocks of tokens together."""

    def column(name: str) -> Any:
        parts = [getattr(block, name) for block in blocks]
        return None if parts[0] is None else np.concatenate(parts)

    names = ("nonzero", "squared_magnitude", "dropped_squared_magnitude", "packed_mask", "alive")
    return Selection(blocks[0].features, **{name: column(name) for name in names})


def _without_values(
    trace: Trace, key: str, pattern: Pattern, *, with_masks: bool, has_residual: bool
) -> Selection:
    """Return what a pattern keeps of any values, none of them zero."""
    if with_masks and not pattern.is_dense:
        raise InputError(
            f"{trace.path}: has shapes only; what pattern {pattern} keeps depends on values, and "
            f"this run on that (make the trace with a distribution, or capture it)"
        )
    rows, features = trace.meta.shape(key)
    # Broadcasts take no memory.
    kept = pattern.kept_count(features) + features * has_residual
    nonzero = np.broadcast_to(np.int64(kept), rows)
    alive = np.broadcast_to(np.int64(features), rows)
    return Selection(features, nonzero, None, None, alive=alive)

"""What the rows of a batch are: which of them are tokens, and of which sequence.

A batch of B sequences of S places has B × S rows. Masked places are no tokens, and a row of
places may hold several packed sequences.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError
from accelsim.capture.extra import require

if TYPE_CHECKING:
    import torch

Ints = NDArray[np.int64]
_PAIR = 2  # dimensions of token ids, masks and positions: [B, S]
_SEEN = 4  # dimensions of masks that say which token sees which: [B, heads, queries, keys]
_KEPT_MASKS = ("attention_mask",)  # 1 (or anything but 0) where there is a token
_PADDING_MASKS = ("key_padding_mask", "src_key_padding_mask")  # True where there is none
# Which sequence stands at each place; a mask of more than one kept value says so too.
_NUMBERS = ("seq_idx", "attention_mask")
_ENDS = ("cu_seq_lens_q", "cu_seqlens", "cu_seqlens_q", "cu_seq_lens")


@dataclass(frozen=True, slots=True)
class Cut:
    """The cut of the rows of an input into sequences: `sequences` of `length` rows each."""

    sequences: int
    length: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Self:
        """Read the cut off a shape: `[B, …, F]` is B sequences, `[T, F]` one, `[F]` one token.

        >>> Cut.of((8, 32, 384)), Cut.of((5, 384)), Cut.of((384,))
        (Cut(sequences=8, length=32), Cut(sequences=1, length=5), Cut(sequences=1, length=1))
        """
        *leading, _ = shape
        if len(leading) <= 1:
            return cls(1, prod(leading))
        return cls(leading[0], prod(leading[1:]))

    @property
    def rows(self) -> int:
        """Rows over all sequences."""
        return self.sequences * self.length

    @property
    def swapped(self) -> Cut:
        """The cut of the same rows if the other axis counts sequences."""
        return Cut(self.length, self.sequences)


@dataclass(frozen=True, slots=True)
class Frame:
    """The rows of one forward pass.

    Attributes:
        cut: all places, padding included, sequence by sequence.
        tokens: `[T]`, places that hold a token, ascending.
        lengths: tokens of each sequence; they follow each other in `tokens`.
    """

    cut: Cut
    tokens: Ints
    lengths: tuple[int, ...]

    @classmethod
    def whole(cls, cut: Cut) -> Self:
        """Return the frame of a batch without padding."""
        return cls(cut, np.arange(cut.rows), (cut.length,) * cut.sequences)

    @classmethod
    def empty(cls) -> Self:
        """Return the frame of a batch of which no wanted layer saw a row."""
        return cls(Cut(0, 0), np.arange(0), ())

    @property
    def is_padded(self) -> bool:
        """Whether some places hold no token."""
        return len(self.tokens) < self.cut.rows

    def places(self, leading: tuple[int, ...], *, batch_first: bool = True) -> Ints | None:
        """Return the place of each row of a tensor with these leading dimensions.

        None if its rows are not the places of this frame: there are more, fewer or others.
        """
        cut, here, rows = self.cut, Cut.of((*leading, 1)), prod(leading)
        is_flat = 1 in (here.sequences, cut.sequences)
        if rows == cut.rows:
            is_swapped, is_same = here.swapped == cut, here == cut
            if (is_same and (batch_first or not is_swapped)) or (is_flat and batch_first):
                return np.arange(rows)
            if is_swapped or is_flat:
                return np.arange(rows).reshape(cut.sequences, cut.length).T.ravel()
        if rows == len(self.tokens) and here.sequences == 1:
            return self.tokens  # a model that takes padding out by itself
        return None

    def token_numbers(self, places: Ints) -> Ints:
        """Return the number of the token at each place, -1 where it is padding."""
        numbers = np.full(self.cut.rows, -1)
        numbers[self.tokens] = np.arange(len(self.tokens))
        found: Ints = numbers[places]
        return found


class BatchReader:
    """Finds out from the batches of one model which of their rows are tokens, and of what."""

    def __init__(self, model: torch.nn.Module, *, batch_first: bool) -> None:
        self._batch_first = batch_first
        self._pad_id = _config_value(model, "pad_token_id")
        ends: list[Any] = []
        for name in ("eos_token_id", "bos_token_id"):
            value = _config_value(model, name)
            ends += value if isinstance(value, list | tuple) else [value]
        self._pad_is_text = self._pad_id in ends  # and may end a sequence by itself
        try:
            self._signature: inspect.Signature | None = inspect.signature(model.forward)
        except (TypeError, ValueError):
            self._signature = None

    def frames(self, batch: Any, index: int) -> list[Frame]:
        """Return the rows of a batch; empty if only a layer can tell, since there are no ids.

        A second frame is that of what a decoder reads beside an encoder.

        Raises:
            InputError: a mask, positions or bounds that do not fit the ids.
        """
        named = self._named(batch)
        first = self._frame(named, self._ids(named.get("input_ids", self._first(batch))), index)
        if first is None:
            return []
        prefix = "decoder_"
        decoder = {
            name.removeprefix(prefix): value
            for name, value in named.items()
            if name.startswith(prefix)
        }
        second = self._frame(decoder, self._ids(decoder.get("input_ids")), index)
        if second is None:
            return [first]
        if second.cut == first.cut and not np.array_equal(second.tokens, first.tokens):
            raise InputError(
                f"batch {index}: encoder and decoder read {_sizes(first.cut)} places and pad "
                f"others, so that nobody can tell whose a layer reads; make one of them longer"
            )
        return [first, second]

    def _frame(self, named: Mapping[str, Any], ids: Ints | None, index: int) -> Frame | None:
        mask = self._mask(named, index)
        places = mask if ids is None else ids
        if places is None:
            return None
        if mask is not None and len(mask) in (1, len(places)):  # one for all
            mask = np.broadcast_to(mask, (len(places), mask.shape[1]))
            mask = mask[:, -places.shape[1] :]  # longer where earlier tokens are in a cache
        if mask is not None and mask.shape != places.shape:
            raise InputError(
                f"batch {index}: its mask is {_sizes(Cut(*mask.shape))}, "
                f"its token ids {_sizes(Cut(*places.shape))}"
            )
        if mask is None and ids is not None:
            self._warn_of_padding(ids, index)
        kept = np.ones(places.shape, bool) if mask is None else mask
        tokens = np.flatnonzero(kept)
        lengths = self._lengths(named, kept, tokens, index)
        frame = Frame(Cut(*places.shape), tokens, lengths)
        # A mask that hides nothing need not be one of the rows that layers see (of samples, say).
        says_nothing = ids is None and frame.lengths == Frame.whole(frame.cut).lengths
        return None if says_nothing else frame

    def hint(self, batch: Any) -> Cut | None:
        """Return the cut of a batch `[B, S, F]`, for a model whose layers read it flattened."""
        named = self._named(batch)
        first = named.get("inputs_embeds", self._first(batch))
        if not isinstance(first, require("torch").Tensor) or first.dim() != _PAIR + 1:
            return None
        cut = Cut.of(tuple(first.shape))
        return cut if self._batch_first else cut.swapped

    def _named(self, batch: Any) -> Mapping[str, Any]:
        """Return the arguments of a call by name, as far as the model names them."""
        if isinstance(batch, Mapping):
            return batch
        values = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        try:
            assert self._signature is not None
            return self._signature.bind_partial(*values).arguments
        except (AssertionError, TypeError):
            return {}

    def _first(self, batch: Any) -> Any:
        """Return the first argument of a call that does not name it."""
        if isinstance(batch, Mapping):
            return None
        return next(iter(batch), None) if isinstance(batch, tuple | list) else batch

    def _ids(self, candidate: Any) -> Ints | None:
        """Return token ids, `[B, S]`; None if these are no integers of one or two dimensions."""
        torch = require("torch")
        if not isinstance(candidate, torch.Tensor) or not 1 <= candidate.dim() <= _PAIR:
            return None
        if candidate.is_floating_point() or candidate.is_complex():
            return None
        ids: Ints = self._pairs(candidate)
        return ids

    def _mask(self, named: Mapping[str, Any], index: int) -> NDArray[np.bool_] | None:
        """Return which places hold a token, `[B, S]`; None without a mask."""
        torch = require("torch")
        for names, is_padding in ((_KEPT_MASKS, False), (_PADDING_MASKS, True)):
            for name in names:
                mask, seen = named.get(name), None if is_padding else _seen(named)
                if seen is not None:
                    kept = np.asarray(seen.any(axis=1))
                elif isinstance(mask, torch.Tensor) and mask.dim() == _PAIR:
                    kept = self._kept(mask, is_padding=is_padding)
                else:
                    continue
                if not kept.any():
                    raise InputError(f"batch {index}: '{name}' masks every token")
                return kept
        return None

    def _kept(self, mask: torch.Tensor, *, is_padding: bool) -> NDArray[np.bool_]:
        is_added = mask.is_floating_point() and bool((mask < 0).any())  # to scores
        hides = mask < 0 if is_added else mask != 0 if is_padding else mask == 0
        # Padding masks of torch are [B, S] in every layout.
        kept: NDArray[np.bool_] = ~(hides.cpu().numpy() if is_padding else self._pairs(hides))
        return kept

    def _pairs(self, tensor: torch.Tensor) -> Any:
        """Return a tensor `[B, S]` or `[S]` as an array `[B, S]`."""
        kept = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
        values = kept.cpu().numpy()
        if values.ndim == 1:
            return values[None]
        return values if self._batch_first else values.T

    def _warn_of_padding(self, ids: Ints, index: int) -> None:
        """Warn of sequences that end or begin with padding; one of them alone may be text."""
        is_pad = ids == self._pad_id
        run = 1 if len(ids) > 1 and not self._pad_is_text else 2
        if not isinstance(self._pad_id, int) or ids.shape[1] < run:
            return
        at_ends = is_pad[:, :run].all(axis=1) | is_pad[:, -run:].all(axis=1)
        if at_ends.any():
            warnings.warn(
                f"batch {index}: {np.count_nonzero(at_ends)} of {len(ids)} sequences begin or end "
                f"with the padding id {self._pad_id}, and there is no attention_mask: padding "
                f"counts as tokens",
                stacklevel=2,
            )

    def _lengths(
        self, named: Mapping[str, Any], kept: NDArray[np.bool_], tokens: Ints, index: int
    ) -> tuple[int, ...]:
        """Return the tokens of each sequence: rows of the batch, cut where packing says so."""
        is_new = np.diff(tokens // kept.shape[1], prepend=-1) != 0
        positions = self._of_places(named.get("position_ids"), kept.shape)
        if positions is not None:
            is_new |= np.diff(positions[tokens], prepend=0) <= 0
        for name in _NUMBERS:
            which = self._of_places(named.get(name), kept.shape)
            if which is not None:
                is_new |= np.diff(which[tokens], prepend=-1) != 0
        is_new |= self._sees_none_before(named, kept)[tokens]
        is_new |= self._ends(named, len(tokens), index)
        cuts = [*np.flatnonzero(is_new).tolist(), len(tokens)]
        return tuple(end - first for first, end in pairwise(cuts))

    def _of_places(self, values: Any, shape: tuple[int, ...]) -> Ints | None:
        """Return what an argument says of each place, `[B × S]`; None if it is of another shape."""
        if not isinstance(values, require("torch").Tensor) or not 1 <= values.dim() <= _PAIR:
            return None
        pairs = self._pairs(values)
        if pairs.shape[1] != shape[1] or len(pairs) not in (1, shape[0]):
            return None
        found: Ints = np.broadcast_to(pairs, shape).ravel()
        return found

    def _sees_none_before(
        self, named: Mapping[str, Any], kept: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return, `[B × S]`, where a mask of pairs of tokens says that a sequence begins."""
        seen = _seen(named)
        if seen is None or seen.shape[1] != kept.shape[1]:
            return np.zeros(kept.size, bool)
        pairs = seen[..., -kept.shape[1] :] & kept[:, None]
        before = np.tril(pairs, -1).any(axis=2)
        return ~before.ravel()

    def _ends(self, named: Mapping[str, Any], tokens: int, index: int) -> NDArray[np.bool_]:
        """Return where cumulative lengths of packed sequences say that one begins."""
        is_new = np.zeros(tokens, bool)
        torch = require("torch")
        for name in _ENDS:
            bounds = named.get(name)
            if not isinstance(bounds, torch.Tensor):
                continue
            places = bounds.detach().cpu().numpy().ravel()
            if places[0] != 0 or places[-1] != tokens or (np.diff(places) < 0).any():
                raise InputError(
                    f"batch {index}: '{name}' must rise from 0 to the {tokens} tokens of the batch"
                )
            is_new[places[:-1][np.diff(places) > 0]] = True
        return is_new


def _seen(named: Mapping[str, Any]) -> NDArray[np.bool_] | None:
    """Return which token sees which, `[B, queries, keys]`; None without a mask that says so.

    Masks `[B, heads, queries, keys]` of floats are added to scores, unless they hold ones.
    """
    mask = named.get("attention_mask")
    if not isinstance(mask, require("torch").Tensor) or not _PAIR < mask.dim() <= _SEEN:
        return None
    is_added = mask.is_floating_point() and not bool((mask > 0).any())
    seen = (mask >= 0 if is_added else mask != 0).cpu().numpy()
    pairs: NDArray[np.bool_] = seen.any(axis=1) if seen.ndim == _SEEN else seen
    return pairs if pairs.shape[2] > 1 else pairs.swapaxes(1, 2)


def _config_value(model: torch.nn.Module, name: str) -> Any:
    """Return a value of a model's configuration, or of that of its text part; None without."""
    config: Any = getattr(model, "config", None)
    found = getattr(config, name, None)
    if found is None and hasattr(config, "get_text_config"):
        found = getattr(config.get_text_config(), name, None)
    return found


def _sizes(cut: Cut) -> str:
    return f"{cut.sequences} × {cut.length}"

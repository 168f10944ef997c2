"""Selections of a trace, remembered on disk: a sweep over anything else never selects again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelsim.base.cache import DiskCache
from accelsim.precision import PRECISIONS
from accelsim.selection.sparsify import Selection, select_input
from accelsim.sparsity import Pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.trace import Trace

_COUNTS = ("nonzero", "alive", "squared_magnitude", "dropped_squared_magnitude")


@dataclass(frozen=True, slots=True)
class Wish:
    """A way of selecting from a layer input, and what a machine wants to know of the outcome.

    Attributes:
        precision: of the values.
        pattern: how many of them are kept.
        with_mask: whether the mask is wanted, besides counts.
        criterion: how values are ranked.
        is_centred: whether each token's median is subtracted first.
        without_zeros: whether kept values that are zero are left out of the mask.
        has_residual: whether what is left of the input counts, too, see `Selection`.
    """

    precision: str
    pattern: Pattern
    with_mask: bool = False
    criterion: str = "act"
    is_centred: bool = False
    without_zeros: bool = False
    has_residual: bool = False

    @property
    def ranking(self) -> tuple[str, str, bool, bool, bool]:
        """All but the pattern and the mask: wishes that agree in it are granted in one pass."""
        zeros, residual = self.without_zeros, self.has_residual
        return self.precision, self.criterion, self.is_centred, zeros, residual


def selections_of(
    trace: Trace, key: str, wishes: Sequence[Wish], cache: DiskCache | None = None
) -> dict[Wish, Selection]:
    """Select input `key` of a trace in every way that is wished for, in one pass over its values.

    Args:
        trace: the workload.
        key: one of its layer inputs.
        wishes: what to select.
        cache: where earlier selections are found and new ones kept; those by patterns and
            precisions from outside of the package are made each time.
    """
    if cache is None or not trace.has_values:
        return _select(trace, key, wishes)
    cacheable = [wish for wish in wishes if _is_cacheable(wish)]
    found = {wish: _load(cache, trace, key, wish) for wish in cacheable}
    missing = [wish for wish in wishes if found.get(wish) is None]
    made = _select(trace, key, missing)
    for wish in made.keys() & found.keys():
        _save(cache, trace, key, wish, made[wish])
    return {wish: selection for wish, selection in (found | made).items() if selection is not None}


def _select(trace: Trace, key: str, wishes: Sequence[Wish]) -> dict[Wish, Selection]:
    """Select, all wishes of a ranking at once; a mask for one is a mask for all."""
    made: dict[Wish, Selection] = {}
    for ranking in dict.fromkeys(wish.ranking for wish in wishes):
        same = [wish for wish in wishes if wish.ranking == ranking]
        precision, criterion, is_centred, without_zeros, has_residual = ranking
        chosen = select_input(
            trace,
            key,
            precision,
            [wish.pattern for wish in same],
            with_masks=any(wish.with_mask for wish in same),
            criterion=criterion,
            is_centred=is_centred,
            without_zeros=without_zeros,
            has_residual=has_residual,
        )
        made |= dict(zip(same, chosen, strict=True))
    return made


def _load(cache: DiskCache, trace: Trace, key: str, wish: Wish) -> Selection | None:
    counts = cache.get(_name(trace, key, wish, "counts"))
    mask = cache.get(_name(trace, key, wish, "mask")) if wish.with_mask else b""
    if counts is None or mask is None:
        return None
    columns = np.load(io.BytesIO(counts), allow_pickle=False)
    packed = np.frombuffer(mask, np.uint8).reshape(trace.meta.rows(key), -1) if mask else None
    named = dict(zip(_COUNTS, columns, strict=True))
    named["nonzero"] = named["nonzero"].astype(np.int64)
    return Selection(trace.features(key), **named, packed_mask=packed)


def _save(cache: DiskCache, trace: Trace, key: str, wish: Wish, selection: Selection) -> None:
    columns = np.array([getattr(selection, name) for name in _COUNTS], np.float64)
    counts = io.BytesIO()
    np.save(counts, columns)
    cache.put(_name(trace, key, wish, "counts"), counts.getvalue())
    if selection.packed_mask is not None:
        cache.put(_name(trace, key, wish, "mask"), selection.packed_mask.tobytes())


def _name(trace: Trace, key: str, wish: Wish, part: str) -> str:
    """Return everything that an entry depends on, the code that makes it included."""
    return json.dumps([trace.sha256, key, *wish.ranking, str(wish.pattern), part, _CODE])


def _is_cacheable(wish: Wish) -> bool:
    """Whether all code behind a selection is ours: what a user's class calls is not known."""
    kinds = type(wish.pattern), PRECISIONS[wish.precision], CRITERIA[wish.criterion]
    return all(kind.__module__.startswith(f"{__package__.partition('.')[0]}.") for kind in kinds)


def _files_of_package() -> list[Path]:
    """Return the sources that turn a trace into a selection, and a selection into an entry."""
    root = Path(__file__).parents[1]
    names = ("base/compiled", "precision", "trace")
    families = ("sparsity", "sparsity/patterns", "sparsity/criteria")
    files = (path for name in names + families for path in sorted((root / name).glob("*.py")))
    return [Path(__file__).with_name("sparsify.py"), Path(__file__), *files]


def _digest(files: Sequence[Path]) -> str:
    """Return a hash of source files, so that no result outlives the code behind it."""
    contents = b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(contents + np.__version__.encode()).hexdigest()


# Of the files as they are when the code in them is loaded, not when a result is stored.
_CODE = _digest(_files_of_package())

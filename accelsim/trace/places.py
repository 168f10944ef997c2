"""Where a layer stands in its model: block, kind and short name, told from its dotted name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Shape = tuple[int | None, int | None]
Parts = tuple[str, ...]
_OUTSIDE = "-"


class Place(NamedTuple):
    """The place of one layer in its model.

    Attributes:
        block: the first number in the name, `3` of `model.layers.3.mlp.up_proj`; else `-`.
        kind: what the same layer of every block is called, `up_proj`.
        label: a short name that no other layer has, `3.up_proj`.
    """

    block: str
    kind: str
    label: str


def places(layers: Mapping[str, Shape] | Iterable[str]) -> dict[str, Place]:
    """Return the place of each layer of a model.

    Numbers inside a name count blocks, or experts of a block. Layers whose names differ in nothing
    else are of one kind. A kind is called by the end of that name, as many parts of it as no other
    kind ends with. A number at the end of a name counts nothing: it is the name of a layer.

    Args:
        layers: dotted names of all layers, or their numbers of inputs and outputs by name. Layers
            of one block that differ in these are no repetitions, but kinds of their own.

    Example:
        Two of three layers of this block are called `dense`.

        >>> bert = ["layer.0.attention.output.dense", "layer.0.output.dense", "layer.0.key"]
        >>> [place.kind for place in places(bert).values()]
        ['attention.output.dense', 'layer.output.dense', 'key']
        >>> places(["layers.3.mlp.up_proj", "head"])["layers.3.mlp.up_proj"]
        Place(block='3', kind='up_proj', label='3.up_proj')
    """
    names, shapes = list(layers), layers if isinstance(layers, Mapping) else {}
    parted = {name: _parted(name, all_numbers=True) for name in names}
    for mixed in _mixed(parted, shapes):
        parted |= {
            name: _parted(name, all_numbers=False) for name in names if parted[name][1] == mixed
        }
    short = _shortest({kind for _, kind in parted.values()})
    labels = {name: ".".join((*counts, *short[kind])) for name, (counts, kind) in parted.items()}
    seen = Counter(labels.values())
    return {
        name: Place(
            block=block_of(name),
            kind=".".join(short[kind]),
            label=labels[name] if seen[labels[name]] == 1 else name,
        )
        for name, (_, kind) in parted.items()
    }


Grid = tuple[list[str], list[str], dict[tuple[str, str], list[str]]]


def grid(found: Mapping[str, tuple[str, str]]) -> Grid:
    """Return blocks and kinds in order of appearance, and the layers of each block and kind.

    Args:
        found: block and kind of each layer, by its name.
    """
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, place in found.items():
        members[place].append(name)
    blocks = list(dict.fromkeys(block for block, _ in members))
    kinds = list(dict.fromkeys(kind for _, kind in members))
    return blocks, kinds, dict(members)


def block_of(name: str) -> str:
    """Return the first number inside a name, or `-`."""
    return next((part for part in name.split(".")[:-1] if part.isdigit()), _OUTSIDE)


def _parted(name: str, *, all_numbers: bool) -> tuple[Parts, Parts]:
    """Return what counts repetitions in a name, all numbers or the first, and the parts left."""
    *inner, last = name.split(".")
    numbers = [place for place, part in enumerate(inner) if part.isdigit()]
    counts = numbers if all_numbers else numbers[:1]
    rest = (part for place, part in enumerate(inner) if place not in counts)
    return tuple(inner[place] for place in counts), (*rest, last)


def _mixed(parted: Mapping[str, tuple[Parts, Parts]], shapes: Mapping[str, Shape]) -> set[Parts]:
    """Return the kinds that hold layers of one block with different shapes."""
    found: dict[tuple[Parts, str], set[Shape | None]] = defaultdict(set)
    for name, (_, kind) in parted.items():
        found[kind, block_of(name)].add(shapes.get(name))
    return {kind for (kind, _), different in found.items() if len(different) > 1}


def _shortest(kinds: set[Parts]) -> dict[Parts, Parts]:
    """Return the shortest end of each kind that no other has, and that is more than a number."""
    shared = Counter(kind[start:] for kind in kinds for start in range(len(kind)))

    def end(kind: Parts) -> Parts:
        ends = [kind[start:] for start in reversed(range(len(kind)))]
        told = (part for part in ends if shared[part] == 1 and not all(p.isdigit() for p in part))
        return next(told, kind)

    return {kind: end(kind) for kind in kinds}

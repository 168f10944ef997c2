"""Where a layer stands in a model: its block, and its kind, told from its dotted name."""

from __future__ import annotations

from collections.abc import Iterable


def places(layers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the block number and the kind of each layer; outside of the blocks, block `-`.

    A kind is the end of the name, as many parts of it as tell the layers of a block apart.

    >>> places(["h.0.attn.c_proj", "h.0.mlp.c_proj", "head"])
    {'h.0.attn.c_proj': ('0', 'attn.c_proj'), 'h.0.mlp.c_proj': ('0', 'mlp.c_proj'), 'head': ('-', 'head')}
    >>> places(["layers.3.mlp.up_proj"])
    {'layers.3.mlp.up_proj': ('3', 'up_proj')}
    """  # noqa: E501
    names = list(layers)
    longest = max((len(name.split(".")) for name in names), default=1)
    for length in range(1, longest + 1):
        found = {name: (_block(name), ".".join(name.split(".")[-length:])) for name in names}
        if len(set(found.values())) == len(names):
            break
    return found


def grid(layers: Iterable[str]) -> tuple[list[str], list[str], dict[tuple[str, str], str]]:
    """Return blocks and kinds in order of appearance, and the layer of each block and kind."""
    found = places(layers)
    blocks = list(dict.fromkeys(block for block, _ in found.values()))
    kinds = list(dict.fromkeys(kind for _, kind in found.values()))
    return blocks, kinds, {place: name for name, place in found.items()}


def _block(name: str) -> str:
    return next((part for part in name.split(".")[:-1] if part.isdigit()), "-")

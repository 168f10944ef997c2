"""Modes: one selector and one crossbar for several patterns, of which each layer uses one.

The hardware is that of the largest pattern, 16:32 say, and what the smaller ones add:

* *Selector.* In mode 8:16 a rank selector of 32 values is two of 16. Of its 496 comparators the 256
  between the halves hold still, gates in front of them keep their operands at zero, and each value
  is held against the N of the mode.
* *Compaction and crossbar* of windows. Two masks of 8:16 are one of 16:32, so that decoder and
  multiplexers serve every mode that keeps the same share as they are. A mode that keeps less (1:4)
  adds its own decoder, and legs where its values stand outside of the windows.
* *Gates* on the weights, one for each position and set of modes whose legs use it, so that legs out
  of a mode's reach hold still. What their pins, the gates and the OR trees behind them still take
  was measured (`docs/rtl.md`).

The mode is a register that is written between layers. RTL: `selector_flex.sv`, `crossbar_flex.sv`.
Not modelled: the register, and an empty pipeline before it is written, which a seam between layers
has anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from accelsim.hardware.logic import block_cost
from accelsim.mapping import Datapath
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, block, select_path, value_path
from accelsim.tech.source import CostSource

Leg = tuple[int, int]
"""An output (a lane, or a slot of compaction) and a position that it may need."""


# What a part that holds still takes of what it would take: measured on the netlist in each mode.
_TAKES_STILL = {"select_flex": 1 / 8, "crossbar_flex": 1 / 2}


def spared_um2(tech: CostSource, path: Datapath, name: str) -> float:
    """Return the area of a block that costs no energy in the mode of a datapath, 0 without modes.

    It is that of what holds still, less the share for which pins and gates switch all the same.
    """
    if not path.modes:
        return 0.0
    return (1 - _TAKES_STILL[name]) * block_cost(tech, f"{name}_still", path).logic_um2


def decoded_share(s: Shape) -> float:
    """Return the share of all decoders of a crossbar that a mode has in use, 1 without modes."""
    return places(s, s.n, s.m, s.lanes) / _all_places(s, s.lanes) if s.modes else 1.0


def legs(n: int, m: int, outputs: int) -> frozenset[Leg]:
    """Return the legs of windows: which output needs which position at N:M.

    Of two outputs at 1:4, each has a group of its own; at 2:4 they share one.

    >>> sorted(legs(1, 4, 2)) == [(0, p) for p in range(4)] + [(1, p) for p in range(4, 8)]
    True
    >>> sorted(legs(2, 4, 2))
    [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    """
    return frozenset(
        ((group * n + i) % outputs, group * m + i + d)
        for group in range(max(1, outputs // n))
        for i in range(n)
        for d in range(m - n + 1)
    )


def places(s: Shape, n: int, m: int, outputs: int) -> int:
    """Return the places that the decoder of a mode looks at: that of the largest one, if it serves.

    >>> s = Shape(modes=((1, 4), (2, 4), (4, 8)))
    >>> [places(s, n, m, outputs=8) for n, m in s.modes]  # 8 groups of 4; two of 8, 4 x 5 each
    [32, 40, 40]
    """
    if _is_served(s, n, m):
        n, m = _modes(s)[-1]
    return max(1, outputs // n) * n * (m - n + 1)


def _all_places(s: Shape, outputs: int) -> int:
    """Return the places of all decoders: of the largest mode, and of each that it cannot serve."""
    own = [(n, m) for n, m in _modes(s) if not _is_served(s, n, m)]
    return sum(places(s, n, m, outputs) for n, m in (_modes(s)[-1], *own))


def _modes(s: Shape) -> tuple[tuple[int, int], ...]:
    """Return N and M of each mode; of a shape that has none, its own."""
    return s.modes or ((s.n, s.m),)


def _is_served(s: Shape, n: int, m: int) -> bool:
    """Whether the decoder of the largest mode serves N:M: it does if as large a share is kept."""
    kept, size = _modes(s)[-1]
    return n * size == m * kept


def _gates(s: Shape) -> Iterator[frozenset[Leg]]:
    """Yield legs behind a common gate: of one position, in the same ones of the larger modes.

    Of modes with a decoder in common, that is; legs of the smallest of them have no gate, nor do
    those that a mode with its own decoder needs.
    """
    reach = [legs(n, m, s.lanes) for n, m in _modes(s)]
    in_common = [k for k, (n, m) in enumerate(_modes(s)) if _is_served(s, n, m)]
    gated: dict[object, set[Leg]] = {}
    for leg in frozenset().union(*reach):
        modes = [k for k, own in enumerate(reach) if leg in own]
        if set(modes) < set(in_common):
            gated.setdefault((leg[1], *modes), set()).add(leg)
    yield from map(frozenset, gated.values())


def _built(s: Shape) -> Shape:
    """Return the shape of the largest mode, as if it were the only one."""
    n, m = _modes(s)[-1]
    return replace(s, n=n, m=m, modes=())


def _pairs(m: int) -> int:
    return m * (m - 1) // 2


def _select_parts(s: Shape) -> Parts:
    """Return a rank selector of the largest group, gates, and the N of each mode for each value.

    A gate of an operand, one for each size of groups, counts like a bit of a magnitude; one of an
    outcome, and a comparison of a rank with N, like a bit that is counted.
    """
    m, sizes = _modes(s)[-1][1], sorted({m for _, m in _modes(s)})
    rank = dict(block("select_rank").parts(_built(s)))
    outcomes = _pairs(m) - m // sizes[0] * _pairs(sizes[0])
    return {
        **rank,
        "count_bits": rank["count_bits"] + outcomes + len(_modes(s)) * m,
        "magnitude_bits": rank.get("magnitude_bits", 0) + (len(sizes) - 1) * m * s.key_bits,
    }


def _select_still_parts(s: Shape) -> Parts:
    """Return the comparators between values of different groups, their counts and gates."""
    largest = _modes(s)[-1][1]
    still = _pairs(largest) - largest // s.m * _pairs(s.m)
    sizes = {m for _, m in _modes(s) if m > s.m}
    return {
        "comparator_bits": still * s.key_bits,
        "count_bits": 3 * still,
        "magnitude_bits": len(sizes) * largest * s.key_bits,
    }


def _compact_parts(s: Shape) -> Parts:
    """Return multiplexers with the legs of all modes."""
    slots, size = _modes(s)[-1]
    together = frozenset().union(*(legs(n, m, size // m * n) for n, m in _modes(s)))
    return {"leg_bits": len(together) * s.bits, "places": _all_places(s, slots)}


def _crossbar_parts(s: Shape) -> Parts:
    """Return multiplexers with the legs of all modes; a gate counts like a leg."""
    together = frozenset().union(*(legs(n, m, s.lanes) for n, m in _modes(s)))
    gated = len(together) + len(list(_gates(s)))
    return {
        "leg_bits": gated * s.bits * s.columns,
        "places": _all_places(s, s.lanes),
    }


def _crossbar_still_parts(s: Shape) -> Parts:
    """Return the legs that are out of reach of a mode, and the gates that are closed in it."""
    together = frozenset().union(*(legs(n, m, s.lanes) for n, m in _modes(s)))
    reach = legs(s.n, s.m, s.lanes)
    closed = sum(1 for gate in _gates(s) if not gate & reach)
    return {"leg_bits": (len(together - reach) + closed) * s.bits * s.columns}


def _path(s: Shape) -> Parts:
    return value_path(_built(s))


def _select_path(s: Shape) -> Parts:
    return select_path(_built(s))


# Each is an alternative to a block without modes, at the prices of its parts; `_still` is the part
# of it that does not switch in the mode N:M.
BLOCKS["select_flex"] = Block(_select_parts, _select_path, priced_like="select_rank")
BLOCKS["select_flex_still"] = Block(_select_still_parts, _select_path, priced_like="select_rank")
BLOCKS["compact_flex"] = Block(_compact_parts, _path, priced_like="compact")
BLOCKS["crossbar_flex"] = Block(_crossbar_parts, _path, priced_like="crossbar_window")
BLOCKS["crossbar_flex_still"] = Block(_crossbar_still_parts, _path, priced_like="crossbar_window")

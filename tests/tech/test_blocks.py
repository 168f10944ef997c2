"""Parts of blocks: by hand, by brute force over all masks, and against synthesised flip-flops."""

import csv
from collections import Counter
from itertools import combinations
from math import log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import accelsim.tech
from accelsim.base.errors import InputError
from accelsim.hardware import BLOCKS
from accelsim.tech.blocks import Shape, block, index_bits

SYNTHESIS = Path(accelsim.tech.__file__).parent / "data" / "synthesis_nangate45.csv"
PATTERNS = [(n, m) for m in range(2, 10) for n in range(1, m + 1)]


def parts(name, n=1, m=1, **fields):
    """Return the parts that there are some of."""
    counts = block(name).parts(Shape(n=n, m=m, **fields))
    return {part: count for part, count in counts.items() if count}


@pytest.mark.parametrize(("positions", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6)])
def test_index_bits(positions, bits):
    assert index_bits(positions) == bits


@pytest.mark.parametrize(
    ("bits", "is_float", "key_bits"), [(8, False, 8), (16, False, 16), (16, True, 15)]
)
def test_a_float_compares_without_its_sign(bits, is_float, key_bits):
    assert Shape(bits=bits, is_float=is_float).key_bits == key_bits


@pytest.mark.parametrize(
    ("n", "lanes", "groups", "substeps"),
    [(2, 16, 8, 1), (3, 16, 5, 1), (16, 16, 1, 1), (32, 16, 1, 2), (20, 16, 1, 2), (5, 1, 1, 5)],
)
def test_groups_share_the_lanes_or_lanes_a_group(n, lanes, groups, substeps):
    shape = Shape(n=n, m=64, lanes=lanes)
    assert (shape.groups, shape.substeps) == (groups, substeps)


def test_an_unknown_block_lists_the_known_ones():
    with pytest.raises(
        InputError, match=r"unknown block 'select_bubble'; allowed: .*block_dot_product_e4m3, "
    ):
        block("select_bubble")


# --- selectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "m", "pairs"), [(2, 4, 6), (1, 4, 6), (4, 8, 28), (8, 16, 120), (16, 32, 496)]
)
def test_rank_compares_all_pairs_whatever_is_kept(n, m, pairs):
    assert parts("select_rank", n, m) == {
        "comparator_bits": pairs * 8,
        "count_bits": 2 * pairs,  # either side of a pair counts whether it wins
        "magnitude_bits": 8 * m,
        "register_bits": 9 * m + 1,  # values, mask, valid
    }


def test_rank_of_floats():
    assert parts("select_rank", 2, 4, bits=16, is_float=True) == {
        "comparator_bits": 6 * 15,
        "count_bits": 12,
        "register_bits": 4 * 17 + 1,
    }


@pytest.mark.parametrize(
    ("n", "m", "exchanges", "items", "depth"),
    # Exchanges and depth: test_bitonic_network.py. A merge puts out the larger item only,
    # so it is half an exchange; behind the last level only the winners' indices are held.
    [
        (2, 4, 2 + 2 / 2, 4, 2),  # sort pairs, merge them
        (8, 16, 48 + 8 / 2, 2 * 48, 7),
        (1, 64, 63 / 2, 32 + 16 + 8 + 4 + 2, 6),  # a tournament
    ],
)
def test_bitonic_by_hand(n, m, exchanges, items, depth):
    item = 8 + index_bits(m)  # magnitude and index
    assert parts("select_bitonic", n, m) == {
        "exchange_bits": exchanges * item,
        "item_register_bits": items * item + n * index_bits(m),
        "winner_bits": n * m,
        "magnitude_bits": 8 * m,
        "register_bits": depth * (8 * m + 1),
    }


def test_radix_by_hand():
    # 8:16 int8: room counts 0 … 8, so 4 bits; 8 planes.
    one_plane = {"plane_flags": 16, "planes": 4, "magnitude_bits": 128}
    assert parts("select_radix", 8, 16) == one_plane | {
        "value_bits": 128,
        # Values and two flags each; room; one bit a plane; valid.
        "register_bits": 16 * 10 + 4 + 8 + 1,
    }
    assert parts("select_radix_pipelined", 8, 16) == {
        **{part: 8 * count for part, count in one_plane.items()},
        "register_bits": 8 * (16 * 10 + 4 + 1),
    }


def test_cascade_by_hand():
    # 8:16 int8: a tree of 15 comparators of 8 bits finds one maximum.
    one_step = {"search_bits": 15 * 8, "search_flags": 16, "magnitude_bits": 128}
    assert parts("select_cascade", 8, 16) == one_step | {
        "value_bits": 128,
        "register_bits": 16 * 9 + 8 + 1,  # values and mask; one bit a step; valid
    }
    assert parts("select_cascade_pipelined", 8, 16) == {
        **{part: 8 * count for part, count in one_step.items()},
        "register_bits": 8 * (16 * 9 + 1),
    }


# --- crossbars, over all masks -------------------------------------------------------------------


def masks(n, m):
    """Yield the kept positions of every mask."""
    return combinations(range(m), n)


@pytest.mark.parametrize(("n", "m"), PATTERNS)
def test_a_window_is_exactly_what_the_masks_can_reach(n, m):
    reached = {(i, position) for kept in masks(n, m) for i, position in enumerate(kept)}
    assert parts("compact", n, m) == {"leg_bits": 8 * len(reached), "places": len(reached)}
    index = index_bits(m)
    assert parts("index_encoder", n, m)["leg_bits"] == index * len(reached)
    assert parts("index_decoder", n, m) == {"places": len(reached), "positions": m}


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize(("n", "m"), PATTERNS)
def test_a_windowed_crossbar_is_exactly_what_the_masks_can_reach(n, m, lanes):
    # Values enter the lanes in index order; where there are more than lanes, in several steps.
    reached = {(i % lanes, position) for kept in masks(n, m) for i, position in enumerate(kept)}
    groups = max(1, lanes // n)
    found = parts("crossbar_window", n, m, lanes=lanes, columns=3)
    assert found["leg_bits"] == groups * len(reached) * 8 * 3
    assert found["places"] == groups * n * (m - n + 1)


@pytest.mark.parametrize(
    ("n", "m", "lanes", "legs"),
    [
        (2, 4, 2, 2 * 3),
        (8, 16, 16, 16 * 9),
        (16, 32, 16, 16 * 17),
        (32, 64, 16, 16 * 49),  # 33 positions, and 33 that begin 16 later: 49
        (20, 32, 16, 4 * 26 + 12 * 13),  # 4 lanes serve two values: positions l … +12, +16 … +28
        (4, 4, 4, 4),
    ],
)
def test_window_legs_by_hand(n, m, lanes, legs):
    assert parts("crossbar_window", n, m, lanes=lanes)["leg_bits"] == 8 * legs


@pytest.mark.parametrize(
    ("n", "m", "lanes", "legs", "substep_bits"),
    [
        (2, 4, 16, 16 * 4, 0),
        (3, 4, 16, 15 * 4, 0),  # 5 groups; a lane idles
        (16, 32, 16, 16 * 32, 0),
        (32, 64, 16, 16 * 64, 16 * 2 * 6),  # 2 indices of 6 bits take turns
    ],
)
def test_full_legs_by_hand(n, m, lanes, legs, substep_bits):
    found = parts("crossbar_full", n, m, lanes=lanes, columns=4)
    assert found["leg_bits"] == legs * 8 * 4
    assert found["places"] == legs  # decoded once for all columns
    assert found.get("substep_bits", 0) == substep_bits


def shifted(kept, m, stages):
    """Close up kept positions, 1 first, then 2, 4, …; return the row and the moves (stage, to)."""
    row, at = list(range(m)), {position: position - i for i, position in enumerate(kept)}
    moves = set()
    for stage in range(stages):
        after, taken = {}, []
        for position, dropped in at.items():
            to = position - (dropped & 1 << stage)
            if to != position:
                moves.add((stage, to))
                taken.append((to, row[position]))
            after[to] = dropped
        for to, value in taken:
            row[to] = value
        assert len(after) == len(kept)  # nothing collides
        at = after
    return row, moves


@pytest.mark.parametrize(("n", "m"), [*PATTERNS, (4, 12), (8, 12), (6, 14)])
def test_logshift_routes_every_mask_with_the_multiplexers_that_are_priced(n, m):
    stages = index_bits(m - n + 1)
    used = set()
    for kept in masks(n, m):
        row, moves = shifted(kept, m, stages)
        assert row[:n] == list(kept)
        used |= moves
    # A multiplexer counts if an output or a later one reads it.
    read, count = set(range(n)), 0
    for stage in reversed(range(stages)):
        here = {to for k, to in used if k == stage and to in read}
        count += len(here)
        read |= {to + (1 << stage) for to in here}
    found = parts("crossbar_logshift", n, m, lanes=n, bits=1)
    assert found.get("mux_bits", 0) == count


@pytest.mark.parametrize(
    ("n", "m", "muxes"),
    [
        (4, 4, 0),  # nothing is dropped
        (1, 2, 1),
        (1, 4, 3),  # a 4:1 multiplexer is a tree of 3
        (2, 4, 2 + 2),  # distances 1 and 2, to positions 0 and 1 each
        (3, 4, 3),
    ],
)
def test_logshift_by_hand(n, m, muxes):
    assert parts("crossbar_logshift", n, m, lanes=n, bits=1).get("mux_bits", 0) == muxes


@pytest.mark.parametrize(("n", "m"), [*PATTERNS, (4, 12), (8, 12), (6, 14)])
def test_hierarchical_routes_every_mask_with_the_legs_that_are_priced(n, m):
    window = m - n + 1
    near = 2 ** ((index_bits(window) + 1) // 2)
    first, second = set(), set()
    for kept in masks(n, m):
        middle = {}  # position after the first level → what stands there
        for i, position in enumerate(kept):
            dropped = position - i
            to = position - dropped % near
            assert to not in middle
            middle[to] = position
            first.add((to, position))
            second.add((i, to))
        assert [middle[i + (p - i) // near * near] for i, p in enumerate(kept)] == list(kept)
    found = parts("crossbar_hierarchical", n, m, lanes=n, bits=1)
    sources = Counter(to for to, _ in first)
    near_legs = sum(count for count in sources.values() if count > 1)  # one source: a wire
    assert found.get("near_leg_bits", 0) == near_legs
    assert found["far_leg_bits"] == len(second)


@pytest.mark.parametrize(
    ("n", "m", "near_legs", "far_legs"),
    [
        (2, 4, 2 * 2, 2 * 2),  # distances 0, 1 | 2
        (8, 16, 12 * 4, 8 * 3),  # 0 … 3 | 4 … 7 | 8, which only the last four pass, by a wire
        (16, 32, 24 * 8, 16 * 3),
    ],
)
def test_hierarchical_by_hand(n, m, near_legs, far_legs):
    found = parts("crossbar_hierarchical", n, m, lanes=n, bits=1)
    assert (found["near_leg_bits"], found["far_leg_bits"]) == (near_legs, far_legs)


@pytest.mark.parametrize("kind", ["logshift", "hierarchical"])
def test_fewer_lanes_than_values_pick_a_slice(kind):
    # 32:64 on 16 lanes: 32 values of 8 bits in each of 4 columns.
    name = f"crossbar_{kind}"
    assert parts(name, 32, 64, lanes=16, columns=4)["lane_bits"] == 32 * 8 * 4
    assert "lane_bits" not in parts(name, 16, 32, lanes=16, columns=4)


@pytest.mark.parametrize("kind", ["full", "window", "logshift", "hierarchical"])
def test_groups_and_columns_are_copies_and_share_decoding_by_row(kind):
    name = f"crossbar_{kind}"
    one = parts(name, 4, 8, lanes=4)
    more = parts(name, 4, 8, lanes=12, columns=5)
    assert more.pop("places") == 3 * one.pop("places")
    assert more == {part: 3 * 5 * count for part, count in one.items()}


# --- arithmetic ----------------------------------------------------------------------------------


def test_mac_by_hand():
    assert parts("mac") == {"int8_multipliers": 1, "accumulator_bits": 32, "register_bits": 32}
    bf16 = {"bits": 16, "is_float": True}
    assert parts("mac", **bf16) == {"bf16_multipliers": 1, "float_adders": 1, "register_bits": 32}
    fp16 = parts("mac", **bf16, significand_bits=11)
    assert fp16["bf16_multipliers"] == pytest.approx(121 / 64)


@pytest.mark.parametrize(
    ("lanes", "adder_bits", "registers"),
    # Behind each level of the tree: sums one bit wider, and an odd one out that waits.
    [
        (1, 0, 16 + 64 + 3 * 2),
        (2, 17, 32 + 17 + 64 + 3 * 3),
        (3, 17 + 18, 48 + 2 * 17 + 18 + 64 + 3 * 4),
        (4, 2 * 17 + 18, 64 + 2 * 17 + 18 + 64 + 3 * 4),
    ],
)
def test_dot_product_by_hand(lanes, adder_bits, registers):
    expected = {
        "int8_multipliers": lanes,
        "accumulator_bits": 32,
        "register_bits": registers,
        "adder_bits": adder_bits,
    }
    assert parts("dot_product", lanes=lanes) == {k: v for k, v in expected.items() if v}


def test_dot_product_of_floats_by_hand():
    # Two lanes of bf16: products of sign, 8 exponent bits and 15 of 8 × 8; a sum of 32 bits.
    assert parts("dot_product", lanes=2, bits=16, is_float=True) == {
        "bf16_multipliers": 2,
        "float_adders": 2,
        "register_bits": 2 * 24 + 32 + 64 + 3 * 3,
    }


def test_sums_never_have_more_bits_than_the_accumulator():
    # 16-bit products: 2 × 32 + 32 bits, not 2 × 33 + 34.
    assert parts("dot_product", lanes=4, bits=16)["adder_bits"] == 2 * 32 + 32


# --- paths ---------------------------------------------------------------------------------------


def test_what_critical_paths_grow_with():
    path = block("crossbar_window").path(Shape(n=8, m=16, columns=4, lanes=16))
    assert path == {
        "constant": 1,
        "log_bits": 3,
        "log_m": 4,
        "log_n": 3,
        "log_columns": 2,
        "bits": 8,
        "m": 16,
        "chain": 8,
    }
    # 12:16 drops at most 4: counting the dropped ones is the shorter way.
    assert block("compact").path(Shape(n=12, m=16))["chain"] == 5


def test_a_mac_is_as_slow_as_its_multiplier_whatever_the_lanes():
    for lanes in (1, 64):
        shape = Shape(lanes=lanes)
        assert block("dot_product").path(shape) == {"log_bits": 3}
        assert block("mac").path(Shape(bits=16, is_float=True, lanes=lanes)) == {"float": 1}


@pytest.mark.parametrize("name", BLOCKS)
@given(size=st.tuples(st.integers(1, 64), st.integers(1, 64)), bits=st.sampled_from([8, 16]))
def test_counts_are_never_negative(name, size, bits):
    shape = Shape(n=min(size), m=max(size), bits=bits, is_float=bits == 16, lanes=16, columns=4)
    for counts in (block(name).parts(shape), block(name).path(shape)):
        assert all(count >= 0 for count in counts.values())
    assert block(name).path(shape).get("log_m", 0) in (0, pytest.approx(log2(shape.m)))


# --- synthesis -----------------------------------------------------------------------------------


def synthesised():
    """Yield (block, shape, flip-flops) of the synthesised blocks whose flip-flops are exact."""
    with SYNTHESIS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    kinds = {"rank", "radix", "cascade"}  # bitonic: synthesis drops items that nothing depends on
    for row in rows:
        if row["block"] == "select" and row["kind"] in kinds:
            name = f"select_{row['kind']}" + "_pipelined" * int(row["pipelined"])
        elif row["block"] in {"mac", "dot_product"}:
            name = row["block"]
        else:
            continue
        shape = Shape(
            n=int(row["n"]) or 1,
            m=int(row["m"]) or 1,
            bits=int(row["bits"]),
            is_float=row["float"] == "1",
            significand_bits=int(row["bits"]) // 2,  # of fp8 and bf16
            exponent_bits=7 if row["bits"] == "8" else 8,
            lanes=int(row["lanes"]) or 1,
        )
        yield name, shape, int(row["flip_flops"])


def test_flip_flops_are_those_of_synthesis():
    seen = set()
    for name, shape, flip_flops in synthesised():
        assert block(name).parts(shape)["register_bits"] == flip_flops, (name, shape)
        seen.add((name, shape.bits))
    assert {name for name, _ in seen} == {
        "select_rank",
        "select_radix",
        "select_radix_pipelined",
        "select_cascade",
        "select_cascade_pipelined",
        "mac",
        "dot_product",
    }
    assert {bits for name, bits in seen if name.startswith("select")} == {8, 16}

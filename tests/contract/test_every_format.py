"""Every format says exactly where the kept values stood, in exactly the bits it declares."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.sparsity import FORMATS, stored_formats

SIZES = ((1, 1), (1, 2), (2, 4), (3, 4), (4, 8), (8, 16), (16, 32), (3, 5), (1, 64), (64, 64))


@st.composite
def masks(draw, n, m):
    """Return `[groups, M]` with N set in each."""
    rows = draw(st.lists(st.permutations(range(m)), min_size=1, max_size=5))
    mask = np.zeros((len(rows), m), np.bool_)
    for group, order in enumerate(rows):
        mask[group, order[:n]] = True
    return mask


def test_the_registry_holds_what_is_documented():
    assert {"bitmask", "index", "combinadic"} <= set(FORMATS)
    assert "combinadic" not in stored_formats()


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(("n", "m"), SIZES)
@given(data=st.data())
def test_decoding_gives_the_positions_back(name, n, m, data):
    mask = data.draw(masks(n, m))
    decoded = FORMATS[name].decode(FORMATS[name].encode(mask), n, m)
    assert decoded.tolist() == [[i for i in range(m) if row[i]] for row in mask]


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(("n", "m"), SIZES)
@given(data=st.data())
def test_the_declared_width_is_the_encoded_width(name, n, m, data):
    mask = data.draw(masks(n, m))
    bits = FORMATS[name].encode(mask)
    assert bits.shape == (len(mask), FORMATS[name].bits_per_group(n, m))
    assert bits.dtype == np.bool_


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_no_format_beats_information_theory(name, n, m):
    # C(M, N) sets must be told apart: ceil(log2 C) bits.
    assert FORMATS[name].bits_per_group(n, m) >= (comb(m, n) - 1).bit_length()


@pytest.mark.parametrize(
    ("n", "m", "bitmask", "index", "combinadic"),
    # prior art 1.2: bits an element: bitmask 1.0 always; index 1.0, 1.5, 2.0 (and 2.5 at 16:32);
    # combinadic 0.75, 0.875, 0.875, 0.9375. C(5, 3) is 10.
    [
        (2, 4, 4, 4, 3),
        (4, 8, 8, 12, 7),
        (8, 16, 16, 32, 14),
        (16, 32, 32, 80, 30),
        (3, 5, 5, 9, 4),
        (1, 64, 64, 6, 6),
        (8, 8, 8, 24, 0),
    ],
)
def test_widths_by_hand(n, m, bitmask, index, combinadic):
    assert FORMATS["combinadic"].bits_per_group(n, m) == combinadic
    assert FORMATS["bitmask"].bits_per_group(n, m) == bitmask
    assert FORMATS["index"].bits_per_group(n, m) == index


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (4, 8), (3, 7)])
def test_combinadic_numbers_are_those_from_0_to_all_choices(n, m):
    # In the order of the numbers that masks are when read as binary, bit i for position i.
    masks = [[i in chosen for i in range(m)] for chosen in combinations(range(m), n)]
    masks.sort(key=lambda mask: sum(1 << i for i in range(m) if mask[i]))
    bits = FORMATS["combinadic"].encode(np.array(masks))
    numbers = [sum(1 << place for place, bit in enumerate(row) if bit) for row in bits]
    assert numbers == list(range(comb(m, n)))

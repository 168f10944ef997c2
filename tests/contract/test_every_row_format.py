"""Every row format gives values and mask back, in exactly the bits that it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.errors import InputError
from accelsim.sparsity.rows import ROW_FORMATS
from accelsim.sparsity.rows.ellpack import Ellpack
from accelsim.sparsity.rows.twell import TwELL

# TwELL's own tile, and a small one that rows of these tests are several of; all have room.
ROOMY = {
    "csr": ROW_FORMATS["csr"](),
    "ellpack": ROW_FORMATS["ellpack"](),
    "twell": TwELL(tile=256, compression=1),
    "twell of 4": TwELL(tile=8, compression=1),
}
TYPES = (np.int8, np.uint16, np.float16, np.float32)


@st.composite
def pruned(draw, dtype=None):
    """Values `[T, K]`, negative zeros and NaNs among them, and a mask of any density."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 40)))
    kind = np.dtype(dtype or draw(st.sampled_from(TYPES)))
    code = np.dtype(f"u{kind.itemsize}")
    mask = draw(arrays(np.bool_, shape, elements=st.sampled_from(draw(st.permutations([0, 0, 1])))))
    return draw(arrays(code, shape)).view(kind), mask


def codes(values):
    return values.view(f"u{values.dtype.itemsize}")


def test_the_registry_holds_what_is_documented_and_all_is_tested():
    assert set(ROW_FORMATS) == {"csr", "ellpack", "twell"}
    assert {type(form) for form in ROOMY.values()} == set(ROW_FORMATS.values())


@pytest.mark.parametrize("name", ROOMY)
@given(drawn=pruned())
def test_what_is_stored_comes_back_bit_for_bit(name, drawn):
    values, mask = drawn
    if name == "twell of 4":  # 7 payloads for 8 columns
        mask = mask & (np.arange(mask.shape[1]) % 8 > 0)
    stored = ROOMY[name].encode(values, mask)
    assert not stored.overflows.any()
    back, back_mask = ROOMY[name].decode(stored)
    assert (back.dtype, back_mask.dtype) == (values.dtype, np.bool_)
    assert np.array_equal(back_mask, mask)
    assert np.array_equal(codes(back), np.where(mask, codes(values), 0))


@pytest.mark.parametrize("name", ROOMY)
@given(drawn=pruned())
def test_rows_take_the_bits_that_are_declared(name, drawn):
    values, mask = drawn
    declared = ROOMY[name].bits(mask, 8 * values.dtype.itemsize)
    assert declared.shape == (len(mask),)
    assert ROOMY[name].encode(values, mask).bits.size == declared.sum()


@pytest.mark.parametrize("name", ROOMY)
def test_values_of_other_shapes_or_sizes_are_refused(name):
    for values in (np.zeros((2, 3)), np.zeros((3, 2), np.int8)):  # 8 bytes each; another shape
        with pytest.raises(InputError, match="stores values of 1, 2 or 4 bytes by a mask of their"):
            ROOMY[name].encode(values, np.zeros((2, 3), np.bool_))


@pytest.mark.parametrize("name", ROOMY)
@pytest.mark.parametrize("lanes", [1, 16])
def test_parts_grow_with_what_a_word_holds_and_with_lanes(name, lanes):
    form = ROOMY[name]
    small, wide = (sum(form.encoder_parts(1024, bits, lanes).values()) for bits in (8, 16))
    assert 0 < small < wide
    one, more = (sum(form.decoder_parts(1024, 8, count).values()) for count in (lanes, 2 * lanes))
    assert 0 < one < more


def test_a_packer_by_hand():
    # 4 lanes of words of 8 + 10 bits: two levels of 2 adders of 3 bits and a count of 11; two log
    # shifters of 2 levels × 4 words; two rows of 4 words and the count.
    parts = Ellpack().encoder_parts(1024, 8, lanes=4)
    assert parts == {"adder_bits": 12 + 11, "mux_bits": 288, "register_bits": 2 * 72 + 11}


# TwELL -------------------------------------------------------------------------------------------


def tile_with(count, tiles=1):
    """A row of bf16-sized values 1, 2, … with `count` set in its last tile, spread out."""
    values = np.arange(1, 256 * tiles + 1, dtype=np.uint16)[None]
    mask = np.zeros(values.shape, np.bool_)
    mask[0, -256:][np.linspace(0, 255, count).astype(int)] = True
    assert mask.sum() == count
    return values, mask


@pytest.mark.parametrize("count", [0, 1, 2, 30, 31])
@pytest.mark.parametrize("tiles", [1, 3])
def test_twell_holds_up_to_31_values_of_256(count, tiles):
    values, mask = tile_with(count, tiles)
    stored = TwELL().encode(values, mask)
    assert stored.overflows.tolist() == [False]
    back, back_mask = TwELL().decode(stored)
    assert np.array_equal(back_mask, mask)
    assert np.array_equal(back, np.where(mask, values, 0))


@pytest.mark.parametrize("count", [32, 33, 256])
def test_twell_flags_a_tile_with_more_and_keeps_the_first_31(count):
    values, mask = tile_with(count)
    full, full_mask = tile_with(31)
    stored = TwELL().encode(np.concatenate([values, full]), np.concatenate([mask, full_mask]))
    assert stored.overflows.tolist() == [True, False]
    _, back = TwELL().decode(stored)
    assert np.flatnonzero(back[0]).tolist() == np.flatnonzero(mask[0])[:31].tolist()
    assert np.array_equal(back[1], full_mask[0])
    assert words(stored)[0] == count  # word 0 says how many there were


def words(stored):
    """Return the words of 32 bits as a program that reads memory sees them."""
    return np.packbits(stored.bits, bitorder="little").view("<u4").tolist()


def test_twell_words_are_those_of_its_definition():
    # Row 0 of 300 columns: 0x3f80 (1.0 as bf16) in column 2, 0xbf80 (-1.0) in column 259.
    values, mask = np.zeros((1, 300), np.uint16), np.zeros((1, 300), np.bool_)
    values[0, [2, 259]], mask[0, [2, 259]] = (0x3F80, 0xBF80), True
    found = words(TwELL().encode(values, mask))
    assert len(found) == 2 * 32  # the second tile has 44 columns, and as many words
    assert found[:2] == [1, 0x3F80 << 16 | 2]
    assert found[32:34] == [1, 0xBF80 << 16 | 259]
    assert not any(found[2:32] + found[34:])


@pytest.mark.parametrize(("compression", "payloads"), [(8, 31), (4, 63), (2, 127)])
def test_twell_takes_one_part_in_its_compression_twice(compression, payloads):
    # 256 / C words of 32 bits for 256 values of 16: 2 / C of dense.
    form = TwELL(compression=compression)
    bits = form.bits(np.zeros((2, 1024), np.bool_), 16)
    assert bits.tolist() == [2 * 16 * 1024 // compression] * 2
    values, mask = tile_with(payloads)
    assert not form.encode(values, mask).overflows.any()
    values, mask = tile_with(payloads + 1)
    assert form.encode(values, mask).overflows.all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TwELL(tile=256, compression=3), "is not two or more whole words"),
        (lambda: TwELL(tile=8, compression=8), "is not two or more whole words"),
        (lambda: TwELL(compression=0), "is not two or more whole words"),
        (lambda: TwELL().bits(np.zeros((1, 65537), np.bool_), 16), "longer than 65,536"),
        (lambda: Ellpack(slots=0), "slots is 0; at least 1 is needed"),
    ],
)
def test_impossible_rows_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


# ELLPACK and CSR ---------------------------------------------------------------------------------


@given(drawn=pruned(np.int8), slots=st.integers(1, 5))
def test_ellpack_with_fixed_slots_keeps_the_first_and_flags_the_rest(drawn, slots):
    values, mask = drawn
    stored = Ellpack(slots).encode(values, mask)
    assert stored.overflows.tolist() == (mask.sum(axis=1) > slots).tolist()
    _, back = Ellpack(slots).decode(stored)
    assert np.array_equal(back, mask & (np.cumsum(mask, axis=1) <= slots))


def test_where_each_format_is_the_smallest():
    """8 rows of 1,024 int8 values; a bitmask with its values is 1,024 bits and 8 a value."""
    forms = {name: ROW_FORMATS[name]() for name in ROW_FORMATS}

    def smallest(counts):
        mask = np.arange(1024) < np.array(counts)[:, None]
        fitting = {
            name: form
            for name, form in forms.items()
            if not form.encode(np.zeros(mask.shape, np.int8), mask).overflows.any()
        }
        bits = {name: int(form.bits(mask, 8).sum()) for name, form in fitting.items()}
        bits["bitmask"] = int(mask.size + 8 * mask.sum())
        return min(bits, key=bits.get)

    assert smallest([512] * 8) == "bitmask"  # a column of 10 bits is more than 2 of a mask
    assert smallest([20] * 8) == "ellpack"  # alike: a count of 11 bits, where CSR has an end of 14
    assert smallest([20] * 7 + [60]) == "csr"

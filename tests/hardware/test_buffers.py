"""Buffers: bytes through each port, cycles of a port, and the price of a byte."""

import pytest
from numpy.testing import assert_array_equal as same
from pydantic import ValidationError

from accelsim.hardware import ActivationBuffer, CompressedBuffer, OutputBuffer, WeightBuffer
from accelsim.precision import Operands
from accelsim.tech.sram import SramCost


def make(kind, port=16, **fields):
    return kind(capacity_kib=64, port_bytes=port, **fields)


KINDS = (ActivationBuffer, WeightBuffer, OutputBuffer, CompressedBuffer)


# --- activations ---------------------------------------------------------------------------------


def test_a_dense_array_reads_activations_for_each_column_block(path, layer):
    # 3 × 10 bytes; 5 columns are 3 blocks of 2: 90 bytes, 6 cycles of 16. Loaded once.
    work = layer("dense", path("dense"), (3, 10, 5))
    unit = make(ActivationBuffer)
    assert unit.actions(work) == {"read_bytes": 90, "write_bytes": 30}
    same(unit.busy_cycles(work), [6])
    same(unit.far_cycles(work), [2])


def test_a_selector_reads_activations_once(path, layer):
    work = layer("2:4", path("2:4"), (3, 10, 5))
    unit = make(ActivationBuffer)
    assert unit.actions(work) == {"read_bytes": 30, "write_bytes": 30}
    same(unit.busy_cycles(work), [2])


def test_a_tile_that_is_there_is_neither_loaded_nor_selected(path, layer):
    work = layer("2:4", path("2:4"), (4, 8, 6), (4, 8, 2), keep=True)
    unit = make(ActivationBuffer)
    same(unit.read_bytes(work), [32, 0, 0])
    same(unit.write_bytes(work), [32, 0, 0])


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["dense", "2:4"])
def test_weights_of_all_positions_are_read_for_each_row_block(path, layer, pattern):
    # 10 × 5 bytes; 9 tokens are 3 blocks of 4. Sparsity saves no weight reads.
    work = layer(pattern, path(pattern), (9, 10, 5))
    unit = make(WeightBuffer)
    assert unit.actions(work) == {"read_bytes": 150, "write_bytes": 50}
    same(unit.busy_cycles(work), [10])


def test_weights_written_are_what_dram_delivers(path, layer):
    work = layer("2:4", path("2:4"), (9, 10, 5))
    fewer = type(work)(
        **{name: getattr(work, name) for name in type(work).__dataclass_fields__}
        | {"weight_bytes": work.weight_bytes - 20}
    )
    assert make(WeightBuffer).actions(fewer) == {"read_bytes": 150, "write_bytes": 30}


# --- outputs -------------------------------------------------------------------------------------


def test_a_tile_with_all_of_k_writes_rounded_outputs(path, layer):
    work = layer("dense", path("dense"), (3, 10, 5))
    unit = make(OutputBuffer)
    assert unit.actions(work) == {"read_bytes": 15, "write_bytes": 15}
    same(unit.busy_cycles(work), [1])


def test_a_tile_with_a_part_of_k_writes_and_reads_back_accumulators(path, layer):
    # K = 10 in tiles of 4, 4, 2. 15 outputs, 4 bytes a partial sum: written by each job, read back
    # by the second and third; the third sends 15 finished bytes to DRAM.
    work = layer("dense", path("dense"), (3, 10, 5), (3, 4, 5))
    unit = make(OutputBuffer)
    same(unit.write_bytes(work), [60, 60, 60])
    same(unit.read_bytes(work), [0, 60, 75])
    same(unit.busy_cycles(work), [4, 4, 4])


@pytest.mark.parametrize(("port", "latency"), [(16, 2), (32, 1), (1, 32), (30, 2), (64, 1)])
def test_output_latency_drains_one_block(path, port, latency):
    # 4 × 2 accumulators of 4 bytes = 32 bytes.
    assert make(OutputBuffer, port).latency_cycles(path("dense")) == latency


# --- compressed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "format_", "row_bytes"),
    [
        # K = 64, int8, half kept: 32 values, and for each of the groups its metadata.
        ("2:4", "bitmask", 32 + 8),
        ("2:4", "index", 32 + 8),  # 32 × 2 bits
        ("8:16", "bitmask", 32 + 8),
        ("8:16", "index", 32 + 16),  # 32 × 4 bits
        ("16:32", "bitmask", 32 + 8),
        ("16:32", "index", 32 + 20),  # 32 × 5 bits
        # 13 groups of 5: 39 values × 8 + 13 × 5 bits = 377 bits = 47.1 bytes.
        ("3:5", "bitmask", 48),
    ],
)
def test_metadata_is_traffic(path, layer, pattern, format_, row_bytes):
    work = layer(pattern, path(pattern, format_=format_), (3, 64, 5))
    # Written by the selector, read for each of 3 column blocks.
    expected = {"read_bytes": 9 * row_bytes, "write_bytes": 3 * row_bytes}
    assert make(CompressedBuffer).actions(work) == expected


def test_padding_of_a_short_group_is_stored(path, layer):
    # K = 10 at 2:4: 3 groups × (2 × 8 + 4) bits = 60 bits = 8 bytes a token.
    work = layer("2:4", path("2:4"), (3, 10, 2))
    assert make(CompressedBuffer).actions(work) == {"read_bytes": 24, "write_bytes": 24}


def test_wider_values_take_wider_rows(path, layer):
    work = layer("8:16", path("8:16", formats=Operands.of("bf16")), (1, 64, 2))
    assert make(CompressedBuffer).actions(work)["write_bytes"] == 64 + 8


# --- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("port", "exact"), [(1, True), (7, False), (4096, False)])
def test_a_port_moves_whole_words(path, layer, kind, port, exact):
    work = layer("2:4", path("2:4"), (9, 40, 5), (4, 16, 4))
    unit = make(kind, port)
    moved = unit.write_bytes(work) if kind is OutputBuffer else unit.read_bytes(work)
    same(unit.busy_cycles(work), [-(-int(size) // port) for size in moved])
    assert not exact or unit.busy_cycles(work).sum() == moved.sum()


class Memories:
    """A technology with memories only; it remembers what it was asked for."""

    leakage_nw_per_um2 = 0.0

    def __init__(self):
        self.asked = []

    def sram(self, **sizes):
        self.asked.append(sizes)
        return SramCost(
            read_pj=24.0, write_pj=48.0, leakage_mw=0.5, area_um2=100.0, cycle_time_ns=1.0
        )


@pytest.mark.parametrize("kind", KINDS)
def test_macros_share_capacity_and_width(path, kind):
    tech, unit = Memories(), make(kind, 24, macros=2, banks=4)
    # Two memories of 32 KiB and 12 bytes: an access of one costs 24 pJ, 2 pJ a byte.
    assert unit.energy_pj(tech, path("2:4")) == {"read_bytes": 2.0, "write_bytes": 4.0}
    assert unit.area_um2(tech, path("2:4")) == 200.0
    assert unit.leakage_mw(tech, path("2:4")) == 1.0
    assert {"capacity_bytes": 32 * 1024, "width_bytes": 12, "banks": 4} in tech.asked


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_memory_cannot_be_is_refused(kind):
    with pytest.raises(ValidationError, match="port_bytes 24 must divide by macros 5"):
        make(kind, 24, macros=5)
    for fields in ({"port_bytes": 1025}, {"port_bytes": 512, "banks": 4}):
        with pytest.raises(ValidationError, match="capacity_kib 1 is less than one access"):
            kind(capacity_kib=1, **fields)


@pytest.mark.parametrize(("kib", "bytes_"), [(64, 65536), (0.5, 512), (1.5, 1536)])
def test_capacity_is_in_kib(kib, bytes_):
    assert ActivationBuffer(capacity_kib=kib, port_bytes=1).store.capacity_bytes == bytes_


def test_the_store_knows_about_double_buffering():
    twice, once = make(WeightBuffer).store, make(WeightBuffer, double_buffered=False).store
    assert (twice.slots(20000), once.slots(20000)) == (3, 1)
    assert twice.fits(32768, twice=True)
    assert not twice.fits(32769, twice=True)
    assert once.fits(65536, twice=True)
    for store in (twice, once):
        assert store.fits(65536)
        assert not store.fits(65537)

"""Bytes of operands whose values share scales in blocks along K, on a machine and by hand."""

from dataclasses import replace

import pytest

from accelsim.base.errors import InputError
from accelsim.hardware.examples import path, work
from accelsim.mapping import Gemm, Stores, tile_jobs
from accelsim.mapping.packing import Packing
from accelsim.mapping.tiling import Store, TileBytes, Tiling
from accelsim.precision import Operands
from tests.helpers.small import load


def jobs_of(machine, reduction):
    """Lay out one token row of tiles of so many positions of K = 64, with 8 tokens and outputs."""
    gemm, tiling = Gemm(8, 64, 8), Tiling(8, 8, reduction, "tokens_outer")
    store = Store(1 << 20)
    jobs = tile_jobs(gemm, tiling, machine, Stores(store, store, store))
    return gemm, tiling, jobs


@pytest.mark.parametrize(
    ("name", "values", "cut", "cut_twice"),
    [
        # Of 64 values, 32 bytes; NVFP4 has 4 scales of a byte for them, MXFP4 2.
        ("nvfp4", [36], [27, 9], [(24 * 4 + 2 * 8) // 8, (24 * 4 + 2 * 8) // 8, 8 + 1]),
        ("mxfp4", [34], [26, 9], [(24 * 4 + 8) // 8, (24 * 4 + 2 * 8) // 8, 8 + 1]),
    ],
)
def test_a_tile_has_the_scales_of_all_its_blocks(name, values, cut, cut_twice):
    machine = replace(path("1:1"), formats=Operands.of(name))
    for reduction, expected in ((64, values), (48, cut), (24, cut_twice)):
        _, _, jobs = jobs_of(machine, reduction)
        per_token = [bits // 8 for bits in jobs.activation_tile_bytes(machine).tolist()]
        assert per_token == expected
        assert [size // 8 for size in jobs.weight_tile_bytes(machine).tolist()] == expected


def test_compressed_values_keep_the_scales_of_their_blocks():
    # 4:8 of 64: 8 groups of 4 codes and a mask of 8 bits are 24 bytes; 4 scales.
    machine = replace(path("4:8"), formats=Operands.of("nvfp4"))
    gemm, tiling, jobs = jobs_of(machine, 64)
    assert Packing.even(jobs, machine).compressed_bytes.tolist() == [8 * 28]
    assert TileBytes.of(tiling, gemm, machine).compressed == 8 * 28
    assert TileBytes.of(tiling, gemm, machine).activations == 8 * 36


def test_room_is_made_for_the_tile_with_most_scales():
    # Tiles of 24 begin at 0, 24, 48: the second one has a half of two blocks of 16.
    machine = replace(path("1:1"), formats=Operands.of("mxfp4"))
    gemm, tiling, jobs = jobs_of(machine, 24)
    room = TileBytes.of(tiling, gemm, machine)
    assert room.activations == max(jobs.activation_tile_bytes(machine).tolist())


@pytest.mark.parametrize(("name", "whole_bytes"), [("nvfp4", 8 * 36), ("mxfp4", 8 * 34)])
def test_dram_and_buffers_move_scales_with_x(name, whole_bytes):
    """8 × 64 values and their scales, from DRAM in bursts of 64 bytes: 5 of them either way."""
    machine = load("nm48_fp4", {"precision": name})
    tile = work("4:8", tokens=8, reduction=64)
    tile = replace(tile, path=replace(tile.path, formats=Operands.of(name)))
    assert machine.units["activation_buffer"].write_bytes(tile).tolist() == [whole_bytes]
    assert machine.units["dram"].moved_bytes("x", tile).tolist() == [5 * 64]


@pytest.mark.parametrize("pattern", ["16:32", "3:5"])
def test_a_group_beyond_a_block_is_refused(pattern):
    with pytest.raises(InputError, match=r"has a scale for 16; allowed"):
        load("nm48_fp4", {"pattern": pattern})


def test_outputs_in_blocks_are_refused():
    with pytest.raises(
        InputError, match=r"Y of format 'nvfp4' would need a scale.*bf16, fp16, fp8"
    ):
        Operands.parse("nvfp4/nvfp4/nvfp4")
    assert str(Operands.parse("nvfp4/nvfp4/bf16")) == "nvfp4"
    assert str(Operands.parse("nvfp4/nvfp4/fp8")) == "nvfp4/nvfp4/fp8"

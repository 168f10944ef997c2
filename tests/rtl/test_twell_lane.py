"""The TwELL packer in RTL stores what the format says, bit for bit, in the cycle after a value."""

import numpy as np
import pytest

from accelsim.sparsity.rows.base import to_bits
from accelsim.sparsity.rows.twell import TwELL
from tests.helpers.rtl_bench import icarus

pytestmark = pytest.mark.slow

# Feeds a row a value a cycle, with pauses, and tells what came out in which cycle.
BENCH = """
module bench #(parameter WIDTH = 1, TILE = 256, SLOTS = 32, COUNT = 9);
  logic clk = 0, rst, in_valid, in_last, out_valid, out_done, out_overflow;
  logic [7:0] in_value;
  logic [15:0] in_column;
  logic [$clog2(SLOTS)-1:0] out_slot;
  logic [23:0] out_word;
  logic [COUNT-1:0] out_count;
  logic [7:0] values [0:WIDTH-1];
  integer cycle = 0, column = 0;

  twell_lane #(.SLOTS(SLOTS), .COUNT(COUNT)) u_lane (.*);

  initial $readmemh("values.hex", values);
  always #1 clk = !clk;
  assign rst = cycle < 2;
  assign in_valid = !rst && column < WIDTH && cycle % 7 != 3;
  assign in_value = in_valid ? values[column] : 8'hff;
  assign in_column = column;
  assign in_last = (column + 1) % TILE == 0 || column + 1 == WIDTH;
  always @(posedge clk) begin
    if (in_valid) $display("in %0d %0d", cycle, column);
    if (out_valid) $display("word %0d %0d %0d", cycle, out_slot, out_word);
    if (out_done) $display("count %0d %0d %0d", cycle, out_count, out_overflow);
    if (in_valid) column <= column + 1;
    cycle <= cycle + 1;
    if (cycle == 2 * WIDTH + 20) $finish(0);
  end
endmodule
"""


def packed(row, form, folder):
    """Return the words `[tiles, slots]` and flags `[tiles]` of a row, and whether times are right.

    A value that goes in in one cycle is a word in the next, and a count if it is the last.
    """
    slots = form.tile // form.compression
    (folder / "values.hex").write_text("\n".join(f"{v:02x}" for v in row.view(np.uint8)))
    sizes = {"TILE": form.tile, "SLOTS": slots, "COUNT": form.tile.bit_length()}
    out = icarus("bench", BENCH, folder, {"WIDTH": len(row), **sizes})
    lines = [(kind, *map(int, rest)) for kind, *rest in map(str.split, out.splitlines())]
    arrived = {line[1]: line[2] for line in lines if line[0] == "in"}
    words = np.zeros((-(-len(row) // form.tile), slots), np.uint64)
    flags = np.zeros(len(words), np.bool_)
    for kind, cycle, first, second in (line for line in lines if line[0] != "in"):
        tile = arrived[cycle - 1] // form.tile
        if kind == "word":
            assert second & 0xFFFF == arrived[cycle - 1]
            words[tile, first] = second
        else:
            words[tile, 0], flags[tile] = first, second
    return words, flags


@pytest.mark.parametrize("form", [TwELL(), TwELL(tile=16, compression=4)], ids=["256:8", "16:4"])
@pytest.mark.parametrize("seed", range(3))
def test_what_it_writes_is_the_format_bit_for_bit(form, seed, tmp_path):
    """Empty, sparse, full to the last payload, and overflowing tiles; the last tile is short."""
    rng, slots = np.random.default_rng(seed), form.tile // form.compression
    row = rng.integers(-128, 128, 6 * form.tile + 5).astype(np.int8)
    row[row == 0] = 1
    counts = [0, 1, slots - 1, slots, form.tile, int(rng.integers(0, form.tile)), 2]
    for tile, count in enumerate(counts):
        part = row[tile * form.tile : (tile + 1) * form.tile]
        part[rng.permutation(len(part))[count:]] = 0
    words, flags = packed(row, form, tmp_path)
    stored = form.encode(row[None], row[None] != 0)
    assert to_bits(words, 24).ravel().tolist() == stored.bits.tolist()
    assert flags.tolist() == [count >= slots for count in counts]
    assert flags.any() == stored.overflows[0]

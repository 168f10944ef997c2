"""fp4 with scales of blocks: multiplier, scaler and dot product, bit for bit, and their cycles."""

import numpy as np
import pytest

from accelsim.rtl.reference import dot_blocks
from tests.helpers.rtl_bench import icarus
from tests.rtl.test_dot_product import as_fp8, ceil_log2, drive, packed

MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])

MULTIPLIER = """
module tb;
  logic signed [8:0] product;
  logic [7:0] code;
  fp4_multiplier dut (.a(code[7:4]), .b(code[3:0]), .product);
  initial for (int v = 0; v < 256; v++) begin
    code = 8'(v);
    #1 $display("%0d", product);
  end
endmodule
"""

# One word of vectors.hex a cycle: {rst, valid, first, last, b_scale, a_scale, b, a}.
CLOCKED = """
module tb;
  parameter int L = 1, S = 1, E4M3 = 1, COUNT = 1;
  localparam int K = L / S;
  logic clk = 0, rst, in_valid, in_first, in_last, out_valid;
  logic [4+8*L+16*K-1:0] vectors [0:COUNT-1];
  logic [L*4-1:0] a, b;
  logic [K*8-1:0] a_scale, b_scale;
  logic [31:0] out_value;

  block_dot_product #(.L(L), .S(S), .E4M3(E4M3)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {rst, in_valid, in_first, in_last, b_scale, a_scale, b, a} = vectors[v];
      #1 $display("%b %h", out_valid, out_value);
      clk = 1;
      #1 clk = 0;
    end
    $finish(0);
  end
endmodule
"""


def as_fp4(codes):
    """Return codes of E2M1 as numbers, by the definition of the format."""
    return np.where(codes & 8, -1, 1) * MAGNITUDES[codes & 7]


def test_multiplies_every_pair(tmp_path):
    products = [int(line) for line in icarus("tb", MULTIPLIER, tmp_path, {}).split()]
    codes = np.arange(256)
    assert products == (4 * as_fp4(codes >> 4) * as_fp4(codes & 15)).astype(int).tolist()


def word(rng, control, operands, shape):
    """Return the bits of a cycle; what stands at idle ports is random and must not matter."""
    lanes, blocks = shape
    a, b, a_scale, b_scale = operands or (
        *rng.integers(0, 16, (2, lanes)),
        *rng.integers(0, 127, (2, blocks)),
    )
    bits = packed(control, 1)
    for values, width in ((b_scale, 8), (a_scale, 8), (b, 4), (a, 4)):
        bits = bits << width * len(values) | packed(values, width)
    return f"{bits:x}"


def scale_codes(rng, shape, *, is_e4m3, is_wild):
    if is_e4m3:  # every code without sign, but that of NaN
        return rng.integers(0, 127, shape)
    return rng.integers(0, 255, shape) if is_wild else rng.integers(120, 135, shape)


@pytest.mark.parametrize("is_e4m3", [True, False])
@pytest.mark.parametrize(("lanes", "shared"), [(1, 1), (16, 16), (16, 8), (12, 4), (32, 32)])
def test_sums_blocks(tmp_path, lanes, shared, is_e4m3):
    rng = np.random.default_rng(lanes + shared + is_e4m3)
    blocks, words, ends, expected = lanes // shared, [], [], []
    words.append(word(rng, (0, 0, 0, 1), None, (lanes, blocks)))
    for number in range(60):
        steps = int(rng.integers(1, 6))
        a, b = rng.integers(0, 16, (2, steps, lanes))
        # Far apart, sums may meet infinities of both signs: one step then, of one block.
        is_wild = number % 3 == 0 and blocks == 1
        a, b = (a[:1], b[:1]) if is_wild else (a, b)
        shape = (2, len(a), blocks)
        scales = scale_codes(rng, shape, is_e4m3=is_e4m3, is_wild=is_wild)
        for step in range(len(a)):
            while rng.random() < 0.2:
                words.append(word(rng, (*rng.integers(0, 2, 2), 0, 0), None, (lanes, blocks)))
            control = (step == len(a) - 1, step == 0, 1, 0)
            operands = (a[step], b[step], *scales[:, step])
            words.append(word(rng, control, operands, (lanes, blocks)))
        ends.append(len(words) - 1)
        real = as_fp8(scales) if is_e4m3 else 2.0 ** (scales - 127.0)
        expected.append(dot_blocks(as_fp4(a), as_fp4(b), *real).view(np.uint32))
    latency = 4 + ceil_log2(shared) + ceil_log2(blocks)
    words += [word(rng, (0, 0, 0, 0), None, (lanes, blocks)) for _ in range(latency + 1)]
    lines = drive(tmp_path, CLOCKED, words, L=lanes, S=shared, E4M3=int(is_e4m3))
    shown = {cycle: int(value, 16) for cycle, (valid, value) in enumerate(lines) if valid == "1"}
    assert shown == dict(zip([end + latency for end in ends], expected, strict=True))

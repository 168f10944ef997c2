"""Activations of a block, one by one, find the weights that are stored for them."""

from itertools import combinations

import numpy as np
import pytest

from tests.rtl.test_crossbars import drive, elements, packed

MATCHING = """
module tb;
  parameter int N = 4, M = 8, B = 8, L = 2, C = 1, COUNT = 1;
  logic [L*M+L*N*B+C*L*M-1:0] vectors [0:COUNT-1];
  logic [L*M-1:0] mask;
  logic [L*N*B-1:0] weights;
  logic [C*L*M-1:0] positions;
  logic [C*L*B-1:0] operands;

  crossbar_matching #(.N(N), .M(M), .B(B), .L(L), .C(C)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {mask, weights, positions} = vectors[v];
      #1 $display("%h", operands);
    end
    $finish(0);
  end
endmodule
"""

STEPPER = """
module tb;
  parameter int M = 8, COUNT = 1;
  logic [M-1:0] vectors [0:COUNT-1];
  logic [M-1:0] mask, position, rest;

  mask_stepper #(.M(M)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      mask = vectors[v];
      #1 $display("%h %h", position, rest);
    end
    $finish(0);
  end
endmodule
"""


@pytest.mark.parametrize(("n", "m", "bits"), [(4, 8, 8), (2, 4, 8), (1, 8, 16), (8, 8, 4)])
def test_every_position_meets_its_weight_or_zero(tmp_path, n, m, bits):
    """All masks of a block, on two lanes, before three rows at positions of their own."""
    rng, words, expected = np.random.default_rng(n), [], []
    for kept in combinations(range(m), n):
        whole = np.zeros((2, m), np.int64)
        other = sorted(rng.choice(m, n, replace=False))
        for lane, places in enumerate((kept, other)):
            whole[lane, list(places)] = rng.integers(1, 2**bits, n)
        stored = [whole[0, list(kept)], whole[1, other]]
        for first in range(m):
            at = (first + np.arange(6).reshape(3, 2) * 3) % m  # of rows and lanes
            masks = [int(p in places) for places in (kept, other) for p in range(m)]
            hot = [int(p == place) for place in at.ravel() for p in range(m)]
            words.append(packed((masks, 1), (np.concatenate(stored), bits), (hot, 1)))
            expected.append(
                [int(whole[lane, at[row, lane]]) for row in range(3) for lane in (0, 1)]
            )
    shape = {"N": n, "M": m, "B": bits, "L": 2, "C": 3, "COUNT": len(words)}
    lines = drive(tmp_path, MATCHING, words, **shape)
    assert [elements(word, 6, bits) for (word,) in lines] == expected


@pytest.mark.parametrize("m", [4, 8])
def test_a_mask_is_stepped_through_from_its_lowest_position(tmp_path, m):
    masks = range(2**m)
    lines = drive(tmp_path, STEPPER, [f"{mask:x}" for mask in masks], M=m, COUNT=2**m)
    found = [tuple(int(word, 16) for word in line) for line in lines]
    assert found == [(mask & -mask, mask & (mask - 1)) for mask in masks]

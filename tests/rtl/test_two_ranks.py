"""The crossbar of two ranks brings each lane the weight of its kept value."""

import numpy as np
import pytest

from accelsim.sparsity.patterns.two_rank import TwoRank
from tests.rtl.test_crossbars import drive, elements, packed

CROSSBAR = """
module tb;
  parameter int N = 2, M = 4, P = 4, Q = 8, B = 8, C = 1, COUNT = 1;
  logic [Q*M+C*Q*M*B-1:0] vectors [0:COUNT-1];
  logic [Q*M-1:0] mask;
  logic [C*Q*M*B-1:0] weights;
  logic [C*P*N*B-1:0] operands;

  crossbar_two_rank #(.N(N), .M(M), .P(P), .Q(Q), .B(B), .C(C)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {mask, weights} = vectors[v];
      #1 $display("%h", operands);
    end
    $finish(0);
  end
endmodule
"""


@pytest.mark.parametrize("ranks", [(2, 4, 4, 8), (2, 4, 4, 5), (1, 4, 1, 2), (2, 3, 2, 2)])
def test_kept_values_close_up_over_both_ranks(tmp_path, ranks):
    n, m, p, q = ranks
    rng, pattern = np.random.default_rng(sum(ranks)), TwoRank(*ranks)
    words, expected = [], []
    for _ in range(100):
        kept = pattern.keep(rng.standard_normal(m * q))
        weights = rng.integers(0, 256, (2, m * q))
        words.append(packed((kept, 1), (weights, 8)))
        expected.append(weights[:, kept].ravel().tolist())
    shape = dict(zip("NMPQ", ranks, strict=True))
    lines = drive(tmp_path, CROSSBAR, words, **shape, B=8, C=2, COUNT=len(words))
    assert [elements(word, 2 * n * p, 8) for (word,) in lines] == expected


SELECTOR = """
module tb;
  parameter int N = 2, M = 4, P = 4, Q = 8, B = 8, COUNT = 1;
  logic clk = 0, rst = 1, in_valid = 0, out_valid;
  logic [Q*M*B-1:0] vectors [0:COUNT-1];
  logic [Q*M*B-1:0] in_values;
  logic [Q*M-1:0] out_mask;
  logic [P*N*B-1:0] out_kept;

  select_two_rank #(.N(N), .M(M), .P(P), .Q(Q), .B(B)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    #1 clk = 1;
    #1 clk = 0;
    rst = 0;
    for (int v = 0; v < COUNT + 4; v++) begin
      in_valid = v < COUNT && v % 3 != 2;  // a gap in every third cycle
      in_values = v < COUNT ? vectors[v] : '0;
      #1 if (out_valid) $display("%0d %h %h", v, out_mask, out_kept);
      clk = 1;
      #1 clk = 0;
    end
    $finish(0);
  end
endmodule
"""


def groups_of(rng, ranks, count):
    """Return groups of int8: random ones, many ties, zeros, and the largest magnitude."""
    size = ranks[1] * ranks[3]
    groups = rng.integers(-128, 128, (count, size))
    groups[::4] = rng.integers(-2, 3, groups[::4].shape)
    groups[0] = 0
    groups[1] = -128
    groups[2::7] = rng.choice([-128, 127, 0], groups[2::7].shape)
    return groups.astype(np.int8)


@pytest.mark.parametrize("ranks", [(2, 4, 4, 8), (2, 4, 4, 5), (1, 4, 1, 2), (3, 4, 2, 3)])
def test_the_selector_keeps_what_the_pattern_keeps(tmp_path, ranks):
    """Bit for bit, ties to the lower index, four cycles after a group came."""
    n, m, p, q = ranks
    pattern, groups = TwoRank(*ranks), groups_of(np.random.default_rng(sum(ranks)), ranks, 200)
    words = [packed((group.view(np.uint8), 8)) for group in groups]
    shape = dict(zip("NMPQ", ranks, strict=True))
    lines = drive(tmp_path, SELECTOR, words, **shape, COUNT=len(words))
    taken = [v for v in range(len(groups)) if v % 3 != 2]
    assert [int(cycle) for cycle, _, _ in lines] == [v + 4 for v in taken]
    for (_, mask, kept), group in zip(lines, groups[taken], strict=True):
        expected = pattern.keep(group)
        assert elements(mask, m * q, 1) == expected.astype(int).tolist()
        assert elements(kept, p * n, 8) == group[expected].view(np.uint8).tolist()

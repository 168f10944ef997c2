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

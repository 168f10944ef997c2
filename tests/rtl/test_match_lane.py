"""A lane of an inner join: the pairs that both masks have in common, and the cycles of a round."""

import numpy as np
import pytest

from accelsim.dataflows.matches import InnerJoin
from accelsim.mapping import Gemm, Masks, Store, Stores, Tiling, tile_jobs
from tests.machine.test_inner_join import path_of
from tests.rtl.test_crossbars import drive, packed

# One word of vectors.hex is a round: {groups, w_values, w_masks, x_values, x_masks}. Of each, the
# pairs one a line, and `end` with the cycles from the load until nothing is left.
LANE = """
module tb;
  parameter int N = 2, S = 2, M = 4, B = 8, Q = 1, COUNT = 1;
  localparam int QW = $clog2(Q + 1);
  logic clk = 0, load, valid, done;
  logic [QW+Q*(S*B+M+N*B+M)-1:0] vectors [0:COUNT-1];
  logic [QW-1:0] groups;
  logic [Q*M-1:0] x_masks, w_masks;
  logic [Q*N*B-1:0] x_values;
  logic [Q*S*B-1:0] w_values;
  logic [B-1:0] x, w;
  int cycles;

  match_lane #(.N(N), .S(S), .M(M), .B(B), .Q(Q)) dut (.*);
  task tick;
    #1 clk = 1;
    #1 clk = 0;
    #1 if (valid) $display("pair %0d %0d", x, w);
  endtask
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {groups, w_values, w_masks, x_values, x_masks} = vectors[v];
      load = 1;
      tick;
      load = 0;
      cycles = 0;
      while (!done) begin
        tick;
        cycles++;
      end
      $display("end %0d", cycles);
    end
    $finish(0);
  end
endmodule
"""


def held(mask, values, slots):
    """The values of each group at the bits of its mask, from the lowest, zeros behind them."""
    rows = [list(value[kept]) for kept, value in zip(mask, values, strict=True)]
    return np.array([row + [0] * (slots - len(row)) for row in rows])


def masks_of(rng, queue, kept, size):
    """Masks of up to `kept` positions: all, none and what is drawn."""
    masks = np.zeros((queue, size), bool)
    for group in range(queue):
        masks[group, rng.choice(size, rng.integers(0, kept + 1), replace=False)] = True
    return masks


def cycles_of(x_mask, w_mask, n, s):
    """The cycles of a round of one lane, as the simulator counts them."""
    queue, size = x_mask.shape
    path = path_of(1, 1, lanes=1, queue=queue, x=(n, size), w=(s, size))
    gemm, stores = Gemm(1, queue * size, 1), Stores(*[Store(1 << 20)] * 4)
    jobs = tile_jobs(gemm, Tiling(1, 1, queue * size, "tokens_outer"), path, stores)
    found = InnerJoin().found(Masks(x_mask.reshape(1, -1), w_mask.reshape(-1, 1)), jobs, path)
    return int(found.array_cycles[0])


@pytest.mark.parametrize(
    ("group", "queue", "bits"),  # values of X and of W, and positions, of a group
    [
        ((8, 8, 16), 2, 8),
        ((8, 8, 16), 4, 8),
        ((2, 2, 4), 1, 8),
        ((4, 8, 16), 3, 16),
        ((1, 3, 5), 2, 4),
    ],
)
def test_pairs_and_cycles_of_rounds(tmp_path, group, queue, bits):
    n, s, size = group
    rng, words, expected = np.random.default_rng(size + queue), [], []
    for _ in range(60):
        groups = int(rng.integers(1, queue + 1))
        x_mask, w_mask = masks_of(rng, queue, n, size), masks_of(rng, queue, s, size)
        x, w = rng.integers(0, 2**bits, (2, queue, size))
        words.append(
            packed(
                (groups, queue.bit_length()),
                (held(w_mask, w, s), bits),
                (w_mask, 1),
                (held(x_mask, x, n), bits),
                (x_mask, 1),
            )
        )
        both = (x_mask & w_mask)[:groups]
        pairs = zip(x[:groups][both], w[:groups][both], strict=True)
        expected += [["pair", str(a), str(b)] for a, b in pairs]
        expected.append(["end", str(cycles_of(x_mask[:groups], w_mask[:groups], n, s))])

    parameters = {"N": n, "S": s, "M": size, "B": bits, "Q": queue, "COUNT": len(words)}
    assert drive(tmp_path, LANE, words, **parameters) == expected

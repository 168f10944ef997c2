"""Every crossbar brings each lane the weight that belongs to its kept value."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from tests.helpers.rtl_bench import icarus

KINDS = ("full", "window", "logshift", "hierarchical")

# One word of vectors.hex is {mask, substep, weights}; one line of output the operands of each kind.
ALL_KINDS = """
module tb;
  parameter int N = 2, M = 4, B = 8, L = 2, C = 1, COUNT = 1;
  localparam int G = L > N ? L / N : 1, SUB = (N + L - 1) / L, SUBW = SUB > 1 ? $clog2(SUB) : 1;
  logic [G*M+SUBW+C*G*M*B-1:0] vectors [0:COUNT-1];
  logic [G*M-1:0] mask;
  logic [SUBW-1:0] substep;
  logic [C*G*M*B-1:0] weights;
  logic [4*C*L*B-1:0] operands;

  for (genvar k = 0; k < 4; k++) begin : g_kind
    crossbar #(.KIND(k), .N(N), .M(M), .B(B), .L(L), .C(C), .STAGES(0)) dut (
        .clk(1'b0), .mask, .substep, .weights, .operands(operands[k*C*L*B +: C*L*B])
    );
  end
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {mask, substep, weights} = vectors[v];
      #1 for (int k = 0; k < 4; k++) $write("%h ", operands[k*C*L*B +: C*L*B]);
      $write("\\n");
    end
    $finish(0);
  end
endmodule
"""

# As above for `crossbar_full` alone, with indices instead of a mask.
FULL = """
module tb;
  parameter int N = 2, M = 4, B = 8, L = 2, C = 1, COUNT = 1;
  localparam int G = L > N ? L / N : 1, SUB = (N + L - 1) / L, SUBW = SUB > 1 ? $clog2(SUB) : 1;
  localparam int IDX = $clog2(M);
  logic [G*N*IDX+SUBW+C*G*M*B-1:0] vectors [0:COUNT-1];
  logic [G*N*IDX-1:0] indices;
  logic [SUBW-1:0] substep;
  logic [C*G*M*B-1:0] weights;
  logic [C*L*B-1:0] operands;

  crossbar_full #(.N(N), .M(M), .B(B), .L(L), .C(C)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {indices, substep, weights} = vectors[v];
      #1 $display("%h", operands);
    end
    $finish(0);
  end
endmodule
"""

# One vector a cycle; a line of output shows what stands behind the registers in that cycle.
CLOCKED = """
module tb;
  parameter int STAGES = 1, KIND = 1;
  localparam int N = 2, M = 4, B = 8, L = 4, C = 2, COUNT = 20;
  logic clk = 0, substep = 0;
  logic [2*M+C*2*M*B-1:0] vectors [0:COUNT-1];
  logic [2*M-1:0] mask;
  logic [C*2*M*B-1:0] weights;
  logic [C*L*B-1:0] operands;

  crossbar #(.KIND(KIND), .N(N), .M(M), .B(B), .L(L), .C(C), .STAGES(STAGES)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {mask, weights} = vectors[v];
      #1 $display("%h", operands);
      clk = 1;
      #1 clk = 0;
    end
    $finish(0);
  end
endmodule
"""


def packed(*fields):
    """Return {first, ..., last} as hex; a field is an integer or an array of elements, and bits."""
    word = 0
    for values, bits in fields:
        for value in np.ravel(values)[::-1]:  # element 0 is lowest
            word = word << bits | int(value)
    return f"{word:x}"


def elements(word, count, bits):
    """Return the elements of a flat vector, element 0 first; None for one that is unknown."""
    word = word.rjust(-(-count * bits // 4), "0")
    if set(word) & set("xXzZ"):
        return [None] * count
    return [int(word, 16) >> (bits * i) & ((1 << bits) - 1) for i in range(count)]


def drive(folder, testbench, words, **parameters):
    (folder / "vectors.hex").write_text("\n".join(words) + "\n")
    lines = icarus("tb", testbench, folder, parameters).splitlines()
    return [line.split() for line in lines if line]


def routed(positions, weights, lanes, substep=0):
    """The oracle: lanes in a row take the weight of each kept position of each group in turn."""
    columns, groups, _ = weights.shape
    queues = [
        [int(weights[c, g, p]) for g in range(groups) for p in positions[g]] for c in range(columns)
    ]
    served = [(queue[substep * lanes :] + [0] * lanes)[:lanes] for queue in queues]
    return [operand for column in served for operand in column]


def kept_positions(rng, n, m):
    """All choices of N of M if there are few; otherwise extremes and random ones."""
    if comb(m, n) <= 100:
        return [list(chosen) for chosen in combinations(range(m), n)]
    spread = [i * m // n for i in range(n)]
    extremes = [
        list(range(n)),
        list(range(m - n, m)),
        spread,
        [m - 1 - p for p in reversed(spread)],
        [*range(n - 1), m - 1],
        [0, *range(m - n + 1, m)],
        [*range(n // 2), *range(m - n + n // 2, m)],
        list(range((m - n) // 2, (m + n) // 2)),
    ]
    return extremes + [sorted(rng.choice(m, n, replace=False)) for _ in range(60)]


def as_mask(positions, m):
    """Bit g * M + p says that position p of group g is kept."""
    return [int(p in kept) for kept in positions for p in range(m)]


def test_two_of_four_by_hand(tmp_path):
    # Positions 1 and 3 are kept, of weights 10, 11, 12, 13.
    word = packed(([0, 1, 0, 1], 1), (0, 1), ([10, 11, 12, 13], 8))
    (line,) = drive(tmp_path, ALL_KINDS, [word])
    assert [elements(kind, 2, 8) for kind in line] == [[11, 13]] * 4


@pytest.mark.parametrize(
    ("pattern", "lanes", "columns", "bits"),
    [
        ("1:4", 1, 1, 8),
        ("1:4", 3, 2, 8),
        ("2:4", 1, 2, 8),  # two substeps of one lane
        ("2:4", 4, 3, 8),
        ("2:4", 5, 1, 16),  # the last lane idles
        ("3:4", 2, 2, 8),  # two substeps, the last one half full
        ("3:4", 3, 1, 8),
        ("3:4", 8, 1, 8),
        ("4:8", 4, 2, 8),
        ("4:8", 16, 1, 8),
        ("8:16", 3, 2, 8),  # three substeps
        ("8:16", 8, 1, 8),
        ("8:16", 16, 2, 8),
        ("16:32", 5, 1, 8),  # four substeps
        ("16:32", 8, 2, 8),
        ("16:32", 16, 1, 16),
        ("16:32", 32, 1, 8),
        ("4:16", 4, 2, 8),
        ("4:16", 10, 1, 8),
        ("8:32", 8, 1, 8),
        ("8:32", 16, 1, 8),
        ("1:1", 2, 2, 8),  # dense
        ("4:4", 4, 1, 8),
        ("2:5", 2, 1, 8),
        ("3:7", 6, 2, 8),
        ("5:11", 4, 1, 8),
        ("6:13", 12, 1, 8),
        ("1:64", 2, 1, 8),
    ],
)
def test_routes_the_weight_of_every_kept_value(tmp_path, pattern, lanes, columns, bits):
    n, m = map(int, pattern.split(":"))
    rng = np.random.default_rng(n * 1000 + m * 10 + lanes)
    groups, substeps = max(1, lanes // n), -(-n // lanes)
    substep_bits = max(1, (substeps - 1).bit_length())
    choices = kept_positions(rng, n, m)
    words, expected = [], []
    for first in choices:
        others = [choices[rng.integers(len(choices))] for _ in range(groups - 1)]
        positions = [first, *others]
        weights = rng.integers(0, 1 << bits, (columns, groups, m))
        for substep in range(substeps):
            mask = as_mask(positions, m)
            words.append(packed((mask, 1), (substep, substep_bits), (weights, bits)))
            expected.append(routed(positions, weights, lanes, substep))

    parameters = {"N": n, "M": m, "B": bits, "L": lanes, "C": columns, "COUNT": len(words)}
    lines = drive(tmp_path, ALL_KINDS, words, **parameters)

    assert len(lines) == len(words) >= min(comb(m, n), 60)
    for kind, name in enumerate(KINDS):
        operands = [elements(line[kind], columns * lanes, bits) for line in lines]
        assert operands == expected, name


@pytest.mark.parametrize(("n", "m", "lanes"), [(2, 4, 5), (8, 16, 3), (5, 11, 10)])
def test_full_crossbar_takes_values_in_any_order(tmp_path, n, m, lanes):
    rng = np.random.default_rng(n)
    groups, substeps = max(1, lanes // n), -(-n // lanes)
    index_bits, substep_bits = (m - 1).bit_length(), max(1, (substeps - 1).bit_length())
    words, expected = [], []
    for _ in range(50):
        positions = [rng.choice(m, n, replace=False) for _ in range(groups)]
        weights = rng.integers(0, 256, (2, groups, m))
        for substep in range(substeps):
            words.append(packed((positions, index_bits), (substep, substep_bits), (weights, 8)))
            expected.append(routed(positions, weights, lanes, substep))

    lines = drive(tmp_path, FULL, words, N=n, M=m, L=lanes, C=2, COUNT=len(words))

    assert [elements(word, 2 * lanes, 8) for (word,) in lines] == expected


def test_groups_that_keep_fewer_need_the_full_crossbar(tmp_path):
    """The bounds of the others hold for exactly N values; with fewer, weights go elsewhere."""
    # Only position 3 is kept; its value is in lane 0, a zero in lane 1. In a window of 3 of 4
    # positions, lane 0 does not reach position 3.
    weights = [10, 11, 12, 13]
    (line,) = drive(tmp_path, FULL, [packed(([3, 0], 2), (0, 1), (weights, 8))])
    assert elements(line[0], 2, 8)[0] == 13
    (line,) = drive(tmp_path, ALL_KINDS, [packed(([0, 0, 0, 1], 1), (0, 1), (weights, 8))])
    for kind in range(1, len(KINDS)):
        assert elements(line[kind], 2, 8)[0] != 13, KINDS[kind]


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("stages", [0, 1, 3])
def test_latency_is_the_number_of_register_ranks(tmp_path, kind, stages):
    rng = np.random.default_rng(stages)
    words, expected = [], []
    for _ in range(20):
        positions = [sorted(rng.choice(4, 2, replace=False)) for _ in range(2)]
        weights = rng.integers(0, 256, (2, 2, 4))
        words.append(packed((as_mask(positions, 4), 1), (weights, 8)))
        expected.append(routed(positions, weights, 4))

    lines = drive(tmp_path, CLOCKED, words, STAGES=stages, KIND=kind)

    operands = [elements(word, 8, 8) for (word,) in lines]
    assert operands[:stages] == [[None] * 8] * stages
    assert operands[stages:] == expected[: 20 - stages]

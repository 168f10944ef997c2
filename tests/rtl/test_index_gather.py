"""Top-K in RTL: the level of a token, what is above it moved together, and rounds of the banks."""

import numpy as np
import pytest

from accelsim.hardware import Statistics
from accelsim.hardware.examples import work
from accelsim.mapping.banked import banked
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.demands import Demands
from tests.helpers.rtl_bench import SV, run, tool
from tests.rtl.test_crossbars import drive, elements, packed

SELECT = """
module tb;
  parameter int M = 4, B = 8, FLOAT = 0, COUNT = 1;
  localparam int P = B - FLOAT, R = $clog2(M + 1);
  logic [M*B+P+R-1:0] vectors [0:COUNT-1];
  logic [M*B-1:0] values, moved;
  logic [P-1:0] level;
  logic [R-1:0] room;
  logic [M-1:0] mask;

  select_threshold #(.M(M), .B(B), .FLOAT(FLOAT)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {values, level, room} = vectors[v];
      #1 $display("%h %h", mask, moved);
    end
    $finish(0);
  end
endmodule
"""

# A token after the other: WORDS words, PASSES times each; a line says the cycles, level and room.
LEVEL = """
module tb;
  parameter int M = 4, B = 8, K = 64, WORDS = 1, COUNT = 1;
  localparam int W = $clog2(K + 1);
  logic clk = 0, start, in_valid = 0, last, done;
  logic [W-1:0] keep, room;
  logic [M+M*B-1:0] vectors [0:COUNT*WORDS-1];
  logic [W-1:0] keeps [0:COUNT-1];
  logic [M-1:0] there;
  logic [M*B-1:0] values;
  logic [B-1:0] level;
  integer cycles, word;

  level_finder #(.M(M), .B(B), .K(K)) dut (.*);
  initial begin
    $readmemh("vectors.hex", vectors);
    $readmemh("keeps.hex", keeps);
    for (int token = 0; token < COUNT; token++) begin
      {start, keep, in_valid, last} = {1'b1, keeps[token], 1'b0, 1'b0};
      #1 clk = 1; #1 clk = 0; start = 0; cycles = 0; word = 0; #1;
      while (!done) begin
        in_valid = 1;
        {there, values} = vectors[token*WORDS+word];
        last = word == WORDS - 1;
        word = last ? 0 : word + 1;
        cycles = cycles + 1;
        #1 clk = 1; #1 clk = 0; #1;
      end
      $display("%0d %0d %0d", cycles, level, room);
    end
    $finish(0);
  end
endmodule
"""

# Rounds back to back; a line for each cycle, and how many cycles all rounds took.
BANKS = """
module tb;
  parameter int BANKS = 4, ROWS = 4, STEPS = 2, COUNT = 1;
  localparam int NW = ROWS > 1 ? $clog2(ROWS) : 1, SW = $clog2(STEPS + 1);
  logic clk = 0, rst = 1, in_valid, in_ready;
  logic [SW+ROWS*BANKS-1:0] vectors [0:COUNT-1];
  logic [ROWS*BANKS-1:0] wanted;
  logic [SW-1:0] steps;
  logic [BANKS-1:0] given;
  logic [BANKS*NW-1:0] numbers;
  integer accepted = 0, cycles = 0;

  bank_arbiter #(.BANKS(BANKS), .ROWS(ROWS), .STEPS(STEPS)) dut (.*);
  assign in_valid = accepted < COUNT;
  assign {steps, wanted} = in_valid ? vectors[accepted] : '0;
  initial begin
    $readmemh("vectors.hex", vectors);
    #1 clk = 1; #1 clk = 0; rst = 0; #1;
    while (!(in_ready && !in_valid)) begin
      if (accepted > 0) begin
        cycles = cycles + 1;
        $display("%0d %h %h", accepted - 1, given, numbers);
      end
      clk = 1; #1;
      clk = 0; #1;
    end
    $display("end %0d", cycles + 1);  // the cycle in which the next round would be accepted
    $display("%0d %h %h", accepted - 1, given, numbers);
    $finish(0);
  end
  always @(posedge clk) if (in_valid && in_ready) accepted <= accepted + 1;
endmodule
"""


@pytest.mark.parametrize(("m", "bits", "is_float"), [(4, 8, 0), (7, 8, 0), (64, 8, 0), (16, 16, 1)])
def test_what_is_above_the_level_is_moved_together(tmp_path, m, bits, is_float):
    rng = np.random.default_rng(m)
    words, expected = [], []
    for case in range(60):
        top = 4 if case % 2 else 1 << bits - 1  # many ties, or few
        magnitudes = rng.integers(0, top, m)
        signs = rng.integers(0, 2, m)
        if is_float:
            values = signs << bits - 1 | magnitudes
        else:
            values = np.where(signs == 1, -magnitudes, magnitudes) % (1 << bits)
        if case == 0 and not is_float:
            values, magnitudes = np.full(m, 128), np.full(m, 128)  # -128
        level, room = int(rng.choice([*magnitudes, 0, top - 1])), int(rng.integers(0, m + 1))
        words.append(packed((values, bits), (level, bits - is_float), (room, m.bit_length())))
        mask = magnitudes > level
        mask[np.flatnonzero(magnitudes == level)[:room]] = True
        kept = values[mask].tolist()
        expected.append((mask.tolist(), kept + [0] * (m - len(kept))))
    lines = drive(tmp_path, SELECT, words, M=m, B=bits, FLOAT=is_float, COUNT=len(words))
    found = [(elements(mask, m, 1), elements(moved, m, bits)) for mask, moved in lines]
    assert found == [([int(flag) for flag in mask], kept) for mask, kept in expected]


@pytest.mark.parametrize(("lanes", "features"), [(4, 12), (16, 40), (128, 384)])
def test_the_level_of_a_token_is_found_in_a_pass_a_bit(tmp_path, lanes, features):
    """Level and room keep exactly what `topk` keeps; cycles are those that `Statistics` charges."""
    rng, words, tokens, keeps = np.random.default_rng(features), [], [], []
    for case in range(12):
        token = rng.integers(-128, 128, features) if case % 2 else rng.integers(-3, 4, features)
        tokens.append(np.full(features, -128) if case == 0 else token)
        keeps.append(int(rng.integers(1, features + 1)))
        padded = np.pad(token if case else tokens[0], (0, -features % lanes))
        there = np.arange(len(padded)) < features
        for first in range(0, len(padded), lanes):
            part = slice(first, first + lanes)
            words.append(packed((there[part], 1), (padded[part] % 256, 8)))
    per_token = -(-features // lanes)
    (tmp_path / "keeps.hex").write_text("\n".join(f"{keep:x}" for keep in keeps))
    sizes = {"M": lanes, "K": features, "WORDS": per_token, "COUNT": len(tokens)}
    lines = drive(tmp_path, LEVEL, words, **sizes)
    unit = Statistics(lanes=lanes)
    only = work("topk:0.5", tokens=1, reduction=features, demands=Demands(statistics="level"))
    for token, keep, (cycles, level, room) in zip(tokens, keeps, lines, strict=True):
        assert [int(cycles)] == unit.busy_cycles(only).tolist()
        magnitudes = np.abs(token)
        mask = magnitudes > int(level)
        mask[np.flatnonzero(magnitudes == int(level))[: int(room)]] = True
        kept = parse_pattern(f"topk:{keep / features}").keep(token[None].astype(np.int8))[0]
        assert mask.sum() == keep
        assert np.array_equal(mask, kept)


@pytest.mark.parametrize(
    ("banks", "queue_steps", "share"), [(16, 1, 0.5), (8, 2, 0.3), (32, 3, 0.9)]
)
def test_banks_take_the_cycles_of_the_model(tmp_path, banks, queue_steps, share):
    """Rounds of one row block after the other, back to back."""
    rng, reduction, lanes = np.random.default_rng(banks), 96, 16
    kept = rng.random((24, reduction)) < share
    only = work(f"topk:{share}", tokens=len(kept), reduction=reduction)
    found = banked(kept, only.jobs, only.path, banks=banks, queue_steps=queue_steps)
    words, asked = [], []
    for first in range(0, len(kept), only.path.rows):
        rows = [np.flatnonzero(row) for row in kept[first : first + only.path.rows]]
        for start in range(0, max(map(len, rows)), lanes * queue_steps):
            parts = [row[start : start + lanes * queue_steps] for row in rows]
            wanted = np.isin(np.arange(reduction), np.concatenate(parts))
            steps = -(-max(map(len, parts)) // lanes)
            words.append(packed((steps, queue_steps.bit_length()), (wanted, 1)))
            asked.append(set(np.flatnonzero(wanted).tolist()))
    sizes = {"BANKS": banks, "ROWS": reduction // banks, "STEPS": queue_steps, "COUNT": len(words)}
    lines = drive(tmp_path, BANKS, words, **sizes)
    assert [int(line[1]) for line in lines if line[0] == "end"] == found.round_cycles.tolist()
    given = [[] for _ in words]
    for number, flags, numbers in (line for line in lines if line[0] != "end"):
        places = elements(numbers, banks, max(1, (reduction // banks - 1).bit_length()))
        for bank, flag in enumerate(elements(flags, banks, 1)):
            if flag:
                given[int(number)].append(places[bank] * banks + bank)
    assert [sorted(rows) for rows in given] == [sorted(rows) for rows in asked]
    assert sum(map(len, given)) == found.rows_given


@pytest.mark.parametrize("top", ["bank_arbiter", "select_threshold", "level_finder"])
def test_a_second_tool_reads_it(top):
    run(tool("verilator"), "--lint-only", "-Wall", "-y", SV, "--top-module", top, SV / f"{top}.sv")

"""Proofs about the selectors, by the SAT solver in Yosys, on the modules as Yosys synthesises them.

What is proved, for all inputs:

1. Rank keeps N values, and none that it drops is larger than one that it keeps, or as large with a
   lower index. There is only one such set: `RANK_SHAPES`.
2. Bitonic, radix and cascade keep exactly what rank keeps, in the cycle described, whatever their
   registers held before: `SHAPES` if pipelined, and `ITERATIVE_SHAPES` from any idle state.
3. Radix at its real sizes and for any number of bits, by induction over planes: `PLANE_SHAPES`. The
   N largest complete the first state (nothing sure, all candidates, room for N) by definition. What
   completes a state completes the next one, and only what radix keeps completes the last. That the
   stages are strung together rightly does not depend on the sizes, and is part of 2.
4. Compaction finds every kept value, and indices come back as the bitmask that they were made from,
   for every mask with N of M bits: `MASK_SHAPES`.

Each kind of proof is also shown to fail for a module that was broken on purpose.
"""

import re

import pytest

from tests.helpers.rtl_bench import SV, run, tool

pytestmark = pytest.mark.slow

KINDS = {"bitonic": 1, "radix": 2, "cascade": 3}

RANK_SHAPES = [(2, 4, 8, 0), (2, 4, 16, 1), (3, 5, 4, 0)]
SHAPES = [(1, 4, 8, 0), (2, 4, 8, 0), (3, 4, 8, 0), (2, 4, 16, 1), (3, 5, 4, 0), (4, 8, 2, 0)]
ITERATIVE_SHAPES = [(2, 4, 8, 0), (3, 5, 4, 0)]
PLANE_SHAPES = [(2, 4), (3, 7), (4, 8), (4, 16), (8, 16)]
MASK_SHAPES = [(1, 4), (2, 4), (3, 4), (3, 7), (4, 8)]

# A selector that takes a group every cycle beside rank, which waits for it.
BESIDE_RANK = """
module miter #(
    parameter int KIND = 2, PIPELINED = 1, N = 2, M = 4, B = 8, FLOAT = 0, CYCLES = 8
) (
    input  logic           clk,
    input  logic           start,
    input  logic [M*B-1:0] in_values,
    output logic           ready,
    output logic           ok
);
  logic           rank_valid, expected_valid, out_valid, unused_ready;
  logic [M-1:0]   rank_mask, expected_mask, out_mask;
  logic [M*B-1:0] rank_values, expected_values, out_values;

  select_rank #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_rank (
      .clk, .rst(1'b0), .in_valid(start), .in_ready(unused_ready), .in_values,
      .out_valid(rank_valid), .out_mask(rank_mask), .out_values(rank_values)
  );
  pipe #(.WIDTH(M + M*B), .RANKS(CYCLES - 1)) u_wait (
      .clk, .rst(1'b0), .in_valid(rank_valid), .in_data({rank_mask, rank_values}),
      .out_valid(expected_valid), .out_data({expected_mask, expected_values})
  );
  if (KIND == 1) begin : g_bitonic
    select_bitonic #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_core (
        .clk, .rst(1'b0), .in_valid(start), .in_ready(ready), .in_values,
        .out_valid, .out_mask, .out_values
    );
  end else if (KIND == 2) begin : g_radix
    select_radix #(.N(N), .M(M), .B(B), .FLOAT(FLOAT), .PIPELINED(PIPELINED)) u_core (
        .clk, .rst(1'b0), .in_valid(start), .in_ready(ready), .in_values,
        .out_valid, .out_mask, .out_values
    );
  end else begin : g_cascade
    select_cascade #(.N(N), .M(M), .B(B), .FLOAT(FLOAT), .PIPELINED(PIPELINED)) u_core (
        .clk, .rst(1'b0), .in_valid(start), .in_ready(ready), .in_values,
        .out_valid, .out_mask, .out_values
    );
  end
  assign ok = expected_valid == out_valid
      && {expected_mask, expected_values} == {out_mask, out_values};
endmodule
"""

DEFINITION = """
module miter #(
    parameter int N = 2, M = 4, B = 8, FLOAT = 0
) (
    input  logic           clk,
    input  logic [M*B-1:0] in_values,
    output logic           ok
);
  localparam P = B - FLOAT;

  logic           unused_ready, unused_valid;
  logic [M-1:0]   mask;
  logic [M*B-1:0] values;
  select_rank #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_rank (
      .clk, .rst(1'b0), .in_valid(1'b1), .in_ready(unused_ready), .in_values,
      .out_valid(unused_valid), .out_mask(mask), .out_values(values)
  );

  function automatic logic [P-1:0] size(input logic [B-1:0] value);
    if (FLOAT == 1) size = value[P-1:0];
    else size = value[B-1] ? ~value + 1 : value;
  endfunction

  function automatic logic is_right(input logic [M-1:0] kept, input logic [M*B-1:0] from);
    integer count;
    count = 0;
    is_right = 1'b1;
    for (int i = 0; i < M; i++) begin
      count = count + kept[i];
      for (int j = i + 1; j < M; j++) begin
        if (kept[j] && !kept[i] && size(from[j*B +: B]) <= size(from[i*B +: B])) is_right = 1'b0;
        if (kept[i] && !kept[j] && size(from[i*B +: B]) < size(from[j*B +: B])) is_right = 1'b0;
      end
    end
    if (count != N) is_right = 1'b0;
  endfunction

  assign ok = is_right(mask, values);
endmodule
"""

# A set `kept` completes a state if it holds the sure values and as many candidates as there is room
# for, and those come before all other candidates in a relation `before` (bit i*M+j: i before j).
COMPLETES = """
  function automatic logic [M*M-1:0] both(input logic [M-1:0] row, input logic [M-1:0] column);
    for (int i = 0; i < M; i++) both[i*M +: M] = row[i] ? column : '0;
  endfunction

  function automatic logic completes(
      input logic [M-1:0] kept, input logic [M-1:0] sure, input logic [M-1:0] candidates,
      input logic [R-1:0] room, input logic [M*M-1:0] before
  );
    logic [W-1:0] filled;
    filled = '0;
    for (int i = 0; i < M; i++) filled = filled + W'(kept[i] && candidates[i]);
    completes = (kept & ~candidates) == sure && filled == W'(room)
        && (both(candidates & kept, candidates & ~kept) & ~before) == '0;
  endfunction
"""

# What comes before looks at this plane first, and then at the `rest`, an arbitrary relation. What
# completes a state must complete the next one by the rest.
PLANE = (
    """
module miter #(
    parameter int N = 2, M = 4
) (
    input  logic [M-1:0]               ones,
    input  logic [M*M-1:0]             rest,
    input  logic [M-1:0]               kept,
    input  logic [2*M+$clog2(N+1)-1:0] state,
    output logic                       ok
);
  localparam R = $clog2(N + 1);
  localparam W = $clog2(M + 1);
"""
    + COMPLETES
    + """
  logic [M-1:0]     sure, candidates, next_sure, next_candidates;
  logic [R-1:0]     room, next_room;
  logic [M*M-1:0]   before;
  logic [2*M+R-1:0] next_state;

  radix_plane #(.N(N), .M(M), .B(1), .FLOAT(0)) u_plane (
      .plane(1'b1), .values(ones), .state, .next_state
  );
  assign {sure, candidates, room} = state;
  assign {next_sure, next_candidates, next_room} = next_state;
  assign before = both(ones, ~ones) | (both(ones, ones) | both(~ones, ~ones)) & rest;
  assign ok = !completes(kept, sure, candidates, room, before)
      || completes(kept, next_sure, next_candidates, next_room, rest);
endmodule
"""
)

# After the last plane, what comes before is the lower index.
SETTLE = (
    """
module miter #(
    parameter int N = 2, M = 4
) (
    input  logic [M-1:0]           kept,
    input  logic [M-1:0]           sure,
    input  logic [M-1:0]           candidates,
    input  logic [$clog2(N+1)-1:0] room,
    output logic                   ok
);
  localparam R = $clog2(N + 1);
  localparam W = $clog2(M + 1);
"""
    + COMPLETES
    + """
  logic [M-1:0]   first;
  logic [M*M-1:0] lower;
  for (genvar i = 0; i < M; i++) begin : g_row
    for (genvar j = 0; j < M; j++) begin : g_column
      assign lower[i*M+j] = i < j;
    end
  end
  first_flags #(.N(N), .M(M)) u_settle (.flags(candidates), .room, .first);
  assign ok = !completes(kept, sure, candidates, room, lower) || kept == (sure | first);
endmodule
"""
)

MASKS = """
module miter #(
    parameter int N = 2, M = 4, B = 1
) (
    input  logic [M-1:0]   mask,
    input  logic [M*B-1:0] values,
    output logic           ok
);
  localparam IDX = M > 1 ? $clog2(M) : 1;
  localparam W = $clog2(M + 1);

  logic [N*B-1:0]   kept;
  logic [N*IDX-1:0] indices;
  logic [M-1:0]     decoded;
  logic [W-1:0]     count;
  compact #(.N(N), .M(M), .B(B)) u_compact (.mask, .values, .kept);
  index_encoder #(.N(N), .M(M)) u_encoder (.mask, .indices);
  index_decoder #(.N(N), .M(M)) u_decoder (.indices, .mask(decoded));
  popcount #(.M(M)) u_count (.flags(mask), .count);

  // Walk through the group and push what is kept, the last one to the top.
  function automatic logic [N*B-1:0] walk(input logic [M-1:0] flags, input logic [M*B-1:0] from);
    walk = '0;
    for (int i = 0; i < M; i++) if (flags[i]) walk = {from[i*B +: B], walk} >> B;
  endfunction

  assign ok = count != W'(N) || (kept == walk(mask, values) && decoded == mask);
endmodule
"""


def is_proved(folder, miter, parameters, *, cycles=0, sets="", broken=None):
    """Ask whether `ok` holds `cycles` after the first one, from any state of the registers.

    `broken` is (module, text, replacement): a module of the library with an error put in.
    """
    (folder / "miter.sv").write_text(miter)
    changed = ""
    if broken:
        module, text, replacement = broken
        source = (SV / f"{module}.sv").read_text()
        assert text in source
        (folder / f"{module}.sv").write_text(source.replace(text, replacement))
        changed = f"{module}.sv"
    settings = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    script = (
        f"read_verilog -sv miter.sv {changed}; chparam {settings} miter; "
        f"hierarchy -check -top miter -libdir {SV}; proc; flatten; opt -full; "
        f"sat -seq {cycles + 1} -prove-skip {cycles} {sets} -prove ok 1 miter"
    )
    log = run(tool("yosys"), "-p", script, cwd=folder)
    verdict = re.search(r"SAT proof finished - (no model|model) found", log)
    assert verdict, log[-2000:]
    return verdict[1] == "no model"


def shape_of(n, m, bits, is_float):
    return {"N": n, "M": m, "B": bits, "FLOAT": is_float}


def stages(kind, n, m, bits, is_float):
    """Return the cycles between a group at the input of a pipelined core and its mask."""
    if kind == "radix":
        return bits - is_float
    if kind == "cascade":
        return n
    return {(1, 4): 2, (2, 4): 2, (3, 4): 3, (3, 5): 6, (4, 8): 4}[n, m]  # of the bitonic network


@pytest.mark.parametrize("shape", RANK_SHAPES)
def test_rank_keeps_the_largest(tmp_path, shape):
    assert is_proved(tmp_path, DEFINITION, shape_of(*shape), cycles=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pipelined_kinds_keep_what_rank_keeps(tmp_path, kind, shape):
    cycles = stages(kind, *shape)
    parameters = {"KIND": KINDS[kind], "CYCLES": cycles} | shape_of(*shape)
    assert is_proved(tmp_path, BESIDE_RANK, parameters, cycles=cycles)


@pytest.mark.parametrize("kind", ["radix", "cascade"])
@pytest.mark.parametrize("shape", ITERATIVE_SHAPES)
def test_iterative_kinds_keep_what_rank_keeps(tmp_path, kind, shape):
    """A group taken in any idle state, whatever stands at the input afterwards."""
    cycles = stages(kind, *shape) + 1
    parameters = {"KIND": KINDS[kind], "PIPELINED": 0, "CYCLES": cycles} | shape_of(*shape)
    taken = "-set-at 1 ready 1 -set-at 1 start 1"
    assert is_proved(tmp_path, BESIDE_RANK, parameters, cycles=cycles, sets=taken)


@pytest.mark.parametrize(("n", "m"), PLANE_SHAPES)
def test_radix_is_right_for_any_number_of_planes(tmp_path, n, m):
    assert is_proved(tmp_path, PLANE, {"N": n, "M": m})
    assert is_proved(tmp_path, SETTLE, {"N": n, "M": m})


@pytest.mark.parametrize(("n", "m"), MASK_SHAPES)
def test_compaction_and_indices(tmp_path, n, m):
    assert is_proved(tmp_path, MASKS, {"N": n, "M": m})


BROKEN = {
    "ties go to the higher index": (
        DEFINITION,
        ("select_rank", "from[j*P +: P] > from", "from[j*P +: P] >= from"),
        {},
        1,
    ),
    "room that is taken stays free": (
        BESIDE_RANK,
        ("radix_plane", "~ones, rest[R-1:0]}", "~ones, room}"),
        {"KIND": 2, "CYCLES": 8},
        8,
    ),
    "one tie too many": (
        BESIDE_RANK,
        ("first_flags", "left != '0", "1'b1"),
        {"KIND": 2, "CYCLES": 8},
        8,
    ),
    "an exchange the wrong way": (
        BESIDE_RANK,
        ("bitonic_level", "low > high", "low < high"),
        {"KIND": 1, "CYCLES": 2},
        2,
    ),
    "a value taken twice": (
        BESIDE_RANK,
        ("cascade_step", "{!taken[i], ", "{1'b1, "),
        {"KIND": 3, "CYCLES": 2},
        2,
    ),
    "zeros stay candidates beside too many ones": (
        PLANE,
        ("radix_plane", "{sure, ones, room}", "{sure, candidates, room}"),
        {},
        0,
    ),
    "a window one leg short": (
        MASKS,
        ("index_decoder", "i <= j + M - N", "i < j + M - N"),
        {},
        0,
    ),
}


@pytest.mark.parametrize("error", BROKEN)
def test_an_error_is_found(tmp_path, error):
    miter, broken, parameters, cycles = BROKEN[error]
    parameters = {"N": 2, "M": 4} | parameters
    assert not is_proved(tmp_path, miter, parameters, cycles=cycles, broken=broken)

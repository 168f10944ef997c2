// N:M selector: keeps the N largest magnitudes of every group of M, ties to the lower index.
//
//   KIND       0 rank, 1 bitonic, 2 radix, 3 cascade
//   PIPELINED, STEP_CYCLES  of radix and cascade: see there
//   EXTRA      ranks of registers behind the core, for a core that has to be pipelined to meet its
//              clock (synthesis moves them into it)
//   out_mask   bit i: position i was kept
//   out_kept   the N kept values, in index order
//
// Timing: a group taken in cycle t is out in cycle t + cycles per group - 1 + latency + EXTRA:
//                        cycles per group     latency
//   rank                                 1    2
//   bitonic                              1    levels of the network + 1
//   radix, pipelined                     1    planes + 1
//   radix, iterative    planes*STEP_CYCLES+1  2
//   cascade, pipelined                   1    N + 1
//   cascade, iterative       N*STEP_CYCLES+1  2
// Nothing holds the output back: who listens reserves room before it sends a group.
module selector #(
    parameter int KIND        = 0,
    parameter int N           = 2,
    parameter int M           = 4,
    parameter int B           = 8,
    parameter int FLOAT       = 0,
    parameter int PIPELINED   = 0,
    parameter int STEP_CYCLES = 1,
    parameter int EXTRA       = 0
) (
    input  logic           clk,
    input  logic           rst,
    input  logic           in_valid,
    output logic           in_ready,
    input  logic [M*B-1:0] in_values,
    output logic           out_valid,
    output logic [M-1:0]   out_mask,
    output logic [N*B-1:0] out_kept
);
  logic           core_valid, valid;
  logic [M-1:0]   core_mask, mask;
  logic [M*B-1:0] core_values, values;
  logic [N*B-1:0] kept;

  if (KIND == 0) begin : g_rank
    select_rank #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_core (
        .clk, .rst, .in_valid, .in_ready, .in_values,
        .out_valid(core_valid), .out_mask(core_mask), .out_values(core_values)
    );
  end else if (KIND == 1) begin : g_bitonic
    select_bitonic #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_core (
        .clk, .rst, .in_valid, .in_ready, .in_values,
        .out_valid(core_valid), .out_mask(core_mask), .out_values(core_values)
    );
  end else if (KIND == 2) begin : g_radix
    select_radix #(
        .N(N), .M(M), .B(B), .FLOAT(FLOAT), .PIPELINED(PIPELINED), .STEP_CYCLES(STEP_CYCLES)
    ) u_core (
        .clk, .rst, .in_valid, .in_ready, .in_values,
        .out_valid(core_valid), .out_mask(core_mask), .out_values(core_values)
    );
  end else begin : g_cascade
    select_cascade #(
        .N(N), .M(M), .B(B), .FLOAT(FLOAT), .PIPELINED(PIPELINED), .STEP_CYCLES(STEP_CYCLES)
    ) u_core (
        .clk, .rst, .in_valid, .in_ready, .in_values,
        .out_valid(core_valid), .out_mask(core_mask), .out_values(core_values)
    );
  end

  pipe #(.WIDTH(M + M*B), .RANKS(EXTRA)) u_extra (
      .clk, .rst, .in_valid(core_valid), .in_data({core_mask, core_values}),
      .out_valid(valid), .out_data({mask, values})
  );
  compact #(.N(N), .M(M), .B(B)) u_compact (.mask, .values, .kept);
  pipe #(.WIDTH(M + N*B)) u_output (
      .clk, .rst, .in_valid(valid), .in_data({mask, kept}), .out_valid, .out_data({out_mask, out_kept})
  );
endmodule

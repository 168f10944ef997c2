// N:M selector with modes: a rank core, EXTRA ranks of registers, compaction, a register.
//
// NS, MS, mode: see select_flex; SLOTS is the most values that a mode keeps of M positions.
// Timing: a group of M taken in cycle t is out in cycle t + 2 + EXTRA, in every mode.
module selector_flex #(
    parameter int MODES = 5,
    parameter [8*MODES-1:0] NS = 40'h10_08_04_02_01,
    parameter [8*MODES-1:0] MS = 40'h20_10_08_04_04,
    parameter int SLOTS = 16,
    parameter int B     = 8,
    parameter int FLOAT = 0,
    parameter int EXTRA = 0,
    localparam int M    = MS >> 8*(MODES-1)
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [MODES-1:0]   mode,
    input  logic               in_valid,
    output logic               in_ready,
    input  logic [M*B-1:0]     in_values,
    output logic               out_valid,
    output logic [M-1:0]       out_mask,
    output logic [SLOTS*B-1:0] out_kept
);
  logic               core_valid, valid;
  logic [M-1:0]       core_mask, mask;
  logic [M*B-1:0]     core_values, values;
  logic [SLOTS*B-1:0] kept;

  select_flex #(.MODES(MODES), .NS(NS), .MS(MS), .B(B), .FLOAT(FLOAT)) u_core (
      .clk, .rst, .mode, .in_valid, .in_ready, .in_values,
      .out_valid(core_valid), .out_mask(core_mask), .out_values(core_values)
  );
  pipe #(.WIDTH(M + M*B), .RANKS(EXTRA)) u_extra (
      .clk, .rst, .in_valid(core_valid), .in_data({core_mask, core_values}),
      .out_valid(valid), .out_data({mask, values})
  );
  compact_flex #(.MODES(MODES), .NS(NS), .MS(MS), .SLOTS(SLOTS), .B(B)) u_compact (
      .mode, .mask, .values, .kept
  );
  pipe #(.WIDTH(M + SLOTS*B)) u_output (
      .clk, .rst, .in_valid(valid), .in_data({mask, kept}), .out_valid, .out_data({out_mask, out_kept})
  );
endmodule

// A rank selector with modes: in mode k, a group of M is M / MS[k] groups of MS[k], each of which
// keeps its NS[k] largest magnitudes, ties to the lower index.
//
//   NS, MS   N and M of each mode, a byte each, the smallest group in the lowest byte; each M
//            divides the next one, and the last one is that of the hardware
//   mode     one-hot; changed only while no group is on its way
//
// A pair of values is compared in the modes in which both are in one group; in others its operands
// are held at zero, so that comparator and counts stand still.
//
// Timing: takes a group of M every cycle; mask and values are out one cycle later.
module select_flex #(
    parameter int MODES = 5,
    parameter [8*MODES-1:0] NS = 40'h10_08_04_02_01,
    parameter [8*MODES-1:0] MS = 40'h20_10_08_04_04,
    parameter int B     = 8,
    parameter int FLOAT = 0,
    localparam int M    = MS >> 8*(MODES-1)
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [MODES-1:0] mode,
    input  logic             in_valid,
    output logic             in_ready,
    input  logic [M*B-1:0]   in_values,
    output logic             out_valid,
    output logic [M-1:0]     out_mask,
    output logic [M*B-1:0]   out_values
);
  localparam P = B - FLOAT;
  localparam W = $clog2(M + 1);

  // The modes in which two values are in one group.
  function automatic [MODES-1:0] together(input integer i, input integer j);
    integer k;
    together = 0;
    for (k = 0; k < MODES; k = k + 1)
      if (i / ((MS >> 8*k) & 255) == j / ((MS >> 8*k) & 255)) together = together | (1 << k);
  endfunction

  logic [M*P-1:0] magnitudes;
  logic [M*M-1:0] beaten;  // bit i*M+j: value i is beaten by value j
  logic [M-1:0]   mask;

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values(in_values), .magnitudes);

  for (genvar j = 0; j < M; j++) begin : g_rival
    assign beaten[j*M+j] = 1'b0;
    for (genvar i = 0; i < j; i++) begin : g_pair
      localparam [MODES-1:0] TOGETHER = together(i, j);
      logic         compared;
      logic [P-1:0] lower, higher;
      assign compared = &TOGETHER || |(mode & TOGETHER);
      assign lower = magnitudes[i*P +: P] & {P{compared}};
      assign higher = magnitudes[j*P +: P] & {P{compared}};
      assign beaten[i*M+j] = higher > lower;
      assign beaten[j*M+i] = compared && !beaten[i*M+j];
    end
  end

  for (genvar i = 0; i < M; i++) begin : g_value
    logic [W-1:0]     rank;
    logic [MODES-1:0] stays;
    popcount #(.M(M)) u_rank (.flags(beaten[i*M +: M]), .count(rank));
    for (genvar k = 0; k < MODES; k++) begin : g_mode
      localparam int N = (NS >> 8*k) & 255;
      assign stays[k] = mode[k] && rank < W'(N);
    end
    assign mask[i] = |stays;
  end

  assign in_ready = 1'b1;
  pipe #(.WIDTH(M + M*B)) u_pipe (
      .clk, .rst, .in_valid, .in_data({mask, in_values}),
      .out_valid, .out_data({out_mask, out_values})
  );
endmodule

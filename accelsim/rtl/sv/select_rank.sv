// Selects the N largest magnitudes of M by comparing all pairs: a value stays if it beats at least
// M-N others. One comparator serves both sides of a pair; of equals, the lower index wins.
//
// Timing: takes a group every cycle; mask and values are out one cycle later.
module select_rank #(
    parameter N     = 2,
    parameter M     = 4,
    parameter B     = 8,
    parameter FLOAT = 0
) (
    input  logic           clk,
    input  logic           rst,
    input  logic           in_valid,
    output logic           in_ready,
    input  logic [M*B-1:0] in_values,
    output logic           out_valid,
    output logic [M-1:0]   out_mask,
    output logic [M*B-1:0] out_values
);
  localparam P = B - FLOAT;
  localparam W = $clog2(M + 1);

  logic [M*P-1:0] magnitudes;
  logic [M*M-1:0] beats;  // bit j*M+i: value j beats value i
  logic [M-1:0]   mask;

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values(in_values), .magnitudes);

  always_comb begin
    beats = '0;
    for (int j = 0; j < M; j++)
      for (int i = 0; i < M; i++)
        if (i < j) begin
          beats[j*M+i] = magnitudes[j*P +: P] > magnitudes[i*P +: P];
          beats[i*M+j] = !beats[j*M+i];
        end
  end

  for (genvar i = 0; i < M; i++) begin : g_value
    logic [W-1:0] wins;
    popcount #(.M(M)) u_wins (.flags(beats[i*M +: M]), .count(wins));
    assign mask[i] = wins >= W'(M - N);
  end

  assign in_ready = 1'b1;
  pipe #(.WIDTH(M + M*B)) u_pipe (
      .clk, .rst, .in_valid, .in_data({mask, in_values}),
      .out_valid, .out_data({out_mask, out_values})
  );
endmodule

// Selects the N largest magnitudes of M by comparing all pairs: a value stays if fewer than N
// others beat it. One comparator serves both sides of a pair; of equals, the lower index wins.
//
// Timing: takes a group every cycle; mask and values are out one cycle later.
module select_rank #(
    parameter int N     = 2,
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0
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
  logic [M*M-1:0] beaten;  // bit i*M+j: value i is beaten by value j
  logic [M-1:0]   mask;

  function automatic logic [M*M-1:0] compare(input logic [M*P-1:0] from);
    compare = '0;
    for (int j = 0; j < M; j++)
      for (int i = 0; i < j; i++) begin
        compare[i*M+j] = from[j*P +: P] > from[i*P +: P];
        compare[j*M+i] = !compare[i*M+j];
      end
  endfunction

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values(in_values), .magnitudes);
  assign beaten = compare(magnitudes);

  for (genvar i = 0; i < M; i++) begin : g_value
    logic [W-1:0] rank;
    popcount #(.M(M)) u_rank (.flags(beaten[i*M +: M]), .count(rank));
    assign mask[i] = rank < W'(N);
  end

  assign in_ready = 1'b1;
  pipe #(.WIDTH(M + M*B)) u_pipe (
      .clk, .rst, .in_valid, .in_data({mask, in_values}),
      .out_valid, .out_data({out_mask, out_values})
  );
endmodule

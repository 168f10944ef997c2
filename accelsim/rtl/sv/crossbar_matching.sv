// The crossbar of one column of an array whose lanes take the kept activations of a block one after
// the other, both operands sparse: brings to each of L lanes, in each of C rows, the weight that is
// stored for the position of the row's activation, or zero where there is none. An N:1 multiplexer
// a lane and row; the C rows share the decoder of the column's masks. Combinational.
//
// Ports: position p of the block of lane l at bit l*M + p of `mask`, of which exactly N are set;
// stored weight i of lane l at element l*N + i; the one-hot position of the activation of row c at
// bits (c*L + l)*M of `positions`; what its multiplier takes at element c*L + l of `operands`.
module crossbar_matching #(
    parameter int N = 4,
    parameter int M = 8,
    parameter int B = 8,
    parameter int L = 2,
    parameter int C = 1
) (
    input  logic [L*M-1:0]   mask,
    input  logic [L*N*B-1:0] weights,
    input  logic [C*L*M-1:0] positions,
    output logic [C*L*B-1:0] operands
);
  localparam int D = M - N + 1;

  // Bit i: stored weight i, at one of the positions i ... i + M - N, stands at that of the activation.
  function automatic logic [N-1:0] match(input logic [N*D-1:0] kept, input logic [M-1:0] position);
    for (int i = 0; i < N; i++) match[i] = |(kept[i*D +: D] & position[i +: D]);
  endfunction

  for (genvar l = 0; l < L; l++) begin : g_lane
    logic [N*D-1:0] kept;
    mask_decoder #(.N(N), .M(M)) u_decoder (.mask(mask[l*M +: M]), .kept);

    for (genvar c = 0; c < C; c++) begin : g_row
      logic [N-1:0] select;
      assign select = match(kept, positions[(c*L+l)*M +: M]);
      onehot_mux #(.LEGS(N), .B(B)) u_mux (
          .select, .values(weights[l*N*B +: N*B]), .value(operands[(c*L+l)*B +: B])
      );
    end
  end
endmodule

// Moves the N kept values of a group of M together, in index order. Combinational.
//
// Exactly N bits of `mask` must be set. Then kept value j stands at one of the positions
// j ... j+M-N, so each output is an AND-OR of M-N+1 values instead of M.
module compact #(
    parameter int N = 2,
    parameter int M = 4,
    parameter int B = 8
) (
    input  logic [M-1:0]   mask,
    input  logic [M*B-1:0] values,
    output logic [N*B-1:0] kept
);
  localparam D = M - N + 1;

  logic [N*D-1:0] stands;  // bit j*D+d: kept value j stands at position j+d
  mask_decoder #(.N(N), .M(M)) u_decoder (.mask, .kept(stands));

  for (genvar j = 0; j < N; j++) begin : g_kept
    onehot_mux #(.LEGS(D), .B(B)) u_mux (
        .select(stands[j*D +: D]), .values(values[j*B +: D*B]), .value(kept[j*B +: B])
    );
  end
endmodule

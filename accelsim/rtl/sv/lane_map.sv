// Hands the N kept values of each group, already side by side, to L lanes, for C columns.
//
// Lane l takes value l of all G groups in a row or, where a group keeps more values than there are
// lanes, value substep * L + l of the only group. Lanes without a value read zero. Combinational.
module lane_map #(
    parameter int N     = 2,
    parameter int B     = 8,
    parameter int L     = 2,
    parameter int C     = 1,
    localparam int G    = L > N ? L / N : 1,
    localparam int SUB  = (N + L - 1) / L,
    localparam int SUBW = SUB > 1 ? $clog2(SUB) : 1
) (
    input  logic [SUBW-1:0]    substep,
    input  logic [C*G*N*B-1:0] kept,
    output logic [C*L*B-1:0]   operands
);
  logic [SUB-1:0] now;

  for (genvar s = 0; s < SUB; s++) begin : g_substep
    assign now[s] = SUB == 1 || substep == SUBW'(s);
  end
  for (genvar c = 0; c < C; c++) begin : g_column
    logic [SUB*L*B-1:0] padded;
    assign padded = (SUB * L * B)'(kept[c*G*N*B +: G*N*B]);
    for (genvar l = 0; l < L; l++) begin : g_lane
      logic [SUB*B-1:0] choices;
      for (genvar s = 0; s < SUB; s++) begin : g_substep
        assign choices[s*B +: B] = padded[(s*L+l)*B +: B];
      end
      onehot_mux #(.LEGS(SUB), .B(B)) u_mux (
          .select(now), .values(choices), .value(operands[(c*L+l)*B +: B])
      );
    end
  end
endmodule

// A full crossbar: an M:1 multiplexer in front of every multiplier. Where each kept value stands is
// told by its index, so values may come in any order, and a group may keep fewer than N (whatever
// weight goes with a missing value, which is zero). Indices are decoded once and steer all C
// columns. Combinational.
module crossbar_full #(
    parameter int N     = 2,
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int L     = 2,
    parameter int C     = 1,
    localparam int G    = L > N ? L / N : 1,        // groups a step
    localparam int SUB  = (N + L - 1) / L,          // substeps of a group
    localparam int SUBW = SUB > 1 ? $clog2(SUB) : 1,
    localparam int IDX  = M > 1 ? $clog2(M) : 1
) (
    input  logic [G*N*IDX-1:0] indices,
    input  logic [SUBW-1:0]    substep,
    input  logic [C*G*M*B-1:0] weights,
    output logic [C*L*B-1:0]   operands
);
  logic [L*IDX-1:0] lane_indices;

  lane_map #(.N(N), .B(IDX), .L(L), .C(1)) u_indices (
      .substep, .kept(indices), .operands(lane_indices)
  );
  for (genvar l = 0; l < L; l++) begin : g_lane
    localparam int GROUP = l < G * N ? l / N : 0;
    logic         has_value;  // some lanes have none, always or in the last substep
    logic [M-1:0] select;

    assign has_value = SUB == 1 ? l < G * N : 32'(substep) * L + l < N;
    for (genvar p = 0; p < M; p++) begin : g_leg
      assign select[p] = has_value && lane_indices[l*IDX +: IDX] == IDX'(p);
    end
    for (genvar c = 0; c < C; c++) begin : g_column
      onehot_mux #(.LEGS(M), .B(B)) u_mux (
          .select, .values(weights[(c*G+GROUP)*M*B +: M*B]), .value(operands[(c*L+l)*B +: B])
      );
    end
  end
endmodule

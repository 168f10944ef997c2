// A crossbar of one short multiplexer in front of every multiplier: exactly N kept values in index
// order put the i-th of them at one of the positions i ... i + M - N, so M - N + 1 legs are enough.
//
// Lane l serves kept value l % N of group l / N or, where a group keeps more values than there are
// lanes, values l, l + L, l + 2L, ... of the only group, one a substep; its window then grows by
// their distance. Selects are decoded once and steer all C columns. Combinational.
module crossbar_window #(
    parameter int N     = 2,
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int L     = 2,
    parameter int C     = 1,
    localparam int G    = L > N ? L / N : 1,  // groups a step
    localparam int SUB  = (N + L - 1) / L,    // substeps of a group
    localparam int SUBW = SUB > 1 ? $clog2(SUB) : 1
) (
    input  logic [G*M-1:0]     mask,
    input  logic [SUBW-1:0]    substep,
    input  logic [C*G*M*B-1:0] weights,
    output logic [C*L*B-1:0]   operands
);
  localparam int D = M - N + 1;
  logic [G*N*D-1:0]   found;
  logic [SUB*L*D-1:0] kept;  // row s*L + l: where the value stands that lane l takes in substep s
  logic [SUB-1:0]     now;   // the substep, one-hot

  for (genvar g = 0; g < G; g++) begin : g_group
    mask_decoder #(.N(N), .M(M)) u_decoder (
        .mask(mask[g*M +: M]), .kept(found[g*N*D +: N*D])
    );
  end
  assign kept = (SUB * L * D)'(found);

  for (genvar s = 0; s < SUB; s++) begin : g_substep
    assign now[s] = SUB == 1 || substep == SUBW'(s);
  end

  for (genvar l = 0; l < L; l++) begin : g_lane
    localparam int GROUP = l < G * N ? l / N : 0;  // a lane without a value selects none
    localparam int FIRST = l < G * N ? l % N : 0;  // the lowest position that it may need
    localparam int REACH = M - N + (SUB - 1) * L;
    localparam int LEGS  = FIRST + REACH < M ? REACH + 1 : M - FIRST;
    logic [SUB*LEGS-1:0] places;  // legs for each substep: its value stands s * L further on
    logic [LEGS-1:0]     select;

    for (genvar s = 0; s < SUB; s++) begin : g_substep
      assign places[s*LEGS +: LEGS] = LEGS'(kept[(s*L+l)*D +: D]) << (s * L);
    end
    onehot_mux #(.LEGS(SUB), .B(LEGS)) u_select (.select(now), .values(places), .value(select));

    for (genvar c = 0; c < C; c++) begin : g_column
      onehot_mux #(.LEGS(LEGS), .B(B)) u_mux (
          .select, .values(weights[((c*G+GROUP)*M+FIRST)*B +: LEGS*B]),
          .value(operands[(c*L+l)*B +: B])
      );
    end
  end
endmodule

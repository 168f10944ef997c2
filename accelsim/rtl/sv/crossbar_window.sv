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
  localparam int SPAN = M - N;
  localparam int D    = SPAN + 1;
  logic [G*N*D-1:0] kept;

  for (genvar g = 0; g < G; g++) begin : g_group
    mask_decoder #(.N(N), .M(M)) u_decoder (
        .mask(mask[g*M +: M]), .kept(kept[g*N*D +: N*D])
    );
  end

  for (genvar l = 0; l < L; l++) begin : g_lane
    if (l < G * N) begin : g_used
      localparam int GROUP = l / N;
      localparam int FIRST = l % N;  // first kept value served, and lowest position that it can have
      localparam int REACH = SPAN + (SUB - 1) * L;
      localparam int LEGS  = FIRST + REACH < M ? REACH + 1 : M - FIRST;
      // Substep s adds the places of value FIRST + s * L, which lie s * L legs further on.
      logic [(SUB+1)*LEGS-1:0] partial;
      assign partial[0 +: LEGS] = '0;
      for (genvar s = 0; s < SUB; s++) begin : g_substep
        localparam int VALUE = FIRST + s * L < N ? FIRST + s * L : 0;
        wire is_now = FIRST + s * L < N && (SUB == 1 || substep == SUBW'(s));
        wire [LEGS-1:0] places = LEGS'(kept[(GROUP*N+VALUE)*D +: D]) << (s * L);
        assign partial[(s+1)*LEGS +: LEGS] = partial[s*LEGS +: LEGS] | (places & {LEGS{is_now}});
      end
      wire [LEGS-1:0] select = partial[SUB*LEGS +: LEGS];
      for (genvar c = 0; c < C; c++) begin : g_column
        onehot_mux #(.LEGS(LEGS), .B(B)) u_mux (
            .select, .values(weights[((c*G+GROUP)*M+FIRST)*B +: LEGS*B]),
            .value(operands[(c*L+l)*B +: B])
        );
      end
    end else begin : g_idle
      for (genvar c = 0; c < C; c++) begin : g_column
        assign operands[(c*L+l)*B +: B] = '0;
      end
    end
  end
endmodule

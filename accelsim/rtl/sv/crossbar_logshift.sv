// A logarithmic crossbar: kept values close up over the d positions dropped before them, by 1 if d
// is odd, then by 2, by 4, ... Taken in this order, two values never meet. Combinational.
//
// Needs exactly N kept values a group, in index order (d <= M - N). `move` is constant zero where no
// value can arrive, so synthesis leaves only multiplexers that are used.
module crossbar_logshift #(
    parameter int N     = 2,
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int L     = 2,
    parameter int C     = 1,
    localparam int G    = L > N ? L / N : 1,
    localparam int SUB  = (N + L - 1) / L,
    localparam int SUBW = SUB > 1 ? $clog2(SUB) : 1
) (
    input  logic [G*M-1:0]     mask,
    input  logic [SUBW-1:0]    substep,
    input  logic [C*G*M*B-1:0] weights,
    output logic [C*L*B-1:0]   operands
);
  localparam int D = M - N + 1;
  localparam int STAGES = $clog2(D);
  logic [C*G*N*B-1:0] kept_weights;

  for (genvar g = 0; g < G; g++) begin : g_group
    logic [N*D-1:0] kept;
    logic [(STAGES+1)*M-1:0] move;  // move[k*M + p]: stage k brings a value to position p

    mask_decoder #(.N(N), .M(M)) u_decoder (.mask(mask[g*M +: M]), .kept);

    // Before stage k, value i with d dropped before it stands at i + d without the low k bits of d;
    // stage k brings it down by 2^k if that bit of d is set.
    for (genvar k = 0; k < STAGES; k++) begin : g_move
      for (genvar p = 0; p < M; p++) begin : g_position
        logic [D-1:0] arrives;  // by d
        for (genvar d = 0; d < D; d++) begin : g_distance
          localparam int I = p - ((d >> (k + 1)) << (k + 1));
          if (((d >> k) & 1) != 0 && I >= 0 && I < N) begin : g_some
            assign arrives[d] = kept[I*D+d];
          end else begin : g_none
            assign arrives[d] = 1'b0;
          end
        end
        assign move[k*M+p] = |arrives;
      end
    end

    for (genvar c = 0; c < C; c++) begin : g_column
      logic [(STAGES+1)*M*B-1:0] rows;  // slice k enters stage k
      assign rows[0 +: M*B] = weights[(c*G+g)*M*B +: M*B];
      for (genvar k = 0; k < STAGES; k++) begin : g_stage
        for (genvar p = 0; p < M; p++) begin : g_position
          if (p + 2**k < M) begin : g_mux
            assign rows[((k+1)*M+p)*B +: B] = move[k*M+p] ? rows[(k*M+p+2**k)*B +: B]
                                                          : rows[(k*M+p)*B +: B];
          end else begin : g_wire
            assign rows[((k+1)*M+p)*B +: B] = rows[(k*M+p)*B +: B];
          end
        end
      end
      assign kept_weights[(c*G+g)*N*B +: N*B] = rows[STAGES*M*B +: N*B];
    end
  end

  lane_map #(.N(N), .B(B), .L(L), .C(C)) u_lanes (.substep, .kept(kept_weights), .operands);
endmodule

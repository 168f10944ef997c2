// A crossbar of two levels: kept values close up over the d positions dropped before them by d % S,
// then by the rest, a multiple of S. S:1 and (M-N)/S+1 : 1 multiplexers. Combinational.
//
// Needs exactly N kept values a group, in index order (d <= M - N). `near` and `far` are constant
// zero where no value can pass, so synthesis leaves only legs that are used.
module crossbar_hierarchical #(
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
  localparam int S = 2 ** (($clog2(D) + 1) / 2);  // a power of two near the square root of D
  localparam int T = (M - N) / S + 1;             // legs of the second level
  logic [C*G*N*B-1:0] kept_weights;

  for (genvar g = 0; g < G; g++) begin : g_group
    logic [N*D-1:0] kept;
    logic [M*S-1:0] near;  // near[p*S + r]: position p takes over from p + r
    logic [N*T-1:0] far;   // far[i*T + t]: value i then stands at position i + t*S

    mask_decoder #(.N(N), .M(M)) u_decoder (.mask(mask[g*M +: M]), .kept);

    for (genvar p = 0; p < M; p++) begin : g_near
      for (genvar r = 0; r < S; r++) begin : g_leg
        logic [T-1:0] passes;  // value p - t*S passes here on its way, dropped t*S + r
        for (genvar t = 0; t < T; t++) begin : g_value
          if (p >= t * S && p - t * S < N && t * S + r < D) begin : g_some
            assign passes[t] = kept[(p-t*S)*D+t*S+r];
          end else begin : g_none
            assign passes[t] = 1'b0;
          end
        end
        assign near[p*S+r] = |passes;
      end
    end
    for (genvar i = 0; i < N; i++) begin : g_far
      for (genvar t = 0; t < T; t++) begin : g_leg
        localparam int SPREAD = D - t * S < S ? D - t * S : S;
        assign far[i*T+t] = |kept[i*D+t*S +: SPREAD];
      end
    end

    for (genvar c = 0; c < C; c++) begin : g_column
      wire [M*B-1:0] row = weights[(c*G+g)*M*B +: M*B];
      logic [M*B-1:0] nearer;
      logic [N*B-1:0] done;
      for (genvar p = 0; p < M; p++) begin : g_first
        localparam int LEGS = M - p < S ? M - p : S;
        onehot_mux #(.LEGS(LEGS), .B(B)) u_mux (
            .select(near[p*S +: LEGS]), .values(row[p*B +: LEGS*B]), .value(nearer[p*B +: B])
        );
      end
      for (genvar i = 0; i < N; i++) begin : g_second
        logic [T*B-1:0] choices;
        for (genvar t = 0; t < T; t++) begin : g_leg
          assign choices[t*B +: B] = nearer[(i+t*S)*B +: B];
        end
        onehot_mux #(.LEGS(T), .B(B)) u_mux (
            .select(far[i*T +: T]), .values(choices), .value(done[i*B +: B])
        );
      end
      assign kept_weights[(c*G+g)*N*B +: N*B] = done;
    end
  end

  lane_map #(.N(N), .B(B), .L(L), .C(C)) u_lanes (.substep, .kept(kept_weights), .operands);
endmodule

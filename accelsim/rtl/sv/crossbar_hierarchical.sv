// A crossbar of two levels: kept values close up over the d positions dropped before them by d % S,
// then by the rest, a multiple of S. S:1 and (M-N)/S+1 : 1 multiplexers. Combinational.
//
// Needs exactly N kept values a group, in index order (d <= M - N). A select is constant zero
// where no value can pass, so synthesis leaves only the legs that are used.
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

  // Bit p*S + r: in the first level, position p takes over from p + r.
  function automatic logic [M*S-1:0] near_selects(input logic [N*D-1:0] kept);
    near_selects = '0;
    for (int i = 0; i < N; i++)
      for (int d = 0; d < D; d++)
        near_selects[(i+d/S*S)*S+d%S] = near_selects[(i+d/S*S)*S+d%S] | kept[i*D+d];
  endfunction

  // Bit i*T + t: in the second level, value i stands at position i + t*S.
  function automatic logic [N*T-1:0] far_selects(input logic [N*D-1:0] kept);
    far_selects = '0;
    for (int i = 0; i < N; i++)
      for (int d = 0; d < D; d++)
        far_selects[i*T+d/S] = far_selects[i*T+d/S] | kept[i*D+d];
  endfunction

  // Both levels, in place: ascending positions are read before they are overwritten.
  function automatic logic [M*B-1:0] route(
      input logic [M*S-1:0] near, input logic [N*T-1:0] far, input logic [M*B-1:0] row
  );
    logic [B-1:0] value;
    route = row;
    for (int p = 0; p < M; p++) begin
      value = '0;
      for (int r = 0; r < S; r++)
        if (p + r < M) value = value | ({B{near[p*S+r]}} & route[(p+r)*B +: B]);
      route[p*B +: B] = value;
    end
    for (int i = 0; i < N; i++) begin
      value = '0;
      for (int t = 0; t < T; t++) value = value | ({B{far[i*T+t]}} & route[(i+t*S)*B +: B]);
      route[i*B +: B] = value;
    end
  endfunction

  for (genvar g = 0; g < G; g++) begin : g_group
    logic [N*D-1:0] kept;
    logic [M*S-1:0] near;
    logic [N*T-1:0] far;

    mask_decoder #(.N(N), .M(M)) u_decoder (.mask(mask[g*M +: M]), .kept);
    assign near = near_selects(kept);
    assign far  = far_selects(kept);

    for (genvar c = 0; c < C; c++) begin : g_column
      assign kept_weights[(c*G+g)*N*B +: N*B] =
          (N * B)'(route(near, far, weights[(c*G+g)*M*B +: M*B]));
    end
  end

  lane_map #(.N(N), .B(B), .L(L), .C(C)) u_lanes (.substep, .kept(kept_weights), .operands);
endmodule

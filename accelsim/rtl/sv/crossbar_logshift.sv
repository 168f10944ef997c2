// A logarithmic crossbar: kept values close up over the d positions dropped before them, by 1 if d
// is odd, then by 2, by 4, ... Taken in this order, two values never meet. Combinational.
//
// Needs exactly N kept values a group, in index order (d <= M - N). Where no value can arrive, a
// move is constant zero, so synthesis leaves only the multiplexers that are used.
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
  localparam int MOVES = STAGES > 0 ? STAGES * M : 1;
  logic [C*G*N*B-1:0] kept_weights;

  // Bit k*M + p: stage k brings a value down to position p, by 2^k. Value i with d dropped before
  // it moves if bit k of d is set, to i + d without the bits of d up to k.
  function automatic logic [MOVES-1:0] moves(input logic [N*D-1:0] kept);
    moves = '0;
    for (int k = 0; k < STAGES; k++)
      for (int i = 0; i < N; i++)
        for (int d = 0; d < D; d++)
          if (((d >> k) & 1) != 0)
            moves[k*M+i+(d>>(k+1)<<(k+1))] = moves[k*M+i+(d>>(k+1)<<(k+1))] | kept[i*D+d];
  endfunction

  // In place: ascending positions are read before they are overwritten.
  function automatic logic [M*B-1:0] shift(
      input logic [MOVES-1:0] move, input logic [M*B-1:0] row
  );
    shift = row;
    for (int k = 0; k < STAGES; k++)
      for (int p = 0; p < M; p++)
        if (p + 2**k < M && move[k*M+p]) shift[p*B +: B] = shift[(p+2**k)*B +: B];
  endfunction

  for (genvar g = 0; g < G; g++) begin : g_group
    logic [N*D-1:0]   kept;
    logic [MOVES-1:0] move;

    mask_decoder #(.N(N), .M(M)) u_decoder (.mask(mask[g*M +: M]), .kept);
    assign move = moves(kept);

    for (genvar c = 0; c < C; c++) begin : g_column
      assign kept_weights[(c*G+g)*N*B +: N*B] = (N * B)'(shift(move, weights[(c*G+g)*M*B +: M*B]));
    end
  end

  lane_map #(.N(N), .B(B), .L(L), .C(C)) u_lanes (.substep, .kept(kept_weights), .operands);
endmodule

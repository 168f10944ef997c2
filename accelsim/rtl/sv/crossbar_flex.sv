// The operand crossbar of one row, with modes: exactly N kept values of each group, in index order,
// reach L lanes. In front of every multiplier stands a multiplexer with the positions that its lane
// may need in some mode. Combinational.
//
// NS, MS, mode: see select_flex; no N exceeds L. In mode k, a step takes L / NS[k] groups of MS[k]
// positions, at most POSITIONS in all: lane l takes kept value l of them. Modes that keep as large
// a share as the last one are decoded as it is, in groups of M; the others group by group.
module crossbar_flex #(
    parameter int MODES = 5,
    parameter [8*MODES-1:0] NS = 40'h10_08_04_02_01,
    parameter [8*MODES-1:0] MS = 40'h20_10_08_04_04,
    parameter int POSITIONS = 64,
    parameter int B     = 8,
    parameter int L     = 16,
    parameter int C     = 1,
    localparam int M    = MS >> 8*(MODES-1),
    localparam int N    = NS >> 8*(MODES-1)
) (
    input  logic [MODES-1:0]         mode,
    input  logic [POSITIONS-1:0]     mask,
    input  logic [C*POSITIONS*B-1:0] weights,
    output logic [C*L*B-1:0]         operands
);
  localparam int G = L / N;  // groups of the largest mode in a step
  localparam int D = M - N + 1;

  // The modes that keep the share N / M.
  function automatic [MODES-1:0] shared(input integer unused);
    integer k;
    shared = 0;
    for (k = 0; k < MODES; k = k + 1)
      if (((NS >> 8*k) & 255) * M == ((MS >> 8*k) & 255) * N) shared = shared | (1 << k);
  endfunction
  localparam [MODES-1:0] SHARED = shared(0);

  // The modes in which a lane may need the weight of a position.
  function automatic [MODES-1:0] reaching(input integer lane, input integer position);
    integer k, n, m, first;
    reaching = 0;
    for (k = 0; k < MODES; k = k + 1) begin
      n = (NS >> 8*k) & 255;
      m = (MS >> 8*k) & 255;
      first = lane / n * m + lane % n;
      if (lane < L / n * n && position >= first && position <= first + m - n)
        reaching = reaching | (1 << k);
    end
  endfunction

  logic is_shared;
  logic [(MODES+1)*L*POSITIONS-1:0] found;  // by mode, lane and position; last: modes that share
  logic [L*POSITIONS-1:0]           select;

  assign is_shared = &SHARED || |(mode & SHARED);
  for (genvar g = 0; g < G; g++) begin : g_group
    logic [N*D-1:0] places;
    mask_decoder #(.N(N), .M(M)) u_decoder (
        .mask(mask[g*M +: M] & {M{is_shared}}), .kept(places)
    );
    for (genvar i = 0; i < N; i++) begin : g_value
      assign found[(MODES*L+g*N+i)*POSITIONS +: POSITIONS]
          = POSITIONS'(places[i*D +: D]) << (g*M + i);
    end
  end
  for (genvar l = G * N; l < L; l++) begin : g_spare
    assign found[(MODES*L+l)*POSITIONS +: POSITIONS] = '0;
  end

  for (genvar k = 0; k < MODES; k++) begin : g_mode
    localparam int OWN = (NS >> 8*k) & 255;
    localparam int S = (MS >> 8*k) & 255;
    localparam int E = S - OWN + 1;
    for (genvar l = 0; l < L; l++) begin : g_lane
      if ((SHARED >> k & 1) || l >= L / OWN * OWN) begin : g_none
        assign found[(k*L+l)*POSITIONS +: POSITIONS] = '0;
      end
    end
    if (!(SHARED >> k & 1)) begin : g_own
      for (genvar g = 0; g < L / OWN; g++) begin : g_group
        logic [OWN*E-1:0] places;
        logic [S-1:0]     bits;
        assign bits = mask[g*S +: S] & {S{mode[k]}};
        if (OWN == 1) begin : g_one
          assign places = bits;
        end else begin : g_several
          mask_decoder #(.N(OWN), .M(S)) u_decoder (.mask(bits), .kept(places));
        end
        for (genvar i = 0; i < OWN; i++) begin : g_value
          assign found[(k*L+g*OWN+i)*POSITIONS +: POSITIONS]
              = POSITIONS'(places[i*E +: E]) << (g*S + i);
        end
      end
    end
  end

  onehot_mux #(.LEGS(MODES+1), .B(L*POSITIONS)) u_any (
      .select({(MODES+1){1'b1}}), .values(found), .value(select)
  );
  // Weights go through gates on their way to legs that only the larger of the modes with a common
  // decoder have, so that these stand still in the smaller ones.
  for (genvar l = 0; l < L; l++) begin : g_lane
    logic [C*POSITIONS*B-1:0] near;
    for (genvar p = 0; p < POSITIONS; p++) begin : g_leg
      localparam [MODES-1:0] REACH = reaching(l, p);
      logic is_open;
      assign is_open = &(REACH | ~SHARED) || |(REACH & ~SHARED) || |(mode & REACH);
      for (genvar c = 0; c < C; c++) begin : g_column
        assign near[(c*POSITIONS+p)*B +: B]
            = weights[(c*POSITIONS+p)*B +: B] & {B{is_open}};
      end
    end
    for (genvar c = 0; c < C; c++) begin : g_column
      onehot_mux #(.LEGS(POSITIONS), .B(B)) u_mux (
          .select(select[l*POSITIONS +: POSITIONS]), .values(near[c*POSITIONS*B +: POSITIONS*B]),
          .value(operands[(c*L+l)*B +: B])
      );
    end
  end
endmodule

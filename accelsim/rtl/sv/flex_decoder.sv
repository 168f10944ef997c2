// Finds every kept value of a bitmask in any mode: `kept[j*M + p]` says that value j, counted from
// the lowest index, stands at position p. Combinational.
//
// NS, MS, mode: see select_flex. SLOTS is the most values that a mode keeps of M positions. Modes
// that keep as many share one decoder, as each of their masks is one of SLOTS : M (8:16 twice is a
// 16:32); in the others it sees an empty mask, and each group has a decoder of its own.
module flex_decoder #(
    parameter int MODES = 5,
    parameter [8*MODES-1:0] NS = 40'h10_08_04_02_01,
    parameter [8*MODES-1:0] MS = 40'h20_10_08_04_04,
    parameter int SLOTS = 16,
    localparam int M    = MS >> 8*(MODES-1)
) (
    input  logic [MODES-1:0]   mode,
    input  logic [M-1:0]       mask,
    output logic [SLOTS*M-1:0] kept
);
  localparam int D = M - SLOTS + 1;

  // The modes that keep SLOTS of M positions.
  function automatic [MODES-1:0] fullest(input integer unused);
    integer k;
    fullest = 0;
    for (k = 0; k < MODES; k = k + 1)
      if (M / ((MS >> 8*k) & 255) * ((NS >> 8*k) & 255) == SLOTS) fullest = fullest | (1 << k);
  endfunction
  localparam [MODES-1:0] FULLEST = fullest(0);

  logic               is_full;
  logic [SLOTS*D-1:0] stands;
  logic [(MODES+1)*SLOTS*M-1:0] found;  // by each mode with a decoder of its own; last: by all

  assign is_full = &FULLEST || |(mode & FULLEST);
  mask_decoder #(.N(SLOTS), .M(M)) u_decoder (.mask(mask & {M{is_full}}), .kept(stands));
  for (genvar j = 0; j < SLOTS; j++) begin : g_slot
    assign found[(MODES*SLOTS+j)*M +: M] = M'(stands[j*D +: D]) << j;
  end

  for (genvar k = 0; k < MODES; k++) begin : g_mode
    localparam int N = (NS >> 8*k) & 255;
    localparam int S = (MS >> 8*k) & 255;
    if (FULLEST >> k & 1) begin : g_shared
      assign found[k*SLOTS*M +: SLOTS*M] = '0;
    end else begin : g_own
      localparam int E = S - N + 1;
      for (genvar j = 0; j < SLOTS; j++) begin : g_slot
        if (j >= M / S * N) begin : g_empty
          assign found[(k*SLOTS+j)*M +: M] = '0;
        end
      end
      for (genvar g = 0; g < M / S; g++) begin : g_group
        logic [N*E-1:0] places;
        logic [S-1:0]   own;
        assign own = mask[g*S +: S] & {S{mode[k]}};
        if (N == 1) begin : g_one
          assign places = own;
        end else begin : g_several
          mask_decoder #(.N(N), .M(S)) u_decoder (.mask(own), .kept(places));
        end
        for (genvar i = 0; i < N; i++) begin : g_value
          assign found[(k*SLOTS+g*N+i)*M +: M] = M'(places[i*E +: E]) << (g*S + i);
        end
      end
    end
  end

  // OR of all of them; all but one are empty.
  onehot_mux #(.LEGS(MODES+1), .B(SLOTS*M)) u_any (
      .select({(MODES+1){1'b1}}), .values(found), .value(kept)
  );
endmodule

// Moves the kept values of a group of M together, in index order, in any mode. Combinational.
//
// NS, MS, mode: see select_flex. A mode that keeps fewer than SLOTS values fills the first ones.
module compact_flex #(
    parameter int MODES = 5,
    parameter [8*MODES-1:0] NS = 40'h10_08_04_02_01,
    parameter [8*MODES-1:0] MS = 40'h20_10_08_04_04,
    parameter int SLOTS = 16,
    parameter int B     = 8,
    localparam int M    = MS >> 8*(MODES-1)
) (
    input  logic [MODES-1:0]   mode,
    input  logic [M-1:0]       mask,
    input  logic [M*B-1:0]     values,
    output logic [SLOTS*B-1:0] kept
);
  logic [SLOTS*M-1:0] stands;
  flex_decoder #(.MODES(MODES), .NS(NS), .MS(MS), .SLOTS(SLOTS)) u_decoder (
      .mode, .mask, .kept(stands)
  );
  for (genvar j = 0; j < SLOTS; j++) begin : g_kept
    onehot_mux #(.LEGS(M), .B(B)) u_mux (
        .select(stands[j*M +: M]), .values, .value(kept[j*B +: B])
    );
  end
endmodule

// Keeps what is above a level and, in index order, the first `room` values that are equal to it;
// moves them together. Combinational.
//
//   level  the magnitude to compare with: one for all tokens (threshold), or the token's own (top-K)
//   room   how many of those equal to it stay: none for a threshold; of a token's K largest, those
//          for which larger ones leave room (`level_finder`), less what earlier words have taken
module select_threshold #(
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0,
    localparam int P    = B - FLOAT,
    localparam int R    = $clog2(M + 1)
) (
    input  logic [M*B-1:0] values,
    input  logic [P-1:0]   level,
    input  logic [R-1:0]   room,
    output logic [M-1:0]   mask,
    output logic [M*B-1:0] moved
);
  logic [M*P-1:0] magnitudes;
  logic [M-1:0]   above, equal, first;

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values, .magnitudes);
  for (genvar i = 0; i < M; i++) begin : g_value
    assign above[i] = magnitudes[i*P +: P] > level;
    assign equal[i] = magnitudes[i*P +: P] == level;
  end
  first_flags #(.N(M), .M(M)) u_first (.flags(equal), .room, .first);
  assign mask = above | first;
  move_together #(.M(M), .B(B)) u_move (.mask, .values, .moved);
endmodule

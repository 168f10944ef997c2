// Adds the largest magnitude that is not in `mask` yet to it. Combinational.
module cascade_step #(
    parameter M     = 4,
    parameter B     = 8,
    parameter FLOAT = 0
) (
    input  logic [M*B-1:0] values,
    input  logic [M-1:0]   mask,
    output logic [M-1:0]   next_mask
);
  localparam P = B - FLOAT;

  logic [M*P-1:0]     magnitudes;
  logic [M*(P+1)-1:0] keys;
  logic [M-1:0]       winner;

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values, .magnitudes);

  // A value that is taken already loses, even against a zero.
  for (genvar i = 0; i < M; i++) begin : g_key
    assign keys[i*(P+1) +: P+1] = {!mask[i], magnitudes[i*P +: P]};
  end

  largest #(.M(M), .W(P+1)) u_largest (.keys, .winner);
  assign next_mask = mask | winner;
endmodule

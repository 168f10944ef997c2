// Adds the largest magnitude that is not in `mask` yet to it. Combinational.
module cascade_step #(
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0
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

  function automatic logic [M*(P+1)-1:0] rate(input logic [M*P-1:0] from, input logic [M-1:0] taken);
    for (int i = 0; i < M; i++) rate[i*(P+1) +: P+1] = {!taken[i], from[i*P +: P]};
  endfunction

  assign keys = rate(magnitudes, mask);  // a value that is taken loses, even against a zero
  largest #(.M(M), .W(P+1)) u_largest (.keys, .winner);
  assign next_mask = mask | winner;
endmodule

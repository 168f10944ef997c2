// One multiplier: two's complement, B x B -> 2B bits; if FLOAT, two fp8 (B = 8) or bf16
// (B = 16) -> fp32. Combinational.
module multiplier #(
    parameter int B     = 8,
    parameter int FLOAT = 0,
    localparam int P    = FLOAT != 0 ? 32 : 2 * B
) (
    input  logic [B-1:0] a,
    input  logic [B-1:0] b,
    output logic [P-1:0] product
);
  if (FLOAT != 0 && B == 8) begin : g_kind
    fp8_multiplier u_multiplier (.a, .b, .product);
  end else if (FLOAT != 0) begin : g_kind
    bf16_multiplier u_multiplier (.a, .b, .product);
  end else begin : g_kind
    int_multiplier #(.B(B)) u_multiplier (.a, .b, .product);
  end
endmodule

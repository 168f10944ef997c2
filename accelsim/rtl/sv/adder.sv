// One adder: two's complement, W bits extended by their sign to S, or fp32 if FLOAT. Combinational.
module adder #(
    parameter int W     = 16,
    parameter int S     = W + 1,
    parameter int FLOAT = 0
) (
    input  logic [W-1:0] a,
    input  logic [W-1:0] b,
    output logic [S-1:0] sum
);
  if (FLOAT != 0) begin : g_kind
    fp32_adder u_adder (.a, .b, .sum);
  end else begin : g_kind
    assign sum = S'($signed(a)) + S'($signed(b));
  end
endmodule

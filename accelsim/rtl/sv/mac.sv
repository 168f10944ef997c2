// One lane: multiplies and accumulates in 32 bits, in one cycle. `in_first` starts a new sum.
module mac #(
    parameter int B     = 8,
    parameter int FLOAT = 0  // 0 two's complement, 1 fp8 or bf16, by B, with fp32 sums
) (
    input  logic         clk,
    input  logic         in_valid,
    input  logic         in_first,
    input  logic [B-1:0] a,
    input  logic [B-1:0] b,
    output logic [31:0]  total
);
  localparam int P = FLOAT != 0 ? 32 : 2 * B;
  logic [P-1:0] product;

  multiplier #(.B(B), .FLOAT(FLOAT)) u_multiplier (.a, .b, .product);
  accumulator #(.W(P), .FLOAT(FLOAT)) u_accumulator (
      .clk, .in_valid, .in_first, .value(product), .total
  );
endmodule

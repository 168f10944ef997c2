// One processing element: the dot product of two vectors, L lanes a step, accumulated over steps.
//
// `in_first` starts a new sum, `in_last` ends it; they may be one step, sums may follow each other
// without a gap, and steps may have gaps between them. The sum of a step with `in_last` in cycle s
// is at `out_value` in cycle s + 3 + ceil(log2 L) and stays until the next one: registers after the
// multipliers, after every level of the adder tree, the accumulator, and the result.
module dot_product #(
    parameter int L     = 16,
    parameter int B     = 8,
    parameter int FLOAT = 0  // 0 two's complement, sums wrap; 1 fp8 or bf16, by B, with fp32 sums
) (
    input  logic           clk,
    input  logic           rst,
    input  logic           in_valid,
    input  logic           in_first,
    input  logic           in_last,
    input  logic [L*B-1:0] a,
    input  logic [L*B-1:0] b,
    output logic           out_valid,
    output logic [31:0]    out_value
);
  localparam int P = FLOAT != 0 ? 32 : 2 * B;  // bits of a product, and of the sum of a step
  localparam int W = FLOAT != 0 || P + $clog2(L) > 32 ? 32 : P + $clog2(L);
  localparam int D = $clog2(L) + 1;  // registers before the accumulator
  logic [L*P-1:0] products, held;
  logic [W-1:0]   step_sum;
  logic [31:0]    total;
  logic [D:0]     valid, last;  // of the step in each register, up to the accumulator
  logic [D-1:0]   first;

  for (genvar l = 0; l < L; l++) begin : g_lane
    multiplier #(.B(B), .FLOAT(FLOAT)) u_multiplier (
        .a(a[l*B +: B]), .b(b[l*B +: B]), .product(products[l*P +: P])
    );
  end
  always_ff @(posedge clk) held <= products;

  adder_tree #(.COUNT(L), .W(P), .FLOAT(FLOAT)) u_tree (.clk, .values(held), .sum(step_sum));
  accumulator #(.W(W), .FLOAT(FLOAT)) u_accumulator (
      .clk, .in_valid(valid[D-1]), .in_first(first[D-1]), .value(step_sum), .total
  );

  always_ff @(posedge clk) begin
    valid <= rst ? '0 : (D + 1)'({valid, in_valid});
    first <= D'({first, in_first});
    last  <= (D + 1)'({last, in_last});
    out_valid <= !rst && valid[D] && last[D];
    if (valid[D] && last[D]) out_value <= total;
  end
endmodule

// Sum of COUNT values: neighbours 2i and 2i + 1 are added, an odd one out passes, and so on.
//
// Registers after every level: latency ceil(log2 COUNT). Integers grow by a bit a level, to 32 at
// most, and then wrap. Each instance is one level and the tree behind it.
module adder_tree #(
    parameter int COUNT = 2,
    parameter int W     = 16,
    parameter int FLOAT = 0,
    localparam int HALF = (COUNT + 1) / 2,
    localparam int NEXT = FLOAT != 0 || W >= 32 ? 32 : W + 1,  // width after one level
    localparam int SUM  = FLOAT != 0 || W + $clog2(COUNT) > 32 ? 32 : W + $clog2(COUNT)
) (
    input  logic               clk,
    input  logic [COUNT*W-1:0] values,
    output logic [SUM-1:0]     sum
);
  if (COUNT == 1) begin : g_root
    logic unused;
    assign unused = clk;
    assign sum = values;
  end else begin : g_level
    logic [HALF*NEXT-1:0] sums, held;

    for (genvar i = 0; i < HALF; i++) begin : g_pair
      if (2 * i + 1 < COUNT) begin : g_add
        adder #(.W(W), .S(NEXT), .FLOAT(FLOAT)) u_adder (
            .a(values[2*i*W +: W]), .b(values[(2*i+1)*W +: W]), .sum(sums[i*NEXT +: NEXT])
        );
      end else begin : g_pass
        assign sums[i*NEXT +: NEXT] = NEXT'($signed(values[2*i*W +: W]));
      end
    end
    always_ff @(posedge clk) held <= sums;
    adder_tree #(.COUNT(HALF), .W(NEXT), .FLOAT(FLOAT)) u_rest (.clk, .values(held), .sum);
  end
endmodule

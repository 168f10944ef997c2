// One processing element for fp4 with scales of blocks: as `dot_product`, one register more.
//
// S lanes share a scale of each operand. Their products are added up as integers, which is exact;
// the sum is multiplied with both scales, and from there on sums are fp32. The sum of a step with
// `in_last` in cycle s is at `out_value` in cycle s + 4 + ceil(log2 S) + ceil(log2(L / S)). Scales
// come with their values. L is a multiple of S.
module block_dot_product #(
    parameter int L    = 16,
    parameter int S    = 16,
    parameter int E4M3 = 1,  // scales: 1 E4M3 (NVFP4), 0 E8M0 (MXFP4)
    localparam int K   = L / S
) (
    input  logic           clk,
    input  logic           rst,
    input  logic           in_valid,
    input  logic           in_first,
    input  logic           in_last,
    input  logic [L*4-1:0] a,
    input  logic [L*4-1:0] b,
    input  logic [K*8-1:0] a_scale,
    input  logic [K*8-1:0] b_scale,
    output logic           out_valid,
    output logic [31:0]    out_value
);
  localparam int T = $clog2(S);
  localparam int W = 9 + T;                  // bits of the sum of a block
  localparam int D = T + $clog2(K) + 2;      // registers before the accumulator
  logic [K*32-1:0]  scaled, held_scaled;
  logic [31:0]      step_sum, total;
  logic [D:0]       valid, last;  // of the step in each register, up to the accumulator
  logic [D-1:0]     first;
  logic [(T+1)*K*16-1:0] scales;  // as long under way as the sums; the oldest are on top
  logic [K*16-1:0]       due;

  always_ff @(posedge clk) scales <= ((T + 1) * K * 16)'({scales, a_scale, b_scale});
  assign due = scales[T*K*16 +: K*16];

  for (genvar k = 0; k < K; k++) begin : g_block
    logic [S*9-1:0] products, held;
    logic [W-1:0]   sum;
    for (genvar l = 0; l < S; l++) begin : g_lane
      fp4_multiplier u_multiplier (
          .a(a[(k*S+l)*4 +: 4]), .b(b[(k*S+l)*4 +: 4]), .product(products[l*9 +: 9])
      );
    end
    always_ff @(posedge clk) held <= products;
    adder_tree #(.COUNT(S), .W(9)) u_tree (.clk, .values(held), .sum);
    block_scaler #(.W(W), .E4M3(E4M3)) u_scaler (
        .sum, .a_scale(due[(K+k)*8 +: 8]), .b_scale(due[k*8 +: 8]),
        .value(scaled[k*32 +: 32])
    );
  end
  always_ff @(posedge clk) held_scaled <= scaled;

  adder_tree #(.COUNT(K), .W(32), .FLOAT(1)) u_tree (.clk, .values(held_scaled), .sum(step_sum));
  accumulator #(.W(32), .FLOAT(1)) u_accumulator (
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

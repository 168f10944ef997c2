// A sum of quarters times the scales of its two blocks, as fp32, which holds it exactly up to 2^15.
//
// E4M3 = 1: scales are E4M3 without sign (NVFP4), subnormals count as what they are. E4M3 = 0:
// scales are powers of two, E8M0 (MXFP4); too small a result becomes zero, too large a one infinity.
// The codes of NaN are not supported. Combinational.
module block_scaler #(
    parameter int W    = 9,
    parameter int E4M3 = 1,
    localparam int P   = W + 8,  // bits of the magnitude, and of the significand of both scales
    localparam int Z   = $clog2(P)
) (
    input  logic [W-1:0] sum,
    input  logic [7:0]   a_scale,
    input  logic [7:0]   b_scale,
    output logic [31:0]  value
);
  logic [W-1:0]        magnitude;
  logic [7:0]          significand;  // of both scales, in 64ths
  logic signed [10:0]  scale, exponent;  // biases of scales taken out; biased as in fp32
  logic [P-1:0]        exact, normal;
  logic [Z-1:0]        zeros;
  logic                unused;

  if (E4M3 != 0) begin : g_scales
    // A subnormal scale has the exponent of the smallest normal ones, and no leading one.
    function automatic logic signed [10:0] exponent_of(input logic [3:0] field);
      exponent_of = field == 0 ? -11'sd6 : 11'(field) - 11'sd7;
    endfunction
    assign significand = {a_scale[6:3] != 0, a_scale[2:0]} * {b_scale[6:3] != 0, b_scale[2:0]};
    assign scale       = exponent_of(a_scale[6:3]) + exponent_of(b_scale[6:3]);
    assign unused      = a_scale[7] ^ b_scale[7] ^ normal[P-1];
  end else begin : g_scales
    assign significand = 8'd64;
    assign scale       = 11'(a_scale) + 11'(b_scale) - 11'sd254;
    assign unused      = normal[P-1];
  end

  assign magnitude = sum[W-1] ? -sum : sum;
  assign exact     = P'(magnitude) * P'(significand);

  // Shifts left until the first bit is one, and counts.
  always_comb begin
    normal = exact;
    for (int k = Z - 1; k >= 0; k--) begin
      zeros[k] = normal >> (P - 2**k) == 0;
      if (zeros[k]) normal = normal << 2**k;
    end
  end
  // The first bit of `exact` stands for 2^(P - 1 - 8), since it counts quarters of 64ths.
  assign exponent = scale + 11'(127 + P - 9) - 11'(zeros);

  always_comb begin
    value = {sum[W-1], 31'b0};
    if (exact != 0 && exponent >= 255) value = {sum[W-1], 8'hff, 23'b0};
    else if (exact != 0 && exponent > 0)
      value = {sum[W-1], exponent[7:0], 23'({normal[P-2:0], 23'b0} >> (P - 1))};
  end
endmodule

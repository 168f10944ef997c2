// Product of two bf16 numbers as fp32, which holds it exactly: 8 x 8 bits of significand make 16.
//
// Subnormal operands count as zero and a subnormal product becomes zero, with their sign; too large
// a product becomes infinity. Infinity and NaN as operands are not supported. Combinational.
module bf16_multiplier (
    input  logic [15:0] a,
    input  logic [15:0] b,
    output logic [31:0] product
);
  logic        sign, is_zero;
  logic [15:0] significand;  // 1.x * 1.y, in [1, 4)
  logic [22:0] fraction;
  logic [9:0]  exponent;     // biased and in two's complement, -125 ... 382

  assign sign        = a[15] ^ b[15];
  assign is_zero     = a[14:7] == 0 || b[14:7] == 0;
  assign significand = {1'b1, a[6:0]} * {1'b1, b[6:0]};
  assign fraction    = {significand[15] ? significand[14:0] : {significand[13:0], 1'b0}, 8'b0};
  assign exponent    = 10'(a[14:7]) + 10'(b[14:7]) - 10'd127 + 10'(significand[15]);
  assign product     = is_zero || exponent[9] || exponent == 0 ? {sign, 31'b0}
                     : exponent >= 255                         ? {sign, 8'hff, 23'b0}
                     :                                           {sign, exponent[7:0], fraction};
endmodule

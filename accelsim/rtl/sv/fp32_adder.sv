// Sum of two fp32 numbers, rounded to nearest, ties to even. Combinational.
//
// Subnormal operands count as zero and a subnormal sum becomes zero, with its sign; too large a sum
// becomes infinity, which then stays. NaN, and infinity minus infinity, are not supported.
module fp32_adder (
    input  logic [31:0] a,
    input  logic [31:0] b,
    output logic [31:0] sum
);
  logic [31:0] greater, lesser;  // by magnitude
  logic        subtract;
  logic [23:0] greater_bits, lesser_bits;  // significands with the leading one
  logic [26:0] aligned;                    // the lesser one, with two more bits and a sticky one
  logic [27:0] total, normal;
  logic [4:0]  zeros;                      // in front of the leading one of `total`
  logic [9:0]  exponent;                   // biased, and in two's complement
  logic [32:0] rounded;                    // exponent and fraction, so that a carry passes
  logic        round_up, is_zero, is_subnormal, is_infinite, unused_carry, unused_one;

  // Shifts right; the last bit tells whether a one was shifted out.
  function automatic logic [26:0] align(input logic [23:0] bits, input logic [7:0] distance);
    logic [25:0] rest;
    logic        sticky;
    rest   = {bits, 2'b00};
    sticky = 1'b0;
    for (int k = 0; k < 8; k++)
      if (distance[k]) begin
        sticky = sticky | ((rest & ~(~26'd0 << 2**k)) != 0);
        rest   = rest >> 2**k;
      end
    align = {rest, sticky};
  endfunction

  // Shifts left until the first bit is one, and counts.
  function automatic logic [32:0] normalise(input logic [27:0] bits);
    logic [27:0] rest;
    logic [4:0]  count;
    rest = bits;
    for (int k = 4; k >= 0; k--) begin
      count[k] = rest >> (28 - 2**k) == 0;
      if (count[k]) rest = rest << 2**k;
    end
    normalise = {rest, count};
  endfunction

  assign {greater, lesser} = a[30:0] < b[30:0] ? {b, a} : {a, b};
  assign subtract     = greater[31] ^ lesser[31];
  assign greater_bits = greater[30:23] == 0 ? '0 : {1'b1, greater[22:0]};
  assign lesser_bits  = lesser[30:23] == 0 ? '0 : {1'b1, lesser[22:0]};
  assign aligned      = align(lesser_bits, greater[30:23] - lesser[30:23]);

  // To subtract, invert and add one: as a carry from the last bit.
  assign {unused_carry, total, unused_one} =
      {2'b00, greater_bits, 3'b000, 1'b1} + ({30{subtract}} ^ {2'b00, aligned, 1'b0});

  assign {normal, zeros} = normalise(total);
  assign exponent = 10'(greater[30:23]) + 10'd1 - 10'(zeros);
  assign round_up = normal[3] && (normal[4] || normal[2:0] != 0);
  assign rounded  = {exponent, normal[26:4]} + 33'(round_up);

  assign is_zero      = !normal[27];
  assign is_subnormal = exponent[9] || exponent == 0;
  assign is_infinite  = greater[30:23] == 8'hff || rounded[32:23] >= 255;
  assign sum = is_zero || is_subnormal ? {greater[31] && !(is_zero && subtract), 31'b0}
             : is_infinite             ? {greater[31], 8'hff, 23'b0}
             :                           {greater[31], rounded[30:0]};
endmodule

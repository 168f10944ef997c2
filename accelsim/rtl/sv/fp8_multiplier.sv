// Product of two fp8 numbers (OCP E4M3) as fp32, which holds it exactly: 4 x 4 bits of significand
// make 8, and exponents of -18 ... 17 are far from the ends of fp32. Subnormal operands count as
// what they are. The codes of NaN are not supported. Combinational.
module fp8_multiplier (
    input  logic [7:0]  a,
    input  logic [7:0]  b,
    output logic [31:0] product
);
  logic [7:0] significand;  // x.xxx * y.yyy, times 64
  logic [7:0] normal;       // with its leading one in front
  logic [2:0] zeros;        // in front of it
  logic [7:0] exponent;     // biased
  logic       unused_one;

  // A subnormal number has the exponent of the smallest normal ones, and no leading one.
  function automatic logic [3:0] exponent_of(input logic [7:0] code);
    exponent_of = code[6:3] == 0 ? 4'd1 : code[6:3];
  endfunction

  // Shifts left until the first bit is one, and counts.
  function automatic logic [10:0] normalise(input logic [7:0] bits);
    logic [7:0] rest;
    logic [2:0] count;
    rest = bits;
    for (int k = 2; k >= 0; k--) begin
      count[k] = rest >> (8 - 2**k) == 0;
      if (count[k]) rest = rest << 2**k;
    end
    normalise = {rest, count};
  endfunction

  assign significand     = {a[6:3] != 0, a[2:0]} * {b[6:3] != 0, b[2:0]};
  assign {normal, zeros} = normalise(significand);
  // Biases: 7 of each operand, 127 of fp32; a leading one in bit 7 stands for 2.
  assign exponent = 8'(exponent_of(a)) + 8'(exponent_of(b)) + 8'd114 - 8'(zeros);
  assign unused_one = normal[7];
  assign product  = significand == 0 ? {a[7] ^ b[7], 31'b0}
                  : {a[7] ^ b[7], exponent, normal[6:0], 16'b0};
endmodule

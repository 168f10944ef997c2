// Product of two fp4 numbers (OCP E2M1) in quarters, two's complement, which holds it exactly:
// magnitudes 0, 1/2, 1, 3/2, 2, 3, 4 and 6 are 0 ... 12 halves. Combinational.
module fp4_multiplier (
    input  logic [3:0] a,
    input  logic [3:0] b,
    output logic [8:0] product
);
  logic [7:0] magnitude;

  // {leading one, fraction}, shifted by the exponent; 0 and 1/2 have that of 1, and no leading one.
  function automatic logic [3:0] halves(input logic [2:0] code);
    case (code[2:1])
      2'd0:    halves = {3'b0, code[0]};
      2'd1:    halves = {3'b1, code[0]};
      2'd2:    halves = {2'b1, code[0], 1'b0};
      default: halves = {1'b1, code[0], 2'b0};
    endcase
  endfunction

  assign magnitude = halves(a[2:0]) * halves(b[2:0]);
  assign product   = a[3] ^ b[3] ? -{1'b0, magnitude} : {1'b0, magnitude};
endmodule

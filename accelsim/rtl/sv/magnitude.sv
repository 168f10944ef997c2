// Magnitudes of COUNT values, as unsigned numbers of B - FLOAT bits. Combinational.
//
//   FLOAT = 0: two's complement. The most negative value (int8: -128) has magnitude 2^(B-1), which
//              is why a magnitude keeps all B bits.
//   FLOAT = 1: sign and magnitude, such as bf16: the bits below the sign order finite values as
//              they are, without logic.
module magnitude #(
    parameter int COUNT = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0
) (
    input  logic [COUNT*B-1:0]         values,
    output logic [COUNT*(B-FLOAT)-1:0] magnitudes
);
  localparam P = B - FLOAT;

  function automatic logic [COUNT*P-1:0] absolute(input logic [COUNT*B-1:0] from);
    for (int i = 0; i < COUNT; i++)
      absolute[i*P +: P] = FLOAT == 0 && from[i*B+B-1] ? -from[i*B +: P] : from[i*B +: P];
  endfunction

  assign magnitudes = absolute(values);
endmodule

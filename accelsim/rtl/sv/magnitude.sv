// Magnitudes of COUNT values, as unsigned numbers of B - FLOAT bits. Combinational.
//
//   FLOAT = 0: two's complement. The most negative value (int8: -128) has magnitude 2^(B-1), which
//              is why a magnitude keeps all B bits.
//   FLOAT = 1: sign and magnitude, such as bf16: the bits below the sign order finite values as
//              they are, without logic.
module magnitude #(
    parameter COUNT = 4,
    parameter B     = 8,
    parameter FLOAT = 0
) (
    input  logic [COUNT*B-1:0]         values,
    output logic [COUNT*(B-FLOAT)-1:0] magnitudes
);
  localparam P = B - FLOAT;

  always_comb begin
    for (int i = 0; i < COUNT; i++) begin
      magnitudes[i*P +: P] = values[i*B +: P];
      if (FLOAT == 0 && values[i*B + B-1]) magnitudes[i*P +: P] = -values[i*B +: P];
    end
  end
endmodule

// A B-bit register, with a load enable if ENABLE: the unit in which registers are counted.
module register #(
    parameter B      = 8,
    parameter ENABLE = 0
) (
    input  logic         clk,
    input  logic         enable,
    input  logic [B-1:0] d,
    output logic [B-1:0] q
);
  always_ff @(posedge clk) if (ENABLE == 0 || enable) q <= d;
endmodule

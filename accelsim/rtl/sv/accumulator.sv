// Adds a value to a 32-bit sum in every cycle with `in_valid`; `in_first` starts a new sum, from
// zero. Integers wrap. `total` includes a value in the cycle after it arrived.
module accumulator #(
    parameter int W     = 16,
    parameter int FLOAT = 0
) (
    input  logic         clk,
    input  logic         in_valid,
    input  logic         in_first,
    input  logic [W-1:0] value,
    output logic [31:0]  total
);
  logic [31:0] addend, sum;

  assign addend = 32'($signed(value));
  adder #(.W(32), .S(32), .FLOAT(FLOAT)) u_adder (
      .a(in_first ? 32'b0 : total), .b(addend), .sum
  );
  always_ff @(posedge clk) if (in_valid) total <= sum;
endmodule

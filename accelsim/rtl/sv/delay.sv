// A shift register: `out` is `in`, CYCLES cycles later. Reset clears it.
module delay #(
    parameter WIDTH  = 1,
    parameter CYCLES = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
  if (CYCLES == 0) begin : g_wire
    assign out = in;
    logic unused;
    assign unused = clk && rst;
  end else begin : g_registers
    logic [CYCLES*WIDTH-1:0] line;
    always_ff @(posedge clk) begin
      if (rst) line <= '0;
      else line <= (CYCLES * WIDTH)'({line, in});
    end
    assign out = line[(CYCLES-1)*WIDTH +: WIDTH];
  end
endmodule

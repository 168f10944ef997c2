// RANKS registers in a row for data that is valid or not; reset clears only the valid bits.
module pipe #(
    parameter int WIDTH = 8,
    parameter int RANKS = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             in_valid,
    input  logic [WIDTH-1:0] in_data,
    output logic             out_valid,
    output logic [WIDTH-1:0] out_data
);
  if (RANKS == 0) begin : g_wires
    logic unused;
    assign unused = clk & rst;
    assign out_valid = in_valid;
    assign out_data = in_data;
  end else begin : g_registers
    logic [RANKS-1:0] valid;
    logic [RANKS*WIDTH-1:0] data;  // the oldest is on top
    always_ff @(posedge clk) begin
      valid <= rst ? '0 : RANKS'({valid, in_valid});
      data <= (RANKS * WIDTH)'({data, in_data});
    end
    assign out_valid = valid[RANKS-1];
    assign out_data = data[(RANKS-1)*WIDTH +: WIDTH];
  end
endmodule

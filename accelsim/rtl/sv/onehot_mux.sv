// An AND-OR multiplexer: the value of the selected leg, or zero if none is selected. Combinational.
module onehot_mux #(
    parameter int LEGS = 2,
    parameter int B    = 8
) (
    input  logic [LEGS-1:0]   select,
    input  logic [LEGS*B-1:0] values,
    output logic [B-1:0]      value
);
  logic [B*LEGS-1:0] gated;  // bit b of all legs side by side

  for (genvar b = 0; b < B; b++) begin : g_bit
    for (genvar leg = 0; leg < LEGS; leg++) begin : g_leg
      assign gated[b*LEGS+leg] = select[leg] & values[leg*B+b];
    end
    assign value[b] = |gated[b*LEGS +: LEGS];
  end
endmodule

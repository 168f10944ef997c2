// Steps through the positions of a mask, lowest first: `position` is the first one that is set, one-
// hot, and `rest` what is left of the mask for the next cycle. Combinational.
module mask_stepper #(
    parameter int M = 8
) (
    input  logic [M-1:0] mask,
    output logic [M-1:0] position,
    output logic [M-1:0] rest
);
  function automatic logic [M-1:0] below(input logic [M-1:0] from);
    below = '0;
    for (int p = 1; p < M; p++) below[p] = below[p-1] | from[p-1];
  endfunction

  assign rest     = mask & below(mask);
  assign position = mask & ~below(mask);
endmodule

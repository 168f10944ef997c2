// Finds every kept value of a bitmask: `kept[i*D + d]` says that value i, counted from the
// lowest index, stands at position i + d, which means that d positions before it were dropped.
//
// Exactly N of M must be kept, so that d never exceeds M - N. Combinational.
module mask_decoder #(
    parameter int N = 2,
    parameter int M = 4,
    localparam int D = M - N + 1
) (
    input  logic [M-1:0]          mask,
    output logic [N*D-1:0] kept
);

  // A walk through the mask: a kept position leads from (i, d) to (i + 1, d), others to (i, d + 1).
  function automatic logic [N*D-1:0] walk(input logic [M-1:0] bits);
    logic [N*D-1:0] here;  // the first i + d positions hold i kept and d dropped ones
    here = '0;
    walk = '0;
    here[0] = 1'b1;
    for (int i = 0; i < N; i++)
      for (int d = 0; d < D; d++)
        if (i + d < M) begin
          walk[i*D+d] = here[i*D+d] & bits[i+d];
          if (i + 1 < N) here[(i+1)*D+d] = here[(i+1)*D+d] | walk[i*D+d];
          if (d + 1 < D) here[i*D+d+1] = here[i*D+d+1] | (here[i*D+d] & ~bits[i+d]);
        end
  endfunction

  assign kept = walk(mask);
endmodule

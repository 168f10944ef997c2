// The number of set flags. Combinational.
module popcount #(
    parameter int M = 4
) (
    input  logic [M-1:0]           flags,
    output logic [$clog2(M+1)-1:0] count
);
  localparam W = $clog2(M + 1);

  function automatic logic [W-1:0] sum(input logic [M-1:0] bits);
    sum = '0;
    for (int i = 0; i < M; i++) sum = sum + W'(bits[i]);
  endfunction

  assign count = sum(flags);
endmodule

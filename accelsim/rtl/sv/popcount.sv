// The number of set flags. Combinational.
module popcount #(
    parameter M = 4
) (
    input  logic [M-1:0]           flags,
    output logic [$clog2(M+1)-1:0] count
);
  localparam W = $clog2(M + 1);

  always_comb begin
    count = '0;
    for (int i = 0; i < M; i++) count = count + W'(flags[i]);
  end
endmodule

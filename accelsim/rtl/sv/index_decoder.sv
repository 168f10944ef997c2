// Indices to bitmask: bit i of `mask` is set if i is one of the N `indices`. Combinational.
//
// The indices must be distinct and in order. Then index j is one of j ... j+M-N, and is compared
// with those positions only.
module index_decoder #(
    parameter int N = 2,
    parameter int M = 4
) (
    input  logic [N*(M > 1 ? $clog2(M) : 1)-1:0] indices,
    output logic [M-1:0]                           mask
);
  localparam IDX = M > 1 ? $clog2(M) : 1;

  function automatic logic [M-1:0] decode(input logic [N*IDX-1:0] from);
    decode = '0;
    for (int j = 0; j < N; j++)
      for (int i = j; i <= j + M - N; i++) decode[i] = decode[i] | (from[j*IDX +: IDX] == IDX'(i));
  endfunction

  assign mask = decode(indices);
endmodule

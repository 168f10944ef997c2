// Indices to bitmask: bit i of `mask` is set if i is one of the N `indices`. Combinational.
//
// The indices must be distinct and in order. Then index j is one of j ... j+M-N, and is compared
// with those positions only.
module index_decoder #(
    parameter N = 2,
    parameter M = 4
) (
    input  logic [N*(M > 1 ? $clog2(M) : 1)-1:0] indices,
    output logic [M-1:0]                           mask
);
  localparam IDX = M > 1 ? $clog2(M) : 1;

  always_comb begin
    mask = '0;
    for (int i = 0; i < M; i++)
      for (int j = 0; j < N; j++)
        if (j <= i && i <= j + M - N) mask[i] = mask[i] | (indices[j*IDX +: IDX] == IDX'(i));
  end
endmodule

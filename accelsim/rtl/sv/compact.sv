// Moves the N kept values of a group of M together, in index order. Combinational.
//
// Exactly N bits of `mask` must be set. Then kept value j stands at one of the positions
// j ... j+M-N, so each output is an AND-OR of M-N+1 values instead of M.
module compact #(
    parameter N = 2,
    parameter M = 4,
    parameter B = 8
) (
    input  logic [M-1:0]   mask,
    input  logic [M*B-1:0] values,
    output logic [N*B-1:0] kept
);
  logic [N-1:0] next;  // one-hot: where the next kept value goes

  always_comb begin
    kept = '0;
    next = 1;
    for (int i = 0; i < M; i++) begin
      for (int j = 0; j < N; j++)
        if (j <= i && i <= j + M - N)
          kept[j*B +: B] = kept[j*B +: B] | ({B{mask[i] & next[j]}} & values[i*B +: B]);
      if (mask[i]) next = next << 1;
    end
  end
endmodule

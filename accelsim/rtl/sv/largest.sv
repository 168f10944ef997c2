// Flags the largest of M keys, one-hot; of equals, the one with the lowest index. Combinational.
//
// A tree of M-1 comparators: node k has the children 2k+1 (left) and 2k+2, and node 0 is the root.
// Keys go up, the flag of the winner comes down. The leaves are nodes M-1 ... 2M-2; key 0 is the
// leftmost leaf (node FIRST), key 1 the next to its right, so that left means lower index.
module largest #(
    parameter int M = 4,
    parameter int W = 8
) (
    input  logic [M*W-1:0] keys,
    output logic [M-1:0]   winner
);
  localparam FIRST = (1 << $clog2(M)) - 1;

  function automatic integer leaf(input integer i);
    leaf = FIRST + i < 2*M - 1 ? FIRST + i : FIRST + i - M;
  endfunction

  function automatic logic [M-1:0] find(input logic [M*W-1:0] from);
    logic [(2*M-1)*W-1:0] key;    // the largest below each node
    logic [2*M-2:0]       right;  // it comes from the right
    logic [2*M-2:0]       wins;
    for (int i = 0; i < M; i++) key[leaf(i)*W +: W] = from[i*W +: W];
    for (int k = M - 2; k >= 0; k--) begin
      right[k] = key[(2*k+2)*W +: W] > key[(2*k+1)*W +: W];
      key[k*W +: W] = right[k] ? key[(2*k+2)*W +: W] : key[(2*k+1)*W +: W];
    end
    wins[0] = 1'b1;
    for (int k = 0; k < M - 1; k++) begin
      wins[2*k+1] = wins[k] && !right[k];
      wins[2*k+2] = wins[k] && right[k];
    end
    for (int i = 0; i < M; i++) find[i] = wins[leaf(i)];
  endfunction

  assign winner = find(keys);
endmodule

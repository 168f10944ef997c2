// The crossbar of one group of two ranks, N:M within blocks and P:Q of blocks: every block closes up
// to its N values, then the P kept blocks close up, each level a window. Combinational.
//
// Ports: weight of position p of block q in column c at element (c*Q + q)*M + p of `weights`; kept
// value i of column c at element c*P*N + i of `operands`. A block of which no position is kept is
// dropped; of the others, exactly N must be, and there must be exactly P of them.
module crossbar_two_rank #(
    parameter int N = 2,
    parameter int M = 4,
    parameter int P = 4,
    parameter int Q = 8,
    parameter int B = 8,
    parameter int C = 1
) (
    input  logic [Q*M-1:0]     mask,
    input  logic [C*Q*M*B-1:0] weights,
    output logic [C*P*N*B-1:0] operands
);
  logic [Q-1:0]       kept_blocks;
  logic [C*Q*N*B-1:0] closed;  // the N values of every block

  for (genvar q = 0; q < Q; q++) begin : g_block
    logic [C*M*B-1:0] block;
    logic [C*N*B-1:0] kept;

    assign kept_blocks[q] = |mask[q*M +: M];
    for (genvar c = 0; c < C; c++) begin : g_column
      assign block[c*M*B +: M*B] = weights[(c*Q+q)*M*B +: M*B];
      assign closed[(c*Q+q)*N*B +: N*B] = kept[c*N*B +: N*B];
    end
    crossbar_window #(.N(N), .M(M), .B(B), .L(N), .C(C)) u_within (
        .mask(mask[q*M +: M]), .substep(1'b0), .weights(block), .operands(kept)
    );
  end

  crossbar_window #(.N(P), .M(Q), .B(N*B), .L(P), .C(C)) u_between (
      .mask(kept_blocks), .substep(1'b0), .weights(closed), .operands
  );
endmodule

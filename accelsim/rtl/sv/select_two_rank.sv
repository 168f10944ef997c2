// Selects by two ranks: the N largest magnitudes of M in each of Q blocks, then the P blocks with the
// largest sums of what was kept; of equals, the lower index. Integers only.
//
//   out_mask   bit q*M + i: position i of block q was kept
//   out_kept   the P*N kept values, in index order
//
// Timing: takes a group every cycle, which is out four cycles later: ranks in blocks; blocks close up
// and are added up; ranks of blocks; kept blocks close up.
module select_two_rank #(
    parameter int N = 2,
    parameter int M = 4,
    parameter int P = 4,
    parameter int Q = 8,
    parameter int B = 8
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             in_valid,
    input  logic [Q*M*B-1:0] in_values,
    output logic             out_valid,
    output logic [Q*M-1:0]   out_mask,
    output logic [P*N*B-1:0] out_kept
);
  localparam int S = B + (N > 1 ? $clog2(N) : 0);

  logic [Q-1:0]       ranked;  // all blocks are at once
  logic [Q*M-1:0]     inner, closed_mask, chosen_mask;
  logic [Q*N*B-1:0]   close, closed, chosen_values;
  logic [Q*S-1:0]     sums, closed_sums;
  logic [Q*(S+1)-1:0] keys, unused_keys;
  logic [Q-1:0]       chosen;
  logic [P*N*B-1:0]   kept;
  logic               closed_valid, chosen_valid, unused_valid;
  logic [Q:0]         unused_ready;

  for (genvar q = 0; q < Q; q++) begin : g_block
    logic [M*B-1:0] values;
    select_rank #(.N(N), .M(M), .B(B)) u_rank (
        .clk, .rst, .in_valid, .in_ready(unused_ready[q]), .in_values(in_values[q*M*B +: M*B]),
        .out_valid(ranked[q]), .out_mask(inner[q*M +: M]), .out_values(values)
    );
    compact #(.N(N), .M(M), .B(B)) u_close (
        .mask(inner[q*M +: M]), .values, .kept(close[q*N*B +: N*B])
    );
    magnitude_sum #(.N(N), .B(B)) u_sum (
        .values(close[q*N*B +: N*B]), .sum(sums[q*S +: S])
    );
    assign keys[q*(S+1) +: S+1] = {1'b0, closed_sums[q*S +: S]};
  end
  pipe #(.WIDTH(Q*(M + N*B + S))) u_closed (
      .clk, .rst, .in_valid(ranked[0]), .in_data({inner, close, sums}),
      .out_valid(closed_valid), .out_data({closed_mask, closed, closed_sums})
  );

  // Ranked as floats: a sum has no sign.
  select_rank #(.N(P), .M(Q), .B(S+1), .FLOAT(1)) u_blocks (
      .clk, .rst, .in_valid(closed_valid), .in_ready(unused_ready[Q]), .in_values(keys),
      .out_valid(unused_valid), .out_mask(chosen), .out_values(unused_keys)
  );
  pipe #(.WIDTH(Q*(M + N*B))) u_chosen (
      .clk, .rst, .in_valid(closed_valid), .in_data({closed_mask, closed}),
      .out_valid(chosen_valid), .out_data({chosen_mask, chosen_values})
  );

  compact #(.N(P), .M(Q), .B(N*B)) u_compact (.mask(chosen), .values(chosen_values), .kept);
  logic [Q*M-1:0] mask;
  for (genvar q = 0; q < Q; q++) begin : g_mask
    assign mask[q*M +: M] = chosen_mask[q*M +: M] & {M{chosen[q]}};
  end
  pipe #(.WIDTH(Q*M + P*N*B)) u_output (
      .clk, .rst, .in_valid(chosen_valid), .in_data({mask, kept}),
      .out_valid, .out_data({out_mask, out_kept})
  );
endmodule

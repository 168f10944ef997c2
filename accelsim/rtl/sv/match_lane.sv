// A lane of an inner join: multiplies what a group of X and a group of W have in common, one pair a
// cycle; a group without any takes a cycle, too.
//
// The groups of a round stand in registers outside, shared by a row (X) or a column (W) of the
// array: N kept values and their mask, S stored ones and theirs, in index order. `load` begins a
// round of `groups`, at least one; in the cycle after it the first pair is found, and stands at the
// outputs in the next one. `done` says that no group is left.
module match_lane #(
    parameter int N   = 2,  // values of X in a group
    parameter int S   = 2,  // values of W in a group
    parameter int M   = 4,  // positions of a group
    parameter int B   = 8,
    parameter int Q   = 1,  // groups of a round, at most
    localparam int QW = $clog2(Q + 1),
    localparam int CW = $clog2(M + 1)
) (
    input  logic             clk,
    input  logic             load,
    input  logic [QW-1:0]    groups,
    input  logic [Q*M-1:0]   x_masks,
    input  logic [Q*N*B-1:0] x_values,
    input  logic [Q*M-1:0]   w_masks,
    input  logic [Q*S*B-1:0] w_values,
    output logic [B-1:0]     x,
    output logic [B-1:0]     w,
    output logic             valid,
    output logic             done
);
  logic [QW-1:0] left;    // groups that are not finished
  logic [Q-1:0]  place;   // the current one of them
  logic [M-1:0]  taken;   // its positions up to the last match
  logic [M-1:0]  x_mask, w_mask, both, first, rest, below;
  logic [CW-1:0] x_count, w_count;

  onehot_mux #(.LEGS(Q), .B(M)) u_x_mask (.select(place), .values(x_masks), .value(x_mask));
  onehot_mux #(.LEGS(Q), .B(M)) u_w_mask (.select(place), .values(w_masks), .value(w_mask));

  assign both  = x_mask & w_mask & ~taken;
  assign first = both & (~both + 1'b1);
  assign rest  = both & ~first;
  assign below = first - 1'b1;  // all, where nothing is in common: the operands are not valid then
  assign done  = left == '0;

  popcount #(.M(M)) u_x_count (.flags(x_mask & below), .count(x_count));
  popcount #(.M(M)) u_w_count (.flags(w_mask & below), .count(w_count));

  // A value is picked by its group and its place among the kept ones.
  logic [Q*N-1:0] x_select;
  logic [Q*S-1:0] w_select;
  logic [B-1:0]   x_next, w_next;

  for (genvar q = 0; q < Q; q++) begin : g_group
    for (genvar i = 0; i < N; i++) begin : g_x
      assign x_select[q*N+i] = place[q] && x_count == CW'(i);
    end
    for (genvar i = 0; i < S; i++) begin : g_w
      assign w_select[q*S+i] = place[q] && w_count == CW'(i);
    end
  end
  onehot_mux #(.LEGS(Q*N), .B(B)) u_x (.select(x_select), .values(x_values), .value(x_next));
  onehot_mux #(.LEGS(Q*S), .B(B)) u_w (.select(w_select), .values(w_values), .value(w_next));

  always_ff @(posedge clk) begin
    x     <= x_next;
    w     <= w_next;
    valid <= !done && both != '0;
    if (load) begin
      left  <= groups;
      place <= Q'(1);
      taken <= '0;
    end else if (!done) begin
      taken <= rest == '0 ? '0 : below | first;
      if (rest == '0) begin
        left  <= left - 1'b1;
        place <= place << 1;
      end
    end
  end
endmodule

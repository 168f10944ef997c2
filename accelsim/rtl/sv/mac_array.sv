// R rows (tokens) x C columns (outputs) of dot-product units of L lanes, with the operand crossbar
// of each row in front. One step a cycle; a step marked `in_last` ends a block of R x C sums, which
// is at `out_values` in the cycle STAGES + 3 + ceil(log2 L) cycles after the step.
module mac_array #(
    parameter CROSSBAR = 0,  // 0 full, 1 window, 2 logshift, 3 hierarchical
    parameter STAGES   = 1,  // registers behind the crossbar
    parameter R        = 2,
    parameter C        = 2,
    parameter L        = 4,
    parameter N        = 2,
    parameter M        = 4,
    parameter B        = 8,
    parameter FLOAT    = 0,
    localparam G       = L > N ? L / N : 1,        // groups a step
    localparam SUB     = (N + L - 1) / L,          // steps a group
    localparam SUBW    = SUB > 1 ? $clog2(SUB) : 1
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               in_valid,
    input  logic               in_first,
    input  logic               in_last,
    input  logic [SUBW-1:0]    in_substep,
    input  logic [R*G*N*B-1:0] in_kept,     // kept values, in index order
    input  logic [R*G*M-1:0]   in_mask,
    input  logic [C*G*M*B-1:0] in_weights,
    output logic               out_valid,
    output logic [R*C*32-1:0]  out_values
);
  logic valid, first, last;
  logic [R*C-1:0] valids;

  delay #(.WIDTH(3), .CYCLES(STAGES)) u_control (
      .clk, .rst, .in({in_valid, in_first, in_last}), .out({valid, first, last})
  );
  assign out_valid = valids[0];

  for (genvar r = 0; r < R; r++) begin : g_row
    logic [L*B-1:0]   lanes, activations;
    logic [C*L*B-1:0] operands;

    lane_map #(.N(N), .B(B), .L(L), .C(1)) u_lanes (
        .substep(in_substep), .kept(in_kept[r*G*N*B +: G*N*B]), .operands(lanes)
    );
    delay #(.WIDTH(L * B), .CYCLES(STAGES)) u_activations (.clk, .rst, .in(lanes), .out(activations));
    crossbar #(.KIND(CROSSBAR), .N(N), .M(M), .B(B), .L(L), .C(C), .STAGES(STAGES)) u_crossbar (
        .clk, .mask(in_mask[r*G*M +: G*M]), .substep(in_substep), .weights(in_weights), .operands
    );
    for (genvar c = 0; c < C; c++) begin : g_column
      dot_product #(.L(L), .B(B), .FLOAT(FLOAT)) u_dot (
          .clk, .rst, .in_valid(valid), .in_first(first), .in_last(last),
          .a(activations), .b(operands[c*L*B +: L*B]),
          .out_valid(valids[r*C+c]), .out_value(out_values[(r*C+c)*32 +: 32])
      );
    end
  end
endmodule

// The operand crossbar of one row: brings to each of L lanes, in each of C columns, the weight that
// belongs to the kept value the lane holds. STAGES ranks of registers follow (0: combinational).
//
// Ports, for G groups of M a step: weight of position p of group g in column c at element
// (c*G + g)*M + p of `weights`; lane l of column c at element c*L + l of `operands`. `substep`
// counts the steps of a group that keeps more values than there are lanes; else it is ignored.
module crossbar #(
    parameter int KIND   = 0,  // 0 full, 1 window, 2 logshift, 3 hierarchical
    parameter int N      = 2,
    parameter int M      = 4,
    parameter int B      = 8,
    parameter int L      = 2,
    parameter int C      = 1,
    parameter int STAGES = 1,
    localparam int G     = L > N ? L / N : 1,  // groups a step
    localparam int SUB   = (N + L - 1) / L,    // substeps of a group
    localparam int SUBW  = SUB > 1 ? $clog2(SUB) : 1
) (
    input  logic               clk,
    input  logic [G*M-1:0]     mask,
    input  logic [SUBW-1:0]    substep,
    input  logic [C*G*M*B-1:0] weights,
    output logic [C*L*B-1:0]   operands
);
  localparam int WIDTH = C * L * B;
  logic [WIDTH-1:0] routed;

  if (KIND == 0) begin : g_kind
    localparam int IDX = M > 1 ? $clog2(M) : 1;
    logic [G*N*IDX-1:0] indices;
    for (genvar g = 0; g < G; g++) begin : g_group
      index_encoder #(.N(N), .M(M)) u_encoder (
          .mask(mask[g*M +: M]), .indices(indices[g*N*IDX +: N*IDX])
      );
    end
    crossbar_full #(.N(N), .M(M), .B(B), .L(L), .C(C)) u_crossbar (
        .indices, .substep, .weights, .operands(routed)
    );
  end else if (KIND == 1) begin : g_kind
    crossbar_window #(.N(N), .M(M), .B(B), .L(L), .C(C)) u_crossbar (
        .mask, .substep, .weights, .operands(routed)
    );
  end else if (KIND == 2) begin : g_kind
    crossbar_logshift #(.N(N), .M(M), .B(B), .L(L), .C(C)) u_crossbar (
        .mask, .substep, .weights, .operands(routed)
    );
  end else begin : g_kind
    crossbar_hierarchical #(.N(N), .M(M), .B(B), .L(L), .C(C)) u_crossbar (
        .mask, .substep, .weights, .operands(routed)
    );
  end

  if (STAGES == 0) begin : g_wire
    assign operands = routed;
  end else begin : g_registers
    logic [STAGES*WIDTH-1:0] line;
    always_ff @(posedge clk) line <= (STAGES * WIDTH)'({line, routed});
    assign operands = line[(STAGES-1)*WIDTH +: WIDTH];
  end
endmodule

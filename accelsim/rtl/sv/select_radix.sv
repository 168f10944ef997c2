// Selects the N largest magnitudes of M bit plane by bit plane, most significant first. Equals left
// after the last plane are settled by index, behind the last register.
//
// Timing, with P = B - FLOAT planes:
//   PIPELINED = 1: takes a group every cycle; one plane a stage, mask and values out P cycles later.
//   PIPELINED = 0: a group is stored in cycle t, its planes follow in t+1 ... t+P*STEP_CYCLES, mask
//                  and values are out in the cycle after, in which the next group may be stored.
module select_radix #(
    parameter int N           = 2,
    parameter int M           = 4,
    parameter int B           = 8,
    parameter int FLOAT       = 0,
    parameter int PIPELINED   = 0,
    parameter int STEP_CYCLES = 1
) (
    input  logic           clk,
    input  logic           rst,
    input  logic           in_valid,
    output logic           in_ready,
    input  logic [M*B-1:0] in_values,
    output logic           out_valid,
    output logic [M-1:0]   out_mask,
    output logic [M*B-1:0] out_values
);
  localparam P = B - FLOAT;
  localparam R = $clog2(N + 1);
  localparam S = 2*M + R;  // state: sure, candidates, room
  localparam [R-1:0] ROOM  = R'(N);
  localparam [S-1:0] START = {{M{1'b0}}, {M{1'b1}}, ROOM};

  logic [M-1:0] sure, candidates, chosen;  // after the last plane
  logic [R-1:0] room;

  first_flags #(.N(N), .M(M)) u_settle (.flags(candidates), .room, .first(chosen));
  assign out_mask = sure | chosen;

  if (PIPELINED != 0) begin : g_pipelined
    assign in_ready = 1'b1;

    // What is known after s planes.
    for (genvar s = 0; s <= P; s++) begin : g_after
      logic           valid;
      logic [S-1:0]   state;
      logic [M*B-1:0] values;

      if (s == 0) begin : g_none
        assign {valid, state, values} = {in_valid, START, in_values};
      end else begin : g_stage
        logic [S-1:0] next_state;
        localparam [P-1:0] PLANE = 1 << (P-s);
        radix_plane #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_plane (
            .plane(PLANE), .values(g_after[s-1].values), .state(g_after[s-1].state), .next_state
        );
        pipe #(.WIDTH(S + M*B)) u_pipe (
            .clk, .rst, .in_valid(g_after[s-1].valid), .in_data({next_state, g_after[s-1].values}),
            .out_valid(valid), .out_data({state, values})
        );
      end
    end

    assign out_valid = g_after[P].valid;
    assign {sure, candidates, room} = g_after[P].state;
    assign out_values = g_after[P].values;
  end else begin : g_iterative
    logic         take, step_ends;
    logic [P-1:0] plane;
    logic [S-1:0] next_state;

    sequencer #(.STEPS(P), .STEP_CYCLES(STEP_CYCLES)) u_sequencer (
        .clk, .rst, .in_valid, .in_ready, .take, .step(plane), .step_ends, .out_valid
    );
    radix_plane #(.N(N), .M(M), .B(B), .FLOAT(FLOAT)) u_plane (
        .plane, .values(out_values), .state({sure, candidates, room}), .next_state
    );
    always_ff @(posedge clk) begin
      if (take) {sure, candidates, room} <= START;
      else if (step_ends) {sure, candidates, room} <= next_state;
      if (take) out_values <= in_values;
    end
  end
endmodule

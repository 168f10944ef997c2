// Selects the N largest magnitudes of M one after the other: each step takes the largest that is
// left (of equals, the lowest index), as the cascaded maxima of S2TA do.
//
// Timing:
//   PIPELINED = 1: takes a group every cycle; one maximum a stage, mask and values out N cycles later.
//   PIPELINED = 0: a group is stored in cycle t, its steps follow in t+1 ... t+N*STEP_CYCLES, mask
//                  and values are out in the cycle after, in which the next group may be stored.
module select_cascade #(
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
  if (PIPELINED != 0) begin : g_pipelined
    assign in_ready = 1'b1;

    // What is known after s maxima.
    for (genvar s = 0; s <= N; s++) begin : g_after
      logic           valid;
      logic [M-1:0]   mask;
      logic [M*B-1:0] values;

      if (s == 0) begin : g_none
        assign {valid, mask, values} = {in_valid, {M{1'b0}}, in_values};
      end else begin : g_stage
        logic [M-1:0] next_mask;
        cascade_step #(.M(M), .B(B), .FLOAT(FLOAT)) u_step (
            .values(g_after[s-1].values), .mask(g_after[s-1].mask), .next_mask
        );
        pipe #(.WIDTH(M + M*B)) u_pipe (
            .clk, .rst, .in_valid(g_after[s-1].valid), .in_data({next_mask, g_after[s-1].values}),
            .out_valid(valid), .out_data({mask, values})
        );
      end
    end

    assign out_valid = g_after[N].valid;
    assign out_mask = g_after[N].mask;
    assign out_values = g_after[N].values;
  end else begin : g_iterative
    logic         take, step_ends;
    logic [N-1:0] unused_step;
    logic [M-1:0] next_mask;

    sequencer #(.STEPS(N), .STEP_CYCLES(STEP_CYCLES)) u_sequencer (
        .clk, .rst, .in_valid, .in_ready, .take, .step(unused_step), .step_ends, .out_valid
    );
    cascade_step #(.M(M), .B(B), .FLOAT(FLOAT)) u_step (
        .values(out_values), .mask(out_mask), .next_mask
    );
    always_ff @(posedge clk) begin
      if (take) out_mask <= '0;
      else if (step_ends) out_mask <= next_mask;
      if (take) out_values <= in_values;
    end
  end
endmodule

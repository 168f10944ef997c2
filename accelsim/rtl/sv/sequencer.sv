// Control of an iterative selector: takes a group, then does STEPS steps of STEP_CYCLES cycles.
//
// Timing: a group taken in cycle t (`take`) has its steps in cycles t+1 ... t+STEPS*STEP_CYCLES; its
// result stands in the cycle after (`out_valid`), in which the next group may already be taken.
//
//   step       one-hot, STEPS-1 first and 0 last; all zero when no group is in work
//   step_ends  the step may store its result; means nothing when no group is in work
module sequencer #(
    parameter int STEPS       = 8,
    parameter int STEP_CYCLES = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             in_valid,
    output logic             in_ready,
    output logic             take,
    output logic [STEPS-1:0] step,
    output logic             step_ends,
    output logic             out_valid
);
  assign in_ready = step == '0;
  assign take = in_valid && in_ready;

  // A token wanders through the steps, and out.
  always_ff @(posedge clk) begin
    if (rst) {step, out_valid} <= '0;
    else if (take || step_ends) {step, out_valid} <= {take, step};
    else out_valid <= 1'b0;
  end

  if (STEP_CYCLES == 1) begin : g_single
    assign step_ends = 1'b1;
  end else begin : g_multiple
    localparam W = $clog2(STEP_CYCLES);
    logic [W-1:0] cycles_left;
    assign step_ends = cycles_left == '0;
    always_ff @(posedge clk)
      cycles_left <= take || step_ends ? W'(STEP_CYCLES - 1) : cycles_left - 1'b1;
  end
endmodule

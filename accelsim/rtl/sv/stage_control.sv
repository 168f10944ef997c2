// Decides, cycle by cycle, whether a stage of the pipeline serves a job, and charges the cycle to
// one cause. The rules are those of the simulator's engines: a job starts in the first cycle in
// which its inputs are there (else the stage is starved) and the slot that it fills is free (else
// blocked); from then on the stage is busy until `last`. Without a job left it is idle.
module stage_control (
    input  logic        clk,
    input  logic        rst,
    input  logic        job_valid,     // a job is left; its description is at the stage's port
    input  logic        inputs_ready,  // looked at before a job starts, not after
    input  logic        room_ready,
    input  logic        last,          // if active, this cycle completes the job
    output logic        starting,
    output logic        active,
    output logic        done,          // the job ends with this cycle
    output logic [31:0] busy_cycles,
    output logic [31:0] starved_cycles,
    output logic [31:0] blocked_cycles
);
  logic in_job;

  assign starting = job_valid && !in_job && inputs_ready && room_ready;
  assign active   = in_job || starting;
  assign done     = active && last;

  always_ff @(posedge clk) begin
    if (rst) begin
      in_job         <= 1'b0;
      busy_cycles    <= '0;
      starved_cycles <= '0;
      blocked_cycles <= '0;
    end else begin
      in_job <= active && !last;
      if (active) busy_cycles <= busy_cycles + 1;
      else if (job_valid && !inputs_ready) starved_cycles <= starved_cycles + 1;
      else if (job_valid) blocked_cycles <= blocked_cycles + 1;
    end
  end
endmodule

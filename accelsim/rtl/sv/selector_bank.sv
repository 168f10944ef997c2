// INSTANCES selectors side by side. A beat of that many groups enters every CYCLES_PER_GROUP
// cycles: `beat_done` marks the last cycle of a beat, in which the next one may be prepared.
// Results of a beat come out together, in order, after the latency of the kind.
module selector_bank #(
    parameter KIND        = 0,  // 0 rank, 1 bitonic, 2 radix, 3 cascade
    parameter INSTANCES   = 1,
    parameter N           = 2,
    parameter M           = 4,
    parameter B           = 8,
    parameter FLOAT       = 0,
    parameter PIPELINED   = 0,
    parameter STEP_CYCLES = 1,
    parameter EXTRA       = 0
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       in_valid,   // held, with the values, until beat_done
    input  logic [INSTANCES*M*B-1:0]   in_values,
    output logic                       beat_done,
    output logic                       out_valid,
    output logic [INSTANCES*M-1:0]     out_mask,
    output logic [INSTANCES*N*B-1:0]   out_kept
);
  localparam PLANES = FLOAT ? B - 1 : B;
  localparam STEPS  = KIND == 2 ? PLANES : N;
  localparam IS_ITERATIVE = KIND >= 2 && PIPELINED == 0;
  localparam CYCLES_PER_GROUP = IS_ITERATIVE ? STEPS * STEP_CYCLES + 1 : 1;

  logic [15:0] phase;
  logic [INSTANCES-1:0] ready;
  logic [INSTANCES-1:0] valid;

  assign beat_done = in_valid && phase == CYCLES_PER_GROUP - 1;
  assign out_valid = valid[0];

  always_ff @(posedge clk) begin
    if (rst || beat_done) phase <= '0;
    else if (in_valid) phase <= phase + 1;
  end
`ifdef SIMULATION
  always @(posedge clk)
    if (!rst && in_valid && phase == 0 && !(&ready)) $fatal(1, "a selector is not ready for a beat");
`endif

  for (genvar i = 0; i < INSTANCES; i++) begin : g_selector
    selector #(
        .KIND(KIND), .N(N), .M(M), .B(B), .FLOAT(FLOAT), .PIPELINED(PIPELINED),
        .STEP_CYCLES(STEP_CYCLES), .EXTRA(EXTRA)
    ) u_selector (
        .clk, .rst,
        .in_valid(in_valid && phase == 0), .in_ready(ready[i]), .in_values(in_values[i*M*B +: M*B]),
        .out_valid(valid[i]), .out_mask(out_mask[i*M +: M]), .out_kept(out_kept[i*N*B +: N*B])
    );
  end
endmodule

// Drives tile_pipeline from the files of a folder, and writes down what it did and when.
//
// Reads  load.hex fetch.hex select.hex compute.hex store.hex        job lists
//        activations.hex weights.hex                                 beats of the input streams
//        activation_gaps.hex weight_gaps.hex output_gaps.hex         cycles that the source (sink)
//                                                                    stalls before each beat
// Writes events.log, a line an event; cycle 0 is the first one out of reset:
//        start|done STAGE CYCLE; kept CYCLE MASKS VALUES; output CYCLE DATA;
//        counters STAGE BUSY STARVED BLOCKED; cycles TOTAL
`timescale 1ns / 1ns
module testbench;
  parameter SELECTOR = 0, PIPELINED = 0, STEP_CYCLES = 1, EXTRA = 0, INSTANCES = 1;
  parameter CROSSBAR = 0, STAGES = 1, INDEX_FORMAT = 0;
  parameter N = 2, M = 4, B = 8, FLOAT = 0, R = 2, C = 2, L = 4, LOAD = 1;
  parameter ACTIVATION_SLOTS = 2, WEIGHT_SLOTS = 2, KEPT_SLOTS = 2, OUTPUT_SLOTS = 2;
  parameter TILE_GROUPS = 16, TILE_WEIGHTS = 16, TILE_BLOCKS = 4;
  parameter LOADS = 1, FETCHES = 1, SELECTS = 1, COMPUTES = 1, STORES = 1;
  parameter LOAD_BEATS = 1, FETCH_BEATS = 1, STORE_BEATS = 1;
  parameter LIMIT = 100000;  // cycles after which a hang is reported

  logic clk = 1'b0, rst = 1'b1;
  always #1 clk = !clk;
  initial begin
    #4 rst = 1'b0;
  end

  logic [15:0]  load_jobs    [0:LOADS-1];
  logic [15:0]  fetch_jobs   [0:FETCHES-1];
  logic [47:0]  select_jobs  [0:SELECTS-1];
  logic [159:0] compute_jobs [0:COMPUTES-1];
  logic [15:0]  store_jobs   [0:STORES-1];
  logic [LOAD*M*B-1:0] activations [0:LOAD_BEATS-1];
  logic [C*M*B-1:0]    weights     [0:FETCH_BEATS-1];
  logic [15:0] activation_gaps [0:LOAD_BEATS-1];
  logic [15:0] weight_gaps     [0:FETCH_BEATS-1];
  logic [15:0] output_gaps     [0:STORE_BEATS-1];
  integer log;
  initial begin
    $readmemh("load.hex", load_jobs);
    $readmemh("fetch.hex", fetch_jobs);
    $readmemh("select.hex", select_jobs);
    $readmemh("compute.hex", compute_jobs);
    $readmemh("store.hex", store_jobs);
    $readmemh("activations.hex", activations);
    $readmemh("weights.hex", weights);
    $readmemh("activation_gaps.hex", activation_gaps);
    $readmemh("weight_gaps.hex", weight_gaps);
    $readmemh("output_gaps.hex", output_gaps);
    log = $fopen("events.log", "w");
  end

  // Positions in the lists and streams, and what is left of the stall before the next beat.
  integer load = 0, fetch = 0, select = 0, compute = 0, store = 0;
  integer load_beat = 0, fetch_beat = 0, store_beat = 0;
  integer load_gap = 0, fetch_gap = 0, store_gap = 0;
  integer cycle = 0;

  logic [4:0] job_valid, job_done, job_start;
  logic activation_ready, weight_ready, output_valid;
  logic [R*C*32-1:0] output_data;
  logic [159:0] busy_cycles, starved_cycles, blocked_cycles;
  wire activation_valid = load_gap == 32'(activation_gaps[load_beat]);
  wire weight_valid     = fetch_gap == 32'(weight_gaps[fetch_beat]);
  wire output_ready     = store_gap == 32'(output_gaps[store_beat]);

  assign job_valid = {store < STORES, compute < COMPUTES, select < SELECTS, fetch < FETCHES,
                      load < LOADS};

  tile_pipeline #(
      .SELECTOR(SELECTOR), .PIPELINED(PIPELINED), .STEP_CYCLES(STEP_CYCLES), .EXTRA(EXTRA),
      .INSTANCES(INSTANCES), .CROSSBAR(CROSSBAR), .STAGES(STAGES), .INDEX_FORMAT(INDEX_FORMAT),
      .N(N), .M(M), .B(B), .FLOAT(FLOAT), .R(R), .C(C), .L(L), .LOAD(LOAD),
      .ACTIVATION_SLOTS(ACTIVATION_SLOTS), .WEIGHT_SLOTS(WEIGHT_SLOTS), .KEPT_SLOTS(KEPT_SLOTS),
      .OUTPUT_SLOTS(OUTPUT_SLOTS), .TILE_GROUPS(TILE_GROUPS), .TILE_WEIGHTS(TILE_WEIGHTS),
      .TILE_BLOCKS(TILE_BLOCKS)
  ) dut (
      .clk, .rst, .job_valid, .job_done, .load_job(load_jobs[load]), .fetch_job(fetch_jobs[fetch]),
      .select_job(select_jobs[select]), .compute_job(compute_jobs[compute]),
      .store_job(store_jobs[store]), .activation_valid, .activation_ready,
      .activation_data(activations[load_beat]), .weight_valid, .weight_ready,
      .weight_data(weights[fetch_beat]), .output_valid, .output_ready, .output_data, .job_start,
      .busy_cycles, .starved_cycles, .blocked_cycles
  );

  always @(posedge clk) if (!rst) begin
    cycle <= cycle + 1;
    load <= load + 32'(job_done[0]);
    fetch <= fetch + 32'(job_done[1]);
    select <= select + 32'(job_done[2]);
    compute <= compute + 32'(job_done[3]);
    store <= store + 32'(job_done[4]);
    if (activation_ready) begin  // a stalled source makes the stage, not the calendar, wait
      load_gap <= activation_valid ? 0 : load_gap + 1;
      if (activation_valid) load_beat <= load_beat + 1;
    end
    if (weight_ready) begin
      fetch_gap <= weight_valid ? 0 : fetch_gap + 1;
      if (weight_valid) fetch_beat <= fetch_beat + 1;
    end
    if (output_valid) begin
      store_gap <= output_ready ? 0 : store_gap + 1;
      if (output_ready) store_beat <= store_beat + 1;
    end

    for (int s = 0; s < 5; s++) begin
      if (job_start[s]) $fwrite(log, "start %0d %0d\n", s, cycle);
      if (job_done[s]) $fwrite(log, "done %0d %0d\n", s, cycle + 1);
    end
    if (dut.kept_valid) $fwrite(log, "kept %0d %h %h\n", cycle, dut.kept_mask, dut.kept_values);
    if (output_valid && output_ready) $fwrite(log, "output %0d %h\n", cycle, output_data);
    if (store == STORES) begin
      for (int s = 0; s < 5; s++)
        $fwrite(log, "counters %0d %0d %0d %0d\n", s, busy_cycles[32*s +: 32],
                starved_cycles[32*s +: 32], blocked_cycles[32*s +: 32]);
      $fwrite(log, "cycles %0d\n", cycle);
      $fclose(log);
      $finish;
    end
    if (cycle == LIMIT) $fatal(1, "no end in sight after %0d cycles", cycle);
  end
endmodule

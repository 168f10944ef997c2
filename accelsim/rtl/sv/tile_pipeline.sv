// The sparse tensor core, tile by tile:
//
//   activations ─► [activation slots] ─► selector bank ─► [kept slots] ─┐
//   weights ─────► [weight slots] ──────────────────────► crossbar ─► MAC array ─► [output slots] ─►
//
// Five stages work at once, each on its own list of jobs; brackets are buffers of whole tiles
// (behavioural: in silicon they are SRAM macros). A stage starts a job when its input tiles are
// complete and the slot that it fills is free, and gives a slot back when the last job that reads
// it ends. Streams in and out are valid/ready: a stalled source or sink delays its stage, and
// through full or empty slots the others. Jobs are described by 16-bit fields, lowest first:
//
//   load     {beats}                       beat: LOAD groups of M activations, in order of (token, group)
//   fetch    {beats}                       beat: M x C weights, in order of (column block, group)
//   select   {release, tile, groups}       tile: which loaded tile; release: frees its slot
//   compute  {release, flush, fresh,       release[0] frees the kept tile, [1] the weight tile
//             output tile, weight tile, kept tile, tokens, groups, column blocks, row blocks}
//            fresh: starts an output tile; flush: completes it
//   store    {beats}                       beat: a block of R x C accumulators
module tile_pipeline #(
    parameter SELECTOR     = 0,  // 0 rank, 1 bitonic, 2 radix, 3 cascade
    parameter PIPELINED    = 0,
    parameter STEP_CYCLES  = 1,
    parameter EXTRA        = 0,
    parameter INSTANCES    = 1,
    parameter CROSSBAR     = 0,  // 0 full, 1 window, 2 logshift, 3 hierarchical
    parameter STAGES       = 1,
    parameter INDEX_FORMAT = 0,  // metadata: 0 bitmask, 1 indices
    parameter N            = 2,
    parameter M            = 4,
    parameter B            = 8,
    parameter FLOAT        = 0,
    parameter R            = 2,
    parameter C            = 2,
    parameter L            = 4,
    parameter LOAD         = 1,  // groups in a beat of the activation stream
    // Slots of each buffer, and words of a slot: groups, (group, column block) pairs, blocks.
    parameter ACTIVATION_SLOTS = 2,
    parameter WEIGHT_SLOTS     = 2,
    parameter KEPT_SLOTS       = 2,
    parameter OUTPUT_SLOTS     = 2,
    parameter TILE_GROUPS      = 16,
    parameter TILE_WEIGHTS     = 16,
    parameter TILE_BLOCKS      = 4
) (
    input  logic                clk,
    input  logic                rst,
    // Job lists: the head of each, and a pulse when it has been served.
    input  logic [4:0]          job_valid,  // store, compute, select, fetch, load
    output logic [4:0]          job_done,
    input  logic [15:0]         load_job,
    input  logic [15:0]         fetch_job,
    input  logic [47:0]         select_job,
    input  logic [159:0]        compute_job,
    input  logic [15:0]         store_job,
    // Streams.
    input  logic                activation_valid,
    output logic                activation_ready,
    input  logic [LOAD*M*B-1:0] activation_data,
    input  logic                weight_valid,
    output logic                weight_ready,
    input  logic [C*M*B-1:0]    weight_data,
    output logic                output_valid,
    input  logic                output_ready,
    output logic [R*C*32-1:0]   output_data,
    // Counters, a word for each stage in the order of job_valid.
    output logic [4:0]          job_start,
    output logic [159:0]        busy_cycles,
    output logic [159:0]        starved_cycles,
    output logic [159:0]        blocked_cycles
);
  localparam G    = L > N ? L / N : 1;       // groups a step
  localparam SUB  = (N + L - 1) / L;         // steps a group
  localparam SUBW = SUB > 1 ? $clog2(SUB) : 1;
  localparam IDX  = M > 1 ? $clog2(M) : 1;
  localparam META = INDEX_FORMAT ? N * IDX : M;
  localparam TREE = L > 1 ? $clog2(L) : 0;
  localparam LATENCY = STAGES + 3 + TREE;    // of the MAC array
  localparam LOAD_STAGE = 0, FETCH = 1, SELECT = 2, COMPUTE = 3, STORE = 4;

  logic [4:0] active, last, inputs_ready, room_ready;

  for (genvar s = 0; s < 5; s++) begin : g_stage
    stage_control u_control (
        .clk, .rst, .job_valid(job_valid[s]), .inputs_ready(inputs_ready[s]),
        .room_ready(room_ready[s]), .last(last[s]), .starting(job_start[s]), .active(active[s]),
        .done(job_done[s]), .busy_cycles(busy_cycles[32*s +: 32]),
        .starved_cycles(starved_cycles[32*s +: 32]), .blocked_cycles(blocked_cycles[32*s +: 32])
    );
  end

  // --- tiles complete and slots given back, counted since reset ---------------------------------
  logic [15:0] loaded, fetched, selected, computed, stored;          // tiles filled, or emptied
  logic [15:0] selecting;                                            // tiles sent to the selectors
  logic [15:0] loads_freed, fetches_freed, kept_freed;
  logic        kept_complete, output_complete;

  // --- load activations and fetch weights -------------------------------------------------------
  logic [15:0] load_beat, fetch_beat;
  logic [M*B-1:0]   activations [0:ACTIVATION_SLOTS*TILE_GROUPS+LOAD-1];
  logic [C*M*B-1:0] weights     [0:WEIGHT_SLOTS*TILE_WEIGHTS+G-1];

  assign inputs_ready[FETCH:LOAD_STAGE] = 2'b11;
  assign room_ready[LOAD_STAGE] = 16'(loaded - loads_freed) < ACTIVATION_SLOTS;
  assign room_ready[FETCH]      = 16'(fetched - fetches_freed) < WEIGHT_SLOTS;
  assign activation_ready = active[LOAD_STAGE];
  assign weight_ready     = active[FETCH];
  assign last[LOAD_STAGE] = activation_valid && load_beat + 1 == load_job;
  assign last[FETCH]      = weight_valid && fetch_beat + 1 == fetch_job;

  always_ff @(posedge clk) begin
    if (activation_valid && activation_ready)
      for (int i = 0; i < LOAD; i++)
        if (32'(load_beat) * LOAD + i < TILE_GROUPS)
          activations[(32'(loaded) % ACTIVATION_SLOTS) * TILE_GROUPS + 32'(load_beat) * LOAD + i]
              <= activation_data[i*M*B +: M*B];
    if (weight_valid && weight_ready)
      weights[(32'(fetched) % WEIGHT_SLOTS) * TILE_WEIGHTS + 32'(fetch_beat)] <= weight_data;
    if (rst || job_done[LOAD_STAGE]) load_beat <= '0;
    else if (activation_valid && activation_ready) load_beat <= load_beat + 1;
    if (rst || job_done[FETCH]) fetch_beat <= '0;
    else if (weight_valid && weight_ready) fetch_beat <= fetch_beat + 1;
  end

  // --- select -----------------------------------------------------------------------------------
  wire [15:0] select_groups  = select_job[15:0];
  wire [15:0] select_tile    = select_job[31:16];
  wire        select_release = select_job[32];
  logic [15:0] select_group, kept_group;     // first group of the beat going in, and coming out
  logic [15:0] kept_groups [0:63];           // groups of the tiles in flight, by selection number
  logic        beat_done, kept_valid;
  logic [INSTANCES*M*B-1:0] select_values;
  logic [INSTANCES*M-1:0]   kept_mask;
  logic [INSTANCES*N*B-1:0] kept_values;
  logic [N*B-1:0]  kept_store [0:KEPT_SLOTS*TILE_GROUPS+R*TILE_GROUPS-1];
  logic [META-1:0] meta_store [0:KEPT_SLOTS*TILE_GROUPS+R*TILE_GROUPS-1];

  assign inputs_ready[SELECT] = loaded > select_tile;
  assign room_ready[SELECT]   = 16'(selecting - kept_freed) < KEPT_SLOTS;
  assign last[SELECT]         = beat_done && select_group + INSTANCES >= select_groups;
  assign kept_complete        = kept_valid && kept_group + INSTANCES >= kept_groups[selected[5:0]];

  for (genvar i = 0; i < INSTANCES; i++) begin : g_instance
    assign select_values[i*M*B +: M*B] = 32'(select_group) + i >= 32'(select_groups) ? '0
        : activations[(32'(select_tile) % ACTIVATION_SLOTS) * TILE_GROUPS + 32'(select_group) + i];
  end

  selector_bank #(
      .KIND(SELECTOR), .INSTANCES(INSTANCES), .N(N), .M(M), .B(B), .FLOAT(FLOAT),
      .PIPELINED(PIPELINED), .STEP_CYCLES(STEP_CYCLES), .EXTRA(EXTRA)
  ) u_selectors (
      .clk, .rst, .in_valid(active[SELECT]), .in_values(select_values), .beat_done,
      .out_valid(kept_valid), .out_mask(kept_mask), .out_kept(kept_values)
  );

  for (genvar i = 0; i < INSTANCES; i++) begin : g_write
    logic [META-1:0] metadata;
    if (INDEX_FORMAT) begin : g_index
      index_encoder #(.N(N), .M(M)) u_encoder (.mask(kept_mask[i*M +: M]), .indices(metadata));
    end else begin : g_mask
      assign metadata = kept_mask[i*M +: M];
    end
    wire [31:0] word = (32'(selected) % KEPT_SLOTS) * TILE_GROUPS + 32'(kept_group) + i;
    always_ff @(posedge clk)
      if (kept_valid && 32'(kept_group) + i < TILE_GROUPS) begin
        kept_store[word] <= kept_values[i*N*B +: N*B];
        meta_store[word] <= metadata;
      end
  end

  always_ff @(posedge clk) begin
    if (job_start[SELECT]) kept_groups[selecting[5:0]] <= select_groups;
    if (rst || job_done[SELECT]) select_group <= '0;
    else if (beat_done) select_group <= select_group + 16'(INSTANCES);
    if (rst || kept_complete) kept_group <= '0;
    else if (kept_valid) kept_group <= kept_group + 16'(INSTANCES);
  end

  // --- compute: for every block of R x C outputs, all steps of the tile -------------------------
  wire [15:0] row_blocks    = compute_job[15:0];
  wire [15:0] column_blocks = compute_job[31:16];
  wire [15:0] groups        = compute_job[47:32];
  wire [15:0] tokens        = compute_job[63:48];
  wire [15:0] kept_tile     = compute_job[79:64];
  wire [15:0] weight_tile   = compute_job[95:80];
  wire [15:0] output_tile   = compute_job[111:96];
  wire        is_fresh      = compute_job[112];
  wire        is_flush      = compute_job[128];
  wire [1:0]  releases      = compute_job[145:144];
  logic [15:0] row_block, column_block, group, substep;
  logic [R*G*N*B-1:0] step_kept;
  logic [R*G*M-1:0]   step_mask;
  logic [C*G*M*B-1:0] step_weights;

  wire is_last_step   = group + G >= groups && substep + 1 == SUB;
  wire is_last_column = column_block + 1 == column_blocks;
  wire is_last_row    = row_block + 1 == row_blocks;

  assign inputs_ready[COMPUTE] = selected > kept_tile && fetched > weight_tile;
  assign room_ready[COMPUTE]   = !is_fresh || 16'(output_tile - stored) < OUTPUT_SLOTS;
  assign last[COMPUTE]         = is_last_step && is_last_column && is_last_row;

  for (genvar r = 0; r < R; r++) begin : g_row
    for (genvar g = 0; g < G; g++) begin : g_group
      // Rows and groups beyond the tile read as zeros: they add nothing.
      wire [31:0] token = 32'(row_block) * R + r;
      wire is_real = token < 32'(tokens) && 32'(group) + g < 32'(groups);
      wire [31:0] word = (32'(kept_tile) % KEPT_SLOTS) * TILE_GROUPS
          + token * 32'(groups) + 32'(group) + g;
      assign step_kept[(r*G+g)*N*B +: N*B] = is_real ? kept_store[word] : '0;
      if (INDEX_FORMAT) begin : g_index
        index_decoder #(.N(N), .M(M)) u_decoder (
            .indices(meta_store[word]), .mask(step_mask[(r*G+g)*M +: M])
        );
      end else begin : g_mask
        assign step_mask[(r*G+g)*M +: M] = meta_store[word];
      end
    end
  end
  for (genvar g = 0; g < G; g++) begin : g_weights
    wire is_real = 32'(group) + g < 32'(groups);
    wire [31:0] word = (32'(weight_tile) % WEIGHT_SLOTS) * TILE_WEIGHTS
        + 32'(column_block) * 32'(groups) + 32'(group) + g;
    for (genvar c = 0; c < C; c++) begin : g_column
      assign step_weights[(c*G+g)*M*B +: M*B] = is_real ? weights[word][c*M*B +: M*B] : '0;
    end
  end

  logic              block_valid;
  logic [R*C*32-1:0] block;
  mac_array #(
      .CROSSBAR(CROSSBAR), .STAGES(STAGES), .R(R), .C(C), .L(L), .N(N), .M(M), .B(B), .FLOAT(FLOAT)
  ) u_array (
      .clk, .rst, .in_valid(active[COMPUTE]), .in_first(group == 0 && substep == 0),
      .in_last(is_last_step), .in_substep(substep[SUBW-1:0]), .in_kept(step_kept),
      .in_mask(step_mask), .in_weights(step_weights), .out_valid(block_valid), .out_values(block)
  );

  always_ff @(posedge clk) begin
    if (rst || job_done[COMPUTE]) {row_block, column_block, group, substep} <= '0;
    else if (active[COMPUTE]) begin
      substep <= substep + 1 == SUB ? '0 : substep + 1;
      if (substep + 1 == SUB) group <= is_last_step ? '0 : group + 16'(G);
      if (is_last_step) begin
        column_block <= is_last_column ? '0 : column_block + 1;
        if (is_last_column) row_block <= row_block + 1;
      end
    end
  end

  // --- collect blocks; while K is split over tiles, add them to the partial sums ----------------
  logic [15:0] out_tile, out_word;
  logic        out_fresh, out_complete;
  logic [R*C*32-1:0] outputs [0:OUTPUT_SLOTS*TILE_BLOCKS-1];

  delay #(.WIDTH(34), .CYCLES(LATENCY)) u_tag (
      .clk, .rst,
      .in({output_tile, 16'(row_block * column_blocks + column_block), is_fresh,
           is_flush && job_done[COMPUTE]}),
      .out({out_tile, out_word, out_fresh, out_complete})
  );
  assign output_complete = block_valid && out_complete;
  wire [31:0] output_index = (32'(out_tile) % OUTPUT_SLOTS) * TILE_BLOCKS + 32'(out_word);
  wire [R*C*32-1:0] partial = outputs[output_index];
  logic [R*C*32-1:0] total;

  for (genvar i = 0; i < R * C; i++) begin : g_total
    logic [31:0] sum;
    if (FLOAT) begin : g_float
      fp32_adder u_add (.a(partial[i*32 +: 32]), .b(block[i*32 +: 32]), .sum);
    end else begin : g_integer
      assign sum = partial[i*32 +: 32] + block[i*32 +: 32];
    end
    assign total[i*32 +: 32] = out_fresh ? block[i*32 +: 32] : sum;
  end
  always_ff @(posedge clk) if (block_valid) outputs[output_index] <= total;

  // --- store ------------------------------------------------------------------------------------
  logic [15:0] store_beat;
  assign inputs_ready[STORE] = computed > stored;
  assign room_ready[STORE]   = 1'b1;
  assign output_valid        = active[STORE];
  assign last[STORE]         = output_ready && store_beat + 1 == store_job;
  assign output_data = outputs[(32'(stored) % OUTPUT_SLOTS) * TILE_BLOCKS + 32'(store_beat)];
  always_ff @(posedge clk) begin
    if (rst || job_done[STORE]) store_beat <= '0;
    else if (output_valid && output_ready) store_beat <= store_beat + 1;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      {loaded, fetched, selected, computed, stored} <= '0;
      {selecting, loads_freed, fetches_freed, kept_freed} <= '0;
    end else begin
      loaded        <= loaded + 16'(job_done[LOAD_STAGE]);
      fetched       <= fetched + 16'(job_done[FETCH]);
      selecting     <= selecting + 16'(job_done[SELECT]);
      selected      <= selected + 16'(kept_complete);
      computed      <= computed + 16'(output_complete);
      stored        <= stored + 16'(job_done[STORE]);
      loads_freed   <= loads_freed + 16'(job_done[SELECT] && select_release);
      kept_freed    <= kept_freed + 16'(job_done[COMPUTE] && releases[0]);
      fetches_freed <= fetches_freed + 16'(job_done[COMPUTE] && releases[1]);
    end
  end

`ifdef SIMULATION
  // Memories start at zero, so that padding never multiplies an unknown.
  initial begin
    for (int i = 0; i < ACTIVATION_SLOTS * TILE_GROUPS + LOAD; i++) activations[i] = '0;
    for (int i = 0; i < WEIGHT_SLOTS * TILE_WEIGHTS + G; i++) weights[i] = '0;
    for (int i = 0; i < (KEPT_SLOTS + R) * TILE_GROUPS; i++) begin
      kept_store[i] = '0;
      meta_store[i] = '0;
    end
    for (int i = 0; i < OUTPUT_SLOTS * TILE_BLOCKS; i++) outputs[i] = '0;
  end
`endif
endmodule

// Finds the magnitude of the KEEP-th largest of a token's values, and how many that are equal to it
// are among the KEEP largest. All values pass once for each of the P bits, M at a time.
//
// The level is built from its highest bit down: a bit is set if KEEP values are not below what has
// been found with it. If too few are, their number is remembered: after the last bit it is that of
// the values above the level, for level + 1 has then been tried and was the last to fail.
//
//   start  resets; the first word follows in the next cycle
//   there  which of the M values of a word exist
//   last   the word ends a pass
//   done   after P passes; level and room stay until the next start
module level_finder #(
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0,
    parameter int K     = 64,  // largest token
    localparam int P    = B - FLOAT,
    localparam int W    = $clog2(K + 1)
) (
    input  logic           clk,
    input  logic           start,
    input  logic [W-1:0]   keep,
    input  logic           in_valid,
    input  logic           last,
    input  logic [M-1:0]   there,
    input  logic [M*B-1:0] values,
    output logic           done,
    output logic [P-1:0]   level,
    output logic [W-1:0]   room
);
  localparam C = $clog2(M + 1);

  logic [M*P-1:0] magnitudes;
  logic [P-1:0]   plane, tried;
  logic [M-1:0]   hits;
  logic [C-1:0]   found;
  logic [W-1:0]   count, total, above, wanted;

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values, .magnitudes);
  assign tried = level | plane;
  for (genvar i = 0; i < M; i++) begin : g_value
    assign hits[i] = there[i] && magnitudes[i*P +: P] >= tried;
  end
  popcount #(.M(M)) u_count (.flags(hits), .count(found));
  assign total = count + W'(found);
  assign done = plane == '0;
  assign room = wanted - above;

  always_ff @(posedge clk)
    if (start) begin
      plane <= {1'b1, {(P - 1){1'b0}}};
      {level, count, above} <= '0;
      wanted <= keep;
    end else if (in_valid && !done) begin
      count <= last ? '0 : total;
      if (last) begin
        plane <= plane >> 1;
        if (total >= wanted) level <= tried;
        else above <= total;
      end
    end
endmodule

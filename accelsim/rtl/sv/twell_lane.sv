// Packs one row as TwELL, a value a cycle: those that are not zero become payloads, in order.
//
// A payload stands in slot 1, 2, ... of its tile; slot 0 is the count, which says how many values
// the tile had. Only SLOTS - 1 of them have room; with more, the tile overflows and the rest is lost.
// Both outputs come a cycle after the value; the count is told with the last value of a tile.
module twell_lane #(
    parameter int B       = 8,
    parameter int COLUMN  = 16,
    parameter int SLOTS   = 32,
    parameter int COUNT   = 9
) (
    input  logic                     clk,
    input  logic                     rst,
    input  logic                     in_valid,
    input  logic                     in_last,    // of its tile
    input  logic [B-1:0]             in_value,
    input  logic [COLUMN-1:0]        in_column,  // in the row
    output logic                     out_valid,
    output logic [$clog2(SLOTS)-1:0] out_slot,
    output logic [B+COLUMN-1:0]      out_word,
    output logic                     out_done,   // the tile is complete
    output logic [COUNT-1:0]         out_count,
    output logic                     out_overflow
);
  logic [COUNT-1:0] count, next;
  logic             is_payload;

  assign is_payload = in_valid && in_value != 0;
  assign next = count + COUNT'(is_payload);

  always_ff @(posedge clk) begin
    out_valid <= !rst && is_payload && next < SLOTS;
    out_done <= !rst && in_valid && in_last;
    if (rst) count <= 0;
    else if (in_valid) count <= in_last ? 0 : next;
    if (is_payload) begin
      out_slot <= next[$clog2(SLOTS)-1:0];
      out_word <= {in_value, in_column};
    end
    if (in_valid) begin
      out_count <= next;
      out_overflow <= next >= SLOTS;
    end
  end
endmodule

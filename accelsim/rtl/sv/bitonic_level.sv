// One level of a bitonic network: compares and exchanges items DISTANCE apart, then registers them.
//
// The larger item of a pair goes to the lower position, or, where the position has the bit REVERSE,
// to the higher one. PADDING marks positions that hold nothing, which is smaller than any item:
// their exchanges are wires.
module bitonic_level #(
    parameter            SIZE     = 4,
    parameter            W        = 10,
    parameter            DISTANCE = 1,
    parameter            REVERSE  = 2,
    parameter [SIZE-1:0] PADDING  = 0
) (
    input  logic              clk,
    input  logic [SIZE*W-1:0] in_items,
    output logic [SIZE*W-1:0] out_items
);
  logic [SIZE*W-1:0] next;
  always_ff @(posedge clk) out_items <= next;

  for (genvar i = 0; i < SIZE; i++) begin : g_position
    if ((i & DISTANCE) == 0) begin : g_pair
      localparam HIGH = (i & REVERSE) == 0 ? i : i + DISTANCE;  // where the larger item goes
      localparam LOW  = 2*i + DISTANCE - HIGH;
      logic [W-1:0] high, low;
      logic         swap;
      assign high = in_items[HIGH*W +: W];
      assign low = in_items[LOW*W +: W];
      assign swap = !PADDING[LOW] && (PADDING[HIGH] || low > high);
      assign next[HIGH*W +: W] = swap ? low : high;
      assign next[LOW*W +: W] = swap ? high : low;
    end
  end
endmodule

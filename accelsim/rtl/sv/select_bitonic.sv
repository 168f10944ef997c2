// Selects the N largest magnitudes of M with a bitonic network, one level of exchanges a stage.
//
// With N and M padded to powers of two Q and SIZE: blocks of Q are sorted, then each merge keeps the
// larger half of two blocks and sorts it again; the last merge sorts only if N < Q. Items on which
// no kept one depends are computed all the same here; synthesis removes them.
//
// Timing: takes a group every cycle; mask and values are out DEPTH cycles later.
module select_bitonic #(
    parameter int N     = 2,
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0
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
  localparam P    = B - FLOAT;
  localparam IDX  = M > 1 ? $clog2(M) : 1;
  localparam W    = P + IDX;  // bits of an item
  localparam LOGQ = $clog2(N);
  localparam Q    = 1 << LOGQ;
  localparam SIZE = 1 << $clog2(M);
  localparam MERGES  = $clog2(M) - LOGQ;
  localparam SORTING = LOGQ * (LOGQ+1) / 2;  // levels before the first merge
  localparam RESORTS = MERGES == 0 ? 0 : N < Q ? MERGES : MERGES - 1;
  localparam DEPTH   = SORTING + MERGES + RESORTS*LOGQ;

  // Phase k of sorting makes sorted runs of 2^k out of two of half the length, in k levels.
  function automatic integer phase(input integer level);
    phase = 1;
    while (level >= phase * (phase+1) / 2) phase = phase + 1;
  endfunction

  function automatic integer distance(input integer level);
    if (level < SORTING) distance = 1 << (phase(level) * (phase(level)+1) / 2 - 1 - level);
    else if ((level-SORTING) % (LOGQ+1) == 0) distance = Q << ((level-SORTING) / (LOGQ+1));
    else distance = Q >> ((level-SORTING) % (LOGQ+1));
  endfunction

  // Neighbouring runs are sorted in opposite directions, as the next merge wants them.
  function automatic integer reverse(input integer level);
    if (level < SORTING) reverse = 1 << phase(level);
    else if ((level-SORTING) % (LOGQ+1) == 0) reverse = 0;
    else reverse = 2*Q << ((level-SORTING) / (LOGQ+1));
  endfunction

  // Positions that hold nothing when a level begins: M ... SIZE-1, then where exchanges put them.
  // (Whole-word operations: not every tool writes single bits in a constant function.)
  function automatic [SIZE-1:0] padding(input integer level);
    integer l, i, j;
    padding = {SIZE{1'b1}} << M;
    for (l = 0; l < level; l = l + 1)
      for (i = 0; i < SIZE; i = i + 1) begin
        j = i + distance(l);
        if ((i & distance(l)) == 0 && ((padding >> i ^ padding >> j) & 1) != 0) begin
          padding = padding & ~(1 << i | 1 << j);
          padding = padding | 1 << ((i & reverse(l)) != 0 ? i : j);
        end
      end
  endfunction

  // A group as items: the magnitude, then the inverted index, so that the lower index wins a tie.
  function automatic logic [SIZE*W-1:0] pack(input logic [M*P-1:0] from);
    pack = '0;
    for (int i = 0; i < M; i++) begin
      pack[i*W +: IDX] = IDX'((1 << IDX) - 1 - i);
      pack[i*W+IDX +: P] = from[i*P +: P];
    end
  endfunction

  // The N largest items as a mask.
  function automatic logic [M-1:0] unpack(input logic [SIZE*W-1:0] from);
    unpack = '0;
    for (int i = 0; i < M; i++)
      for (int j = 0; j < N; j++)
        unpack[i] = unpack[i] | (from[j*W +: IDX] == IDX'((1 << IDX) - 1 - i));
  endfunction

  logic [M*P-1:0] magnitudes;
  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values(in_values), .magnitudes);

  for (genvar s = 0; s <= DEPTH; s++) begin : g_after
    logic [SIZE*W-1:0] items;  // as they are after s levels

    if (s == 0) begin : g_none
      assign items = pack(magnitudes);
    end else begin : g_level
      bitonic_level #(
          .SIZE(SIZE), .W(W), .DISTANCE(distance(s-1)), .REVERSE(reverse(s-1)),
          .PADDING(padding(s-1))
      ) u_level (
          .clk, .in_items(g_after[s-1].items), .out_items(items)
      );
    end
  end

  assign out_mask = unpack(g_after[DEPTH].items);

  // The values wait beside the network.
  assign in_ready = 1'b1;
  pipe #(.WIDTH(M*B), .RANKS(DEPTH)) u_values (
      .clk, .rst, .in_valid, .in_data(in_values), .out_valid, .out_data(out_values)
  );
endmodule

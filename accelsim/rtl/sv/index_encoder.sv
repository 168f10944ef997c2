// Bitmask to indices: the positions of the N set bits of `mask`, in order. Combinational.
//
// Exactly N bits must be set: this is compaction of the constants 0 ... M-1.
module index_encoder #(
    parameter int N = 2,
    parameter int M = 4
) (
    input  logic [M-1:0]                           mask,
    output logic [N*(M > 1 ? $clog2(M) : 1)-1:0] indices
);
  localparam IDX = M > 1 ? $clog2(M) : 1;

  logic [M*IDX-1:0] positions;
  for (genvar i = 0; i < M; i++) begin : g_position
    assign positions[i*IDX +: IDX] = IDX'(i);
  end

  compact #(.N(N), .M(M), .B(IDX)) u_compact (.mask, .values(positions), .kept(indices));
endmodule

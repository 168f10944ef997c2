// One bit plane of radix selection. Combinational.
//
// Candidates with a one in this plane are larger than those with a zero. If the ones fit into the
// room left, they are kept for sure and the zeros stay candidates; if not, the zeros are out.
//
//   plane  one-hot: the bit of all magnitudes to examine; none leaves the state as it is
//   state  {sure, candidates, room}: kept whatever follows; equal in all planes so far; how many of
//          the candidates will be kept, never more than there are
module radix_plane #(
    parameter int N     = 2,
    parameter int M     = 4,
    parameter int B     = 8,
    parameter int FLOAT = 0
) (
    input  logic [B-FLOAT-1:0]         plane,
    input  logic [M*B-1:0]             values,
    input  logic [2*M+$clog2(N+1)-1:0] state,
    output logic [2*M+$clog2(N+1)-1:0] next_state
);
  localparam P = B - FLOAT;
  localparam R = $clog2(N + 1);
  localparam W = $clog2(M + 1);

  logic [M-1:0]   sure, candidates, ones;
  logic [R-1:0]   room;
  logic [M*P-1:0] magnitudes;
  logic [W-1:0]   count;
  logic [W:0]     rest;
  logic           fits;

  function automatic logic [M-1:0] pick(input logic [M*P-1:0] from, input logic [P-1:0] bit_of);
    for (int i = 0; i < M; i++) pick[i] = |(from[i*P +: P] & bit_of);
  endfunction

  assign {sure, candidates, room} = state;

  magnitude #(.COUNT(M), .B(B), .FLOAT(FLOAT)) u_magnitude (.values, .magnitudes);
  assign ones = candidates & pick(magnitudes, plane);

  popcount #(.M(M)) u_count (.flags(ones), .count);
  assign rest = (W+1)'(room) - (W+1)'(count);  // its sign is the comparison
  assign fits = !rest[W];

  assign next_state = fits ? {sure | ones, candidates & ~ones, rest[R-1:0]} : {sure, ones, room};
endmodule

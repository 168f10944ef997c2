// Keeps the first `room` of the set flags, lowest index first. Combinational.
module first_flags #(
    parameter int N = 2,
    parameter int M = 4
) (
    input  logic [M-1:0]           flags,
    input  logic [$clog2(N+1)-1:0] room,
    output logic [M-1:0]           first
);
  localparam R = $clog2(N + 1);

  function automatic logic [M-1:0] fill(input logic [M-1:0] from, input logic [R-1:0] space);
    logic [R-1:0] left;
    left = space;
    for (int i = 0; i < M; i++) begin
      fill[i] = from[i] && left != '0;
      left = left - R'(fill[i]);
    end
  endfunction

  assign first = fill(flags, room);
endmodule

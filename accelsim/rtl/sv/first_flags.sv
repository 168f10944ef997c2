// Keeps the first `room` of the set flags, lowest index first. Combinational.
module first_flags #(
    parameter N = 2,
    parameter M = 4
) (
    input  logic [M-1:0]           flags,
    input  logic [$clog2(N+1)-1:0] room,
    output logic [M-1:0]           first
);
  localparam R = $clog2(N + 1);

  logic [R-1:0] left;

  always_comb begin
    left = room;
    for (int i = 0; i < M; i++) begin
      first[i] = flags[i] && left != '0;
      left = left - R'(first[i]);
    end
  end
endmodule

// The sum of the magnitudes of N integers. Combinational.
module magnitude_sum #(
    parameter int N  = 2,
    parameter int B  = 8,
    localparam int S = B + (N > 1 ? $clog2(N) : 0)
) (
    input  logic [N*B-1:0] values,
    output logic [S-1:0]   sum
);
  logic [N*B-1:0] magnitudes;

  function automatic logic [S-1:0] total(input logic [N*B-1:0] from);
    total = '0;
    for (int i = 0; i < N; i++) total = total + S'(from[i*B +: B]);
  endfunction

  magnitude #(.COUNT(N), .B(B), .FLOAT(0)) u_magnitude (.values, .magnitudes);
  assign sum = total(magnitudes);
endmodule

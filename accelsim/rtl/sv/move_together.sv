// Moves the values whose flag is set to the front, in their order; zeros follow. Combinational.
//
// Any number of the M flags may be set, unlike in `compact`. A value moves down by the number of
// dropped ones before it, rank after rank by a power of two, smallest first: such moves never
// collide (docs/rtl.md).
module move_together #(
    parameter int M = 4,
    parameter int B = 8
) (
    input  logic [M-1:0]   mask,
    input  logic [M*B-1:0] values,
    output logic [M*B-1:0] moved
);
  localparam RANKS = M > 1 ? $clog2(M) : 1;

  function automatic logic [M*B-1:0] move(input logic [M-1:0] flags, input logic [M*B-1:0] from);
    logic [M-1:0]       there;
    logic [M*RANKS-1:0] far;  // distance that is left to go
    logic [RANKS-1:0]   dropped;
    dropped = '0;
    for (int i = 0; i < M; i++) begin
      there[i] = flags[i];
      far[i*RANKS +: RANKS] = dropped;
      move[i*B +: B] = {B{flags[i]}} & from[i*B +: B];
      dropped = dropped + RANKS'(!flags[i]);
    end
    for (int k = 0; k < RANKS; k++)
      for (int i = 0; i < M; i++) begin  // from below: what is read has not been written
        logic stays, comes;
        stays = there[i] && !far[i*RANKS+k];
        comes = 1'b0;
        if (i + (1 << k) < M) comes = there[i+(1<<k)] && far[(i+(1<<k))*RANKS+k];
        if (comes) begin
          move[i*B +: B] = move[(i+(1<<k))*B +: B];
          far[i*RANKS +: RANKS] = far[(i+(1<<k))*RANKS +: RANKS];
        end else if (!stays) move[i*B +: B] = '0;
        there[i] = stays || comes;
      end
  endfunction

  assign moved = move(mask, values);
endmodule

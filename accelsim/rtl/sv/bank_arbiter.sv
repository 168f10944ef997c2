// Gives the rows of W that a round asks for: each bank one a cycle, lowest first.
//
// Row p of a tile lies in bank p mod BANKS and has number p / BANKS there. `wanted` has a bit for
// each row that some lane asks for, however many lanes that are: all of them take the row in the
// cycle in which its bank gives it. A round lasts until the fullest bank has given its last row, and
// at least as many cycles as the array takes steps; the next one is accepted in its last cycle.
module bank_arbiter #(
    parameter int BANKS = 4,
    parameter int ROWS  = 4,  // of a bank
    parameter int STEPS = 2,  // of a round, at most
    localparam int NW   = ROWS > 1 ? $clog2(ROWS) : 1,
    localparam int SW   = $clog2(STEPS + 1)
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic                  in_valid,
    output logic                  in_ready,
    input  logic [ROWS*BANKS-1:0] wanted,
    input  logic [SW-1:0]         steps,
    output logic [BANKS-1:0]      given,
    output logic [BANKS*NW-1:0]   numbers
);
  logic [ROWS*BANKS-1:0] waiting, rest;
  logic [SW-1:0]         left;

  for (genvar b = 0; b < BANKS; b++) begin : g_bank
    logic [ROWS-1:0] asked, first;

    for (genvar n = 0; n < ROWS; n++) begin : g_row
      assign asked[n] = waiting[n*BANKS+b];
      assign rest[n*BANKS+b] = asked[n] && !first[n];
    end
    first_flags #(.N(1), .M(ROWS)) u_first (.flags(asked), .room(1'b1), .first);
    assign given[b] = |first;
    always_comb begin
      numbers[b*NW +: NW] = '0;
      for (int n = 0; n < ROWS; n++) numbers[b*NW +: NW] |= {NW{first[n]}} & NW'(n);
    end
  end

  assign in_ready = rest == '0 && left <= SW'(1);

  always_ff @(posedge clk)
    if (rst) {waiting, left} <= '0;
    else if (in_valid && in_ready) {waiting, left} <= {wanted, steps};
    else {waiting, left} <= {rest, left - SW'(left != '0)};
endmodule

"""Selector and crossbar with modes in RTL: in every mode, bit for bit, what the simulator keeps."""

import numpy as np
import pytest

from accelsim.sparsity.patterns.nm import NM
from tests.helpers.rtl_bench import icarus

pytestmark = pytest.mark.slow

SHIPPED = ((1, 4), (2, 4), (4, 8), (8, 16), (16, 32))
HARDWARE = {  # modes, lanes
    "shipped": (SHIPPED, 16),
    "a common share": (((2, 4), (4, 8)), 8),
    "shares apart, lanes to spare": (((1, 2), (2, 8), (6, 8)), 8),
}

# Runs all groups in one mode, waits until the pipeline is empty, and changes to the next mode.
SELECTOR = """
module bench #(parameter MODES = 1, M = 4, SLOTS = 2, GROUPS = 1);
  logic             clk = 0, rst, in_valid, in_ready, out_valid;
  logic [MODES-1:0] mode;
  logic [M*8-1:0]   in_values, groups [0:GROUPS-1];
  logic [M-1:0]     out_mask;
  logic [SLOTS*8-1:0] out_kept;
  integer           cycle = 0, beat;
  selector_flex #(.MODES(MODES), .NS(NS_BYTES), .MS(MS_BYTES), .SLOTS(SLOTS), .EXTRA(1)) u_dut (.*);
  initial $readmemh("groups.hex", groups);
  always #1 clk = !clk;
  assign beat = cycle % (GROUPS + 8);
  assign mode = 1 << cycle / (GROUPS + 8);
  assign rst = cycle < 2;
  assign in_valid = beat >= 4 && beat < GROUPS + 4;
  assign in_values = groups[in_valid ? beat - 4 : 0];
  always @(posedge clk) begin
    if (out_valid) $display("%0d %0d %h %h", mode, beat, out_mask, out_kept);
    cycle <= cycle + 1;
    if (cycle == MODES * (GROUPS + 8)) $finish(0);
  end
endmodule
"""
CROSSBAR = """
module bench #(parameter MODES = 1, POSITIONS = 4, L = 2, C = 2, STEPS = 1);
  logic [MODES-1:0]         mode, modes [0:STEPS-1];
  logic [POSITIONS-1:0]     mask, masks [0:STEPS-1];
  logic [C*POSITIONS*8-1:0] weights, words [0:STEPS-1];
  logic [C*L*8-1:0]         operands;
  crossbar_flex #(
      .MODES(MODES), .NS(NS_BYTES), .MS(MS_BYTES), .POSITIONS(POSITIONS), .L(L), .C(C)
  ) u_dut (.*);
  initial begin
    $readmemh("modes.hex", modes);
    $readmemh("masks.hex", masks);
    $readmemh("words.hex", words);
    for (int i = 0; i < STEPS; i++) begin
      mode = modes[i]; mask = masks[i]; weights = words[i];
      #1 $display("%h", operands);
    end
  end
endmodule
"""


def with_modes(bench, modes):
    """Write N and M of the modes into a bench, a byte each, the first mode lowest."""
    for name, column in (("NS_BYTES", 0), ("MS_BYTES", 1)):
        digits = "".join(f"{mode[column]:02x}" for mode in reversed(modes))
        bench = bench.replace(name, f"{8 * len(modes)}'h{digits}")
    return bench


def word(values, bits=8):
    return sum((int(value) & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


def write(path, words):
    path.write_text("".join(f"{each:x}\n" for each in words))


def groups_of(size, count):
    """Random groups, and such with ties, zeros, -128, and one large value at either end."""
    random = np.random.default_rng(3)
    groups = random.integers(-128, 128, (count, size))
    groups[: count // 4] = random.integers(-2, 3, (count // 4, size))
    groups[0], groups[1], groups[2] = 0, -128, 5
    groups[3] = [127, *[0] * (size - 1)]
    groups[4] = [*[0] * (size - 1), -128]
    return groups.astype(np.int8)


@pytest.mark.parametrize("modes", [modes for modes, _ in HARDWARE.values()], ids=list(HARDWARE))
def test_every_mode_keeps_what_its_pattern_keeps(modes, tmp_path):
    """One cycle after the other takes a group; values come out together, in index order."""
    slots, size = modes[-1]
    groups = groups_of(size, 48)
    write(tmp_path / "groups.hex", [word(group) for group in groups])
    parameters = {"MODES": len(modes), "M": size, "SLOTS": slots, "GROUPS": len(groups)}
    lines = icarus("bench", with_modes(SELECTOR, modes), tmp_path, parameters).splitlines()
    rows = [line.split() for line in lines]
    assert len(rows) == len(modes) * len(groups)
    for number, (mode, beat, mask, kept) in enumerate(rows):
        which, group = divmod(number, len(groups))
        assert (int(mode), int(beat)) == (1 << which, group + 4 + 3)  # core, extra rank, output
        wanted = NM(*modes[which]).keep(groups[group])
        assert int(mask, 16) == word(wanted, 1)
        values = groups[group][wanted]
        assert int(kept, 16) == word(values)  # slots behind them hold zero


@pytest.mark.parametrize(("modes", "lanes"), HARDWARE.values(), ids=list(HARDWARE))
def test_every_mode_brings_each_lane_the_weight_of_its_value(modes, lanes, tmp_path):
    """Kept value l of a step is at lane l, whichever group it is of; lanes without one read 0."""
    random, columns, steps = np.random.default_rng(4), 2, 40
    positions = max(lanes // n * m for n, m in modes)
    weights = random.integers(-128, 128, (len(modes) * steps, columns, positions))
    masks = np.zeros((len(modes) * steps, positions), bool)
    for which, (n, m) in enumerate(modes):
        ranks = random.random((steps, lanes // n, m)).argsort(axis=2).argsort(axis=2)
        ranks[0], ranks[1] = np.arange(m), np.arange(m)[::-1]  # the first ones, the last ones
        here = slice(which * steps, (which + 1) * steps)
        masks[here, : lanes // n * m] = (ranks < n).reshape(steps, -1)
    write(tmp_path / "modes.hex", np.repeat([1 << k for k in range(len(modes))], steps).tolist())
    write(tmp_path / "masks.hex", [word(mask, 1) for mask in masks])
    write(tmp_path / "words.hex", [word(each.ravel()) for each in weights])
    parameters = {"MODES": len(modes), "POSITIONS": positions, "L": lanes, "STEPS": len(masks)}
    lines = icarus("bench", with_modes(CROSSBAR, modes), tmp_path, parameters).split()
    assert len(lines) == len(masks)
    for line, mask, weight in zip(lines, masks, weights, strict=True):
        routed = weight[:, mask]
        spare = np.zeros((columns, lanes - routed.shape[1]), int)
        assert int(line, 16) == word(np.hstack([routed, spare]).ravel())

"""The selectors in RTL keep what they should, bit for bit, in the cycle they should."""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest

from accelsim.hardware.selectors import SELECTORS
from accelsim.mapping import Datapath
from accelsim.sparsity.patterns.nm import NM
from tests.helpers.rtl_bench import icarus

pytestmark = pytest.mark.slow

# Offers groups in the cycles that `offers` names, resets once if asked, and tells what went in and
# came out in which cycle. While no group is offered, the input carries noise.
BENCH = """
module bench #(
    parameter KIND = 0, PIPELINED = 0, STEP_CYCLES = 1, EXTRA = 0,
    parameter N = 2, M = 4, B = 8, FLOAT = 0, GROUPS = 1, OFFERS = 1, RESET_AT = 0
);
  localparam IDX = M > 1 ? $clog2(M) : 1;

  logic             clk = 0, rst, in_valid, in_ready, out_valid;
  logic [M*B-1:0]   in_values, noise;
  logic [M-1:0]     out_mask, decoded;
  logic [N*B-1:0]   out_kept;
  logic [N*IDX-1:0] indices;
  logic [M*B-1:0]   groups [0:GROUPS-1];
  logic             offers [0:OFFERS-1];
  integer           cycle = 0, group = 0, idle = 0;

  selector #(
      .KIND(KIND), .PIPELINED(PIPELINED), .STEP_CYCLES(STEP_CYCLES), .EXTRA(EXTRA),
      .N(N), .M(M), .B(B), .FLOAT(FLOAT)
  ) u_selector (.*);
  index_encoder #(.N(N), .M(M)) u_encoder (.mask(out_mask), .indices);
  index_decoder #(.N(N), .M(M)) u_decoder (.indices, .mask(decoded));

  initial $readmemh("groups.hex", groups);
  initial $readmemh("offers.hex", offers);
  always #1 clk = !clk;
  assign rst = cycle < 2 || (RESET_AT > 0 && cycle == RESET_AT);
  assign in_valid = !rst && group < GROUPS && offers[cycle % OFFERS];
  assign in_values = in_valid ? groups[group] : noise;
  always @(posedge clk) begin
    if (in_valid && in_ready) begin
      $display("in %0d", cycle);
      group <= group + 1;
    end
    if (out_valid) $display("out %0d %h %h %h %h", cycle, out_mask, out_kept, indices, decoded);
    cycle <= cycle + 1;
    noise <= {(M*B+31)/32{$random}};
    idle <= in_valid || out_valid ? 0 : idle + 1;
    if (idle == 100) $finish(0);  // whatever was on its way, or comes too often, has come
  end
endmodule
"""


@dataclass(frozen=True)
class Variant:
    """A selector, with the cycles that it should take according to its description."""

    kind: str
    pipelined: bool = False
    step_cycles: int = 1
    extra: int = 0

    @property
    def parameters(self):
        kind = ["rank", "bitonic", "radix", "cascade"].index(self.kind)
        return {
            "KIND": kind,
            "PIPELINED": int(self.pipelined),
            "STEP_CYCLES": self.step_cycles,
            "EXTRA": self.extra,
        }

    def timing(self, n, m, planes):
        """Return cycles per group and latency."""
        if self.kind == "rank":
            return 1, 2 + self.extra
        if self.kind == "bitonic":
            return 1, bitonic_depth(n, m) + 1 + self.extra
        steps = planes if self.kind == "radix" else n
        if self.pipelined:
            return 1, steps + 1 + self.extra
        return steps * self.step_cycles + 1, 2 + self.extra


def bitonic_depth(n, m):
    """Count levels by walking through the network: sort blocks, then merge pairs of blocks."""
    block, count = 1, 1
    while block < n:
        block *= 2
    while block * count < m:
        count *= 2
    merge = [block >> i for i in range(1, block.bit_length())]  # distances of one merge of a block
    levels = sum(range(1, len(merge) + 1))
    while count > 1:
        count //= 2
        levels += 1  # the larger half of two blocks
        if count > 1 or n < block:
            levels += len(merge)
    return levels


KINDS = (
    Variant("rank"),
    Variant("bitonic"),
    Variant("radix"),
    Variant("radix", pipelined=True),
    Variant("cascade"),
    Variant("cascade", pipelined=True),
)


@dataclass
class Output:
    """What one selector did: cycles in which groups went in, and all that came out."""

    taken: list = field(default_factory=list)
    given: list = field(default_factory=list)
    masks: list = field(default_factory=list)
    kept: list = field(default_factory=list)
    indices: list = field(default_factory=list)
    decoded: list = field(default_factory=list)


def simulate(folder, variant, shape, codes, *, offers=(1,), reset_at=0):
    """Run one selector on groups of codes `[groups, M]`; `shape` has N, M, B and FLOAT."""
    n, m, bits = shape["N"], shape["M"], shape["B"]
    words = [sum(int(code) << (bits * i) for i, code in enumerate(group)) for group in codes]
    (folder / "groups.hex").write_text("".join(f"{word:x}\n" for word in words))
    (folder / "offers.hex").write_text("".join(f"{offer:x}\n" for offer in offers))
    parameters = variant.parameters | shape
    parameters |= {"GROUPS": len(words), "OFFERS": len(offers), "RESET_AT": reset_at}
    out = Output()
    for line in icarus("bench", BENCH, folder, parameters).splitlines():
        what, cycle, *values = line.split()
        if what == "in":
            out.taken.append(int(cycle))
            continue
        mask, kept, indices, decoded = (int(value, 16) for value in values)
        out.given.append(int(cycle))
        out.masks.append(split(mask, m, 1))
        out.kept.append(split(kept, n, bits))
        out.indices.append(split(indices, n, max(1, (m - 1).bit_length())))
        out.decoded.append(split(decoded, m, 1))
    return out


def shape_of(n, m, bits=8, is_float=0):
    return {"N": n, "M": m, "B": bits, "FLOAT": is_float}


def split(word, count, bits):
    return [word >> (bits * i) & ((1 << bits) - 1) for i in range(count)]


def oracle(magnitudes, n):
    """Return masks: the first N in the order of falling magnitude, then rising index."""
    order = np.argsort(-magnitudes.astype(np.int64), axis=1, kind="stable")
    masks = np.zeros(magnitudes.shape, int)
    np.put_along_axis(masks, order[:, :n], 1, axis=1)
    return masks


def check(output, n, codes, masks):
    """Compare a selector, and the index metadata of what it kept, with masks `[groups, M]`."""
    flags = masks.astype(bool)
    np.testing.assert_array_equal(output.masks, masks)
    np.testing.assert_array_equal(output.kept, codes[flags].reshape(-1, n))
    np.testing.assert_array_equal(output.indices, np.nonzero(flags)[1].reshape(-1, n))
    np.testing.assert_array_equal(output.decoded, masks)


def int8_groups(m, count, rng):
    """Return groups that tie, saturate and hide a single value, and random ones."""
    special = [
        np.zeros(m),
        np.full(m, -128),
        np.full(m, 127),
        np.full(m, -1),
        np.where(np.arange(m) % 2, 127, -127),  # equal magnitudes of both signs
        np.where(np.arange(m) % 2, -128, 127),
        np.where(np.arange(m) % 2, -127, -128),
        np.arange(m) - m // 2,
        m // 2 - np.arange(m),
    ]
    for value in (1, -128, -127):
        for position in {0, m // 2, m - 1}:
            special += [np.where(np.arange(m) == position, value, 0)]
            special += [np.where(np.arange(m) == position, 0, value)]
    narrow = rng.integers(-2, 3, (count, m))  # ties everywhere
    edges = rng.choice([-128, -127, -126, 0, 1, 126, 127], (count, m))
    wide = rng.integers(-128, 128, (count, m))
    return np.concatenate([special, narrow, edges, wide]).astype(np.int8)


SHAPES = [(1, 4), (2, 4), (3, 4), (4, 8), (8, 16), (16, 32), (4, 16), (8, 32), (3, 5), (3, 7)]


@pytest.mark.parametrize(("n", "m"), [*SHAPES, (1, 1), (5, 5), (1, 7)])
def test_every_kind_keeps_the_largest_int8(tmp_path, n, m):
    groups = int8_groups(m, 160 // m, np.random.default_rng(m))
    masks = oracle(np.abs(groups.astype(int)), n)
    np.testing.assert_array_equal(NM(n, m).keep(groups), masks.astype(bool))
    codes = groups.astype(int) & 255
    for variant in KINDS:
        check(simulate(tmp_path, variant, shape_of(n, m), codes), n, codes, masks)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 8), (3, 7)])
def test_every_kind_keeps_the_largest_bf16(tmp_path, n, m):
    """Order of bits is order of magnitudes; the oracle compares the floats themselves."""
    rng = np.random.default_rng(m)
    finite = rng.integers(0, 0x7F80, (40, m))
    close = rng.integers(0x3F80, 0x3F83, (12, m))  # near 1.0: ties
    edges = rng.choice([0x0000, 0x0001, 0x007F, 0x0080, 0x3F80, 0x7F7F], (40, m))
    codes = np.concatenate([finite, close, edges])
    codes |= rng.integers(0, 2, codes.shape) << 15
    floats = (codes.astype(np.uint32) << 16).view(np.float32)
    order = np.argsort(-np.abs(floats).astype(np.float64), axis=1, kind="stable")
    masks = np.zeros(codes.shape, int)
    np.put_along_axis(masks, order[:, :n], 1, axis=1)
    np.testing.assert_array_equal(NM(n, m).keep(floats), masks.astype(bool))
    for variant in KINDS:
        check(simulate(tmp_path, variant, shape_of(n, m, 16, 1), codes), n, codes, masks)


@pytest.mark.parametrize(("n", "m", "bits"), [(1, 3, 4), (2, 4, 3), (3, 4, 2), (3, 5, 2)])
def test_every_kind_is_right_for_every_group_of_few_bits(tmp_path, n, m, bits):
    """Exhaustive: all 2^(M * bits) groups, -2^(bits-1) included."""
    codes = np.array(list(product(range(1 << bits), repeat=m)))
    signed = np.where(codes >> (bits - 1), codes - (1 << bits), codes)
    masks = oracle(np.abs(signed), n)
    for variant in KINDS:
        check(simulate(tmp_path, variant, shape_of(n, m, bits), codes), n, codes, masks)


def test_by_hand(tmp_path):
    """Of 3, -3, 1, 3 and of 0, 0, 0, -128, two stay; a tie keeps the lower index."""
    codes = np.array([[3, -3, 1, 3], [0, 0, 0, -128]]) & 255
    for variant in KINDS:
        output = simulate(tmp_path, variant, shape_of(2, 4), codes)
        assert output.masks == [[1, 1, 0, 0], [1, 0, 0, 1]]
        assert output.kept == [[3, 253], [0, 128]]
        assert output.indices == [[0, 1], [0, 3]]


TIMED = (
    *KINDS,
    Variant("rank", extra=2),
    Variant("bitonic", extra=1),
    Variant("radix", step_cycles=2),
    Variant("radix", step_cycles=3, extra=1),
    Variant("radix", pipelined=True, extra=1),
    Variant("cascade", step_cycles=2),
)


REPEATS = 7 * 31  # cycles, of all `offers` below: parameters are equal, so they share an image


@pytest.mark.parametrize("offers", [(1,), (1, 0, 0, 1, 1, 0, 1), (0,) * 30 + (1,)])
@pytest.mark.parametrize(("n", "m", "bits"), [(2, 4, 8), (3, 7, 8), (1, 4, 8), (4, 8, 16)])
def test_cycles(tmp_path, n, m, bits, offers):
    """Groups go in as often as described, and each comes out when described, in order."""
    is_float = int(bits == 16)
    codes = np.random.default_rng(m).integers(0, 0x7F80 if is_float else 256, (12, m))
    offered = [cycle for cycle in range(2, 4000) if offers[cycle % len(offers)]]
    for variant in TIMED:
        shape = shape_of(n, m, bits, is_float)
        repeated = offers * (REPEATS // len(offers))
        output = simulate(tmp_path, variant, shape, codes, offers=repeated)
        per_group, latency = variant.timing(n, m, bits - is_float)
        expected, free = [], 0
        for cycle in offered:
            if cycle >= free and len(expected) < len(codes):
                expected.append(cycle)
                free = cycle + per_group
        assert output.taken == expected, variant
        assert output.given == [t + per_group - 1 + latency for t in expected], variant


def test_reset_drops_what_is_on_its_way_and_nothing_else(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (60, 4))
    masks = oracle(np.abs(codes.astype(np.int8).astype(int)), 2)
    reset = 25
    for variant in TIMED:
        output = simulate(tmp_path, variant, shape_of(2, 4), codes, reset_at=reset)
        per_group, latency = variant.timing(2, 4, 8)
        due = [t + per_group - 1 + latency for t in output.taken]
        survives = [t > reset or d <= reset for t, d in zip(output.taken, due, strict=True)]
        assert len(due) == 60
        assert not all(survives)
        assert output.given == [d for d, alive in zip(due, survives, strict=True) if alive]
        assert output.masks == masks[survives].tolist()


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_the_simulator_counts_the_same_cycles(n, m):
    """`timing` above, which the RTL met, is what the hardware units charge for int8."""
    path = Datapath(
        rows=1,
        columns=1,
        lanes=n,
        accumulator_bits=32,
        kept_per_group=n,
        group_size=m,
    )
    for variant in KINDS:
        options = {"pipelined": variant.pipelined} if variant.kind in {"radix", "cascade"} else {}
        unit = SELECTORS[variant.kind](kind=variant.kind, **options)
        charged = unit.cycles_per_group(path), unit.latency_cycles(path)
        assert charged == variant.timing(n, m, 8), variant

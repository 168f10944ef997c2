"""Multipliers, adders, MAC and dot product: values bit for bit, and the cycle they appear in."""

from fractions import Fraction

import numpy as np
import pytest

from accelsim.rtl.reference import add_fp32, dot_bf16, dot_int8, flush
from tests.helpers.rtl_bench import icarus

# One operand pair a line of vectors.hex; one result a line of output.
COMBINATIONAL = """
module tb;
  parameter int COUNT = 1;
  localparam int B = {bits}, P = {result_bits};
  logic [2*B-1:0] vectors [0:COUNT-1];
  logic [B-1:0] a, b;
  logic [P-1:0] result;

  {module} dut (.a, .b, .{port}(result));
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {{b, a}} = vectors[v];
      #1 $display("%h", result);
    end
    $finish(0);
  end
endmodule
"""

# One word of vectors.hex a cycle: {rst, valid, first, last, b, a}; one line of output a cycle: the
# MAC of lane 0, then valid and value of the dot product.
CLOCKED = """
module tb;
  parameter int L = 1, B = 8, FLOAT = 0, COUNT = 1;
  logic clk = 0, rst, in_valid, in_first, in_last, out_valid;
  logic [4+2*L*B-1:0] vectors [0:COUNT-1];
  logic [L*B-1:0] a, b;
  logic [31:0] total, out_value;

  dot_product #(.L(L), .B(B), .FLOAT(FLOAT)) dut (.*);
  mac #(.B(B), .FLOAT(FLOAT)) lane (
      .clk, .in_valid, .in_first, .a(a[B-1:0]), .b(b[B-1:0]), .total
  );
  initial begin
    $readmemh("vectors.hex", vectors);
    for (int v = 0; v < COUNT; v++) begin
      {rst, in_valid, in_first, in_last, b, a} = vectors[v];
      #1 $display("%h %b %h", total, out_valid, out_value);
      clk = 1;
      #1 clk = 0;
    end
    $finish(0);
  end
endmodule
"""


def drive(folder, testbench, words, **parameters):
    (folder / "vectors.hex").write_text("\n".join(words) + "\n")
    lines = icarus("tb", testbench, folder, {"COUNT": len(words), **parameters}).splitlines()
    return [line.split() for line in lines if line]


def combine(folder, module, port, a, b, *, result_bits=None):
    """Return what a combinational module makes of two arrays of bit patterns."""
    bits = 8 * a.itemsize
    result_bits = result_bits or (32 if bits > 8 else 16)
    text = COMBINATIONAL.format(module=module, port=port, bits=bits, result_bits=result_bits)
    digits = bits // 4
    words = [f"{int(y):0{digits}x}{int(x):0{digits}x}" for x, y in zip(a, b, strict=True)]
    return np.array([int(word, 16) for (word,) in drive(folder, text, words)], np.uint32)


def packed(values, bits):
    """Return elements as one integer, element 0 lowest."""
    return sum((int(value) & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


class Stream:
    """Sums of products to push through a dot product: operands `[steps, L]`, and gaps."""

    def __init__(self, rng, lanes, bits):
        self.rng, self.lanes, self.bits = rng, lanes, bits
        self.words, self.ends = [], {}  # cycle of the last step of each sum -> number of the sum

    def control(self, *, rst=0, valid=0, first=0, last=0, a=None, b=None):
        if a is None:  # what stands at the ports of an idle cycle must not matter
            first, last = self.rng.integers(0, 2, 2)
            a, b = self.rng.integers(0, 1 << self.bits, (2, self.lanes))
        width = self.lanes * self.bits
        word = packed([last, first, valid, rst], 1) << 2 * width
        word |= packed(b, self.bits) << width | packed(a, self.bits)
        self.words.append(f"{word:x}")

    def add(self, a, b, gap=0.0):
        steps = len(a)
        for step in range(steps):
            while self.rng.random() < gap:
                self.control()
            self.control(valid=1, first=step == 0, last=step == steps - 1, a=a[step], b=b[step])
        self.ends[len(self.words) - 1] = len(self.ends)

    def idle(self, cycles):
        for _ in range(cycles):
            self.control()


def results(lines, ends, latency):
    """Check the cycle of every result, and that it stays until the next one; return the results."""
    expected_valid = {end + latency for end in ends}
    values, held = [], None
    for cycle, (_, valid, value) in enumerate(lines):
        assert (valid == "1") == (cycle in expected_valid), cycle
        if valid == "1":
            held = value
            values.append(int(value, 16))
        elif held is not None:
            assert value == held, cycle
    return values


def ceil_log2(value):
    return (value - 1).bit_length()


def run_stream(folder, stream, latency, **parameters):
    stream.idle(latency + 2)
    lines = drive(folder, CLOCKED, stream.words, **parameters)
    return results(lines, stream.ends, latency), lines


# --- integers -----------------------------------------------------------------------------------


def test_multiplies_every_pair_of_int8(tmp_path):
    a, b = (grid.ravel().astype(np.int8) for grid in np.mgrid[-128:128, -128:128])
    products = combine(tmp_path, "int_multiplier", "product", a.view(np.uint8), b.view(np.uint8))
    assert np.array_equal(products.astype(np.uint16).view(np.int16), a.astype(np.int16) * b)


def test_two_steps_by_hand(tmp_path):
    # 1·10 + 2·20 + 3·30 = 140, then 4·1 - 5·2 + 6·3 = 12: 152, 3 + 2 cycles after the second step.
    stream = Stream(np.random.default_rng(0), lanes=3, bits=8)
    stream.control(rst=1)
    stream.add([[1, 2, 3], [4, -5, 6]], [[10, 20, 30], [1, 2, 3]])
    values, _ = run_stream(tmp_path, stream, 5, L=3)
    assert values == [152]


@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 16, 32])
def test_sums_int8(tmp_path, lanes):
    rng = np.random.default_rng(lanes)
    stream = Stream(rng, lanes, 8)
    stream.control(rst=1)
    expected = []

    def add(a, b, gap=0.0):
        a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
        stream.add(a, b, gap)
        expected.append(int((a * b).sum()))

    for steps in [1, 1, 2, 3, 7, 1, *rng.integers(1, 12, 30)]:  # back to back
        add(*rng.integers(-128, 128, (2, steps, lanes)))
    for steps in rng.integers(1, 9, 20):
        add(*rng.integers(-128, 128, (2, steps, lanes)), gap=0.4)
    for extremes in [(-128, -128), (-128, 127), (127, 127)]:
        add(*(np.full((20, lanes), extreme) for extreme in extremes))

    values, _ = run_stream(tmp_path, stream, 3 + ceil_log2(lanes), L=lanes)

    assert np.array(values, np.uint32).view(np.int32).tolist() == expected


def test_accumulator_of_int8_wraps(tmp_path):
    """16 lanes of 128·128 add 2^18 a step: after 2^13 steps the sum is 2^31, which int32 lacks."""
    stream = Stream(np.random.default_rng(0), 16, 8)
    stream.control(rst=1)
    ones = np.full((2**13, 16), -128)
    stream.add(ones, ones)
    (value,), _ = run_stream(tmp_path, stream, 7, L=16)
    assert value == 2**31
    assert dot_int8(ones, ones) == -(2**31)


@pytest.mark.parametrize("lanes", [1, 6])
def test_sums_int16_wrap(tmp_path, lanes):
    rng = np.random.default_rng(lanes)
    stream = Stream(rng, lanes, 16)
    stream.control(rst=1)
    expected = []
    for steps in (1, 4, 9):
        a, b = rng.integers(-(2**15), 2**15, (2, steps, lanes))
        stream.add(a, b)
        expected.append(int((a * b).sum()) % 2**32)
    values, _ = run_stream(tmp_path, stream, 3 + ceil_log2(lanes), L=lanes, B=16)
    assert values == expected


def test_reset_drops_what_is_on_its_way(tmp_path):
    stream = Stream(np.random.default_rng(0), 4, 8)
    stream.control(rst=1)
    ones = np.ones((1, 4), int)
    stream.add(ones, ones)
    stream.ends.clear()
    stream.control(rst=1)
    stream.idle(8)
    stream.add(ones, 2 * ones)
    values, _ = run_stream(tmp_path, stream, 5, L=4)
    assert values == [8]


def test_reference_of_int8_agrees_with_python():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (2, 5, 4, 3)).astype(np.int8)
    for sums, x, y in zip(dot_int8(a, b), a, b, strict=True):
        assert sums == sum(int(p) * int(q) for p, q in zip(x.flat, y.flat, strict=True))


# --- floats -------------------------------------------------------------------------------------


def float_bits(sign, exponent, fraction, fraction_bits):
    """Return bit patterns of floats with 8 bits of exponent."""
    pattern = (np.asarray(sign) << 8 | exponent) << fraction_bits | fraction
    return pattern.astype(np.uint32 if fraction_bits == 23 else np.uint16)


def random_floats(rng, count, fraction_bits, exponents=(0, 255)):
    """Any finite numbers: exponents from the first to before the second; 0 is zero or subnormal."""
    return float_bits(
        rng.integers(0, 2, count),
        rng.integers(*exponents, count),
        rng.integers(0, 1 << fraction_bits, count),
        fraction_bits,
    )


def as_float(bf16):
    """Return bf16 bit patterns as float32."""
    return (np.asarray(bf16, np.uint32) << np.uint32(16)).view(np.float32)


def adder_pairs(rng):
    """Pairs of fp32 bit patterns: any, and those near the borders of rounding and range."""
    any_a, any_b = random_floats(rng, (2, 6000), 23)
    near_a = random_floats(rng, 8000, 23, (30, 225))
    shift = rng.integers(-26, 27, 8000)
    near_b = float_bits(
        rng.integers(0, 2, 8000), (near_a >> 23 & 255) + shift, rng.integers(0, 2**23, 8000), 23
    )
    # The lesser has few bits, so that ties are common.
    tie_b = near_b & np.uint32(0xFFE00000)
    # Opposite, equal or a few units apart: cancellation.
    close_b = (near_a ^ np.uint32(1 << 31)) + rng.integers(-4, 5, 8000).astype(np.uint32)
    low = random_floats(rng, (2, 3000), 23, (0, 4))
    high = random_floats(rng, (2, 3000), 23, (250, 255))
    specials = np.array(
        [0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x80800000, 0x00800001,
         0x3F800000, 0xBF800000, 0x33800000, 0xB3800000, 0x34000000, 0x7F7FFFFF, 0xFF7FFFFF,
         0x73000000, 0x72FFFFFF], np.uint32)  # fmt: skip
    square = np.meshgrid(specials, specials)
    a = [any_a, near_a, near_a, near_a, low[0], high[0], square[0].ravel()]
    b = [any_b, near_b, tie_b, close_b, low[1], high[1], square[1].ravel()]
    return np.concatenate(a), np.concatenate(b)


def test_adds_fp32_as_numpy_does(tmp_path):
    a, b = adder_pairs(np.random.default_rng(0))
    sums = combine(tmp_path, "fp32_adder", "sum", a, b)

    smallest = np.float32(2.0**-126)
    x, y = a.view(np.float32), b.view(np.float32)
    x, y = (np.where(abs(v) < smallest, np.copysign(np.float32(0), v), v) for v in (x, y))
    with np.errstate(over="ignore"):
        exact = x + y  # IEEE: to nearest, ties to even
    expected = np.where(abs(exact) < smallest, np.copysign(np.float32(0), exact), exact)

    assert len(a) >= 20_000
    assert np.isinf(expected).any()
    assert ((exact != 0) & (expected == 0)).any()
    wrong = np.flatnonzero(sums != expected.view(np.uint32))
    assert not wrong.size, [f"{a[i]:08x} + {b[i]:08x} = {sums[i]:08x}" for i in wrong[:5]]


def test_infinity_stays(tmp_path):
    infinite, negative = np.uint32(0x7F800000), np.uint32(0xFF800000)
    others = np.array([0, 0x3F800000, 0x7F7FFFFF, 0xFF7FFFFF], np.uint32)
    for sign in (infinite, negative):
        a = np.full(4, sign)
        assert (combine(tmp_path, "fp32_adder", "sum", a, others) == sign).all()
        assert (combine(tmp_path, "fp32_adder", "sum", others, a) == sign).all()


def test_multiplies_bf16_exactly(tmp_path):
    rng = np.random.default_rng(1)
    specials = np.array([0, 0x8000, 1, 0x807F, 0x0080, 0x3F80, 0xBFFF, 0x7F7F, 0x1FFF, 0x5FFF])
    square = np.meshgrid(specials, specials)
    any_a, any_b = random_floats(rng, (2, 10_000), 7)
    usual = random_floats(rng, (2, 5000), 7, (90, 165))
    border = random_floats(rng, (2, 5000), 7, (60, 68))  # products around 2^-126
    a = np.concatenate([any_a, usual[0], border[0], square[0].ravel()]).astype(np.uint16)
    b = np.concatenate([any_b, usual[1], border[1], square[1].ravel()]).astype(np.uint16)

    products = combine(tmp_path, "bf16_multiplier", "product", a, b)

    # float64 holds the product exactly; outside the range of fp32 it becomes infinity or zero.
    x, y = (np.where(v & 0x7F80, as_float(v), as_float(v & 0x8000)).astype(float) for v in (a, b))
    exact = x * y
    exact[abs(exact) < 2.0**-126] *= 0
    with np.errstate(over="ignore"):
        expected = exact.astype(np.float32)
    assert np.array_equal(expected[np.isfinite(expected)], exact[np.isfinite(expected)])
    wrong = np.flatnonzero(products != expected.view(np.uint32))
    assert not wrong.size, [f"{a[i]:04x} * {b[i]:04x} = {products[i]:08x}" for i in wrong[:5]]


def as_fp8(codes):
    """Return fp8 codes as float32, by the definition of the format."""
    codes = np.asarray(codes, np.int64)
    field, fraction = codes >> 3 & 15, codes & 7
    size = np.where(field == 0, fraction * 2.0**-9, (8 + fraction) * 2.0 ** (field - 10.0))
    return np.where(codes >> 7, -size, size).astype(np.float32)


def test_multiplies_every_pair_of_fp8(tmp_path):
    codes = np.array([code for code in range(256) if code & 127 != 127], np.uint8)
    a, b = (grid.ravel() for grid in np.meshgrid(codes, codes))
    products = combine(tmp_path, "fp8_multiplier", "product", a, b, result_bits=32)
    assert np.array_equal(products, (as_fp8(a) * as_fp8(b)).view(np.uint32))


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_sums_fp8(tmp_path, lanes):
    rng = np.random.default_rng(lanes)
    stream = Stream(rng, lanes, 8)
    stream.control(rst=1)
    expected = []
    for number in range(80):
        shape = (2, rng.integers(1, 6), lanes)
        a, b = rng.integers(0, 127, shape) + 128 * rng.integers(0, 2, shape)
        stream.add(a, b, gap=0.0 if number < 50 else 0.3)
        expected.append(dot_bf16(as_fp8(a), as_fp8(b)).view(np.uint32))
    values, _ = run_stream(tmp_path, stream, 3 + ceil_log2(lanes), L=lanes, B=8, FLOAT=1)
    assert values == expected


def bf16_operands(rng, steps, lanes, kind):
    """Operands `[2, steps, L]` as bf16 bit patterns."""
    shape = (2, steps, lanes)
    if kind == "any":  # sums that pass infinity would meet the other infinity: keep the range
        return random_floats(rng, shape, 7, (0, 185))
    if kind == "usual":
        return random_floats(rng, shape, 7, (110, 130))
    if kind == "tiny":
        return random_floats(rng, shape, 7, (57, 70))
    # Few bits, exponents 0 or about 12 apart: ties, and sums that cancel.
    powers = random_floats(rng, shape, 7, (120, 133))
    return powers & np.uint16(0xFF80 | 0x40)


KINDS_OF_SUMS = ("any", "usual", "tiny", "few bits")


@pytest.mark.parametrize("lanes", [1, 3, 5, 16])
def test_sums_bf16(tmp_path, lanes):
    rng = np.random.default_rng(lanes)
    stream = Stream(rng, lanes, 16)
    stream.control(rst=1)
    expected = []
    for number in range(120):
        a, b = bf16_operands(rng, rng.integers(1, 6), lanes, KINDS_OF_SUMS[number % 4])
        stream.add(a, b, gap=0.0 if number < 80 else 0.3)
        expected.append(dot_bf16(as_float(a), as_float(b)).view(np.uint32))

    values, _ = run_stream(tmp_path, stream, 3 + ceil_log2(lanes), L=lanes, B=16, FLOAT=1)

    assert values == expected
    assert np.isfinite(np.array(expected, np.uint32).view(np.float32)).all()


@pytest.mark.parametrize(("bits", "is_float"), [(8, 0), (16, 1)])
def test_mac_shows_its_sum_in_the_next_cycle(tmp_path, bits, is_float):
    rng = np.random.default_rng(bits)
    stream = Stream(rng, 1, bits)
    shown = {}
    for steps in (1, 1, 3, 9):
        if is_float:
            a, b = bf16_operands(rng, steps, 1, "usual")
        else:
            a, b = rng.integers(-128, 128, (2, steps, 1))
        for step in range(steps):
            stream.control(valid=1, first=step == 0, a=a[step], b=b[step])
            so_far = slice(0, step + 1)
            if is_float:
                sums = dot_bf16(as_float(a[so_far]), as_float(b[so_far])).view(np.uint32)
            else:
                sums = (a[so_far] * b[so_far]).sum() % 2**32
            shown[len(stream.words)] = int(sums)
            if step % 2:  # an idle cycle keeps the sum
                stream.control()
                shown[len(stream.words)] = int(sums)
    stream.idle(1)

    lines = drive(tmp_path, CLOCKED, stream.words, L=1, B=bits, FLOAT=is_float)

    assert {cycle: int(lines[cycle][0], 16) for cycle in shown} == shown


# --- the reference of bf16 against exact arithmetic ---------------------------------------------


def rounded(value):
    """Round a fraction to fp32: to nearest, ties to even; subnormal numbers to zero."""
    if abs(value) < Fraction(2) ** -126:
        return Fraction(0)
    exponent = 0
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    return round(value / unit) * unit  # Python rounds ties to even


def exact_dot(a, b):
    """The same sums in the same order, in fractions; a recursive tree."""

    def tree(values):
        if len(values) == 1:
            return values[0]
        pairs = [
            rounded(values[i] + values[i + 1]) if i + 1 < len(values) else values[i]
            for i in range(0, len(values), 2)
        ]
        return tree(pairs)

    total = Fraction(0)
    for x, y in zip(flush(a), flush(b), strict=True):
        products = [
            rounded(Fraction(float(p)) * Fraction(float(q))) for p, q in zip(x, y, strict=True)
        ]
        total = rounded(total + tree(products))
    return total


@pytest.mark.parametrize("kind", KINDS_OF_SUMS)
def test_reference_of_bf16_agrees_with_fractions(kind):
    rng = np.random.default_rng(len(kind))
    for lanes in (1, 2, 3, 7, 16):
        for _ in range(15):
            a, b = (as_float(bits) for bits in bf16_operands(rng, 3, lanes, kind))
            assert Fraction(float(dot_bf16(a, b))) == exact_dot(a, b)


def test_reference_takes_batches():
    rng = np.random.default_rng(5)
    a, b = as_float(random_floats(rng, (2, 4, 6, 3, 5), 7, (110, 130)))
    batch = dot_bf16(a, b)
    assert batch.shape == (4, 6)
    assert batch[2, 3] == dot_bf16(a[2, 3], b[2, 3])


def test_reference_rounds_ties_to_even_and_flushes():
    one, half_ulp = np.float32(1), np.float32(2.0**-24)
    assert add_fp32(one, half_ulp) == 1
    assert add_fp32(np.nextafter(one, np.float32(2)), half_ulp) == 1 + 2.0**-22
    assert add_fp32(np.float32(2.0**-126), -np.float32(1.5 * 2.0**-126)) == 0
    assert np.signbit(flush(np.float32(-1e-40)))

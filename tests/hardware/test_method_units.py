"""Units of pruning methods: cycles, bytes, parts and prices by hand."""

import pytest

from accelsim.base.errors import InputError
from accelsim.hardware import Epilogue, Moments, PreScaler, PreShifter, Statistics
from accelsim.mapping import Gemm
from accelsim.sparsity.demands import Demands
from accelsim.tech.blocks import Shape, block
from accelsim.tech.technology import Technology

TECH = Technology.load("nangate45")
INT8 = Shape(bits=8)
BF16 = Shape(bits=16, is_float=True, significand_bits=8)


def job_lists(unit, work):
    return unit.busy_cycles(work).tolist()


# Time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "demands"),
    [
        (PreShifter(lanes=10), Demands(shift="token")),
        (PreScaler(lanes=10), Demands(factors="chunk")),
        (Moments(lanes=10), Demands(moments=True)),
    ],
)
def test_units_of_the_select_stage_take_the_positions_of_what_is_selected(
    unit, demands, path, layer
):
    # 6 × 40 in tiles of 4 × 32: 128, 32, 64, 16 positions; two columns tiles share each selection.
    tiles = layer("8:16", path("8:16", demands=demands), (6, 40, 8), (4, 32, 4), keep=True)
    assert job_lists(unit, tiles) == [13, 4, 0, 0, 7, 2, 0, 0]
    assert unit.latency_cycles(tiles.path) == 1


def test_an_epilogue_takes_the_outputs_that_are_complete(path, layer):
    # 6 × 8 outputs in tiles of 4 × 4, K in two: only the second part of K completes them.
    demands = Demands(epilogue="add")
    tiles = layer("8:16", path("8:16", demands=demands), (6, 40, 8), (4, 32, 4))
    assert job_lists(Epilogue(lanes=3), tiles) == [0, 6, 0, 6, 0, 3, 0, 3]


@pytest.mark.parametrize(("kind", "passes"), [("columns", 1), ("median", 8)])
def test_statistics_take_all_of_x_before_the_first_tile(kind, passes, path, layer):
    tiles = layer("8:16", path("8:16", demands=Demands(statistics=kind)), (6, 40, 8), (4, 32, 4))
    first, *rest = job_lists(Statistics(lanes=7), tiles)
    # A median's pass ends in a word of 5 of a token's 40 values before the next one begins.
    assert first == (-(-6 * 40 // 7) if kind == "columns" else passes * 6 * -(-40 // 7))
    assert not any(rest)


@pytest.mark.parametrize("unit", [Statistics, PreShifter, PreScaler, Moments, Epilogue])
def test_a_layer_that_asks_for_nothing_leaves_a_unit_idle(unit, path, layer):
    tile = layer("8:16", path("8:16"), (6, 40, 8))
    assert job_lists(unit(lanes=4), tile) == [0]
    assert not any(unit(lanes=4).actions(tile).values())


# Counts ----------------------------------------------------------------------------------------


def counts(unit, demands, path, layer):
    tile = layer("8:16", path("8:16", demands=demands), (6, 40, 8))
    return {name: count for name, count in unit.actions(tile).items() if count}


def test_bytes_of_the_tables_by_hand(path, layer):
    """6 tokens, K = 40, O = 8: 240 positions, 48 outputs."""
    cases = [
        # A factor or shift of a byte is read for each position; K of them are written.
        (PreScaler, Demands(factors="fixed"), {"fixed": 240, "read_bytes": 240, "write_bytes": 40}),
        (PreScaler, Demands(factors="chunk"), {"chunk": 240, "read_bytes": 240, "write_bytes": 40}),
        (
            PreShifter,
            Demands(shift="channel"),
            {"channel": 240, "read_bytes": 240, "write_bytes": 40},
        ),
        (PreShifter, Demands(shift="token"), {"token": 240}),
        # A sum of 4 bytes is read and written back for each position.
        (
            Statistics,
            Demands(statistics="columns"),
            {"columns": 240, "read_bytes": 960, "write_bytes": 960},
        ),
        # Each of 8 passes reads a token's bytes; they are written once.
        (
            Statistics,
            Demands(statistics="median"),
            {"median": 1920, "read_bytes": 1920, "write_bytes": 240},
        ),
        (Epilogue, Demands(epilogue="scale"), {"scale": 48}),
        (Epilogue, Demands(epilogue="add"), {"add": 48, "read_bytes": 192, "write_bytes": 32}),
        (
            Epilogue,
            Demands(epilogue="axpy"),
            {"scale": 48, "add": 48, "read_bytes": 192, "write_bytes": 32},
        ),
        (Moments, Demands(moments=True), {"moments": 240}),
    ]
    for unit, demands, expected in cases:
        assert counts(unit(lanes=4), demands, path, layer) == expected, (unit, demands)


# Parts and prices ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ints", "floats"),
    [
        # An 8-bit adder; of floats, multipliers and adders.
        ("shift_lane", {"accumulator_bits": 8, "register_bits": 8}, (0, 1)),
        ("scale_lane", {"int8_multipliers": 1, "register_bits": 16}, (1, 0)),
        # A square, and a share of four adder trees: 8 + 2 and 16 + 2 bits, twice each.
        (
            "moments_lane",
            {"int8_multipliers": 1, "accumulator_bits": 56, "register_bits": 56},
            (1, 4),
        ),
        (
            "columns_lane",
            # The square, and that times the square of its token's scale, which bf16 has not.
            {"int8_multipliers": 2, "accumulator_bits": 32, "register_bits": 32},
            (1, 1),
        ),
        # 32 × 8 bits are four products of 8 × 8; 24 × 8 of significands are three.
        ("output_scale_lane", {"int8_multipliers": 4, "register_bits": 16}, (3, 0)),
        ("output_add_lane", {"accumulator_bits": 32, "register_bits": 32}, (0, 1)),
    ],
)
def test_parts_of_a_lane(name, ints, floats):
    def parts(shape):
        return {part: count for part, count in block(name).parts(shape).items() if count}

    assert parts(INT8) == ints
    found = parts(BF16)
    assert (found.get("bf16_multipliers", 0), found.get("float_adders", 0)) == floats
    assert set(found) <= {"bf16_multipliers", "float_adders", "register_bits"}


def test_a_pre_scaler_costs_its_multipliers_and_a_memory(toy, path):
    """Of the toy technology, an 8 × 8 multiplier is 10⁴ and a register 1 µm² and 1 pJ a cycle.

    A MAC costs 5 pJ per µm² of the logic of a dot product, its flip-flops included: of 16 lanes
    16 multipliers, 266 bits of adders and 32 of the accumulator, 10⁴ µm² each. Between them stand
    16 × 16 + 8 × 17 + 4 × 18 + 2 × 19 + 20 = 522 registers, which a pre-scaler does not have.
    """
    fields = {"lanes": 4, "table_kib": 1.0}
    scaler, machine = PreScaler(**fields), path("8:16")
    memory = toy.sram(capacity_bytes=1024, width_bytes=4, banks=1)
    assert scaler.area_um2(toy, machine) == 4 * (10_000 + 16) + memory.area_um2
    energy = scaler.energy_pj(toy, machine)
    density = 5 - 522 / ((16 + 266 + 32) * 10_000)
    assert energy["fixed"] == energy["chunk"] == pytest.approx(density * 10_000 + 16, rel=1e-12)
    assert energy["read_bytes"] == memory.read_pj / 4
    leak_mw = 4 * (10_000 + 16) * 2 * 1e-6 + memory.leakage_mw
    assert scaler.leakage_mw(toy, machine) == pytest.approx(leak_mw)


@pytest.mark.parametrize(
    ("unit", "kind", "expected_pj"),
    [
        (PreShifter, "token", 0.2516),
        (PreScaler, "fixed", 1.1501),
        (Moments, "moments", 2.7000),
        (Statistics, "columns", 2.8836),
        (Statistics, "median", 0.3145),
        (Epilogue, "scale", 3.9657),
        (Epilogue, "add", 1.0065),
    ],
)
def test_registers_of_a_lane_are_charged_once(unit, kind, expected_pj, path):
    """Of 16 lanes of a dot product, 522 registers × 13.22 fJ are 0.431 pJ a lane.

    A MAC of it costs 440.8 µm² × 2.585 fJ; without registers that is 1.607 fJ per µm². A 32-bit
    adder and its registers: 364 µm² × 1.607 fJ + 32 × 13.22 fJ = 1.01 pJ.
    """
    energy = unit(lanes=1).energy_pj(TECH, path("8:16", lanes=4))  # whatever the machine's lanes
    assert energy[kind] == pytest.approx(expected_pj, abs=6e-5)


def test_a_wide_table_is_memories_of_32_bytes_side_by_side(path):
    # 64 lanes × 4 bytes are 256 bytes a cycle: 8 memories of 4 KiB.
    one = TECH.sram(capacity_bytes=4096, width_bytes=32, banks=1)
    wide, machine = Statistics(lanes=64, kinds=("columns",)), path("8:16")
    bare = Statistics(lanes=64, kinds=("columns",), table_kib=16.0)
    half = TECH.sram(capacity_bytes=2048, width_bytes=32, banks=1)
    grown = wide.area_um2(TECH, machine) - bare.area_um2(TECH, machine)
    assert grown == pytest.approx(8 * (one.area_um2 - half.area_um2))
    assert wide.energy_pj(TECH, machine)["read_bytes"] == pytest.approx(one.read_pj / 32)


def test_memories_side_by_side_have_equal_widths(path):
    # 33 lanes of a byte: two memories of 17 bytes, which take 34 at least.
    def made(table_bytes):
        return PreShifter(lanes=33, kinds=("channel",), table_kib=table_bytes / 1024)

    made(34).check(path("8:16"))
    assert made(34).area_um2(TECH, path("8:16")) > 0
    with pytest.raises(InputError, match="less than one access of 34 bytes, an entry for each of"):
        made(33).check(path("8:16"))


def test_shifts_of_tokens_need_no_table(path):
    unit, machine = PreShifter(lanes=40000, kinds=("token",)), path("8:16")
    unit.check(machine)
    lane = TECH.block("shift_lane", INT8, period_ps=1000).area_um2
    assert unit.area_um2(TECH, machine) == pytest.approx(40000 * lane)


def test_a_unit_costs_what_it_can_do(path):
    def area(unit, *kinds):
        return unit(lanes=8, kinds=kinds).area_um2(TECH, path("8:16"))

    everything = Epilogue(lanes=8).area_um2(TECH, path("8:16"))
    assert area(Epilogue, "scale") < area(Epilogue, "scale", "add") == everything
    assert area(PreShifter, "token") < area(PreShifter, "channel")  # which has a table
    assert area(Statistics, "median") < area(Statistics, "columns", "median")


def test_kinds_are_those_given_and_those_asked_for_or_all():
    add, scale = Demands(epilogue="add"), Demands(epilogue="scale")
    assert Epilogue().serving([add]).kinds == ("add",)
    assert Epilogue(kinds=("scale",)).serving([add]).kinds == ("scale", "add")
    assert Epilogue().serving([Demands(), scale, add]).kinds == ("scale", "add")
    assert Epilogue().serving([Demands()]).kinds == ("scale", "add")
    assert Epilogue(kinds=("add",)).serving([]).kinds == ("add",)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'mean'; allowed: columns, median"):
        Statistics(kinds=("mean",))


def test_a_table_that_does_not_fit_is_refused_only_where_it_is_used(path):
    # 32 KiB are 8,192 sums of 4 bytes, or 32,768 values of a token.
    unit = Statistics(lanes=4, table_kib=32.0)
    columns = path("8:16", demands=Demands(statistics="columns"))
    unit.check_layer(Gemm(4, 8192, 8), columns)
    message = r"table of 32772 bytes must fit in statistics\.table_kib of 32768 bytes"
    with pytest.raises(InputError, match=message):
        unit.check_layer(Gemm(4, 8193, 8), columns)
    unit.check_layer(Gemm(4, 8193, 8), path("8:16", demands=Demands(statistics="median")))
    unit.check_layer(Gemm(4, 8193, 8), path("8:16"))


def test_a_table_is_sized_in_whole_kib_by_the_layers_that_use_it(path):
    columns = path("8:16", demands=Demands(statistics="columns"))
    median, plain = path("8:16", demands=Demands(statistics="median")), path("8:16")
    layers = [(Gemm(4, 300, 8), columns), (Gemm(4, 1100, 8), median), (Gemm(4, 9999, 8), plain)]
    unit = Statistics(lanes=4)
    sized = unit.sized(layers)  # 1,200 bytes of sums, 1,100 of a token
    assert (unit.table_kib, sized.table_kib) == (None, 2)
    assert sized.sized([(Gemm(4, 513, 8), columns)]).table_kib == 3  # another trace: it is open yet
    assert sized.sized([(Gemm(4, 10, 8), columns)]).table_kib == 2  # and only grows
    assert Statistics(lanes=4, table_kib=8.0).sized(layers).table_kib == 8
    assert unit.sized([(Gemm(4, 9999, 8), plain)]).table_kib is None
    # 1,200 lanes take 4 bytes each at once: 150 memories of 32 bytes, 4,800 in all.
    assert Statistics(lanes=1200).sized(layers).table_kib == 5


def test_a_table_of_no_size_costs_32_kib_or_one_access(path):
    def area(lanes, **size):
        unit = PreShifter(lanes=lanes, kinds=("channel",), **size)
        unit.check(path("8:16"))
        return unit.area_um2(TECH, path("8:16"))

    assert area(64) == area(64, table_kib=32.0)
    assert area(40960) == area(40960, table_kib=40.0)


# Selectors with wider keys ---------------------------------------------------------------------


def parts_of(name, score_bits):
    return block(name).parts(Shape(n=8, m=16, score_bits=score_bits))


def test_a_rank_selector_compares_wider_keys_and_holds_the_same_values():
    plain, wide = parts_of("select_rank", 0), parts_of("select_rank", 16)
    assert wide["comparator_bits"] == 2 * plain["comparator_bits"] == 120 * 16
    assert wide["register_bits"] == plain["register_bits"]


def test_a_selector_that_keeps_its_keys_holds_them_beside_the_values():
    # radix, 8:16: values of 8 bits and keys of 16 and two flags each; room 4; a bit a plane; valid.
    assert parts_of("select_radix", 16)["register_bits"] == 16 * (8 + 16 + 2) + 4 + 16 + 1


def test_what_handles_values_is_as_fast_as_before():
    for name in ("compact", "crossbar_full", "dot_product"):
        wide, plain = Shape(n=8, m=16, score_bits=16), Shape(n=8, m=16)
        assert block(name).path(wide) == block(name).path(plain)
        assert block(name).parts(wide) == block(name).parts(plain)
    assert block("select_rank").path(Shape(m=16, score_bits=16))["bits"] == 16

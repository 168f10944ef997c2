"""What a clock makes of selectors and crossbars, from delays that a test sets."""

from itertools import pairwise

import pytest

from accelsim.hardware import CROSSBARS, SELECTORS, MacArray
from accelsim.precision import Operands
from accelsim.tech.technology import Technology
from tests.helpers.toy import FAST, UNITS, cells, toy

# One flip-flop stage of a 2:4 int8 group: 4 values of 8 bits, 4 flags, valid.
STAGE_BITS = 37


def make(registry, kind, **fields):
    return registry[kind](kind=kind, **fields)


def selector(kind, **fields):
    return make(SELECTORS, kind, **fields)


def crossbar(kind, **fields):
    return make(CROSSBARS, kind, **fields)


def delays(unit, core, compact):
    """Return the delays of a selector's two blocks."""
    return {unit.block_name(): core, "compact": compact}


# --- selectors -----------------------------------------------------------------------------------

# 2:4 int8 at 1 GHz. `core` and `compact` in ps → extra stages, cycles a step.
RANK, BITONIC, RADIX, CASCADE = (selector(k) for k in ("rank", "bitonic", "radix", "cascade"))
RADIX_PIPELINED = selector("radix", pipelined=True)
CASCADE_PIPELINED = selector("cascade", pipelined=True)
CASES = [
    # Everything in time, to the picosecond.
    (RANK, (1000, 1000), (0, 1)),
    (BITONIC, (500, 500), (0, 1)),
    (RADIX, (500, 500), (0, 1)),
    (CASCADE, (1000, 1000), (0, 1)),
    # A core of one stage, cut in two, three; compaction of its own accord.
    (RANK, (1001, 400), (1, 1)),
    (RANK, (2500, 400), (2, 1)),
    (RANK, (400, 1500), (1, 1)),
    (RANK, (2500, 1500), (3, 1)),
    # 2 levels of exchanges; what decodes the winners comes before compaction: 700 + 400 > 1000.
    (BITONIC, (700, 400), (1, 1)),
    (BITONIC, (1500, 400), (2 * 1 + 1, 1)),  # both levels cut in two; 1900 behind them
    (BITONIC, (1500, 600), (2 * 1 + 2, 1)),  # 2100 behind them
    # Iterative: a step takes several cycles; only what follows is pipelined. Ties: as bitonic.
    (RADIX, (700, 400), (1, 1)),
    (RADIX, (1500, 400), (1, 2)),
    (RADIX, (2500, 600), (3, 3)),
    (CASCADE, (2500, 400), (0, 3)),
    (CASCADE, (2500, 1400), (1, 3)),
    # Pipelined: 8 planes, 2 maxima, each cut in as many.
    (RADIX_PIPELINED, (1500, 400), (8 * 1 + 1, 1)),
    (RADIX_PIPELINED, (2500, 600), (8 * 2 + 3, 1)),
    (CASCADE_PIPELINED, (2500, 400), (2 * 2, 1)),
    (CASCADE_PIPELINED, (999, 1001), (1, 1)),
]


@pytest.mark.parametrize(("unit", "delay_ps", "expected"), CASES)
def test_stages_and_step_cycles_by_hand(path, unit, delay_ps, expected):
    tech, machine, (extra, step) = toy(delays(unit, *delay_ps)), path("2:4"), expected
    fitted = unit.fit_clock(tech, machine)
    assert (fitted.extra_stages, fitted.step_cycles) == expected
    assert fitted.latency_cycles(machine) == unit.latency_cycles(machine) + extra
    steps = {RADIX: 8, CASCADE: 2}.get(unit)
    assert fitted.cycles_per_group(machine) == (steps * step + 1 if steps else 1)
    more = fitted.area_um2(tech, machine) - unit.area_um2(tech, machine)
    assert cells(more) == ({"register": extra * STAGE_BITS} if extra else {})


def test_a_slower_clock_needs_fewer_stages(path):
    unit = RANK
    tech = toy(delays(unit, 2500, 400))
    found = [
        unit.fit_clock(tech, path("2:4", clock_mhz=clock)).extra_stages
        for clock in (2000, 1000, 500, 400, 100)  # 500, 1000, 2000, 2500 and 10,000 ps
    ]
    assert found == [4, 2, 1, 0, 0]


def test_the_fast_netlist_comes_before_pipelining(path):
    # 1500 ps as synthesised for area, 900 for delay: no stage, but three times the gates.
    unit = RANK
    tech = toy(delays(unit, 1500, 400), {"select_rank": 900})
    assert unit.fit_clock(tech, path("2:4")).extra_stages == 0
    fast = cells(unit.area_um2(tech, path("2:4")))
    small = cells(unit.area_um2(tech, path("2:4", clock_mhz=500)))
    assert fast == small | {"core": FAST * small["core"]}
    # Compaction is in time either way, and stays small.
    assert (small["core"], small["leg"], small["place"]) == (92, 48, 6)
    # Where not even the fast one is in time, it is the fast one that is cut.
    assert unit.fit_clock(tech, path("2:4", clock_mhz=2000)).extra_stages == 1


def test_what_the_file_says_is_obeyed(path):
    tech, machine = toy(delays(RADIX, 2500, 600)), path("2:4")  # needs 3 stages, 3 cycles a step
    for extra, step in ((0, 1), (7, 2), (3, 5)):
        unit = selector("radix", extra_stages=extra, step_cycles=step).fit_clock(tech, machine)
        assert (unit.extra_stages, unit.step_cycles) == (extra, step)
    one = selector("radix", step_cycles=5).fit_clock(tech, machine)
    assert (one.extra_stages, one.step_cycles) == (3, 5)


def notes(unit, tech, machine):
    return [str(note) for note in unit.fit_clock(tech, machine).timing_notes(tech, machine)]


def test_nothing_is_noted_in_time(path):
    for unit in (RANK, BITONIC, RADIX, CASCADE, RADIX_PIPELINED, CASCADE_PIPELINED):
        assert notes(unit, toy(delays(unit, 500, 500)), path("2:4")) == []


def test_what_the_clock_made_of_a_selector_is_noted(path):
    assert notes(RANK, toy(delays(RANK, 2500, 400)), path("2:4")) == [
        "selector: a step takes 2,500 ps and compaction 400 ps of a clock of 1,000 ps; pipelined "
        "with 2 more stages of 37 flip-flops"
    ]
    (iterative,) = notes(RADIX, toy(delays(RADIX, 2500, 600)), path("2:4"))
    assert "a step takes 2,500 ps and compaction 3,100 ps" in iterative  # ties are settled first
    assert iterative.endswith("3 more stages of 37 flip-flops and 3 cycles a step")


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"extra_stages": 3, "step_cycles": 3}, []),
        ({"extra_stages": 9, "step_cycles": 9}, []),
        ({"extra_stages": 2}, ["extra_stages 2 is too few for the clock; it needs 3"]),
        ({"step_cycles": 1}, ["step_cycles 1 is too few for the clock; it needs 3"]),
        (
            {"extra_stages": 0, "step_cycles": 2},
            [
                "extra_stages 0 is too few for the clock; it needs 3",
                "step_cycles 2 is too few for the clock; it needs 3",
            ],
        ),
    ],
)
def test_too_few_stages_are_warned_of(path, given, warned):
    unit = selector("radix", **given)
    _, *found = notes(unit, toy(delays(unit, 2500, 600)), path("2:4"))
    assert found == [f"warning: selector: {text}" for text in warned]


# --- crossbars -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "format_", "delay_ps", "stages"),
    [
        ("window", "bitmask", {"crossbar_window": 1000}, 1),
        ("window", "bitmask", {"crossbar_window": 1001}, 2),
        ("window", "bitmask", {"crossbar_window": 0}, 1),  # weights are registered in any case
        ("logshift", "bitmask", {"crossbar_logshift": 3500}, 4),
        ("hierarchical", "bitmask", {"crossbar_hierarchical": 2000}, 2),
        # Metadata of the other format are converted first.
        ("full", "bitmask", {"crossbar_full": 900, "index_encoder": 600}, 2),
        ("full", "index", {"crossbar_full": 900, "index_encoder": 600}, 1),
        ("window", "index", {"crossbar_window": 900, "index_decoder": 101}, 2),
        ("window", "index", {"crossbar_window": 900, "index_decoder": 100}, 1),
    ],
)
def test_crossbar_stages_by_hand(path, kind, format_, delay_ps, stages):
    tech, machine = toy(delay_ps), path("2:4", format_=format_)
    fitted = crossbar(kind).fit_clock(tech, machine)
    assert fitted.pipeline_stages == stages
    assert fitted.latency_cycles(machine) == stages
    # 4 rows × 16 lanes × 8 bits × (2 columns of weights + the activations) a stage.
    assert cells(fitted.area_um2(tech, machine))["register"] == stages * 1536
    assert cells(fitted.energy_pj(tech, machine)["route"])["register"] == stages * 8


def test_a_crossbar_takes_the_fast_netlist_first(path):
    tech = toy({"crossbar_window": 1500}, {"crossbar_window": 900})
    fitted = crossbar("window").fit_clock(tech, path("2:4"))
    assert fitted.pipeline_stages == 1
    assert cells(fitted.area_um2(tech, path("2:4")))["leg"] == FAST * 3072


def test_stages_of_the_file_are_obeyed_and_warned_of(path):
    tech, machine = toy({"crossbar_window": 2500}), path("2:4")
    said = "crossbar: routing takes 2,500 ps of a clock of 1,000 ps; pipelined in {} stages"
    warning = "warning: crossbar: pipeline_stages {} is too few for the clock; it needs 3"
    for given, warned in ((None, False), (0, True), (2, True), (3, False), (9, False)):
        unit = crossbar("window", pipeline_stages=given).fit_clock(tech, machine)
        stages = 3 if given is None else given
        assert unit.pipeline_stages == stages
        expected = [said.format(stages)] + [warning.format(stages)] * warned
        assert [str(note) for note in unit.timing_notes(tech, machine)] == expected


def test_a_crossbar_in_time_is_not_noted_with_or_without_a_register(path):
    tech, machine = toy({"crossbar_window": 1000}), path("2:4")
    for given in (None, 0, 1, 2):
        assert notes(crossbar("window", pipeline_stages=given), tech, machine) == []


# --- multipliers ---------------------------------------------------------------------------------


def test_multipliers_are_not_pipelined_further_but_warned_of(path):
    array = MacArray(rows=4, columns=2, lanes=16)
    tech = toy({"dot_product": 3000}, {"dot_product": 1800})
    said = (
        "warning: mac_array: a stage takes 1,800 ps of a clock of 1,000 ps; it is not pipelined "
        "further"
    )
    assert notes(array, tech, path("2:4")) == [said]
    assert array.fit_clock(tech, path("2:4")).latency_cycles(path("2:4")) == 6
    for clock_mhz in (500, 300):
        assert notes(array, tech, path("2:4", clock_mhz=clock_mhz)) == []
    # 1,800 ps of 2,000 with the fast netlist, 3,000 ps of 3,333 with the small one.
    areas = [array.area_um2(tech, path("2:4", clock_mhz=clock)) for clock in (1000, 500, 300)]
    assert areas[0] == areas[1] > areas[2]


@pytest.mark.parametrize("kind", sorted(SELECTORS))
def test_the_shorter_the_period_the_more_stages(path, kind):
    unit = selector(kind)
    tech = toy(delays(unit, 1300, 700))
    found = []
    for clock_mhz in (100, 500, 800, 1200, 2500, 5000):
        fitted = unit.fit_clock(tech, path("2:4", clock_mhz=clock_mhz))
        found.append((fitted.extra_stages, fitted.step_cycles))
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(found))
    assert found[0] == (0, 1)
    assert found[-1] > found[0]


def test_a_small_array_is_cut_where_that_saves_a_tenth_of_the_energy(path):
    array = MacArray(rows=4, columns=2, lanes=16)
    # A fast array has three times the area. Small at 3,000 ps, it has 2 cycles a stage from 333 MHz
    # on and 3 from 667 MHz on, until the loop of the accumulator, 1,000 ps, is the limit.
    tech = toy({"dot_product": 3000}, {"dot_product": 1000})
    stages = {300: 1, 400: 2, 600: 2, 700: 3, 1000: 3, 1100: 1}
    for clock_mhz, expected in stages.items():
        machine = path("2:4", clock_mhz=clock_mhz)
        fitted = array.fit_clock(tech, machine)
        assert fitted.stage_cycles == expected
        assert fitted.latency_cycles(machine) == 5 * expected + 1
        assert bool(notes(fitted, tech, machine)) == (clock_mhz == 1100)
    cut, fast = (
        array.model_copy(update={"stage_cycles": n}).energy_pj(tech, path("2:4", clock_mhz=400))
        for n in (2, 1)
    )
    # A lane: a 16th of 16 multipliers, 266 bits of adders and, fast, 3 × 32 of accumulator; and of
    # 522 flip-flops more, of 1 pJ each.
    small = (16 + 266 + 3 * 32) * UNITS["core"] / 16
    assert cut["mac"] == pytest.approx(5 * small + 522 / 16)
    assert fast["mac"] == pytest.approx(3 * 5 * (16 + 266 + 32) * UNITS["core"] / 16)


def test_a_cut_array_is_worth_it_for_floats_at_moderate_clocks(path):
    tech, array = Technology.load("nangate45"), MacArray(rows=8, columns=8, lanes=16)

    def stages(precision, clock_mhz):
        machine = path("8:16", formats=Operands.of(precision), clock_mhz=clock_mhz)
        return array.fit_clock(tech, machine).stage_cycles

    assert [stages("fp16", clock) for clock in (100, 200, 300, 400, 1000)] == [1, 2, 2, 1, 1]
    assert [stages("int8", clock) for clock in (200, 800, 1000, 1500)] == [1, 1, 1, 1]


def test_what_a_file_says_of_the_array_is_obeyed(path):
    array = MacArray(rows=4, columns=2, lanes=16, stage_cycles=4)
    assert array.fit_clock(toy({"dot_product": 100}), path("2:4")) == array
    assert array.latency_cycles(path("2:4")) == 4 * 5 + 1

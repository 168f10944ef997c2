"""Crossbars: reach of a lane's multiplexer, weights routed, and what they are built of."""

from itertools import combinations

import pytest
from numpy.testing import assert_array_equal as same

from accelsim.hardware import CROSSBARS, MacArray


def make(kind, **fields):
    return CROSSBARS[kind](kind=kind, **fields)


def positions_of_each_lane(n, m, lanes):
    """Return for each lane every position that any mask of N in M can send to it.

    Kept values enter the lanes in index order; when there are more than lanes, in several steps.
    """
    reached = {}
    for mask in combinations(range(m), n):
        for place, position in enumerate(mask):
            reached.setdefault(place % lanes, set()).add(position)
    return reached


@pytest.mark.parametrize("m", range(2, 11))
def test_a_window_is_exactly_what_the_masks_can_reach(path, m):
    for n in range(1, m + 1):
        for lanes in (1, 2, 3, 4, 8, 16):
            reached = positions_of_each_lane(n, m, lanes)
            widest = max(max(positions) - min(positions) + 1 for positions in reached.values())
            machine = path(f"{n}:{m}", lanes=lanes)
            assert make("window").legs(machine) == widest, (n, m, lanes)


@pytest.mark.parametrize(
    ("pattern", "legs"),
    # M - N + 1; at 32:64 each of 16 lanes serves two kept values, 16 apart.
    [("2:4", 3), ("4:8", 5), ("8:16", 9), ("16:32", 17), ("32:64", 49), ("64:64", 49), ("1:4", 4)],
)
def test_window_legs_by_hand(path, pattern, legs):
    assert make("window").legs(path(pattern)) == legs


@pytest.mark.parametrize("pattern", ["2:4", "8:16", "3:5", "32:64"])
def test_a_full_crossbar_reaches_the_whole_group(path, pattern):
    assert make("full").legs(path(pattern)) == int(pattern.split(":")[1])


def test_no_crossbar_has_one_leg_and_no_stages(path):
    assert make("none").legs(path("dense")) == 1
    assert make("none").latency_cycles(path("dense")) == 0
    assert not make("none").is_routing


@pytest.mark.parametrize("kind", ["full", "window"])
@pytest.mark.parametrize("pattern", ["2:4", "8:16", "3:4", "32:64"])
def test_a_crossbar_keeps_up_with_the_array(path, layer, kind, pattern):
    work = layer(pattern, path(pattern), (9, 200, 5), (4, 128, 4))
    array = MacArray(rows=4, columns=2, lanes=16)
    same(make(kind).busy_cycles(work), array.busy_cycles(work))


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_pipeline_stages_are_latency(path, stages):
    assert make("full", pipeline_stages=stages).latency_cycles(path("2:4")) == stages


def test_routes_and_decodes_by_hand(path, layer):
    # 3 tokens, K = 10 at 2:4: 3 groups = 6 kept values, padding included; 5 outputs = 3 column
    # blocks of 2. Every output needs its own weights; a group is decoded once a column block.
    work = layer("2:4", path("2:4"), (3, 10, 5))
    assert make("full").actions(work) == {"route": 3 * 6 * 5, "decode": 3 * 3 * 3}


def test_multiplexers_and_decoders_by_hand(toy, cells, path):
    # 2:4 on 4 × 2 × 16: 128 multiplexers of 4:1 = 3 cells a bit, 8 bits, and a register behind
    # each; 8 groups at once in each of 4 rows, each with 3 running counts of 2 bits.
    machine = path("2:4")
    expected = {"mux": 128 * 3 * 8, "adder": 4 * 8 * 3 * 2, "register": 128 * 8}
    assert cells(make("full").area_um2(toy, machine)) == expected
    energy = make("full").energy_pj(toy, machine)
    assert {action: cells(cost) for action, cost in energy.items()} == {
        "route": {"mux": 24, "register": 8},
        "decode": {"adder": 6},
    }


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_each_pipeline_stage_is_a_register(toy, cells, path, stages):
    unit = make("full", pipeline_stages=stages)
    assert cells(unit.area_um2(toy, path("2:4"))).get("register", 0) == stages * 128 * 8


def test_a_window_saves_multiplexers_only(toy, cells, path):
    full, window = (make(kind).area_um2(toy, path("2:4")) for kind in ("full", "window"))
    assert cells(full - window) == {"mux": 128 * 8}  # one leg of four


def test_groups_wider_than_the_lanes_have_one_decoder_a_row(toy, cells, path):
    # 32:64 on 16 lanes: 63 running counts of 6 bits, 4 rows.
    assert cells(make("full").area_um2(toy, path("32:64")))["adder"] == 4 * 63 * 6

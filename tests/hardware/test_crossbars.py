"""Crossbars: cycles, weights routed, and what they are built of."""

import pytest
from numpy.testing import assert_array_equal as same

from accelsim.hardware import CROSSBARS, MacArray
from tests.helpers.toy import cells


def make(kind, **fields):
    return CROSSBARS[kind](kind=kind, **fields)


ROUTING = sorted(set(CROSSBARS) - {"none"})


def test_no_crossbar_is_wires(toy, path):
    none, machine = make("none"), path("dense")
    assert not none.is_routing
    assert none.latency_cycles(machine) == 0
    assert none.area_um2(toy, machine) == 0
    assert none.energy_pj(toy, machine) == {"route": 0, "decode": 0}
    assert none.fit_clock(toy, machine) == none


@pytest.mark.parametrize("kind", ROUTING)
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


# --- area and energy -----------------------------------------------------------------------------
# 2:4 int8 on 4 rows × 2 columns × 16 lanes takes 8 groups a step, so 16 values. A row has 16 weight
# registers of 8 bits a column and 16 of activations beside them: 384 flip-flops a stage.

ENCODERS = {"leg": 8 * 12, "place": 8 * 6}  # 2 indices of 2 bits from 3 positions each, 8 groups
DECODERS = {"place": 8 * (6 + 4)}  # 2 indices compared with 3 positions each; 4 flags

ROWS_2_4 = [
    # 16 lanes × 4 positions, × 8 bits × 2 columns.
    (("full", "index"), (64 * 16, 64), {}),
    (("full", "bitmask"), (64 * 16, 64), ENCODERS),
    # 8 groups × 2 values × 3 positions.
    (("window", "bitmask"), (48 * 16, 48), {}),
    (("window", "index"), (48 * 16, 48), DECODERS),
    # Two stages of two multiplexers.
    (("logshift", "bitmask"), (8 * 4 * 16, 48), {}),
    (("logshift", "index"), (8 * 4 * 16, 48), DECODERS),
    # S = 2. Near: 2 legs in front of positions 0 and 1, a wire to 2 and 3; far: 2 a value.
    (("hierarchical", "bitmask"), (8 * 8 * 16, 48), {}),
    (("hierarchical", "index"), (8 * 8 * 16, 48), DECODERS),
]


@pytest.mark.parametrize(("way", "row", "converters"), ROWS_2_4)
def test_parts_of_every_kind_by_hand(toy, path, way, row, converters):
    (kind, format_), (legs, places) = way, row
    machine = path("2:4", format_=format_)
    assert cells(make(kind).area_um2(toy, machine)) == {
        "leg": 4 * (legs + converters.get("leg", 0)),
        "place": 4 * (places + converters.get("place", 0)),
        "register": 4 * 384,
    }
    energy = make(kind).energy_pj(toy, machine)
    assert {action: cells(cost) for action, cost in energy.items()} == {
        # One of 16 lanes × 2 columns, through 8 flip-flops.
        "route": {"leg": legs // 32, "register": 8},
        # One of 8 groups.
        "decode": {
            sort: count // 8
            for sort, count in {
                "leg": converters.get("leg", 0),
                "place": places + converters.get("place", 0),
            }.items()
            if count
        },
    }


@pytest.mark.parametrize("kind", ROUTING)
@pytest.mark.parametrize("stages", [0, 1, 3])
def test_each_pipeline_stage_is_a_register(toy, path, kind, stages):
    unit, machine = make(kind, pipeline_stages=stages), path("2:4")
    assert cells(unit.area_um2(toy, machine)).get("register", 0) == stages * 4 * 384
    assert cells(unit.energy_pj(toy, machine)["route"]).get("register", 0) == stages * 8


def test_a_window_saves_multiplexers(toy, path):
    full = make("full").area_um2(toy, path("2:4", format_="index"))
    window = make("window").area_um2(toy, path("2:4"))
    # One leg of four, of 128 multipliers of 8 bits; one place of four, of 64 lanes.
    assert cells(full - window) == {"leg": 128 * 8, "place": 64}


def test_lanes_without_a_value_have_no_multiplexer(toy, path):
    # 3:4 on 16 lanes: 5 groups, 15 lanes of 4:1, one idle lane; its registers stay.
    assert cells(make("full").area_um2(toy, path("3:4", format_="index"))) == {
        "leg": 4 * 15 * 4 * 8 * 2,
        "place": 4 * 15 * 4,
        "register": 4 * 384,
    }


def test_groups_wider_than_the_lanes_have_one_decoder_a_row(toy, path):
    # 32:64 on 16 lanes: 32 values at 33 positions each, in one row.
    machine = path("32:64", rows=1, columns=1)
    assert cells(make("window").area_um2(toy, machine))["place"] == 32 * 33

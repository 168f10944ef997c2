"""Diagrams: what follows from one, what is refused, and who waits for whom where stages lack."""

from dataclasses import replace

import pytest

from accelsim.base.errors import InputError
from accelsim.dataflows import DATAFLOWS, Diagram
from accelsim.dataflows.diagram import (
    Condition,
    Diagrams,
    Role,
    Wait,
    compute,
    remaining,
    select,
    stage,
    stream,
    unit,
)
from accelsim.hardware import READ, WRITE

PLAIN = DATAFLOWS["output_stationary"]

LOAD = stage("load", stream("load", READ, "x"), fills="near")
USE = stage("use", compute("array"), after=("load",), reads=("near",), fills="far")
STORE = stage("store", stream("store", WRITE, "y"), after=("use",), reads=("far",))


def drawn(*stages):
    return Diagram("drawn", "a test", stages)


def test_what_follows_from_a_diagram_by_hand():
    found = drawn(LOAD, USE, STORE)
    assert found.units == ("dram", "near", "array", "far")
    assert [part.name for part in found.streams] == ["load", "store"]
    assert found.resources == ("dram",)
    assert [part.role for part in found.parts] == [Role.STREAM, Role.COMPUTE, Role.STREAM]
    assert found.sparse_units == frozenset()
    assert not found.has_rtl


def test_units_of_the_shipped_diagram_stand_in_the_order_of_the_flow():
    assert PLAIN.units[:3] == ("dram", "statistics", "activation_buffer")
    assert PLAIN.units[-4:] == ("crossbar", "mac_array", "epilogue", "output_buffer")
    needless = {"selector", "crossbar", "compressed_buffer", "moments", "statistics", "epilogue"}
    assert needless | {"pre_shifter", "pre_scaler", "splitter"} == PLAIN.sparse_units


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        # What would be left out, or served, without anybody being told.
        (
            (LOAD, USE, STORE, stage("cool", unit("cooler"), after=("use",))),
            "stage 'cool' has no stream, reads no buffer and fills none",
        ),
        (
            (replace(LOAD, needs="load"), USE, STORE),
            "nothing would fill 'near' where stage 'load' is left out",
        ),
        (
            (LOAD, replace(USE, needs="array"), STORE),
            "stage 'use' has the array, and can not be left out",
        ),
        (
            (LOAD, replace(USE, parts=(replace(compute("array"), is_sparse=True),)), STORE),
            "stage 'use': streams and the array are not there for selection only",
        ),
        (
            (LOAD, USE, replace(STORE, is_once=True)),
            "stream 'store' writes, and can not serve once, before the first job",
        ),
        (
            (LOAD, USE, replace(STORE, parts=(stream("store", WRITE, "x"),))),
            "stream 'store' writes 'x', which a layer only reads",
        ),
        ((LOAD, LOAD, USE, STORE), "two stages are called 'load'"),
        ((USE, LOAD, STORE), "stage 'use' waits for 'load', which does not precede it"),
        (
            (
                stage("load", stream("load", READ, "x"), stream("more", READ, "w"), fills="near"),
                USE,
                STORE,
            ),
            "stage 'load' has two streams; each needs a stage of its own",
        ),
        (
            (LOAD, replace(USE, parts=(compute("array"), compute("other"))), STORE),
            "exactly one part must compute: a run is told as seen from it",
        ),
        (
            (LOAD, replace(USE, parts=(unit("array"),)), STORE),
            "exactly one part must compute: a run is told as seen from it",
        ),
        (
            (LOAD, replace(USE, parts=(compute("array"), unit("load"))), STORE),
            "part 'load' stands in it twice",
        ),
        (
            (LOAD, stage("again", stream("again", READ, "w"), fills="near"), USE, STORE),
            "buffer 'near' must be filled by one stage and read by another",
        ),
        (
            (LOAD, USE, replace(STORE, reads=("far", "near"))),
            "buffer 'near' must be filled by one stage and read by another",
        ),
        (
            (LOAD, replace(USE, reads=("near", "nowhere")), STORE),
            "buffer 'nowhere' must be filled by one stage and read by another",
        ),
        ((LOAD, USE), "buffer 'far' must be filled by one stage and read by another"),
        (
            (LOAD, replace(USE, fills="near"), replace(STORE, reads=("near",))),
            "stage 'use' reads the buffer 'near' that it fills",
        ),
        (
            (LOAD, replace(USE, needs="selector"), STORE),
            "stage 'use' needs 'selector', which is none of its parts",
        ),
        (
            (LOAD, replace(USE, is_once=True), STORE),
            "stage 'use' serves once, but has no stream that says when",
        ),
        (
            (LOAD, replace(USE, after=()), STORE),
            "stage 'use' reads 'near', but does not wait for 'load', which fills it",
        ),
        (
            (replace(LOAD, parts=(stream("load", READ, "x", resource=""),)), USE, STORE),
            "stream 'load' has no resource",
        ),
        (
            (replace(LOAD, parts=(stream("load", WRITE, "y"),)), USE, STORE),
            "stream 'load' writes: its stage must read a buffer, and fill none",
        ),
        (
            (LOAD, USE, replace(STORE, parts=(stream("store", READ, "y"),))),
            "stream 'store' reads: its stage must fill a buffer, or serve once",
        ),
    ],
)
def test_what_is_no_diagram_is_refused(stages, problem):
    with pytest.raises(ValueError, match=f"^dataflow 'drawn': {problem}"):
        drawn(*stages)


def test_a_wait_that_may_not_apply_is_not_enough_to_read_a_buffer():
    sometimes = Condition("it rains", lambda _: False)
    with pytest.raises(ValueError, match="does not wait for 'load'"):
        drawn(LOAD, replace(USE, after=(Wait("load", sometimes),)), STORE)


# --- derived diagrams ----------------------------------------------------------------------------


def test_a_part_stands_where_it_is_put():
    wide = PLAIN.with_part("compute", unit("check"))
    assert [p.name for p in wide.stages[4].parts][-1] == "check"
    first = PLAIN.with_part("compute", unit("check"), before="mac_array")
    assert [p.name for p in first.stages[4].parts][-3:] == ["check", "mac_array", "epilogue"]
    assert [p.name for p in PLAIN.parts] == [p.name for p in first.parts if p.name != "check"]
    assert first.units.index("check") == first.units.index("mac_array") - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda: PLAIN.with_part("computing", unit("x")),
            "no stage 'computing'; allowed: prologue",
        ),
        (lambda: PLAIN.with_part("compute", unit("x"), before="mac"), "no part 'mac'"),
        (lambda: PLAIN.with_stream_on("weights", "x"), "no part 'weights'"),
    ],
)
def test_a_place_that_is_not_there_is_refused_with_those_that_are(change, message):
    with pytest.raises(InputError, match=message):
        change()


def test_a_second_array_is_refused():
    with pytest.raises(ValueError, match="exactly one part must compute"):
        PLAIN.with_part("select", compute("second"))


def test_a_second_stream_in_a_stage_is_refused():
    with pytest.raises(ValueError, match="stage 'weight_dma' has two streams"):
        PLAIN.with_part("weight_dma", stream("second", READ, "w"))


def test_a_stream_on_another_resource():
    split = PLAIN.with_stream_on("weight_dma", "weight_dram")
    assert split.resources == ("dram", "weight_dram")
    assert split.units[:2] == ("dram", "weight_dram")
    assert [part.name for part in split.streams_on("weight_dram")] == ["weight_dma"]
    assert [part.name for part in split.streams_on("dram")] == [
        "prologue_dma",
        "activation_dma",
        "output_dma",
    ]
    assert PLAIN.resources == ("dram",)


def test_a_name_is_taken_once():
    known = Diagrams("dataflow")
    known.register(drawn(LOAD, USE, STORE))
    with pytest.raises(ValueError, match="dataflow 'drawn' is registered twice"):
        known.register(drawn(LOAD, USE, STORE))


# --- stages that are not there -------------------------------------------------------------------


PICK = stage(
    "pick", select("selector"), after=("load",), reads=("near",), fills="packed", needs="selector"
)
USE_PICKED = replace(USE, after=(Wait("pick"),), reads=("packed",))


def names_of(found):
    return [(s.name, [wait.stage for wait in s.after], list(s.reads)) for s in found]


def test_all_of_a_diagram_that_is_there_stays():
    found = list(remaining((LOAD, PICK, USE_PICKED, STORE), exists=lambda _: True))
    assert found == [LOAD, PICK, USE_PICKED, STORE]


def test_who_waits_for_a_stage_that_is_not_there_waits_for_what_it_waits_for():
    stages = remaining((LOAD, PICK, USE_PICKED, STORE), exists=lambda s: s.name != "pick")
    assert names_of(stages) == [
        ("load", [], []),
        ("use", ["load"], ["near"]),
        ("store", ["use"], ["far"]),
    ]


def test_two_stages_in_a_row_may_lack():
    second = stage("sort", unit("sorter"), after=("pick",), reads=("packed",), fills="sorted")
    use = replace(USE, after=(Wait("sort"),), reads=("sorted",))
    stages = (LOAD, PICK, second, use, STORE)
    found = names_of(remaining(stages, exists=lambda s: s.name not in {"pick", "sort"}))
    assert found[1] == ("use", ["load"], ["near"])
    found = names_of(remaining(stages, exists=lambda s: s.name != "sort"))
    assert found[2] == ("use", ["pick"], ["packed"])


def test_what_two_absent_stages_wait_for_is_waited_for_once():
    twice = replace(USE_PICKED, after=(Wait("load"), Wait("pick")))
    found = names_of(remaining((LOAD, PICK, twice, STORE), exists=lambda s: s.name != "pick"))
    assert found[1] == ("use", ["load"], ["near"])


def test_a_wait_that_does_not_apply_is_none():
    hurried = replace(USE, after=(Wait("load"), Wait("pick", Condition("never", lambda _: False))))
    found = remaining(
        (LOAD, PICK, hurried), exists=lambda _: True, applies=lambda wait: wait.when is None
    )
    assert names_of(found)[2] == ("use", ["load"], ["near"])

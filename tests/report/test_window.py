"""A window shows some layers and some tiles of a run, and changes nothing of it."""

import json

import pytest

from accelsim.base.errors import InputError
from accelsim.report.timeline import Timeline
from accelsim.report.window import Window
from accelsim.run.simulation import simulate

SMALL = ("tiling={tokens: 8, columns: 8, reduction: 32, order: tokens_outer}",)


@pytest.mark.parametrize(
    ("text", "first", "end"), [(":", 0, None), ("3:", 3, None), (":4", 0, 4), ("3:4", 3, 4)]
)
def test_a_range_may_leave_out_either_end(text, first, end):
    assert Window.parse("*", text) == Window(("*",), first, end)


@pytest.mark.parametrize("text", ["", "3", "a:b", "-1:4", "1:2:3", "4:4", "5:4", "1.5:2"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(InputError, match="--watch-tiles"):
        Window.parse("*", text)


def test_a_window_that_shows_no_layer_is_refused(small_trace):
    Window.parse("nothing,*.1.linear", ":").check(small_trace)
    with pytest.raises(InputError, match=r"no layer matches 'nothing,nor\*'; there are layers\.0"):
        Window.parse("nothing,nor*", ":").check(small_trace)


def slices(path, machine, trace, window, **flags):
    """Draw a run through a window; return (result, slices other than the layers', layer names)."""
    watches = window.shows if window else lambda _: True
    with Timeline(path, machine.clock_mhz, window) as timeline:
        result = simulate(machine, trace, observer=timeline.add, watches=watches, **flags)
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    drawn = [e for e in events if e["ph"] == "X"]
    return (
        result,
        [e for e in drawn if tracks[e["tid"]] != "layer"],
        [e["name"] for e in drawn if tracks[e["tid"]] == "layer"],
    )


@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
@pytest.mark.parametrize("flags", [{}, {"phase": "decode", "batch": 7}], ids=["prefill", "decode"])
def test_only_the_layers_and_tiles_inside_are_drawn(tmp_path, arch, small_trace, flags, engine):
    machine = arch("nm816", *SMALL)
    window = Window.parse("layers.3.*", "2:5")
    result, drawn, layers = slices(
        tmp_path / "w.json", machine, small_trace, window, engine=engine, **flags
    )
    steps = 1 if not flags else 21 // 7  # 21 tokens
    assert layers == ["layers.3.linear"] * steps
    tiles = {e["name"] for e in drawn if e["name"].startswith("tile ")}
    assert tiles == {"tile 2", "tile 3", "tile 4"}
    assert result.to_dict() == simulate(machine, small_trace, engine=engine, **flags).to_dict()


def test_what_is_drawn_stands_where_the_whole_timeline_has_it(tmp_path, arch, small_trace):
    machine = arch("nm816", *SMALL)
    only = Window.parse("layers.0.*", "1:3")
    _, some, _ = slices(tmp_path / "some.json", machine, small_trace, only)
    _, every, _ = slices(tmp_path / "all.json", machine, small_trace, None)
    assert 0 < len(some) < len(every)
    # Tracks are numbered by first appearance, so they are left out.
    places = {(e["name"], e["ts"], e["dur"]) for e in every}
    assert {(e["name"], e["ts"], e["dur"]) for e in some} <= places

"""The timeline: one track a unit, slices that touch but never overlap, and nothing left out."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from accelsim.base.errors import InputError
from accelsim.report.timeline import Timeline

CAUSES = ("busy", "starved", "blocked", "contended")
RUNS = {
    "dense": ("dense", (), {}),
    "8:16": ("nm816", (), {}),
    "decode": ("nm816", (), {"phase": "decode", "batch": 3}),
    "slow memory": ("nm24", ("dram.bandwidth_gb_per_s=1",), {}),
    "slow selector": ("nm816", ("selector={kind: radix}",), {}),
}


@pytest.fixture(scope="module", params=RUNS.values(), ids=RUNS)
def drawn(request, tmp_path_factory, arch, observed):
    """Return (events of the timeline, result)."""
    name, overrides, flags = request.param
    machine = arch(name, *overrides)
    path = tmp_path_factory.mktemp("timeline") / "t.json"
    with Timeline(path, machine.clock_mhz) as timeline:
        result = observed(machine, timeline, **flags)
    return json.loads(path.read_text(encoding="utf-8"))["traceEvents"], result


def tracks(events):
    """Return {track name: slices as (start, end, name) in cycles}; the clock is 1 GHz."""
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    found = {name: [] for name in names.values()}
    assert len(found) == len(names), "two tracks have one name"
    for event in events:
        if event["ph"] == "X":
            start, length = event["ts"] * 1000, event["dur"] * 1000
            assert round(start) == pytest.approx(start, abs=1e-6)
            assert round(length) == pytest.approx(length, abs=1e-6)
            end = round(start) + round(length)
            found[names[event["tid"]]].append((round(start), end, event["name"]))
    return found


def test_every_unit_has_a_track(drawn):
    events, result = drawn
    assert set(tracks(events)) == {"layer", *result.units}


def test_slices_of_a_track_do_not_overlap_and_are_not_empty(drawn):
    for track in tracks(drawn[0]).values():
        cycle = 0
        for start, end, _ in track:
            assert cycle <= start < end
            cycle = end


def test_time_in_each_state_adds_up_to_the_ledger(drawn):
    events, result = drawn
    drawn_tracks = tracks(events)
    for unit, total in result.units.items():
        spent = Counter()
        for start, end, name in drawn_tracks[unit]:
            spent[name if name in CAUSES else "busy"] += end - start
        ledger = {cause: getattr(total.ledger, f"{cause}_cycles") for cause in CAUSES}
        assert {cause: spent[cause] for cause in CAUSES} == ledger, unit


def test_layers_fill_the_whole_run_in_order(drawn):
    events, result = drawn
    layers = tracks(events)["layer"]
    assert layers[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(layers))
    assert layers[-1][1] == result.cycles
    names = " + ".join(dict.fromkeys(name for *_, name in layers)).split(" + ")
    assert [name.rsplit(".")[-1] for name in names] == [
        layer.name.rsplit(".")[-1] for layer in result.layers
    ]


def test_a_slice_ends_with_its_layer(drawn):
    events, result = drawn
    assert max(end for track in tracks(events).values() for _, end, _ in track) == result.cycles


def test_other_clocks_keep_their_cycles(tmp_path, arch, observed):
    machine = arch("dense", "clock_mhz=700")
    path = tmp_path / "t.json"
    with Timeline(path, machine.clock_mhz) as timeline:
        result = observed(machine, timeline)
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    end = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert end == pytest.approx(result.cycles / 700, abs=1e-4)  # microseconds


def test_a_failed_run_leaves_nothing(tmp_path, arch, observed):
    def fail():
        with Timeline(tmp_path / "t.json", 1000) as timeline:
            observed(arch("dense"), timeline)
            raise InputError("later")

    with pytest.raises(InputError, match="later"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_gives_the_same_bytes(tmp_path, arch, observed):
    for name in ("1.json", "2.json"):
        with Timeline(tmp_path / name, 1000) as timeline:
            observed(arch("nm816"), timeline)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()

"""The folder of results, cut off at any byte, and damaged in every way."""

# ruff: noqa: ARG005 - mutations have one form, and most do not need all of it

import json
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.sweeps.folder import column_types, open_results, read_rows
from accelsim.sweeps.rows import to_line
from accelsim.sweeps.run import run_plan
from accelsim.sweeps.task import Bench


@pytest.fixture(scope="module")
def rows_of(tmp_path_factory, trace):
    """A sweep of four points, and its rows."""
    import yaml

    from accelsim.sweeps.plan import load_plan
    from tests.helpers.sweep_commands import ARCHS

    path = tmp_path_factory.mktemp("store") / "s.yaml"
    axes = {"mac_array.lanes": [8, 16], "dram.bandwidth_gb_per_s": [16, 64]}
    base = str(ARCHS / "nm816.yaml")
    data = {"schema": 1, "name": "s", "base": base, "traces": str(trace), "axes": axes}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    plan = load_plan(path)
    bench = Bench(plan)
    return plan, [bench.run(point) for point in range(4)]


def written(plan, rows, folder):
    """Write rows into a folder as a sweep does; return the file."""
    with open_results(plan, folder, resume=False) as results:
        for row in rows:
            results.append(row)
    return folder / "points.jsonl"


def mended(plan, rows, folder):
    """Resume a damaged folder; return what was said, and what ran again.

    Whatever had happened to it, no row is there that was not written.
    """
    said, ran = [], []
    with open_results(plan, folder, resume=True, tell=said.append) as results:
        kept = list(results.rows())
        assert kept == [row for row in rows if row["point"] in results.offsets]
        for row in rows:
            if row["point"] not in results.offsets:
                results.append(row)
                ran.append(row["point"])
        assert list(results.rows()) == rows
    lines = (folder / "points.jsonl").read_bytes().splitlines(keepends=True)
    assert sorted(lines) == sorted(to_line(row, plan.digest) for row in rows)
    with open_results(plan, folder, resume=True, tell=pytest.fail) as results:
        assert list(results.rows()) == rows
    return said, ran


@given(share=st.floats(0, 1), order=st.permutations(range(4)))
@settings(max_examples=25)
def test_whole_lines_survive_a_cut_anywhere(share, order, rows_of, tmp_path_factory):
    plan, rows = rows_of
    folder = tmp_path_factory.mktemp("cut")
    written(plan, [rows[point] for point in order], folder)
    path = folder / "points.jsonl"
    content = path.read_bytes()
    cut = content[: int(share * len(content))]
    path.write_bytes(cut)
    whole = cut.count(b"\n")
    said, ran = mended(plan, rows, folder)
    assert ran == sorted(order[whole:])
    assert bool(said) == (not cut.endswith(b"\n") and bool(cut))
    assert read_rows(folder)[1] == rows


# --- mutations -----------------------------------------------------------------------------------


def swapped(one, other, key):
    one[key], other[key] = other[key], one[key]


def typed(chance, row):
    key = chance.choice(sorted(row))
    row[key] = chance.choice(
        [None, True, -1, 0.5, "x", [], {}, float("nan"), float("inf"), 10**400]
    )


def renumbered(chance, row):
    row["point"] = chance.choice([-1, 4, 2**70, (row["point"] + 1) % 4, str(row["point"]), 1.0])


def edited(edit):
    """Return a mutation that changes two rows as JSON, and leaves their lines well-formed."""

    def mutate(chance, lines):
        places = chance.sample(range(len(lines)), 2)
        rows = [json.loads(lines[place]) for place in places]
        edit(chance, *rows)
        for place, row in zip(places, rows, strict=True):
            lines[place] = json.dumps(row).encode() + b"\n"
        return lines

    return mutate


def bytewise(change):
    """Return a mutation that changes the file at a place."""

    def mutate(chance, lines):
        content = b"".join(lines)
        place = chance.randrange(len(content))
        return [change(chance, content[:place], content[place:])]

    return mutate


def linewise(change):
    """Return a mutation that puts other lines in the place of one."""

    def mutate(chance, lines):
        place = chance.randrange(len(lines))
        return [*lines[:place], *change(chance, lines[place]), *lines[place + 1 :]]

    return mutate


def sign(chance):
    return bytes([chance.randrange(256)])


HARMLESS = {"nothing", "shuffled", "dropped"}
MUTATIONS = {
    "nothing": lambda chance, lines: lines,
    "shuffled": lambda chance, lines: chance.sample(lines, len(lines)),
    "cut": bytewise(lambda chance, head, tail: head),
    "beheaded": bytewise(lambda chance, head, tail: tail),
    "sign changed": bytewise(lambda chance, head, tail: head + sign(chance) + tail[1:]),
    "sign added": bytewise(lambda chance, head, tail: head + sign(chance) + tail),
    "sign dropped": bytewise(lambda chance, head, tail: head + tail[1:]),
    "newline added": bytewise(lambda chance, head, tail: head + b"\n" + tail),
    "not UTF-8": bytewise(lambda chance, head, tail: head + b"\xff\xfe" + tail),
    "a block of zeros": bytewise(
        lambda chance, head, tail: head + bytes(chance.choice([1, 512, 2**16])) + tail
    ),
    "blank": linewise(lambda chance, line: [line, chance.choice([b"\n", b" \n", b"\r\n"])]),
    "dropped": linewise(lambda chance, line: []),
    "twice": linewise(lambda chance, line: [line] * chance.randrange(2, 4)),
    "huge": linewise(lambda chance, line: [line[:-2] + b" " * 2**17 + b"}\n"]),
    "other values": linewise(
        lambda chance, line: [chance.choice([b"null\n", b"[]\n", b"3\n", b"{}\n", b"[" * 9999])]
    ),
    "other spaces": linewise(lambda chance, line: [line.replace(b": ", b":", 1)]),
    "carriage return": linewise(lambda chance, line: [line[:-1] + b"\r\n"]),
    "byte order mark": lambda chance, lines: [b"\xef\xbb\xbf", *lines],
    "values swapped": edited(
        lambda chance, one, other: swapped(one, other, chance.choice(["cycles", "energy_pj"]))
    ),
    "points swapped": edited(lambda chance, one, other: swapped(one, other, "point")),
    "checksums swapped": edited(lambda chance, one, other: swapped(one, other, "checksum")),
    "renumbered": edited(lambda chance, one, other: renumbered(chance, one)),
    "other types": edited(lambda chance, one, other: typed(chance, one)),
    "key dropped": edited(lambda chance, one, other: one.pop(chance.choice(sorted(one)))),
    "status": edited(
        lambda chance, one, other: one.update(
            status=chance.choice(["failed", "excluded", "invalid", "fine"])
        )
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_damaged_row_is_dropped_and_said_and_runs_again(name, rows_of, tmp_path):
    plan, rows = rows_of
    path = written(plan, rows, tmp_path)
    content = path.read_bytes()
    for seed in range(25):
        chance = random.Random(f"{name} {seed}")
        mutated = b"".join(MUTATIONS[name](chance, content.splitlines(keepends=True)))
        path.write_bytes(mutated)
        said, _ = mended(plan, rows, tmp_path)
        lines = mutated.split(b"\n")  # a row that is gone without a trace may never have run
        is_damaged = len(set(lines)) < len(lines) or not set(lines) <= {*content.split(b"\n")}
        assert bool(said) == is_damaged
        assert name not in HARMLESS or not is_damaged


def test_lines_that_were_lost_move_no_other_row_wrongly(rows_of, tmp_path):
    # Lost lines of every length before, between and after the others.
    plan, rows = rows_of
    path = written(plan, rows, tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    for size in (1, 100, 2000, 10**6):
        junk = b"x" * (size - 1) + b"\n"
        path.write_bytes(junk + junk.join(lines) + junk)
        said, ran = mended(plan, rows, tmp_path)
        assert (said, ran) == (
            [f"{path}: 5 damaged or repeated lines dropped; what is missing runs again"],
            [],
        )


def test_rows_of_an_older_version_run_again_and_that_is_said(rows_of, tmp_path):
    plan, rows = rows_of
    path = written(plan, rows, tmp_path)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    said, seen = [], []
    assert read_rows(tmp_path, seen.append)[1] == []
    assert "4 rows without a checksum, of an older accelsim left out" in seen[0]
    said, ran = mended(plan, rows, tmp_path)
    assert "4 rows without a checksum, of an older accelsim dropped" in said[0]
    assert ran == [0, 1, 2, 3]


def test_rows_of_another_sweep_are_refused_and_stay(rows_of, tmp_path, plan):
    ours, rows = rows_of
    path = written(ours, rows, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    other = plan(seed=1)
    for header, message in (("", "is of another sweep"), ("junk", "is not the header of a sweep")):
        if header:
            (tmp_path / "sweep.json").write_text(header, encoding="ascii")
            before["sweep.json"] = header.encode()
        with (
            pytest.raises(InputError, match=message),
            open_results(other, tmp_path, resume=True),
        ):
            pass
        assert {file.name: file.read_bytes() for file in tmp_path.glob("*.j*")} == before
    assert path.exists()


def junk_of(chance, content):
    """Return what a file may have become."""
    place = chance.randrange(len(content))
    return chance.choice(
        [
            b"",
            b"{}",
            b"[1]",
            b'{"digest": 3}',
            b"NaN",
            b"[" * 9999,
            bytes(100),
            content[:place],
            content[:place] + sign(chance) + content[place + 1 :],
            content.replace(b"16", b"15", 1),
            content.replace(b'"digest": "', b'"digest": "0', 1),
            content.replace(b'"seed": 0', b'"seed": NaN', 1),
        ]
    )


def test_a_damaged_header_is_written_anew(rows_of, tmp_path):
    plan, rows = rows_of
    written(plan, rows, tmp_path)
    path = tmp_path / "sweep.json"
    content, chance = path.read_bytes(), random.Random(0)
    for _ in range(60):
        junk = junk_of(chance, content)
        path.write_bytes(junk)
        said, ran = mended(plan, rows, tmp_path)
        assert not ran
        if said:
            assert said == [f"{path}: was missing or damaged; written anew"]
            assert path.read_bytes() == content
        else:  # spaces, or what nothing depends on
            assert json.loads(junk)["digest"] == plan.digest
    path.unlink()
    assert mended(plan, rows, tmp_path)[0]


def test_a_folder_without_its_rows_runs_all_again(plan, tmp_path):
    made, out = plan(), tmp_path / "out"
    run_plan(made, out)
    tables = [(out / name).read_bytes() for name in ("results.csv", "results.parquet")]
    for name in ("points.jsonl", "results.csv", "results.parquet", "sweep.json"):
        (out / name).unlink()
        said = []
        if name not in {"results.csv", "results.parquet"}:
            with pytest.raises(InputError, match="holds a sweep; --resume completes it"):
                run_plan(made, out)
        assert run_plan(made, out, resume=True, tell=said.append).run == 4 * (name[0] == "p")
        assert bool(said) == (name in {"points.jsonl", "sweep.json"})
        assert [(out / name).read_bytes() for name in ("results.csv", "results.parquet")] == tables


def test_what_a_kill_left_half_written_is_removed(plan, tmp_path):
    made, out = plan(), tmp_path / "out"
    out.mkdir()
    (out / ".results.csv.a1b2.tmp").touch()
    (out / ".sweep.json.a1b2.tmp").touch()
    run_plan(made, out)  # they are nobody's results
    names = {path.name for path in out.iterdir()}
    assert names == {"sweep.json", "points.jsonl", "results.csv", "results.parquet"}


@pytest.mark.parametrize("name", ["points.jsonl", "sweep.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(plan, tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError), open_results(plan(), tmp_path, resume=True):
        pass
    with pytest.raises(InputError):
        read_rows(tmp_path)


def test_columns_have_one_type(plan):
    made = plan(
        axes={
            "mac_array.lanes": [8, 16],
            "dram.latency_ns": [1, 2.5],
            "crossbar": [{"kind": "full"}, {"kind": "window"}],
            "buffers.weights.double_buffered": [True, False],
        },
        metrics=["cycles", "energy_pj"],
        iso_area={"reference": "dense"},
    )
    types = column_types(made)
    assert types["mac_array.lanes"] is int
    assert types["dram.latency_ns"] is float
    assert types["crossbar"] is str
    assert types["buffers.weights.double_buffered"] is bool
    assert types["batch"] is int
    assert types["mac_array.rows"] is int
    assert (types["cycles"], types["energy_pj"]) == (int, float)
    assert "area_um2" not in types


def test_sections_are_json_in_tables(plan, tmp_path):
    axes = {"crossbar": [{"kind": "full"}, {"kind": "window"}]}
    run_plan(plan(axes=axes), tmp_path / "out")
    import pandas as pd

    frame = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert [json.loads(text) for text in frame["crossbar"]] == axes["crossbar"]


def test_ten_thousand_points_take_little_memory(plan, tmp_path):
    import tracemalloc

    import pyarrow.parquet  # noqa: F401 - not to be counted

    made = plan(axes={"dram.bandwidth_gb_per_s": {"from": 1, "to": 10_000, "step": 1}})
    row = Bench(made).run(0)
    with open_results(made, tmp_path / "many", resume=False) as results:
        tracemalloc.start()
        for point in range(10_000):
            results.append(row | {"point": point})
        results.write_tables(made)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    written = (tmp_path / "many" / "points.jsonl").stat().st_size
    assert peak_bytes < 15e6 < 3 * written  # an offset a point, and 4,096 rows at a time
    assert (tmp_path / "many" / "results.csv").read_bytes().count(b"\n") == 10_001

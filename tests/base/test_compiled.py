"""Loops are compiled once there is enough to do, and do the same before and after."""

import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base import compiled
from accelsim.selection.decode import touched_bursts
from tests.helpers.decode import fetched
from tests.helpers.engines import loops
from tests.helpers.small import ROOT

integers = st.integers(-(2**40), 2**40)


def ints(*values):
    return np.array(values, np.int64)


def running_sums(count, values, sums, largest):
    """Continue running sums: `sums[0]` is where they start. The largest so far stays if larger."""
    for place in range(count):
        sums[place + 1] = sums[place] + values[place]
        largest[0] = max(largest[0], sums[place + 1])


# When it pays ----------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch):
    """A process that has not started numba and has done nothing yet."""
    monkeypatch.delitem(sys.modules, "numba")
    monkeypatch.setattr(compiled, "_interpreted_ns", 0.0)
    monkeypatch.setattr(compiled, "START_NS", 400)


def test_numba_once_there_is_used_for_the_smallest_work(monkeypatch):
    monkeypatch.setattr(compiled, "_interpreted_ns", 0.0)
    assert "numba" in sys.modules
    assert compiled.pays(0)
    assert compiled._interpreted_ns == 0.0


@pytest.mark.usefixtures("fresh")
def test_it_pays_when_more_has_been_spent_than_the_start_takes():
    # 300, then 400 (as much, not more), then 401 of 400 ns.
    assert [compiled.pays(ns) for ns in (300, 100, 1)] == [False, False, True]
    assert compiled.pays(0)


@pytest.mark.usefixtures("fresh")
def test_much_work_pays_at_once():
    assert not compiled.pays(400)
    compiled._interpreted_ns = 0.0
    assert compiled.pays(401)


@pytest.mark.usefixtures("fresh")
def test_loops_add_up_what_they_take_in_the_interpreter():
    """Each takes 150 of 400 ns: the third is compiled, and from then on numba is there."""
    used = []

    def loop(results):
        used.append(type(results))

    for _ in range(2):
        compiled.run_loop(loop, [], [ints(0)], interpreted_ns=150)
    assert used == [list, list]
    assert compiled._interpreted_ns == 300
    assert compiled.pays(150)


SMALL_RUN = """
import sys
from tests.helpers.small import load, trace_of
from accelsim import simulate
options = {"phase": "decode"} if sys.argv[1] == "decode" else {}
result = simulate(load("nm816"), trace_of([(64, 32)], lengths=(4,)), **options)
print(result.cycles, "numba" in sys.modules)
"""


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_small_run_does_not_start_numba(phase):
    """256 values and a few tiles take milliseconds; numba takes longer to import."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL_RUN, phase],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cycles, is_there = done.stdout.split()
    assert int(cycles) > 0
    assert is_there == "False"


# What it does ----------------------------------------------------------------------------------


@pytest.mark.parametrize("are_compiled", [True, False], ids=["compiled", "interpreted"])
def test_a_loop_reads_and_fills_its_outputs(are_compiled):
    # From 10: 13, 9, 14; the largest so far was 12.
    sums, largest = ints(10, 0, 0, 0), ints(12)
    with loops(are_compiled=are_compiled) as asked:
        compiled.run_loop(running_sums, [3, ints(3, -4, 5)], [sums, largest], interpreted_ns=30)
    assert asked.call_args.args == (30,)
    assert (sums.tolist(), largest.tolist()) == ([10, 13, 9, 14], [14])


@given(values=st.lists(integers, max_size=30), start=integers)
def test_compiled_and_interpreted_loops_fill_the_same(values, start):
    found = []
    for are_compiled in (True, False):
        sums, largest = np.full(len(values) + 1, start), ints(start)
        with loops(are_compiled=are_compiled):
            inputs = [len(values), ints(*values)]
            compiled.run_loop(running_sums, inputs, [sums, largest], interpreted_ns=0)
        found.append((sums.tolist(), largest.tolist()))
        assert sums.dtype == largest.dtype == np.int64
    assert found[0] == found[1]
    totals = [start + sum(values[:count]) for count in range(len(values) + 1)]
    assert found[0] == (totals, [max(totals)])


def test_an_output_may_be_a_part_of_an_array():
    """As the engine's are: one run's row of a table. Nothing else of the table changes."""
    for are_compiled in (True, False):
        table, largest = np.zeros((3, 4), np.int64), ints(0)
        with loops(are_compiled=are_compiled):
            inputs = [3, ints(1, 2, 3)]
            compiled.run_loop(running_sums, inputs, [table[1], largest], interpreted_ns=0)
        assert table.tolist() == [[0] * 4, [0, 1, 3, 6], [0] * 4]


@given(
    needed=arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 20))),
    row_bytes=st.integers(1, 100),
    burst_bytes=st.sampled_from([1, 16, 64]),
)
def test_bursts_are_counted_alike_compiled_or_not(needed, row_bytes, burst_bytes):
    counts = []
    for are_compiled in (True, False):
        with loops(are_compiled=are_compiled):
            counts.append(touched_bursts(needed, row_bytes, burst_bytes).tolist())
    expected = [
        fetched(np.flatnonzero(step).tolist(), row_bytes, 1, burst_bytes) // burst_bytes
        for step in needed
    ]
    assert counts[0] == counts[1] == expected


# Where machine code is kept --------------------------------------------------------------------


def test_a_loop_is_compiled_once():
    assert compiled.compiled(running_sums) is compiled.compiled(running_sums)


def test_machine_code_is_kept_beside_the_loop(monkeypatch):
    asked = []
    real = numba.njit
    monkeypatch.setattr(numba, "njit", lambda **options: asked.append(options) or real(**options))
    sums = ints(0, 0, 0)
    compiled.compiled.__wrapped__(running_sums)(2, ints(4, 5), sums, ints(0))
    assert {"cache": True, "nogil": True} in asked
    assert sums.tolist() == [0, 4, 9]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), EOFError(), ValueError("junk")])
def test_damaged_or_unwritable_machine_code_is_compiled_again(monkeypatch, error):
    real = numba.njit

    def njit(*, cache=False, **options):
        def fail(*_):
            raise error

        return (lambda _: fail) if cache else real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    sums = ints(0, 0, 0)
    compiled.compiled.__wrapped__(running_sums)(2, ints(4, 5), sums, ints(0))
    assert sums.tolist() == [0, 4, 9]


def test_nothing_is_compiled_where_numba_is_told_not_to(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not compiled.pays(1e15)


def test_a_loop_is_compiled_where_nothing_can_be_kept():
    """A function that stands in no file: numba has no folder for its machine code."""
    names = {}
    exec("def double(values, results):\n  results[0] = 2 * values[0]\n", names)
    with pytest.raises(RuntimeError, match="cannot cache function"):
        numba.njit(cache=True)(names["double"])
    results = ints(0)
    with loops(are_compiled=True):
        compiled.run_loop(names["double"], [ints(21)], [results], interpreted_ns=0)
    assert results.tolist() == [42]


def test_a_loop_is_compiled_where_no_folder_may_be_written_to(monkeypatch):
    real = numba.njit

    def njit(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    function = compiled.compiled.__wrapped__(running_sums)  # not the one that is known already
    sums = ints(0, 0, 0)
    function(2, ints(4, 5), sums, ints(0))
    assert sums.tolist() == [0, 4, 9]
    assert function is not compiled.compiled(running_sums)

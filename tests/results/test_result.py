"""A result in Python: what a reader sees who types its name."""

from accelsim.run.simulation import simulate
from tests.helpers.small import load, trace_of


def test_a_result_is_shown_in_a_line():
    result = simulate(load("nm816"), trace_of([(64, 32), (128, 64)], lengths=(8,)))
    shown = repr(result)
    assert shown.startswith("<Result of nm816 on ")
    assert f": 2 layers, {result.cycles:,} cycles, " in shown
    assert "\n" not in shown
    assert len(shown) < 200

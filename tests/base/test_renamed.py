"""Old names beside the new ones: every output that has one has the other, next to it."""

import json

import pytest

from accelsim.base.renamed import RENAMED, with_new_names
from accelsim.results.comparison import comparison_rows
from accelsim.run.simulation import simulate
from accelsim.trace.statistics import statistics
from tests.helpers.small import load


def mappings(data):
    """Every mapping in some data."""
    if isinstance(data, dict):
        yield data
    for inner in data.values() if isinstance(data, dict) else data:
        if isinstance(inner, dict | list | tuple):
            yield from mappings(inner)


@pytest.mark.parametrize("what", ["run", "compare", "inspect"])
def test_old_names_stand_before_the_new_ones(what, small_trace):
    result = simulate(load("nm816"), small_trace)
    data = {
        "run": result.to_dict,
        "compare": lambda: comparison_rows([result]),
        "inspect": lambda: [one.to_dict() for one in statistics(small_trace, ["2:4"])],
    }[what]()
    found = 0
    for part in mappings(json.loads(json.dumps(data))):
        keys = list(part)
        for old in keys & RENAMED.keys():
            assert keys[keys.index(old) + 1] == RENAMED[old]
            assert part[old] == part[RENAMED[old]]
            found += 1
    assert found


def test_a_new_name_that_is_there_is_not_overwritten():
    record = {"relative_drop": 1, "perplexity_increase_ratio": 2}
    assert with_new_names(record) == record

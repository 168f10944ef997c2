"""A metric that got another name: files, rows and constraints of sweeps know both."""

import pytest

from accelsim.base.errors import InputError
from accelsim.sweeps.folder import column_types, open_results, read_rows
from accelsim.sweeps.task import Bench

OLD, NEW = "dropped_energy_ratio", "dropped_squared_magnitude_ratio"


def test_a_file_without_metrics_asks_for_what_it_did(plan):
    """What it asks for is in the hash of a sweep, with which its rows are sealed."""
    metrics = plan().file.metrics
    assert metrics[-1] == OLD
    assert NEW not in metrics


def test_rows_and_tables_have_both(plan):
    row = Bench(plan()).run(0)
    assert list(row)[-2:] == list(column_types(plan()))[-2:] == [OLD, NEW]
    assert row[OLD] == row[NEW] > 0


def test_a_file_may_ask_for_the_new_name_alone(plan):
    row = Bench(plan(metrics=["cycles", NEW])).run(0)
    assert list(row)[-2:] == ["cycles", NEW]


@pytest.mark.parametrize("name", [OLD, NEW])
def test_constraints_and_objectives_take_either(plan, name):
    made = plan(constraints=[f"{name} <= 0"], objectives=[name], mode="optuna", points=1)
    row = Bench(made).run(0)
    assert (row["status"], row["reason"].split()[0]) == ("excluded", name)


def test_two_names_of_one_metric_are_one_objective(plan):
    with pytest.raises(InputError, match="a metric is given twice"):
        plan(objectives=[OLD, NEW], mode="optuna", points=1)


def test_rows_of_an_earlier_version_are_found_by_the_new_name(plan, tmp_path):
    row = Bench(plan()).run(0)
    old = {key: value for key, value in row.items() if key != NEW}
    with open_results(plan(), tmp_path / "out", resume=False) as results:
        results.append(old)
        assert results.row(0) == row
    _, rows = read_rows(tmp_path / "out")
    assert rows == [row]

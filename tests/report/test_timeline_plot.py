"""`plot utilization` from timelines: three slices in two spans, and those that show too little."""

import json

import pytest

from accelsim.base.errors import InputError
from accelsim.report.plots import PLOTS

NAMES = {1: "mac_array", 2: "dram"}


@pytest.fixture
def numbers(tmp_path):
    """Rows of slices (track, name, start, duration in µs) of a run with 6 µs of MAC array work."""

    def _numbers(*slices, names=NAMES, bins=2):
        keys = ("tid", "name", "ts", "dur")
        events = [{"name": "thread_name", "tid": t, "args": {"name": n}} for t, n in names.items()]
        events += [{"ph": "X", **dict(zip(keys, part, strict=True))} for part in slices]
        (tmp_path / "timeline.json").write_text(json.dumps({"traceEvents": events}))
        units = {"mac_array": {"busy_cycles": 6}}
        run = {"folder": str(tmp_path), "arch": {"clock_mhz": 1.0}, "units": units}
        return PLOTS["utilization"].numbers([run], bins=bins)

    return _numbers


def test_three_slices_in_two_spans(numbers):
    # 10 µs in spans of 5. MAC array: 3 … 9, so 2 of 5 and 4 of 5. DRAM: 0 … 2, so 2 of 5 and
    # nothing; that it waits from 2 to 10 is no work.
    first, second = numbers((1, "tile 0", 3, 6), (2, "tile 0", 0, 2), (2, "starved", 2, 8))
    assert first == pytest.approx(
        {"start_us": 0, "end_us": 5, "mac_array_ratio": 0.4, "dram_ratio": 0.4}
    )
    assert second == pytest.approx(
        {"start_us": 5, "end_us": 10, "mac_array_ratio": 0.8, "dram_ratio": 0}
    )


def test_one_span_is_the_mean(numbers):
    (row,) = numbers((1, "tile 0", 3, 6), (2, "tile 0", 9, 1), bins=1)
    assert (row["mac_array_ratio"], row["dram_ratio"]) == pytest.approx((0.6, 0.1))


@pytest.mark.parametrize("names", [NAMES, {}], ids=["no work of the array", "no names"])
def test_a_timeline_without_work_of_the_array_is_refused(numbers, names):
    with pytest.raises(InputError, match=r"shows 0 µs of MAC array work, the run has 6"):
        numbers((2, "tile 0", 0, 2), names=names)


def test_no_spans_are_refused(numbers):
    with pytest.raises(InputError, match="bins 0: must be at least 1"):
        numbers((1, "tile 0", 3, 6), bins=0)

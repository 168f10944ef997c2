"""Statistics of a trace, against plain numpy and against known distributions."""

import numpy as np
import pytest

from accelsim.trace import Linear, load_trace
from accelsim.trace.shapes import synthesise
from accelsim.trace.statistics import QUANTILES, statistics


def one(trace, patterns=("2:4",)):
    (entry,) = statistics(trace, patterns)
    return entry


def test_by_hand(write):
    values = np.tile(np.array([0, 0, -3, 4, 0, 1, 2, -2], np.float16), (6, 1))
    entry = one(load_trace(write({"a": values})), ("2:4", "1:8", "dense"))
    assert (entry.name, entry.tokens, entry.features) == ("a", 6, 8)
    assert entry.zero_ratio == 3 / 8
    # 34 = 9 + 16 + 1 + 4 + 4; 2:4 drops only the 1, 1:8 all but the 4.
    assert entry.dropped_squared_magnitude_ratio == {
        "2:4": pytest.approx(1 / 34),
        "1:8": pytest.approx(18 / 34),
        "dense": 0.0,
    }
    assert entry.magnitudes[-1] == 4.0


def test_against_numpy(write):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 64)).astype(np.float16)
    values[rng.random(values.shape) < 0.3] = 0
    entry = one(load_trace(write({"a": values}, features=64)), ("2:4", "8:16"))
    real = values.astype(np.float64)
    assert entry.zero_ratio == np.mean(real == 0)
    assert entry.magnitudes == pytest.approx(np.quantile(np.abs(real), QUANTILES), rel=1e-6)
    for name, n, m in (("2:4", 2, 4), ("8:16", 8, 16)):
        ordered = np.sort((real**2).reshape(-1, m), axis=1)
        expected = ordered[:, : m - n].sum() / ordered.sum()
        assert entry.dropped_squared_magnitude_ratio[name] == pytest.approx(expected)


def test_a_short_last_group_counts(write):
    # 6 features at 2:4: the last group holds two values and keeps both.
    values = np.tile(np.array([1, 1, 1, 1, 1, 1], np.float16), (6, 1))
    entry = one(load_trace(write({"a": values}, features=6)))
    assert entry.dropped_squared_magnitude_ratio["2:4"] == pytest.approx(2 / 6)


def test_zeros_only(write):
    entry = one(load_trace(write({"a": np.zeros((6, 8), np.float16)})))
    assert entry.zero_ratio == 1.0
    assert entry.dropped_squared_magnitude_ratio == {"2:4": 0.0}
    assert entry.magnitudes == (0.0,) * len(QUANTILES)


def test_readers_share_an_input(write):
    linears = tuple(
        Linear(name=f"l.{kind}", input="a", in_features=8, out_features=4) for kind in ("q", "k")
    )
    trace = load_trace(write({"a": np.ones((6, 8), np.float16)}, linears=linears))
    assert one(trace).readers == ("q", "k")


def test_inputs_come_one_at_a_time(good, monkeypatch):
    trace = load_trace(good)
    entries = statistics(trace, ["2:4"])
    assert next(entries).name == "a"
    monkeypatch.setattr(type(trace.source), "read", lambda *_: pytest.fail("read too early"))
    entries.close()


@pytest.mark.parametrize(
    ("distribution", "dropped"),
    # Prior art 1.5: share of squared magnitude dropped, i.i.d., in percent.
    [
        ("gaussian", {"2:4": 13.23, "4:8": 10.32, "8:16": 8.76, "16:32": 7.95}),
        ("laplace", {"2:4": 7.99, "4:8": 5.61, "8:16": 4.45, "16:32": 3.88}),
    ],
)
def test_energy_that_known_distributions_drop(tmp_path, distribution, dropped):
    trace = synthesise(
        "llama-3-8b", tmp_path / "t.npz", tokens=256, layers=1, distribution=distribution
    )
    entry = next(statistics(trace, list(dropped)))  # a million draws
    measured = {name: 100 * ratio for name, ratio in entry.dropped_squared_magnitude_ratio.items()}
    assert measured == {name: pytest.approx(value, abs=0.06) for name, value in dropped.items()}

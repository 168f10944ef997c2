"""No value vanishes in a trace without a word, however small the numbers of a model are."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from accelsim.capture import capture  # noqa: E402
from accelsim.trace.units import half_unit, in_half_units  # noqa: E402


@pytest.fixture
def captured(tmp_path):
    """Return a function that captures rows as they enter a linear layer."""

    def _captured(rows, dtype="float16"):
        return capture(
            nn.Linear(rows.shape[1], 1), [torch.tensor(rows)], out=tmp_path / "t.npz", dtype=dtype
        )

    return _captured


def normal(scale):
    return (np.random.default_rng(0).standard_normal((32, 16)) * scale).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-9, 1e-12])
def test_float16_keeps_its_digits_at_every_scale(captured, scale):
    rows = normal(scale)
    trace = captured(rows)
    # 11 significant bits: an error of at most 2^-11 of the value, or of a subnormal's, the peak.
    error = np.abs(trace.values("Linear") - rows)
    assert (error <= 2.0**-11 * np.abs(rows) + 2.0**-30 * np.abs(rows).max()).all()
    assert "zeroed" not in trace.meta.provenance


def test_numbers_of_everyday_are_stored_as_they_are(captured):
    assert captured(normal(1.0)).meta.inputs["Linear"].scale == 1.0


def test_a_hundredth_of_coarse_values_scales_and_a_thousandth_does_not(captured):
    rows = np.ones((1, 2000), np.float32)
    rows[0, :2] = 1e-7  # 2 of 2,000 are 0.1 %, and no more than that
    assert captured(rows).meta.inputs["Linear"].scale == 1.0
    rows[0, :3] = 1e-7
    trace = captured(rows)
    assert trace.meta.inputs["Linear"].scale == 2.0**-15  # in units of which 1 is 32768
    assert trace.values("Linear")[0, 0] == pytest.approx(1e-7, rel=2.0**-11)


@pytest.mark.parametrize(
    ("dtype", "small"),
    [
        ("float16", 2.0**-42),  # below half of the smallest of 2^-24 units of 2^-15
        ("bfloat16", 2.0**-135),  # below half of the smallest subnormal, 2^-133
        ("int8", 0.003),  # below half a code: 1 / 254
    ],
)
def test_what_becomes_zero_is_counted(captured, dtype, small):
    rows = np.full((4, 100), small, np.float32)
    rows[:, 0] = 1.0
    trace = captured(rows, dtype)
    assert (trace.values("Linear") == 0).sum() == 4 * 99
    assert trace.meta.provenance["zeroed"] == {"Linear": pytest.approx(0.99)}


def test_zeros_that_were_zeros_do_not_count(captured):
    rows = np.zeros((4, 100), np.float32)
    rows[:, 0] = 1.0
    assert "zeroed" not in captured(rows, "int8").meta.provenance


@pytest.mark.parametrize("peak", [65504.0, 65505.0, 65536.0, 1.0, 2.0**-15, 3e-9, 1e-38])
def test_a_unit_is_the_smallest_that_holds_the_peak(peak):
    unit = half_unit(peak)
    assert peak / unit <= 65504.0
    assert unit == 2.0**-49 or peak / (unit / 2) > 65504.0


def test_units_round_once():
    # 2049 units lie between 2048 and 2050; 2048 is even.
    assert in_half_units(np.array([2049 * 2.0**-30], np.float32), 2.0**-30).tolist() == [2048.0]

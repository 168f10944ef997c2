"""Bad input to `capture`, and what is left on disk afterwards."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import capture  # noqa: E402
from accelsim.capture import spill as spill_module  # noqa: E402

ONES = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "flaot16"}, r"unknown dtype 'flaot16' \(did you mean 'float16'\?\); allowed: "),
        ({"layers": "0,9*"}, r"no linear layer matches '9\*'; the model has 3: 0, 1, 2"),
        ({"layers": ""}, "no linear layer matches ''"),
    ],
)
def test_wrong_settings_name_what_is_allowed(doubling, out, settings, message):
    with pytest.raises(InputError, match=message):
        capture(doubling, [ONES], out=out, **settings)
    assert list(out.parent.iterdir()) == []


def test_a_long_list_of_names_is_cut(out):
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(9)))
    with pytest.raises(InputError, match="the model has 9: 0, 1, 2, …, 8"):
        capture(model, [ONES], out=out, layers="x")


def test_a_model_without_linear_layers(out):
    with pytest.raises(InputError, match="ReLU has no linear layer"):
        capture(nn.ReLU(), [ONES], out=out)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "there are no batches"),
        ([ONES, torch.ones(0, 2)], "batch 1: no token reached a linear layer"),
        ([ONES, torch.ones(2, 5)], "batch 1: the model cannot be run on it: RuntimeError: mat1"),
        ([()], "batch 0: the model cannot be run on it: TypeError"),
    ],
)
def test_wrong_batches_are_named(doubling, out, batches, message):
    with pytest.raises(InputError, match=message):
        capture(doubling, batches, out=out)
    assert list(out.parent.iterdir()) == []


def test_an_array_that_no_trace_can_hold(doubling, out, monkeypatch):
    monkeypatch.setattr(spill_module, "MAX_ARRAY_BYTES", 12)  # three float16 rows of 2
    capture(doubling, [torch.ones(3, 2)], out=out)
    with pytest.raises(InputError, match=r"layer '0': more than .* capture fewer tokens"):
        capture(doubling, [torch.ones(2, 2)] * 2, out=out)


def test_a_folder_that_does_not_exist(doubling, tmp_path):
    with pytest.raises(InputError, match="cannot write here"):
        capture(doubling, [ONES], out=tmp_path / "none" / "t.npz")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, OSError(28, "No space left")])
def test_a_failure_leaves_the_old_trace_and_nothing_else(doubling, out, stop):
    def batches():
        yield ONES
        temporary = [path for path in out.parent.iterdir() if path != out]
        assert {path.is_dir() for path in temporary} == {True, False}  # the spill and the trace
        raise stop

    out.write_bytes(b"old")
    expected = InputError if isinstance(stop, OSError) else stop
    with pytest.raises(expected):
        capture(doubling, batches(), out=out)
    assert [path.name for path in out.parent.iterdir()] == ["t.npz"]
    assert out.read_bytes() == b"old"
    assert not doubling[0]._forward_pre_hooks
    assert doubling.training

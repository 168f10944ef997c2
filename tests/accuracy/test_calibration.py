"""What methods learn from a text, layer by layer, and the file that keeps it."""

import io
import json

import numpy as np
import pytest

from tests.helpers.pruning import amber_norms, lower_median, quantile

torch = pytest.importorskip("torch")

from accelsim.accuracy.calibration import (  # noqa: E402
    Calibration,
    calibrate,
    has_state,
    load_calibration,
    needs_text,
    save_calibration,
    wanted_states,
)
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402

SEQ_LEN = 16
FACTS = {"model": {"model_id": "tiny"}, "precision": "float", "tokens": 64}
METHODS = [
    ("2:4", "act", "spts"),
    ("2:4", "act", "lpts"),
    ("2:4", "act", "ls"),
    ("8:16", "amber", "rsparse4"),
    ("threshold:0.4",),
    ("greedy-threshold:0.4",),
]


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


def learned(subject, ids, *texts, precision="float"):
    wanted = [(name, method(*one)) for one in texts for name in subject.linears]
    return calibrate(subject, ids, wanted, precision=precision, seq_len=SEQ_LEN)


@pytest.fixture(scope="module")
def inputs(subject, ids):
    """Return the dense input of each layer, `[T, K]`, caught by hooks of our own."""
    seen, hooks = {}, []
    for name, linear in subject.linears.items():
        hook = linear.module.register_forward_pre_hook(
            lambda _, x, name=name: seen.update({name: x[0].reshape(-1, x[0].shape[-1])})
        )
        hooks.append(hook)
    whole = len(ids) // SEQ_LEN * SEQ_LEN
    with torch.no_grad():
        subject.model.eval()(ids[:whole].reshape(-1, SEQ_LEN))
    for hook in hooks:
        hook.remove()
    return seen


# Learning ----------------------------------------------------------------------------------------


def test_spts_learns_the_medians_of_what_enters_each_layer(subject, ids, inputs):
    states = learned(subject, ids, ("2:4", "act", "spts"))
    assert {name for name, _ in states} == set(subject.linears)
    for (name, text), state in states.items():
        assert text == "2:4 spts"
        expected = [lower_median(column) for column in inputs[name].T.tolist()]
        assert state["shift"].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_threshold_lies_above_that_share_of_the_text(subject, ids, inputs, share):
    states = learned(subject, ids, (f"threshold:{share}",))
    for (name, _), state in states.items():
        magnitudes = inputs[name].abs().flatten().tolist()
        assert state["level"] == pytest.approx(quantile(magnitudes, share), rel=1e-5)
        below = np.mean(np.array(magnitudes) <= state["level"])
        assert below == pytest.approx(share, abs=4 / len(magnitudes))


def test_methods_that_need_no_text_read_none(subject):
    nothing = torch.zeros(0, dtype=torch.int64)
    states = learned(subject, nothing, ("8:16", "amber", "rsparse4"))
    for (name, _), state in states.items():
        weight = subject.linears[name].module.weight.tolist()
        np.testing.assert_allclose(state["factors"], amber_norms(weight), rtol=1e-9)
        sizes = np.linalg.svd(np.array(weight), compute_uv=False)
        product = (state["out"] @ state["in"]).numpy()
        missing = np.square(np.array(weight) - product).sum()
        assert missing == pytest.approx(np.square(sizes[4:]).sum(), rel=1e-4)


def test_ls_learns_from_what_its_own_method_keeps(subject, ids):
    states = learned(subject, ids, ("2:4", "act", "ls"), ("8:16", "clact", "ls"))
    name = next(iter(subject.linears))
    assert not torch.equal(states[name, "2:4 ls"]["scale"], states[name, "8:16 clact ls"]["scale"])


def test_a_layer_is_done_once_and_told(subject, ids):
    told = []
    wanted = [(name, method("2:4", "act", "spts")) for name in subject.linears]
    calibrate(
        subject, ids, wanted, precision="int8", seq_len=SEQ_LEN, on_layer=lambda: told.append(1)
    )
    assert len(told) == len(subject.linears)


def test_a_text_shorter_than_a_sequence_is_refused(subject, ids):
    with pytest.raises(InputError, match="has 15 tokens, less than one sequence of 16"):
        learned(subject, ids[:15], ("2:4", "act", "spts"))


@pytest.mark.parametrize(
    ("texts", "of_text", "of_anything"),
    [
        (("2:4",), False, False),
        (("2:4", "clact", "dpts"), False, False),
        (("2:4", "wt"), False, False),
        (("2:4", "amber"), False, True),
        (("2:4", "act", "rsparse8"), False, True),
        (("2:4", "act", "lpts"), True, True),
        (("threshold:0.5",), True, True),
        (("greedy-threshold:0.5",), True, True),
        (("dense", "amber", "spts"), False, False),
    ],
    ids=str,
)
def test_which_methods_know_something_of_a_layer(texts, of_text, of_anything):
    assert needs_text(method(*texts)) == of_text
    assert has_state(method(*texts)) == of_anything


def test_each_pair_of_layer_and_method_is_wanted_once():
    first = Policy(method("2:4"), (("b", method("dense")),))
    pairs = wanted_states([first, Policy(method("2:4"))], ["a", "b"])
    found = [(name, str(one)) for name, one in pairs]
    assert found == [("a", "2:4"), ("b", "dense"), ("b", "2:4")]


def test_missing_are_those_that_need_a_state_and_have_none():
    known = Calibration({}, {("a", "2:4 spts"): {}})
    spts = method("2:4", "act", "spts")
    wanted = [("a", spts), ("b", spts), ("b", method("2:4"))]
    assert known.missing(wanted) == [("b", spts)]


# The file ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(subject, ids, tmp_path_factory):
    """Return states of every sort, and the file they were written to."""
    calibration = Calibration(FACTS, learned(subject, ids, *METHODS, precision="int8"))
    path = tmp_path_factory.mktemp("calibration") / "states.npz"
    save_calibration(path, calibration)
    return calibration, path


def test_a_file_gives_back_every_bit(saved):
    calibration, path = saved
    again = load_calibration(path, FACTS, "cpu")
    assert again.facts == FACTS
    assert again.states.keys() == calibration.states.keys()
    for key, state in calibration.states.items():
        assert again.states[key].keys() == state.keys()
        for name, value in state.items():
            other = again.states[key][name]
            assert type(other) is type(value)
            assert np.asarray(other).dtype == np.asarray(value).dtype
            assert np.asarray(other).tobytes() == np.asarray(value).tobytes()
    assert again.missing([(n, method(*one)) for one in METHODS for n, _ in again.states]) == []


def test_the_same_states_give_the_same_bytes(saved, tmp_path):
    calibration, path = saved
    save_calibration(tmp_path / "again.npz", load_calibration(path, {}, "cpu"))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert calibration.facts == FACTS


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [
        ("model", {"model_id": "other"}, "calibrated for model {'model_id': 'tiny'}, this is"),
        ("precision", "bf16", "calibrated for precision 'float', this is 'bf16'"),
        ("seq_len", 8, "calibrated for seq_len None, this is 8"),
    ],
)
def test_states_of_something_else_are_refused(saved, fact, value, message):
    with pytest.raises(InputError, match=message):
        load_calibration(saved[1], FACTS | {fact: value}, "cpu")


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def meta(**changes):
    content = {"schema": 1, "facts": FACTS, "arrays": []} | changes
    return npz(meta=np.array(json.dumps(content)))


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "an array": npy(np.zeros(3)),
    "a pickle": npy(np.array([{}], dtype=object)),
    "a zip without meta": npz(a=np.zeros(3)),
    "meta that is no JSON": npz(meta=np.array("{")),
    "meta that is a list": npz(meta=np.array("[1]")),
    "a trace": npz(meta=np.array(json.dumps({"schema": 1, "model": "m", "linears": []}))),
    "no facts": meta(facts=None),
    "an array that is not there": meta(arrays=[["a", "2:4 spts", "shift"]]),
    "arrays without names": meta(arrays=7),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_of_another_kind_is_one_clear_error(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz: not a calibration file of accelsim"):
        load_calibration(path, FACTS, "cpu")


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(meta(schema=2))
    with pytest.raises(InputError, match=r"x\.npz: schema 2; this version reads 1"):
        load_calibration(path, FACTS, "cpu")


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path):
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=f"cannot read the calibration: {reason}"):
            load_calibration(path, FACTS, "cpu")


def test_a_truncated_file_is_one_clear_error(saved, tmp_path):
    whole = saved[1].read_bytes()
    path = tmp_path / "x.npz"
    for length in np.linspace(1, len(whole) - 1, 40, dtype=int):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a calibration file"):
            load_calibration(path, FACTS, "cpu")


def test_damaged_bytes_are_an_error_or_do_not_matter(saved, tmp_path):
    """A flipped byte is noticed by the checksums of the archive, or lies where nobody looks."""
    calibration, source = saved
    path, whole = tmp_path / "x.npz", bytearray(source.read_bytes())
    rng, refused = np.random.default_rng(0), 0
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bytes(damaged))
        try:
            again = load_calibration(path, FACTS, "cpu")
        except InputError:
            refused += 1
            continue
        assert again.states.keys() == calibration.states.keys()
    assert refused > 75


def test_nothing_is_written_where_it_cannot_be(saved, tmp_path):
    calibration, _ = saved
    with pytest.raises(InputError, match="cannot write"):
        save_calibration(tmp_path / "none" / "x.npz", calibration)
    with pytest.raises(InputError, match="a folder of this name exists"):
        save_calibration(tmp_path, calibration)
    assert list(tmp_path.iterdir()) == []

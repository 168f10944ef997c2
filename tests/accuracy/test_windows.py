"""Sliding windows: every token of a text is counted once, with enough before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from accelsim.accuracy.windows import Window, batches, sliding_windows
from accelsim.base.errors import InputError


@st.composite
def cuts(draw):
    """Return (tokens, seq_len, stride)."""
    seq_len = draw(st.integers(2, 20))
    return draw(st.integers(2, 90)), seq_len, draw(st.integers(1, seq_len))


def test_windows_by_hand():
    # 7 tokens, 4 at a time, by 3: 0-3 counts 1 2 3; 3-6 has 3 as context and counts 4 5 6.
    assert sliding_windows(7, 4, 3) == [Window(0, 1, 4), Window(3, 4, 7)]
    # By 1: each later window counts its last token.
    assert sliding_windows(6, 4, 1) == [Window(0, 1, 4), Window(1, 4, 5), Window(2, 5, 6)]
    # A text shorter than a window is one window.
    assert sliding_windows(3, 512, 256) == [Window(0, 1, 3)]
    # One token beyond a window: it gets a window of its own, with 2 before it.
    assert sliding_windows(5, 4, 2) == [Window(0, 1, 4), Window(2, 4, 5)]


def test_with_a_stride_of_a_whole_window_first_tokens_are_not_counted():
    assert sliding_windows(9, 4, 4) == [Window(0, 1, 4), Window(4, 5, 8)]
    assert sliding_windows(10, 4, 4)[-1] == Window(8, 9, 10)


@given(cut=cuts())
def test_every_token_but_the_first_is_counted_once(cut):
    tokens, seq_len, stride = cut
    counted = [p for w in sliding_windows(*cut) for p in range(w.first, w.end)]
    starts = range(0, tokens, seq_len) if stride == seq_len else [0]
    assert counted == [place for place in range(tokens) if place not in starts]


@given(cut=cuts())
def test_windows_lie_in_the_text_and_give_context(cut):
    tokens, seq_len, stride = cut
    windows = sliding_windows(*cut)
    for number, window in enumerate(windows):
        assert window.start == number * stride
        assert window.start < window.first < window.end <= tokens
        assert window.end - window.start <= seq_len
        assert window.counted == window.end - window.first
        if number:
            assert window.first - window.start == max(1, seq_len - stride)
    assert all(w.end - w.start == seq_len for w in windows[:-1])


@given(cut=cuts(), vocabulary=st.sampled_from([64, 2**17, 2**26, 2**30]))
def test_batches_are_all_windows_in_order_and_of_one_shape(cut, vocabulary):
    windows = sliding_windows(*cut)
    cut_up = list(batches(windows, vocabulary))
    assert [window for batch in cut_up for window in batch] == windows
    for batch in cut_up:
        assert len({window.shape for window in batch}) == 1
        length, context = batch[0].shape
        assert length == batch[0].end - batch[0].start
        assert context == batch[0].first - batch[0].start
        assert len(batch) == 1 or len(batch) * length <= min(4096, 2**27 // vocabulary)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ((9, 4, 5), "stride 5: must be 1 to seq_len 4"),
        ((9, 4, 0), "stride 0: must be 1 to seq_len 4"),
        ((9, 1, 1), "seq_len 1, which must be above 1"),
        ((1, 4, 2), "the text has 1 tokens; at least 2 are needed"),
        ((0, 4, 2), "the text has 0 tokens"),
    ],
)
def test_impossible_cuts_are_refused(cut, message):
    with pytest.raises(InputError, match=message):
        sliding_windows(*cut)

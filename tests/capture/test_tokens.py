"""Which rows are tokens: padding, packed sequences, the order of axes, rows of a layer's own."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import capture  # noqa: E402


class Embedded(nn.Module):
    """Two layers after an embedding that gives token n the value n; takes what texts come with."""

    def __init__(self, pad_token_id=None):
        super().__init__()
        self.table = nn.Embedding(50, 1)
        self.table.weight.data = torch.arange(50.0)[:, None]
        self.up, self.down = nn.Linear(1, 2), nn.Linear(2, 1)
        self.config = type("Config", (), {"pad_token_id": pad_token_id, "eos_token_id": 2})()

    def forward(self, input_ids, attention_mask=None, **_):  # noqa: ARG002
        return self.down(self.up(self.table(input_ids)))


def captured(out, model=None, **batch):
    arguments = {name: torch.tensor(value) for name, value in batch.items()}
    trace = capture(model or Embedded(), [arguments], out=out)
    return list(trace.meta.sequence_lengths), trace.values("up")[:, 0].astype(int).tolist()


LEFT = ([[0, 0, 7, 8], [1, 2, 3, 4]], [[0, 0, 1, 1], [1, 1, 1, 1]])
RIGHT = ([[7, 8, 0, 0], [1, 2, 3, 4]], [[1, 1, 0, 0], [1, 1, 1, 1]])


@pytest.mark.parametrize(("ids", "mask"), [LEFT, RIGHT], ids=["left", "right"])
def test_masked_places_are_no_tokens(ids, mask, out):
    expected = [2, 4], [7, 8, 1, 2, 3, 4]
    assert captured(out, input_ids=ids, attention_mask=mask) == expected


def test_a_mask_given_by_position_is_found_by_the_name_of_the_argument(out):
    trace = capture(Embedded(), [tuple(map(torch.tensor, RIGHT))], out=out)
    assert trace.meta.sequence_lengths == (2, 4)


def test_each_prompt_alone_gives_the_same_tokens(out):
    ids, mask = map(torch.tensor, LEFT)
    alone = [row[keep == 1][None] for row, keep in zip(ids, mask, strict=True)]
    trace = capture(Embedded(), alone, out=out)
    assert (list(trace.meta.sequence_lengths), trace.values("up")[:, 0].tolist()) == captured(
        out, input_ids=LEFT[0], attention_mask=LEFT[1]
    )


@pytest.mark.parametrize(
    ("packing", "lengths"),
    [
        ({"position_ids": [[0, 1, 2, 0, 1, 0]]}, [3, 2, 1]),
        ({"position_ids": [[5, 6, 7, 8, 9, 10]]}, [6]),
        ({"cu_seq_lens_q": [0, 4, 6]}, [4, 2]),
        ({"cu_seqlens": [0, 1, 1, 6]}, [1, 5]),
        ({"seq_idx": [[0, 0, 1, 1, 1, 2]]}, [2, 3, 1]),
        ({"attention_mask": [[0, 1, 1, 2, 2, 2]]}, [2, 3]),
        ({"attention_mask": [[float("-inf"), 0.0, 0.0, 0.0, 0.0, 0.0]]}, [5]),
        ({"position_ids": [[1, 0, 1, 2, 0, 1]], "attention_mask": [[0, 1, 1, 1, 1, 1]]}, [3, 2]),
    ],
)
def test_packed_sequences_are_several(packing, lengths, out):
    found, rows = captured(out, input_ids=[[1, 2, 3, 4, 5, 6]], **packing)
    assert found == lengths
    assert rows == list(range(1, 7))[6 - sum(lengths) :]


SEEN = [  # which of 6 tokens sees which: sequences of 2 and 3, then padding
    [1, 0, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0],
    [0, 0, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0],
    [0, 0, 0, 0, 0, 0],
]


@pytest.mark.parametrize(
    ("mask", "lengths"),
    [
        ([[SEEN]], [2, 3]),
        ([SEEN], [2, 3]),  # without heads
        ((torch.tensor([[SEEN]]) - 1.0).tolist(), [2, 3]),  # added to scores
        ((torch.tensor([[SEEN]]) > 0).tolist(), [2, 3]),
        ([[[[0, 1, 1, 1, 1, 1]]]], [5]),  # one row for all queries
        ([[[1], [1], [1], [1], [0], [0]]], [4]),
        ([[[[0.0] * 6] * 6]], [6]),  # adds nothing
    ],
)
def test_masks_of_pairs_say_what_is_padding_and_what_is_packed(mask, lengths, out):
    assert captured(out, input_ids=[[1, 2, 3, 4, 5, 6]], attention_mask=mask)[0] == lengths


def test_a_mask_of_pairs_for_all_sequences(out):
    causal = torch.ones(1, 1, 3, 3).tril().bool().tolist()
    assert captured(out, input_ids=[[1, 2, 3], [4, 5, 6]], attention_mask=causal)[0] == [3, 3]


def test_positions_shared_by_all_sequences(out):
    ids = [[1, 2, 3], [4, 5, 6]]
    assert captured(out, input_ids=ids, position_ids=[[0, 1, 2]])[0] == [3, 3]
    assert captured(out, input_ids=ids, position_ids=[[0, 1, 0]])[0] == [2, 1, 2, 1]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"attention_mask": [[1, 1]]}, "batch 0: its mask is 1 × 2, its token ids 1 × 3"),
        ({"attention_mask": [[0, 0, 0]]}, "batch 0: 'attention_mask' masks every token"),
        ({"cu_seqlens": [0, 2]}, "'cu_seqlens' must rise from 0 to the 3 tokens"),
        ({"cu_seqlens": [0, 2, 1, 3]}, "'cu_seqlens' must rise from 0 to the 3 tokens"),
    ],
)
def test_what_does_not_fit_the_ids_is_refused(batch, message, out):
    with pytest.raises(InputError, match=message):
        captured(out, input_ids=[[1, 2, 3]], **batch)


def test_padding_ids_without_a_mask_are_warned_of(out):
    ids = [[7, 8, 0, 0], [1, 2, 3, 4]]
    with pytest.warns(UserWarning, match="batch 0: 1 of 2 sequences .* padding id 0, and there"):
        lengths, _ = captured(out, Embedded(pad_token_id=0), input_ids=ids)
    assert lengths == [4, 4]


def test_one_end_of_text_that_is_the_padding_id_too_is_no_padding(out):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captured(out, Embedded(pad_token_id=2), input_ids=[[7, 8, 2], [1, 3, 2]])
        captured(out, Embedded(pad_token_id=0), input_ids=[[7, 8, 0]], attention_mask=[[1, 1, 0]])


def test_sequence_first_is_the_same_as_batch_first(out):
    """[S, B, F] of torch, with its padding mask, which is [B, S] always."""

    class Masked(nn.Sequential):
        def forward(self, src, src_key_padding_mask=None):  # noqa: ARG002
            return super().forward(src)

    model = Masked(nn.Linear(2, 3), nn.Linear(3, 2))
    batch = torch.arange(16.0).reshape(2, 4, 2)
    mask = torch.tensor([[False] * 4, [False, False, True, True]])
    expected = capture(model, [(batch, mask)], out=out)
    assert expected.meta.sequence_lengths == (4, 2)
    turned = capture(
        model, [(batch.transpose(0, 1), mask)], out=out.with_name("s.npz"), batch_first=False
    )
    assert turned.meta.sequence_lengths == (4, 2)
    np.testing.assert_array_equal(turned.values("0"), expected.values("0"))


@pytest.mark.parametrize("shape", [(3, 2, 1), (2, 2, 1)])
def test_sequence_first_without_a_mask(shape, out):
    x = torch.arange(float(np.prod(shape))).reshape(shape)
    trace = capture(nn.Linear(1, 1), [x], out=out, batch_first=False)
    assert trace.meta.sequence_lengths == (shape[0],) * shape[1]
    assert trace.values("Linear")[:, 0].tolist() == x[..., 0].T.ravel().tolist()


class Mixer(nn.Module):
    """Patches of 3 channels; one layer mixes 5 patches, one mixes channels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 2, 2)
        self.patches, self.channels = nn.Linear(5, 4), nn.Linear(3, 6)
        self.head = nn.Conv1d(6, 2, 1)

    def forward(self, image):
        x = self.stem(image).flatten(2)
        self.patches(x)
        return self.head(self.channels(x.transpose(1, 2)).transpose(1, 2))


def test_each_layer_has_its_own_rows(out):
    trace = capture(Mixer(), [torch.randn(2, 1, 2, 10)], out=out)
    assert {x.name: trace.meta.lengths(x.input) for x in trace.linears} == {
        "patches": (3, 3), "channels": (5, 5), "head": (5, 5),
    }  # fmt: skip
    assert trace.values("head").shape == (10, 6)
    (stem,) = trace.meta.coverage.left_out
    assert (stem.name, stem.multiplications) == ("stem", 2 * 5 * 3 * 4)


def test_tokens_are_those_of_the_first_layer_that_is_selected(out):
    trace = capture(Mixer(), [torch.randn(2, 1, 2, 10)], out=out, layers="channels,head")
    assert trace.meta.sequence_lengths == (5, 5)
    assert [x.sequence_lengths for x in trace.meta.inputs.values()] == [None, None]


def test_a_convolution_of_one_point_is_a_linear_layer(out):
    """[B, C, S] is turned to [B, S, C]."""
    model = nn.Sequential(nn.Conv1d(2, 3, 1), nn.Conv1d(3, 3, 1, groups=3), nn.Conv1d(3, 1, 2))
    x = torch.arange(12.0).reshape(1, 2, 6)
    trace = capture(model, [x], out=out)
    assert [(x.name, x.in_features, x.out_features) for x in trace.linears] == [("0", 2, 3)]
    np.testing.assert_array_equal(trace.values("0"), x[0].T)
    assert {p.name: p.multiplications for p in trace.meta.coverage.left_out} == {
        "1": 6 * 3, "2": 5 * 3 * 2,
    }  # fmt: skip


class Translator(nn.Module):
    """An encoder and a decoder, of which one layer reads what the encoder made."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 2)
        self.encoder, self.decoder, self.cross = (nn.Linear(2, 2) for _ in range(3))

    def forward(self, input_ids, decoder_input_ids, **_):
        memory = self.encoder(self.table(input_ids))
        return self.decoder(self.table(decoder_input_ids)), self.cross(memory)


@pytest.mark.parametrize(("mask", "lengths"), [(None, (3, 3)), ([[1, 1, 0], [0, 1, 0]], (2, 1))])
def test_a_decoder_has_tokens_of_its_own(mask, lengths, out):
    batch = {
        "input_ids": torch.arange(8).reshape(2, 4),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        "decoder_input_ids": torch.arange(6).reshape(2, 3),
    }
    if mask is not None:
        batch["decoder_attention_mask"] = torch.tensor(mask)
    trace = capture(Translator(), [batch], out=out)
    assert {x.name: trace.meta.lengths(x.input) for x in trace.linears} == {
        "encoder": (4, 2), "decoder": lengths, "cross": (4, 2),
    }  # fmt: skip


def test_two_masks_that_cannot_be_told_apart_are_refused(out):
    ids = torch.arange(6).reshape(2, 3)
    batch = {"input_ids": ids, "attention_mask": (ids > 0).int(), "decoder_input_ids": ids}
    with pytest.raises(InputError, match="encoder and decoder read 2 × 3 places and pad others"):
        capture(Translator(), [batch], out=out)


def test_a_mask_of_something_else_than_the_rows_of_layers(out):
    """Of samples, say, of which a convolution makes fewer rows."""

    class Audio(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.linear = nn.Conv1d(1, 2, 2, 2), nn.Linear(2, 2)

        def forward(self, input_values, attention_mask):  # noqa: ARG002
            return self.linear(self.stem(input_values[:, None]).transpose(1, 2))

    samples, mask = torch.randn(2, 6), torch.ones(2, 6, dtype=torch.int64)
    trace = capture(Audio(), [{"input_values": samples, "attention_mask": mask}], out=out)
    assert trace.meta.sequence_lengths == (3, 3)
    mask[0, 4:] = 0
    with pytest.raises(InputError, match="linear: which of its rows are padding is not known"):
        capture(Audio(), [{"input_values": samples, "attention_mask": mask}], out=out)

"""Loading a model under test, and the texts it reads."""

import hashlib
import json

import pytest

from tests.helpers.checkpoints import WORDS, save_checkpoint, tiny_llama

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from accelsim.accuracy.subject import load_subject  # noqa: E402
from accelsim.accuracy.texts import Text, load_text  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import huggingface, memory  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a Llama with 16 words and 128 positions."""
    model = tiny_llama(vocab_size=16)
    return str(save_checkpoint(model, tmp_path_factory.mktemp("models") / "tiny"))


KINDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def test_all_layers_but_the_head_may_be_pruned(folder):
    subject = load_subject(folder, device="cpu")
    assert len(subject.linears) == 2 * len(KINDS)
    assert {name.rsplit(".", 1)[-1] for name in subject.linears} == set(KINDS)
    assert subject.source.identity["model_id"] == "tiny"
    assert subject.model.dtype == torch.float32


@pytest.mark.parametrize(
    ("layers", "exclude", "expected"),
    [
        ("*.0.mlp.*", None, [f"0.mlp.{kind}" for kind in KINDS[4:]]),
        (
            "*.down_proj, *.1.*.q_proj",
            None,
            ["0.mlp.down_proj", "1.self_attn.q_proj", "1.mlp.down_proj"],
        ),
        ("*.down_proj", "*.1.*", ["0.mlp.down_proj"]),
        (None, "*_attn*,*.1.*,*.up_proj", ["0.mlp.gate_proj", "0.mlp.down_proj"]),
    ],
)
def test_globs_choose_layers_in_the_order_of_the_model(folder, layers, exclude, expected):
    subject = load_subject(folder, device="cpu", layers=layers, exclude=exclude)
    assert list(subject.linears) == [f"model.layers.{name}" for name in expected]


def test_the_head_is_pruned_if_it_is_named(folder):
    assert list(load_subject(folder, device="cpu", layers="lm_head").linears) == ["lm_head"]
    subject = load_subject(folder, device="cpu", layers="*", exclude="model.layers.0.*")
    assert len(subject.linears) == 1 + len(KINDS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "h.*"}, r"no linear layer matches 'h\.\*'; the model has 15"),
        ({"exclude": "h.*"}, r"no linear layer matches 'h\.\*'"),
        ({"exclude": "*"}, "tiny: no linear layer is left to prune"),
        ({"device": "tpu"}, "device 'tpu' is not available"),
        ({"seq_len": 129}, "seq_len is 129, but tiny has 128 positions"),
        ({"revision": "main"}, "a revision is for models of the hub"),
    ],
)
def test_wrong_settings_are_refused(folder, settings, message):
    with pytest.raises(InputError, match=message):
        load_subject(folder, **{"device": "cpu", **settings})


def test_a_model_that_does_not_fit_is_refused_with_the_numbers_and_not_loaded(folder, monkeypatch):
    parameters = sum(p.numel() for p in tiny_llama(vocab_size=16).parameters())
    needed = int(1.1 * 4 * parameters)
    monkeypatch.setattr(memory, "available_bytes", lambda _: needed)
    assert load_subject(folder, device="cpu").linears
    monkeypatch.setattr(memory, "available_bytes", lambda _: needed - 1)
    monkeypatch.setattr(huggingface, "load_model", None)
    gib = needed / 2**30
    with pytest.raises(InputError) as error:
        load_subject(folder, device="cpu")
    assert str(error.value) == (
        f"tiny: {parameters / 1e9:.2g} billion parameters need some {gib:.1f} GiB on 'cpu', "
        f"where {gib:.1f} GiB are free"
    )


def test_a_model_without_a_head_for_words_is_refused(tmp_path):
    config = tiny_llama(vocab_size=16).config
    folder = save_checkpoint(transformers.LlamaModel(config), tmp_path / "bare")
    with pytest.raises(InputError, match="bare: not a causal language model: it makes no logits"):
        load_subject(str(folder), device="cpu")


def test_a_model_that_reads_both_ways_is_refused(tmp_path):
    config = transformers.BertConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    folder = save_checkpoint(transformers.BertForMaskedLM(config), tmp_path / "bert")
    with pytest.raises(InputError, match="bert: not a causal language model: it sees later tokens"):
        load_subject(str(folder), device="cpu")


def test_tokens_are_those_of_the_tokenizer_from_the_start(folder):
    subject = load_subject(folder, device="cpu")
    text = Text("t", " ".join(WORDS))
    assert subject.tokens_of(text, None).tolist() == list(range(1, 16))
    ids = subject.tokens_of(text, 4)
    assert (ids.tolist(), ids.dtype) == ([1, 2, 3, 4], torch.int64)


# Texts -------------------------------------------------------------------------------------------


def test_every_help_topic_is_in_just_one_of_the_two_built_in_texts():
    from pydoc_data.topics import topics

    names = sorted(topics)
    calibration = "\n".join(topics[name] for name in names[::8])
    rest = "\n".join(topics[name] for place, name in enumerate(names) if place % 8)
    assert load_text("python-topics-calibration") == Text("python-topics-calibration", calibration)
    assert load_text("python-topics") == Text("python-topics", rest)


def test_the_built_in_calibration_text_is_long_enough_for_the_default():
    assert len(load_text("python-topics-calibration").content) > 4096 * 6  # characters of a token


def test_a_file_is_named_without_its_folder_and_known_by_its_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfna\xc3\xafve")
    text = load_text(str(path))
    assert text == Text("a.txt", "naïve")
    assert text.describe() == {
        "name": "a.txt",
        "sha256": hashlib.sha256("naïve".encode()).hexdigest(),
    }
    assert str(tmp_path) not in json.dumps(text.describe())


def test_files_that_are_no_texts_are_refused(tmp_path):
    allowed = r"\(allowed: a file, python-topics, python-topics-calibration\)"
    with pytest.raises(InputError, match=f"none: cannot read the text: No such file .*{allowed}"):
        load_text(str(tmp_path / "none"))
    with pytest.raises(InputError, match="cannot read the text: Is a directory"):
        load_text(str(tmp_path))
    path = tmp_path / "binary"
    path.write_bytes(b"abc\xff")
    with pytest.raises(InputError, match=r"binary: not UTF-8 text \(byte 3\)"):
        load_text(str(path))

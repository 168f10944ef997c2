"""What a model reads: the tokens of the text that it knows, and BOS where its tokenizer adds it."""

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from accelsim.accuracy.evaluate import Settings, evaluate  # noqa: E402
from accelsim.accuracy.subject import load_subject  # noqa: E402
from accelsim.accuracy.texts import Text  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import capture_pretrained  # noqa: E402
from accelsim.capture.linears import find_linears  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402
from tests.helpers.checkpoints import WORDS, tiny_llama  # noqa: E402

BOS = 16


@pytest.fixture
def folder(save):
    """A Llama whose tokenizer knows BOS, number 16, and does not add it."""
    return save(tiny_llama(vocab_size=17, bos_token_id=BOS), "tiny")


def with_bos(folder, *, adds):
    """Give the tokenizer a BOS token, and a rule to add it, as tokenizer.json files have."""
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens(["<s>"])
    assert backend.token_to_id("<s>") == BOS
    if adds:
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", BOS)]
        )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>"
    ).save_pretrained(folder)
    return folder


def read(folder, text, out, **options):
    """Return what the embedding was asked for, one list a sequence, and the provenance."""
    seen = []
    original = torch.nn.Embedding.forward

    def forward(self, ids):
        seen.append(ids[0].tolist())
        return original(self, ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Embedding, "forward", forward)
        trace = capture_pretrained(str(folder), text, tokens=9, seq_len=4, out=out, **options)
    assert trace.meta.sequence_lengths == (4, 4, 1)
    return seen, trace.meta.provenance


# The words of `text` are w0, w7, w14, w6, w13, …: ids 1, 8, 15, 7, 14, 6, 13, 5, 12, …
PLAIN = [[1, 8, 15, 7], [14, 6, 13, 5], [12]]
BEGUN = [[BOS, 1, 8, 15], [BOS, 7, 14, 6], [BOS]]


@pytest.mark.parametrize(
    ("adds", "bos", "sequences"),
    [
        (False, None, PLAIN),
        (True, None, BEGUN),
        (True, False, PLAIN),
        (False, True, BEGUN),
    ],
)
def test_each_sequence_begins_as_the_tokenizer_or_the_user_says(  # noqa: PLR0917
    folder, text, out, adds, bos, sequences
):
    seen, provenance = read(with_bos(folder, adds=adds), text, out, bos=bos)
    assert seen == sequences
    assert provenance["bos"] == ("<s>" if sequences is BEGUN else None)
    assert provenance["special_tokens"] == (sequences is BEGUN)


def test_a_model_without_bos_has_none_to_add(folder, text, out):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "bos_token_id": None}))
    with pytest.raises(InputError, match="tiny: has no BOS token; leave --bos out"):
        read(folder, text, out, bos=True)


def test_a_sequence_of_bos_alone_is_refused(folder, text, out):
    with pytest.raises(InputError, match="seq_len is 1; beside <s> there is no room"):
        capture_pretrained(str(with_bos(folder, adds=True)), text, tokens=4, seq_len=1, out=out)


def test_bos_is_one_more_token_of_context(folder):
    """The same losses as those of a model that is asked by hand, BOS in front of each window."""
    subject = load_subject(str(with_bos(folder, adds=True)), device="cpu")
    ids = [1 + index * 7 % 15 for index in range(20)]
    text = Text("words", " ".join(WORDS[one - 1] for one in ids))
    settings = Settings(seq_len=6, stride=6)  # of text: 5 tokens a window
    dense = Policy(Method(parse_pattern("dense")))
    report = evaluate(subject, text, [dense], settings, calibration_text=text)
    expected = []
    for start in range(0, 20, 5):
        window = torch.tensor([[BOS, *ids[start : start + 5]]])
        with torch.no_grad():
            losses = subject.model(input_ids=window).logits[0].log_softmax(-1)
        # The first token of a window is context only, as without BOS.
        expected.append(-sum(losses[place, window[0, place + 1]].item() for place in range(1, 5)))
    assert report.dense.nats.tolist() == pytest.approx(expected, rel=1e-5)
    assert report.to_dict()["bos"] == "<s>"
    assert load_subject(str(folder), bos=False).beginning.id is None


@pytest.mark.parametrize("load", ["capture", "accuracy"])
def test_a_text_that_the_tokenizer_does_not_know(folder, tmp_path, out, load):
    words = tmp_path / "words.txt"

    def run():
        if load == "capture":
            return capture_pretrained(str(folder), words, tokens=8, seq_len=4, out=out)
        return load_subject(str(folder)).tokens_of(Text("words.txt", words.read_text()), None)

    words.write_text("w1 what w2 ever " * 4, encoding="utf-8")
    run()  # half of them are known
    words.write_text("w1 what w2 ever " * 4 + "unknown", encoding="utf-8")
    with pytest.raises(InputError, match=r"words\.txt: 53% of the tokens are unknown"):
        run()


def test_an_empty_tokenizer_is_none(save, text, out):
    """Transformers makes one without words for a BERT whose folder has no tokenizer."""
    config = transformers.BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    folder = save(transformers.BertModel(config))
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InputError, match=r"tiny: has no tokenizer: .* knows no words"):
        capture_pretrained(str(folder), text, tokens=8, seq_len=4, out=out)


def test_a_folder_without_any_is_said_to_have_none(folder, text, out):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InputError) as caught:
        capture_pretrained(str(folder), text, tokens=8, seq_len=4, out=out)
    assert "has no tokenizer; put its files (tokenizer.json, …) into the folder" in str(
        caught.value
    )


def test_ids_beyond_the_vocabulary_are_refused_before_accuracy(folder):
    subject = load_subject(str(with_bos(folder, adds=False)))
    subject.model.config.vocab_size = 16
    with pytest.raises(InputError, match=r"gives token 16, but the model knows 0 to 15"):
        subject.tokens_of(Text("words", "w1 <s> w2"), None)


def test_layers_that_no_text_reaches(folder):
    subject = load_subject(str(folder))
    text = Text("words", " ".join(WORDS * 4))
    subject.linears["spare"] = find_linears(torch.nn.Linear(4, 4))["Linear"]
    policy = Policy(Method(parse_pattern("2:4")))
    found = evaluate(subject, text, [policy], Settings(seq_len=8, stride=4), calibration_text=text)
    assert found.to_dict()["never_called"] == ["spare"]
    for name in [name for name in subject.linears if name != "spare"]:
        del subject.linears[name]
    with pytest.raises(InputError, match="none of the 1 layers to prune is called"):
        evaluate(subject, text, [policy], Settings(seq_len=8, stride=4), calibration_text=text)

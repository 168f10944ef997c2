"""`capture_pretrained` on tiny checkpoints made here; nothing is downloaded."""

import hashlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import capture_pretrained, huggingface, memory  # noqa: E402


@pytest.fixture
def llama(save):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16,
    )  # fmt: skip
    return save(transformers.LlamaForCausalLM(config))


def test_llama_inputs_are_the_normalised_hidden_states(llama, text, out):
    trace = capture_pretrained(
        str(llama), text, tokens=20, seq_len=8, out=out, layers="*.layers.*", dtype="bfloat16"
    )

    assert trace.meta.sequence_lengths == (8, 8, 4)
    assert len(trace.linears) == 2 * 7
    assert len(trace.meta.inputs) == 2 * 4
    model = transformers.LlamaForCausalLM.from_pretrained(llama)
    ids = torch.tensor([1 + index * 7 % 15 for index in range(20)])  # word 0 has the id 1
    with torch.no_grad():
        passes = [model.model(part[None], output_hidden_states=True) for part in ids.split(8)]
        for index, layer in enumerate(model.model.layers):
            hidden = torch.cat([done.hidden_states[index][0] for done in passes])
            expected = layer.input_layernorm(hidden).numpy()
            captured = trace.values(f"model.layers.{index}.self_attn.q_proj")
            np.testing.assert_allclose(captured, expected, rtol=2**-8, atol=1e-6)


def test_lm_head_is_a_layer_like_any_other(llama, text, out):
    trace = capture_pretrained(str(llama), text, tokens=4, seq_len=4, out=out)
    last = trace.linears[-1]
    assert (last.name, last.in_features, last.out_features) == ("lm_head", 8, 16)


def test_gpt2_conv1d_layers(save, text, out):
    config = transformers.GPT2Config(
        vocab_size=16, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    folder = save(transformers.GPT2LMHeadModel(config))
    trace = capture_pretrained(
        str(folder), text, tokens=16, seq_len=16, out=out, layers="transformer.*"
    )
    shapes = {line.name: (line.in_features, line.out_features) for line in trace.linears}
    assert shapes == {
        "transformer.h.0.attn.c_attn": (8, 24),
        "transformer.h.0.attn.c_proj": (8, 8),
        "transformer.h.0.mlp.c_fc": (8, 32),
        "transformer.h.0.mlp.c_proj": (32, 8),
    }


def test_bert_pooler_reads_the_first_token_of_each_sequence(save, text, out):
    config = transformers.BertConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    trace = capture_pretrained(
        str(save(transformers.BertModel(config))), text, tokens=15, seq_len=5, out=out
    )
    keys = [linear.input for linear in trace.linears]
    assert len(keys) == 7
    assert len(set(keys)) == 5  # query, key and value share theirs
    assert trace.token_numbers("pooler.dense").tolist() == [0, 5, 10]
    assert trace.meta.coverage.multiplications_ratio == 1


def test_a_checkpoint_is_loaded_in_the_class_that_saved_it(save, text, out):
    """As the bare BertModel, a masked-LM checkpoint would get a pooler of random weights."""
    config = transformers.BertConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    folder = save(transformers.BertForMaskedLM(config))
    trace = capture_pretrained(str(folder), text, tokens=5, out=out, seq_len=5)
    assert "bert.encoder.layer.0.attention.self.query" in trace.meta.inputs
    assert trace.meta.provenance["skipped"] == {}


def test_provenance_identifies_everything_without_paths(llama, text, out, tmp_path):
    trace = capture_pretrained(str(llama), text, tokens=3, seq_len=9, out=out, layers="*.q_proj")
    provenance = trace.meta.provenance
    weights = hashlib.sha256((llama / "model.safetensors").read_bytes()).hexdigest()
    assert trace.meta.model == "tiny"
    assert provenance["weights_sha256"] == {"model.safetensors": weights}
    assert provenance["text"] == {
        "file": "text.txt",
        "sha256": hashlib.sha256(text.read_bytes()).hexdigest(),
    }
    assert (provenance["tokens"], provenance["seq_len"]) == (3, 9)
    assert set(provenance["versions"]) == {"accelsim", "numpy", "torch", "transformers"}
    assert str(tmp_path) not in json.dumps(provenance)


def test_the_same_command_gives_the_same_bytes(llama, text, out):
    again = out.with_name("again.npz")
    for path in (out, again):
        capture_pretrained(str(llama), text, tokens=20, seq_len=8, out=path)
    assert out.read_bytes() == again.read_bytes()


def test_small_models_compute_in_float32_large_ones_as_stored(llama, text, out, monkeypatch):
    folder = llama.with_name("half")
    model = transformers.LlamaForCausalLM.from_pretrained(llama).bfloat16()
    parameters = sum(weight.numel() for weight in model.parameters())
    model.save_pretrained(folder)
    for path in llama.glob("tokenizer*"):
        (folder / path.name).write_bytes(path.read_bytes())

    def compute_dtype():
        trace = capture_pretrained(str(folder), text, tokens=3, seq_len=3, out=out)
        return trace.meta.provenance["compute"]["dtype"]

    assert compute_dtype() == "float32"
    monkeypatch.setattr(huggingface, "MAX_FLOAT32_PARAMETERS", 10)
    assert compute_dtype() == "float32"  # where that fits
    monkeypatch.setattr(memory, "available_bytes", lambda _: 3 * parameters)
    assert compute_dtype() == "bfloat16"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokens": 0}, "tokens is 0; it must be at least 1"),
        ({"seq_len": 0}, "seq_len is 0; it must be at least 1"),
        ({"seq_len": 17}, "seq_len is 17, but tiny has 16 positions"),
        ({"tokens": 41}, "the text has 40 tokens, 41 are wanted"),
        ({"tokens": 10**30}, f"the text has 40 tokens, {10**30} are wanted"),
        ({"dtype": "fp16"}, "unknown dtype 'fp16'"),
        ({"layers": "h.*"}, r"matches 'h\.\*'; the model has 15: model\.layers\.0\.self_attn"),
        ({"revision": "main"}, "a revision is for models of the hub"),
        ({"device": "tpu"}, "device 'tpu' is not available; here: cpu"),
    ],
)
def test_wrong_settings(llama, text, out, settings, message):
    with pytest.raises(InputError, match=message):
        capture_pretrained(str(llama), text, **{"tokens": 8, "seq_len": 4, "out": out, **settings})
    assert list(out.parent.iterdir()) == []


def test_missing_files(llama, text, out, tmp_path):
    def fails(model, text_path, message, path=out):
        with pytest.raises(InputError, match=message):
            capture_pretrained(str(model), text_path, tokens=8, seq_len=4, out=path)

    fails(llama, tmp_path / "none.txt", "cannot read the text: No such file")
    fails(llama, tmp_path, "cannot read the text: Is a directory")
    fails(tmp_path / "none", text, "no such model folder")
    fails("./none", text, "no such model folder")
    fails(text, text, "no such model folder")
    fails(tmp_path, text, "this folder has no config.json")
    fails(llama, text, "cannot write here: no such folder", tmp_path / "none" / "t.npz")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"abc\xff")
    fails(llama, binary, r"not UTF-8 text \(byte 3\)")


def test_damaged_checkpoints(llama, text, out):
    def fails(message):
        with pytest.raises(InputError, match=message):
            capture_pretrained(str(llama), text, tokens=8, seq_len=4, out=out)

    weights = llama / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    fails("tiny: cannot load the model: ")
    weights.unlink()
    fails("no weights; expected one of")
    weights.write_bytes(whole)
    config = json.loads((llama / "config.json").read_text())
    for change, message in (
        ({"num_hidden_layers": 3}, "9 weights are missing, e.g. model.layers.2"),
        ({"model_type": "nonsense"}, "tiny: cannot load the configuration: "),
        ({"is_encoder_decoder": True}, "an encoder-decoder reads two texts"),
    ):
        (llama / "config.json").write_text(json.dumps({**config, **change}))
        fails(message)
    (llama / "config.json").write_text(json.dumps(config))
    for path in llama.glob("tokenizer*"):
        path.unlink()
    fails("tiny: has no tokenizer; put its files")


def test_a_token_that_the_model_does_not_know(llama, text, out):
    """A tokenizer of another model: its ids reach beyond the embedding."""
    tokenizer = json.loads((llama / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["w1"] = 99
    (llama / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="gives token 99, but the model knows 0 to 15"):
        capture_pretrained(str(llama), text, tokens=30, seq_len=10, out=out)


def test_hub_models(text, out, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(*_, **__):
        raise OSError("no connection\nmore")

    monkeypatch.setattr(hub, "hf_hub_download", offline)
    with pytest.raises(InputError, match=r"owner/m: not a folder, and .* at revision v1: no conn"):
        capture_pretrained("owner/m", text, tokens=8, out=out, revision="v1")

    commit = "0123456789" * 4
    monkeypatch.setattr(
        hub, "hf_hub_download", lambda *_, **__: str(tmp_path / commit / "config.json")
    )
    source = huggingface.locate("owner/m", "v1")
    assert (source.name, source.revision) == ("owner/m", commit)
    assert source.identity == {"model_id": "owner/m", "revision": commit}

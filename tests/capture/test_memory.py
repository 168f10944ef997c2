"""Whether a model fits, said before its weights are read."""

from types import SimpleNamespace

import pytest

from tests.helpers.checkpoints import tiny_llama

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import capture_pretrained, huggingface, memory  # noqa: E402

SOURCE = huggingface.Source("m", "", None, {})


def total(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("cls", ["LlamaForCausalLM", "LlamaModel", "AutoModelForCausalLM"])
def test_parameters_are_counted_without_making_them(cls, is_tied):
    model = tiny_llama(tie_word_embeddings=is_tied)
    expected = total(model) - (0 if cls != "LlamaModel" or is_tied else 64 * 32)
    assert memory.parameters_of(getattr(transformers, cls), model.config) == expected


def test_a_model_too_large_to_make_is_counted():
    config = transformers.LlamaConfig()  # Llama 2, 7 billion
    assert memory.parameters_of(transformers.LlamaForCausalLM, config) == 6_738_415_616


def test_a_model_needs_a_tenth_more_than_its_weights():
    assert memory.needed_bytes(1000, 4) == 4400
    assert memory.needed_bytes(1000, 2) == 2200


def free(tmp_path, monkeypatch, **files):
    """Return what a control group of these files leaves."""
    for name, content in files.items():
        (tmp_path / name.replace("_", ".")).write_text(f"{content}\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return memory._left_of_cgroup()


def test_a_container_leaves_its_limit_less_what_is_used(tmp_path, monkeypatch):
    stat = "anon 100\nfile 600\ninactive_file 500"
    files = {"memory_current": 800, "memory_stat": stat}
    # Of 800 used, 500 are cached files that nobody works with: 300 are taken.
    assert free(tmp_path, monkeypatch, memory_max=1000, **files) == 700
    assert free(tmp_path, monkeypatch, memory_max=200, **files) == 0
    assert free(tmp_path, monkeypatch, memory_max="max", **files) is None


def test_without_a_container_the_machine_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "none")
    monkeypatch.setattr(memory, "_free_of_machine", lambda: 5000)
    assert memory.available_bytes("cpu") == 5000
    monkeypatch.setattr(memory, "_left_of_cgroup", lambda: 4000)
    assert memory.available_bytes("cpu") == 4000
    monkeypatch.setattr(memory, "_free_of_machine", lambda: None)
    assert memory.available_bytes("cpu") == 4000
    monkeypatch.setattr(memory, "_left_of_cgroup", lambda: None)
    assert memory.available_bytes("cpu") is None


def test_a_gpu_is_asked_itself(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", {"cuda:1": (3, 9)}.__getitem__)
    assert memory.available_bytes("cuda:1") == 3


def check(config, available, monkeypatch, device="cpu"):
    """Return whether a model is accepted; the message if not."""
    monkeypatch.setattr(memory, "available_bytes", available.get)
    try:
        huggingface.computing_type(SOURCE, config, device)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16"])
def test_large_models_need_what_is_stored_and_small_ones_float32(dtype, monkeypatch):
    config = tiny_llama().config
    config.architectures = ["LlamaForCausalLM"]
    parameters = total(tiny_llama())
    wide, narrow = int(4.4 * parameters), int(2.2 * parameters)
    config.dtype = dtype
    assert check(config, {"cpu": wide}, monkeypatch) is None
    assert check(config, {"cpu": wide - 1}, monkeypatch) is not None
    monkeypatch.setattr(huggingface, "MAX_FLOAT32_PARAMETERS", parameters - 1)
    assert check(config, {"cpu": narrow}, monkeypatch) is None
    assert check(config, {"cpu": narrow - 1}, monkeypatch) is not None


def test_weights_go_through_main_memory_and_must_fit_there_too(monkeypatch):
    config = transformers.LlamaConfig(architectures=["LlamaForCausalLM"], dtype="float16")
    # 6.7e9 parameters are more than compute in float32: 6.738e9 × 2 × 1.1 = 13.8 GiB.
    gib = 2**30
    assert check(config, {"cpu": 14 * gib, "cuda": 14 * gib}, monkeypatch, "cuda") is None
    assert check(config, {"cpu": 14 * gib, "cuda": 13 * gib}, monkeypatch, "cuda") == (
        "m: 6.7 billion parameters need some 13.8 GiB on 'cuda', where 13.0 GiB are free"
    )
    assert "on 'cpu', where 1.0" in check(
        config, {"cpu": gib, "cuda": 80 * gib}, monkeypatch, "cuda"
    )
    assert check(config, {}, monkeypatch) is None  # nobody knows


def test_of_quantised_models_only_their_library_knows(monkeypatch):
    config = SimpleNamespace(quantization_config={"bits": 4}, architectures=None)
    assert check(config, {"cpu": 0}, monkeypatch) is None


def test_capture_asks_before_it_loads(save, text, out, monkeypatch):
    folder = save(tiny_llama(vocab_size=16))
    monkeypatch.setattr(memory, "available_bytes", lambda _: 10)
    monkeypatch.setattr(huggingface, "load_model", None)
    with pytest.raises(InputError, match=r"tiny: .* need some .* GiB on 'cpu', where 0\.0 GiB"):
        capture_pretrained(str(folder), text, tokens=4, out=out)
    assert not out.exists()

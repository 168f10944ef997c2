"""Tiny models of transformers with random weights, and folders that look like checkpoints."""

import torch
import transformers

from accelsim.accuracy.subject import Subject
from accelsim.capture.huggingface import Source
from accelsim.capture.linears import find_linears

WORDS = [f"w{index}" for index in range(15)]


def tiny_llama(seed=0, **changes):
    """Return a Llama of two blocks, hidden 32, with 64 tokens to choose from."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "initializer_range": 0.2,
    }  # fmt: skip
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings | changes))


def tiny_gpt2(seed=0):
    """Return a GPT-2 of one block, whose layers store their weights transposed."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=64,
        bos_token_id=0, eos_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def bytes_of(text, **_):
    """Tokenize: a byte modulo 64 is a token."""
    return {"input_ids": [byte % 64 for byte in text.encode()]}


def subject_of(model):
    """Return a model as `load_subject` would, without its head."""
    head = model.get_output_embeddings()
    linears = {name: one for name, one in find_linears(model).items() if one.module is not head}
    return Subject(Source("tiny", "", None, {"model_id": "tiny"}), model, bytes_of, linears, "cpu")


def save_checkpoint(model, folder):
    """Save a model with a tokenizer of 16 words."""
    import tokenizers

    model.save_pretrained(folder)
    vocabulary = {word: index for index, word in enumerate(["<unk>", *WORDS])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>"
    ).save_pretrained(folder)
    return folder

"""Capture from a model of transformers that reads a text file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.base.errors import InputError
from accelsim.base.files import check_folders, read_bytes
from accelsim.capture.extra import require
from accelsim.capture.huggingface import (
    Source,
    computing_type,
    load_config,
    load_model,
    load_tokenizer,
    locate,
    quiet,
)
from accelsim.capture.module import capture
from accelsim.capture.run import Progress, ignore
from accelsim.capture.spill import stored_dtype
from accelsim.capture.tokens import Beginning, token_ids, vocabulary_of
from accelsim.trace import Trace

if TYPE_CHECKING:
    import torch


def capture_pretrained(  # noqa: PLR0913  # every setting of the command, by name
    model_id: str,
    text_path: str | Path,
    *,
    tokens: int,
    out: str | Path,
    layers: str = "*",
    dtype: str = "float16",
    seq_len: int = 128,
    revision: str | None = None,
    device: str = "cpu",
    bos: bool | None = None,
    progress: Progress = ignore,
) -> Trace:
    """Run a model on the first `tokens` tokens of a text and write a trace.

    The text is cut into sequences of `seq_len` tokens (the last may be shorter), one forward
    pass each. Of special tokens, BOS is the first of each sequence where the tokenizer puts it in
    front of a text; no others are added. Models compute in float32; those of more than 2^31
    parameters, if that does not fit, in the type of their weights. The same command gives the same
    bytes on the same machine and library versions.

    Args:
        model_id: a folder, or a repository of the Hugging Face hub. Code that a repository
            brings along is never run.
        text_path: UTF-8 text.
        tokens: how many tokens to capture, exactly.
        out: path of the trace; its folder must exist.
        layers: comma-separated globs over dotted names.
        dtype: `float16`, `bfloat16` or `int8`.
        seq_len: tokens in a sequence, at most what the model has positions for.
        revision: branch, tag or commit of a hub repository.
        device: `cpu`, `cuda`, `cuda:1`, …
        bos: whether sequences begin with BOS; None: where the tokenizer adds it.
        progress: told after each sequence and each array.

    Raises:
        InputError: any of these is wrong, with what is allowed; all of `capture` apply too.
        MissingExtraError: torch or transformers is not installed.
    """
    out, text_path = Path(out), Path(text_path)
    stored_dtype(dtype)
    _check_lengths(tokens, seq_len)
    check_device(device)
    check_folders(out)
    content = read_bytes(text_path, "cannot read the text")
    with quiet():
        source = locate(model_id, revision)
        config = load_config(source)
        check_positions(config, source, seq_len)
        tokenizer = load_tokenizer(source)
        beginning = Beginning.of(tokenizer, config, wanted=bos, name=source.name)
        parts = _sequences(
            _token_ids(tokenizer, config, content, text_path), beginning, tokens, seq_len, text_path
        )
        kind = computing_type(source, config, device)
        model: Any = load_model(source, config, device, kind)
        facts = {
            **source.identity,
            "text": {"file": text_path.name, "sha256": hashlib.sha256(content).hexdigest()},
            "tokens": tokens,
            "seq_len": seq_len,
            "special_tokens": beginning.id is not None,
            "bos": beginning.token,
            "compute": {"device": device, "dtype": str(model.dtype).removeprefix("torch.")},
            "versions": {"transformers": require("transformers").__version__},
        }
        return capture(
            model,
            [{"input_ids": part.to(device)} for part in parts],
            out=out,
            layers=layers,
            dtype=dtype,
            model_name=source.name,
            provenance=facts,
            progress=progress,
        )


def _check_lengths(tokens: int, seq_len: int) -> None:
    for name, value in (("tokens", tokens), ("seq_len", seq_len)):
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")


def check_device(device: str) -> None:
    """Raise InputError unless torch has the device."""
    torch = require("torch")
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device not in available and not (device == "cuda" and len(available) > 1):
        raise InputError(f"device '{device}' is not available; here: {', '.join(available)}")


def check_positions(config: Any, source: Source, seq_len: int) -> None:
    """Raise InputError if a model cannot read sequences of `seq_len` tokens."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and seq_len > positions:
        raise InputError(f"seq_len is {seq_len}, but {source.name} has {positions} positions")


def _token_ids(tokenizer: Any, config: Any, content: bytes, path: Path) -> list[int]:
    """Return the token ids of a text that the model knows."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    return token_ids(tokenizer, text, name=str(path), vocabulary=vocabulary_of(config))


def _sequences(
    ids: list[int], beginning: Beginning, tokens: int, seq_len: int, path: Path
) -> list[torch.Tensor]:
    """Cut a text into sequences `[1, seq_len]`, `tokens` in all; raise InputError if too few."""
    if seq_len <= beginning.length:
        raise InputError(f"seq_len is {seq_len}; beside {beginning.token} there is no room")
    whole, rest = divmod(tokens, seq_len)
    wanted = tokens - beginning.length * (whole + (rest > 0))
    if len(ids) < wanted:  # before there is a list of them: nobody knows how many are asked for
        raise InputError(f"{path}: the text has {len(ids)} tokens, {wanted} are wanted")
    lengths = [seq_len - beginning.length] * whole + [rest - beginning.length] * (rest > 0)
    used = require("torch").tensor(ids[:wanted], dtype=require("torch").int64)
    return [beginning.before(part[None]) for part in used.split(lengths)]

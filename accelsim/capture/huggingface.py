"""Models and tokenizers of transformers, from a local folder or from the Hugging Face hub."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.base.errors import InputError
from accelsim.base.files import check_regular, exists, is_folder, open_regular
from accelsim.capture import memory
from accelsim.capture.extra import require
from accelsim.capture.tokens import check_vocabulary

if TYPE_CHECKING:
    import torch

# Beyond this many parameters (8 GiB in float32) a model may compute in the type that it is stored
# in, where float32 does not fit.
MAX_FLOAT32_PARAMETERS = 2**31
_WEIGHT_FILES = ("model*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.*", "vocab*", "merges.txt", "*.model", "*.tiktoken", "tekken.json")


@dataclass(frozen=True, slots=True)
class Source:
    """The folder of a model's files, and facts that identify it, without paths of this machine."""

    name: str
    location: str
    revision: str | None
    identity: dict[str, Any]


def locate(model_id: str, revision: str | None) -> Source:
    """Find a model: a folder with `config.json`, or a repository of the hub at one commit.

    Raises:
        InputError: no such folder, no `config.json` or weights in it, or the hub has no such
            repository or revision, or cannot be reached.
    """
    try:
        folder = Path(model_id).expanduser()
    except RuntimeError as error:  # nobody's home
        raise InputError(f"{model_id}: no such model folder") from error
    if is_folder(folder):
        return _local_source(model_id, folder, revision)
    if exists(folder) or _looks_local(model_id):
        raise InputError(f"{model_id}: no such model folder")
    hub = require("huggingface_hub")
    try:
        config = Path(hub.hf_hub_download(model_id, "config.json", revision=revision))
    except Exception as error:  # of the network, of the hub, of the cache: there are many
        at = f" at revision {revision}" if revision else ""
        raise InputError(
            f"{model_id}: not a folder, and not available from the Hugging Face hub{at}: "
            f"{_first_line(error)}"
        ) from error
    commit = config.parent.name  # the cache keeps each commit in a folder of that name
    return Source(model_id, model_id, commit, {"model_id": model_id, "revision": commit})


def _looks_local(model_id: str) -> bool:
    """Whether this can only be meant as a path: hub ids are `name` or `owner/name`."""
    return model_id.startswith((".", "/", "~")) or "\\" in model_id or model_id.count("/") > 1


def _local_source(model_id: str, folder: Path, revision: str | None) -> Source:
    if revision is not None:
        raise InputError(f"{model_id}: a revision is for models of the hub; this is a folder")
    if not exists(folder / "config.json"):
        raise InputError(f"{model_id}: this folder has no config.json; is it a model?")
    for path in sorted(folder.iterdir()):  # any of them may be read by transformers
        if not path.is_dir():
            check_regular(path)
    weights = sorted(path for glob in _WEIGHT_FILES for path in folder.glob(glob))
    if not weights:
        raise InputError(f"{model_id}: no weights; expected one of: {', '.join(_WEIGHT_FILES)}")
    name = folder.resolve().name
    digests = {path.name: _sha256(path) for path in weights}
    return Source(name, str(folder), None, {"model_id": name, "weights_sha256": digests})


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_tokenizer(source: Source) -> Any:
    """Load the tokenizer of a model; raise InputError if it has none that can be loaded."""
    auto = require("transformers").AutoTokenizer
    try:
        with _reporting(source, "the tokenizer"):
            tokenizer = auto.from_pretrained(
                source.location, revision=source.revision, trust_remote_code=False
            )
    except InputError as error:
        folder = Path(source.location)
        if folder.is_dir() and not any(any(folder.glob(name)) for name in _TOKENIZERS):
            raise InputError(
                f"{source.name}: has no tokenizer; put its files (tokenizer.json, …) into the "
                f"folder"
            ) from error
        raise
    check_vocabulary(tokenizer, source.name)
    return tokenizer


def load_config(source: Source) -> Any:
    """Load the configuration of a model, before its weights.

    Raises:
        InputError: unknown architecture, one that needs code from its repository, or an
            encoder-decoder, which reads more than one text.
    """
    with _reporting(source, "the configuration"):
        config = require("transformers").AutoConfig.from_pretrained(
            source.location, revision=source.revision, trust_remote_code=False
        )
    if config.is_encoder_decoder:
        raise InputError(
            f"{source.name}: an encoder-decoder reads two texts; capture it from Python: "
            f"accelsim.capture.capture(model, batches, ...)"
        )
    return config


def computing_type(source: Source, config: Any, device: str, *, exact: bool = False) -> Any:
    """Return the torch type in which a model computes, before its weights are downloaded or read.

    float64 if it is to be `exact`, else float32: rounding noise decides which values are dropped,
    and shorter types have more of it. A large model for which float32 does not fit computes in the
    type it is stored in. None: the model is quantised, and its own library knows.

    Raises:
        InputError: it does not fit; says what it needs and what there is. Or it is to be exact and
            is quantised.
    """
    if getattr(config, "quantization_config", None) is not None:
        if exact:
            raise InputError(f"{source.name}: is quantised, and cannot compute in float64")
        return None  # how large it will be, only its own library knows
    torch, architecture = require("torch"), _architecture(require("transformers"), config)
    with _reporting(source, "the architecture"):
        parameters = memory.parameters_of(architecture, config)
    kinds = [torch.float64 if exact else torch.float32]
    if not exact and parameters > MAX_FLOAT32_PARAMETERS:
        kinds.append(_stored_type(config))
    for kind in kinds:
        shortage = _shortage(parameters, kind, device)
        if not shortage:
            return kind
    raise InputError(f"{source.name}: {shortage}")


def _shortage(parameters: int, kind: Any, device: str) -> str:
    """Return what memory a model of so many parameters lacks; nothing if it fits."""
    needed = memory.needed_bytes(parameters, kind.itemsize)
    for place in dict.fromkeys(("cpu", device)):  # weights go through main memory
        available = memory.available_bytes(place)
        if available is not None and needed > available:
            return (
                f"{parameters / 1e9:.2g} billion parameters need some {needed / 2**30:.1f} GiB "
                f"on '{place}', where {available / 2**30:.1f} GiB are free"
            )
    return ""


def _stored_type(config: Any) -> Any:
    """Return the type in which weights are stored; float32 unless the configuration says so."""
    torch = require("torch")
    name = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None) or torch.float32
    return getattr(torch, name) if isinstance(name, str) else name


def load_model(source: Source, config: Any, device: str, kind: Any) -> torch.nn.Module:
    """Load the weights once, in the class they were saved from, and move them to a device.

    They are converted to the torch type `kind`; None: they stay as they are.

    Raises:
        InputError: damaged, mismatched or incomplete weights.
    """
    transformers = require("transformers")
    old = transformers.__version__.startswith("4.")
    with _reporting(source, "the model"):
        model, loading = _architecture(transformers, config).from_pretrained(
            source.location,
            revision=source.revision,
            trust_remote_code=False,
            output_loading_info=True,
            **{"torch_dtype" if old else "dtype": "auto"},
        )
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise InputError(
            f"{source.name}: {len(missing)} weights are missing, e.g. {missing[0]}; "
            f"a model with random weights is not worth capturing"
        )
    return model.to(device) if kind is None else model.to(device, kind)


def _architecture(transformers: Any, config: Any) -> Any:
    """Return the class that saved the checkpoint: it needs all of the weights and no others."""
    name = next(iter(config.architectures or ()), "")
    saved_by: Any = getattr(transformers, name, None)
    if getattr(saved_by, "config_class", None) is type(config):
        return saved_by
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        return transformers.AutoModelForCausalLM
    return transformers.AutoModel


@contextmanager
def _reporting(source: Source, what: str) -> Iterator[None]:
    """Turn whatever a library raises while it loads files of unknown origin into an InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{source.name}: cannot load {what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return the first line of a message, and the next one where it only announces that."""
    first, *others = [line.strip() for line in str(error).splitlines() if line.strip()] or [
        type(error).__name__
    ]
    return f"{first} {others[0]}" if first.endswith(":") and others else first


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' remarks off stderr, and their progress bars unless it is a terminal."""
    logs = [require("transformers").utils.logging, require("huggingface_hub").utils.logging]
    bars = logs[0]
    levels, had_bars = [log.get_verbosity() for log in logs], bars.is_progress_bar_enabled()
    for log in logs:
        log.set_verbosity_error()
    if not sys.stderr.isatty():
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
        if had_bars:
            bars.enable_progress_bar()

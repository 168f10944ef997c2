"""The model under test: loaded, with its text as token ids, and its linear layers by name."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from accelsim.accuracy.arithmetic import running
from accelsim.accuracy.texts import Text
from accelsim.base.errors import InputError
from accelsim.capture.experts import take_apart
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
from accelsim.capture.linears import LinearModule, find_linears, select
from accelsim.capture.pretrained import check_device, check_positions
from accelsim.capture.tokens import NOTHING, Beginning, token_ids, vocabulary_of
from accelsim.trace.places import Place, places

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Subject:
    """A causal language model, its tokenizer, and the linear layers that may be pruned."""

    source: Source
    model: Any
    tokenizer: Any
    linears: dict[str, LinearModule]
    device: str
    beginning: Beginning = NOTHING

    @property
    def places(self) -> dict[str, Place]:
        """Block, kind and short name of each of the linear layers, by its name."""
        shapes = {name: (one.in_features, one.out_features) for name, one in self.linears.items()}
        return places(shapes)

    def tokens_of(self, text: Text, limit: int | None) -> torch.Tensor:
        """Return the first `limit` token ids of a text, int64 on the model's device."""
        vocabulary = vocabulary_of(self.model.config)
        with quiet():
            ids = token_ids(self.tokenizer, text.content, name=text.name, vocabulary=vocabulary)
        torch = require("torch")
        return torch.tensor(ids[:limit], dtype=torch.int64, device=self.device)

    def text_tokens(self, seq_len: int) -> int:
        """Return the tokens of a text in a sequence of `seq_len`: BOS is one of them."""
        return seq_len - self.beginning.length

    def read(self, ids: torch.Tensor) -> None:
        """Run the model on text `[B, S]` for what its layers see; most logits are not made."""
        ids = self.beginning.before(ids)
        self.model(input_ids=ids, use_cache=False, **last_logits(self.model, 1))


def last_logits(model: Any, count: int) -> dict[str, int]:
    """Return the argument that makes a model compute its last logits only, if it has one."""
    name = "logits_to_keep"
    return {name: count} if name in signature(model.forward).parameters else {}


def _check_causal(source: Source, model: Any) -> None:
    """Raise InputError unless logits are made from the tokens up to theirs."""
    if model.get_output_embeddings() is None:
        raise InputError(f"{source.name}: not a causal language model: it makes no logits")
    torch = require("torch")
    twins = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]], device=model.device)
    with running(model):
        one, other = model(input_ids=twins, use_cache=False).logits
    *early, last = (one - other).abs().amax(dim=-1).tolist()  # what the last token changes
    noise = 1e-2 if one.dtype.itemsize < torch.float32.itemsize else 1e-4
    if max(early) > noise * last:
        raise InputError(f"{source.name}: not a causal language model: it sees later tokens")


def load_subject(  # noqa: PLR0913
    model_id: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    layers: str | None = None,
    exclude: str | None = None,
    seq_len: int = 1,
    exact: bool = False,
    bos: bool | None = None,
) -> Subject:
    """Load a causal language model of transformers, from a folder or the Hugging Face hub.

    Args:
        model_id: folder or hub repository.
        revision: branch, tag or commit of a hub repository.
        device: `cpu`, `cuda`, …; default: a GPU if there is one.
        layers: comma-separated globs of linear layers to prune; default: all but the one that
            makes the logits, which nobody prunes.
        exclude: globs of layers to leave out of these.
        seq_len: positions that will be used.
        exact: whether the model computes in float64 instead of float32.
        bos: whether sequences begin with BOS; None: where the tokenizer adds it.

    Raises:
        InputError: no such model, it does not fit into memory, or it does not predict tokens.
        MissingExtraError: torch or transformers is not installed.
    """
    torch = require("torch")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    with quiet():
        source = locate(model_id, revision)
        config = load_config(source)
        check_positions(config, source, seq_len)
        kind = computing_type(source, config, device, exact=exact)
        model: Any = load_model(source, config, device, kind)
        tokenizer = load_tokenizer(source)
        beginning = Beginning.of(tokenizer, config, wanted=bos, name=source.name)
    take_apart(model)
    _check_causal(source, model)
    head = model.get_output_embeddings()
    linears = find_linears(model)
    body = [name for name, linear in linears.items() if linear.module is not head]
    wanted = select(linears, layers) if layers else set(body)
    if exclude:
        wanted -= select(linears, exclude)
    if not wanted:
        raise InputError(f"{source.name}: no linear layer is left to prune")
    chosen = {name: linear for name, linear in linears.items() if name in wanted}
    return Subject(source, model, tokenizer, chosen, device, beginning)

"""From text to the token ids that a model reads, and the token that begins every sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelsim.base.errors import InputError
from accelsim.capture.extra import require

if TYPE_CHECKING:
    import torch

MAX_UNKNOWN_RATIO = 0.5  # of the tokens of a text; with more, it is not the model's tokenizer
_SAMPLE = "a b"  # any text shows what a tokenizer puts in front of it


@dataclass(frozen=True, slots=True)
class Beginning:
    """The token BOS in front of each sequence, as far as it is put there.

    Attributes:
        id: token id of BOS; None: nothing is put in front.
        token: its text.
        is_asked_for: whether the tokenizer puts it there by itself.
    """

    id: int | None = None
    token: str | None = None
    is_asked_for: bool = False

    @classmethod
    def of(cls, tokenizer: Any, config: Any, *, wanted: bool | None, name: str) -> Beginning:
        """Find out whether sequences of a model begin with BOS.

        The tokenizer itself is asked, by encoding a text with special tokens and without: what
        its files say of `add_bos_token` is not what every version of transformers does.

        Args:
            tokenizer: of the model.
            config: of the model; names the token where the tokenizer does not.
            wanted: whether to put it there; None: where the tokenizer does.
            name: of the model, for messages.

        Raises:
            InputError: BOS is wanted of a model that has none.
        """
        bos = getattr(tokenizer, "bos_token_id", None)
        if bos is None:
            bos = getattr(config.get_text_config(), "bos_token_id", None)
        is_asked_for = bos is not None and _begins_with(tokenizer, bos)
        if not (is_asked_for if wanted is None else wanted):
            return cls(is_asked_for=is_asked_for)
        if not isinstance(bos, int):
            raise InputError(f"{name}: has no BOS token; leave --bos out")
        return cls(bos, str(tokenizer.convert_ids_to_tokens(bos)), is_asked_for)

    @property
    def length(self) -> int:
        """Tokens in front of each sequence: 0 or 1."""
        return int(self.id is not None)

    def before(self, ids: torch.Tensor) -> torch.Tensor:
        """Return sequences `[B, S]` with what begins them, `[B, length + S]`."""
        if self.id is None:
            return ids
        front = ids.new_full((len(ids), 1), self.id)
        return require("torch").cat([front, ids], dim=1)

    def describe(self) -> str:
        """Return a remark for people; nothing where nothing is unusual."""
        if self.id is not None:
            return f"{self.token} before each sequence"
        return "no BOS, which the tokenizer would add" if self.is_asked_for else ""


NOTHING = Beginning()


def _begins_with(tokenizer: Any, bos: int) -> bool:
    """Whether a tokenizer puts `bos` in front of a text of its own accord."""
    with_special = list(tokenizer(_SAMPLE, add_special_tokens=True)["input_ids"])
    without = list(tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"])
    return with_special[:1] == [bos] and without[:1] != [bos]


def check_vocabulary(tokenizer: Any, name: str) -> None:
    """Raise InputError if a tokenizer knows no words, as that of a folder without its files."""
    words = set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)
    if len(words) < 2:  # noqa: PLR2004  # some know a space
        raise InputError(
            f"{name}: has no tokenizer: the one that transformers makes for it knows no words; "
            f"put its files (tokenizer.json, …) into the folder"
        )


def token_ids(tokenizer: Any, text: str, *, name: str, vocabulary: int) -> list[int]:
    """Return the token ids of a text, without special tokens.

    Args:
        tokenizer: of the model.
        text: all of it.
        name: of the text, for messages.
        vocabulary: tokens that the model knows.

    Raises:
        InputError: the tokenizer does not know most of the text, or the model not all tokens.
    """
    ids: list[int] = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    unknown = getattr(tokenizer, "unk_token_id", None)
    share = ids.count(unknown) / max(len(ids), 1) if unknown is not None else 0.0
    if share > MAX_UNKNOWN_RATIO:
        raise InputError(
            f"{name}: {share:.0%} of the tokens are unknown to the tokenizer; at most "
            f"{MAX_UNKNOWN_RATIO:.0%} may be: is it the tokenizer of this model and language?"
        )
    check_ids(ids, vocabulary, name)
    return ids


def check_ids(ids: Sequence[int], vocabulary: int, name: str) -> None:
    """Raise InputError unless a model knows all of these tokens."""
    largest = max(ids, default=0)
    if largest >= vocabulary:
        raise InputError(
            f"{name}: the tokenizer gives token {largest}, but the model knows 0 to "
            f"{vocabulary - 1}: the tokenizer is of another model"
        )


def vocabulary_of(config: Any) -> int:
    """Return the number of tokens that a model knows."""
    return int(config.get_text_config().vocab_size)

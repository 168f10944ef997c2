"""How well a model predicts a text: the loss of each window, perplexity, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, isnan, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.accuracy.arithmetic import at_least_single, jittered, running
from accelsim.accuracy.pruning import Pruner, RowLayout
from accelsim.accuracy.subject import last_logits
from accelsim.accuracy.windows import Window, batches
from accelsim.capture.extra import require
from accelsim.capture.tokens import NOTHING, Beginning

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
_LEAST_WINDOWS = 8  # of which a standard error means something


@dataclass(frozen=True)
class Losses:
    """Losses of a model on a text.

    Attributes:
        nats: summed loss of each window in the order of the text, float64 `[W]`.
        tokens: counted tokens of each window, `[W]`.
        noise: variance that rounding noise gives to the summed loss, nats² per counted token; NaN
            if it was not measured. See `rounding_noise`.
    """

    nats: Floats
    tokens: NDArray[np.int64]
    noise: float = nan

    @property
    def mean(self) -> float:
        """Loss of a token."""
        return float(self.nats.sum() / self.tokens.sum())

    @property
    def perplexity(self) -> float:
        """exp(mean loss); infinite if that is too large a number."""
        return exp(self.mean) if self.mean < 700 else float("inf")  # noqa: PLR2004

    @property
    def perplexity_error(self) -> float:
        """Standard error of the perplexity over windows: perplexity × that of the mean loss."""
        return self.perplexity * _error(self.nats, self.tokens)

    @property
    def perplexity_noise(self) -> float:
        """Standard deviation of the perplexity from rounding noise; NaN if not measured."""
        return self.perplexity * sqrt(self.noise / int(self.tokens.sum()))

    def noise_of_increase(self, dense: Losses) -> float:
        """Return the standard deviation of `increase_over(dense)` from rounding noise."""
        both = replace(self, noise=self.noise + dense.noise)
        return both.perplexity_noise / dense.perplexity

    def increase_over(self, dense: Losses) -> tuple[float, float]:
        """Return the increase of perplexity, as a ratio, and its standard error over window pairs.

        The text is the same, so what makes a window hard to predict cancels.
        """
        ratio = self.perplexity / dense.perplexity
        return ratio - 1, ratio * _error(self.nats - dense.nats, self.tokens)


def _error(nats: Floats, tokens: NDArray[np.int64]) -> float:
    """Return the standard error of sum(nats) / sum(tokens) over windows, drawn independently.

    NaN for fewer than eight windows, of which nobody can say how much they scatter.

    >>> _error(np.arange(9.0), np.ones(9)) ** 2  # deviation sqrt(60 / 8), 9 windows: 7.5 / 9
    0.8333333333333333
    """
    windows = len(nats)
    if windows < _LEAST_WINDOWS:
        return nan
    residuals = nats - nats.sum() / tokens.sum() * tokens
    return float(sqrt(np.square(residuals).sum() * windows / (windows - 1)) / tokens.sum())


def known(error: float) -> float | None:
    """Return an error for JSON, or None where there are too few windows to know it."""
    return None if isnan(error) else error


def measure(  # noqa: PLR0913
    model: Any,
    ids: torch.Tensor,
    windows: Sequence[Window],
    pruner: Pruner,
    *,
    phase: str = "prefill",
    beginning: Beginning = NOTHING,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Losses:
    """Return the losses of a model that `pruner` prunes.

    Args:
        model: a causal language model of transformers.
        ids: token ids of the text, int64 `[N]`, on the model's device.
        windows: where the model looks; of equal length but for the last few.
        pruner: prunes while the model runs.
        phase: `prefill` prunes all tokens of a window at once; `decode` leaves those that are
            context only dense, as a prompt would be, and selects each other token by itself.
        beginning: what is put in front of each window, as more context.
        on_batch: told the windows done after each batch.
    """
    torch = require("torch")
    order, nats = [], []
    with running(model), pruner:
        for batch in batches(windows, model.config.get_text_config().vocab_size):
            length, context = batch[0].shape
            is_decode = phase == "decode"
            tokens = torch.stack([ids[w.start : w.end] for w in batch])
            inputs = beginning.before(tokens)
            dense = context + beginning.length if is_decode else 0
            pruner.rows = RowLayout(len(batch), inputs.shape[1], dense, alone=is_decode)
            counted = last_logits(model, length - context + 1)
            logits = model(input_ids=inputs, use_cache=False, **counted).logits
            logits = logits[:, context - length - 1 : -1]
            losses = torch.nn.functional.cross_entropy(
                at_least_single(logits.flatten(0, 1)),
                tokens[:, context:].flatten(),
                reduction="none",
            )
            nats += losses.reshape(len(batch), -1).double().sum(dim=1).tolist()
            order += batch
            on_batch(len(batch))
    by_place = sorted(zip(order, nats, strict=True), key=lambda pair: pair[0].start)
    return Losses(
        np.array([loss for _, loss in by_place]), np.array([w.counted for w, _ in by_place])
    )


def rounding_noise(  # noqa: PLR0913
    model: Any,
    ids: torch.Tensor,
    windows: Sequence[Window],
    pruner: Pruner,
    losses: Losses,
    *,
    phase: str = "prefill",
    beginning: Beginning = NOTHING,
    repeats: int,
) -> Losses:
    """Return `losses` with the variance that rounding noise gives them.

    The first eight windows are measured again, `repeats` times, with embeddings that are off by one
    part in a million. How far their losses move is what two machines may differ by, or two methods
    without either being better. Windows move independently, so variances add up over tokens.

    Args:
        model: a causal language model of transformers.
        ids: token ids of the text, int64 `[N]`, on the model's device.
        windows: those of `losses`.
        pruner: that of `losses`.
        losses: of all windows, without the perturbation.
        phase: that of `losses`.
        beginning: that of `losses`.
        repeats: how often; 0: not at all, and the noise stays unknown.
    """
    if not repeats:
        return losses
    some = windows[:_LEAST_WINDOWS]
    squares = 0.0
    for seed in range(repeats):
        with jittered(model, seed):
            again = measure(model, ids, some, pruner, phase=phase, beginning=beginning)
        moved = again.nats - losses.nats[: len(some)]
        squares += float(np.square(moved).sum())
    tokens = sum(window.counted for window in some)
    return replace(losses, noise=squares / (repeats * tokens))

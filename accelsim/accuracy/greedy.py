"""How much each layer of a block may drop, by greedy search on the block's output (TEAL).

Liu et al., arXiv 2408.14690: from nothing dropped, the layer whose next step costs least is
taken a step further, until the block as a whole drops what is wanted. A step drops the same number
of weights' worth of input whatever the layer's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.accuracy.arithmetic import running
from accelsim.accuracy.hooks import rows_of, watching
from accelsim.accuracy.pruning import LEVEL, Pruner
from accelsim.accuracy.subject import Subject
from accelsim.base.errors import InputError
from accelsim.capture.linears import LinearModule
from accelsim.sparsity.patterns.threshold import Threshold
from accelsim.sparsity.policy import Method, Policy

if TYPE_CHECKING:
    import torch

_STEP = 0.05  # share that a layer of hidden × hidden weights drops more in a step; as in TEAL
_MOST = 0.95  # that a layer may drop
_TOKENS = 256  # that a block is tried on
_COUNTED = 0.25  # of them, the last ones: the first see little context


def blocks_of(linears: Iterable[str]) -> dict[str, list[str]]:
    """Return the layers of each block: names up to the first number in them.

    >>> blocks_of(["layers.0.mlp.up", "layers.0.o", "layers.1.o"])
    {'layers.0': ['layers.0.mlp.up', 'layers.0.o'], 'layers.1': ['layers.1.o']}
    """
    blocks: dict[str, list[str]] = {}
    for name in linears:
        parts = name.split(".")
        numbers = [place for place, part in enumerate(parts) if part.isdigit()]
        if not numbers:
            raise InputError(f"layer '{name}' is in no numbered block; leave it out with --exclude")
        blocks.setdefault(".".join(parts[: numbers[0] + 1]), []).append(name)
    return blocks


def greedy_sparsities(
    subject: Subject,
    ids: torch.Tensor,
    sparsity: float,
    seq_len: int,
    on_block: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, float]:
    """Return the share that each layer drops, so that the mean weighted by size is `sparsity`.

    Args:
        subject: the model.
        ids: token ids of the calibration text.
        sparsity: what each block drops as a whole.
        seq_len: most tokens in a sequence.
        on_block: told how many of how many blocks are done.
    """
    length = min(len(ids), subject.text_tokens(seq_len), _TOKENS)
    shares: dict[str, float] = {}
    blocks = blocks_of(subject.linears)
    calls = _calls(subject, list(blocks), ids[:length])
    for block, names in blocks.items():
        linears = {name: subject.linears[name] for name in names}
        with running(subject.model):
            shares |= _Block(subject.model.get_submodule(block), linears, calls[block]).search(
                sparsity
            )
        on_block(len(shares), len(subject.linears))
    return shares


def _calls(subject: Subject, blocks: list[str], ids: torch.Tensor) -> dict[str, Any]:
    """Return the arguments with which each block is called when the model reads `ids`."""
    calls: dict[str, Any] = {}

    def note(block: str, *arguments: Any) -> None:
        calls[block] = arguments

    modules = {block: subject.model.get_submodule(block) for block in blocks}
    with running(subject.model), watching(modules, note):
        subject.read(ids[None])
    return calls


class _Block:
    """One block with the arguments it was called with, to be run with other thresholds."""

    def __init__(self, module: Any, linears: Mapping[str, LinearModule], call: Any) -> None:
        self._module, self._linears, self._call = module, linears, call
        self._magnitudes: dict[str, Any] = {}
        self._dense = self._output_watched()

    def search(self, sparsity: float) -> dict[str, float]:
        """Return the share that each layer drops."""
        sizes = {
            name: linear.in_features * linear.out_features for name, linear in self._linears.items()
        }
        total = sum(sizes.values())
        hidden = min(linear.in_features for linear in self._linears.values())
        steps = {name: _STEP * hidden**2 / size for name, size in sizes.items()}
        shares = dict.fromkeys(sizes, 0.0)
        while sum(shares[n] * sizes[n] for n in sizes) / total < sparsity - 1e-9:
            left = sparsity * total - sum(shares[n] * sizes[n] for n in sizes)
            options = {
                name: min(shares[name] + steps[name], _MOST, shares[name] + left / sizes[name])
                for name in sizes
                if shares[name] < _MOST
            }
            if not options:
                raise InputError(f"no layer may drop more than {_MOST:.0%}; {sparsity:.0%} asked")
            errors = {name: self._error(shares | {name: share}) for name, share in options.items()}
            best = min(errors, key=lambda name: errors[name])
            shares[best] = options[best]
        return shares

    def _error(self, shares: Mapping[str, float]) -> float:
        """Return the squared error of the block's output on its last tokens."""
        methods = {n: Method(Threshold(share)) for n, share in shares.items() if share}
        states = {
            (n, str(method)): {LEVEL: self._level(n, shares[n])} for n, method in methods.items()
        }
        policy = Policy(Method(Threshold(0.0)), tuple(methods.items()))
        linears = {n: self._linears[n] for n in methods}
        with Pruner(linears, policy, states=states):
            output = self._output()
        return float((output - self._dense).square().sum())

    def _level(self, name: str, share: float) -> float:
        ordered = self._magnitudes[name]
        return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])

    def _output(self) -> torch.Tensor:
        positional, named = self._call
        output = self._module(*positional, **named)
        output = output[0] if isinstance(output, tuple) else output
        tail: torch.Tensor = output[:, -max(1, int(_COUNTED * output.shape[1])) :]
        return tail

    def _output_watched(self) -> torch.Tensor:
        """Run the block dense, and remember the sorted magnitudes of each layer's input."""

        def note(name: str, *arguments: Any) -> None:
            self._magnitudes[name] = np.sort(rows_of(*arguments).abs().flatten().cpu().numpy())

        modules = {name: linear.module for name, linear in self._linears.items()}
        with watching(modules, note):
            return self._output().clone()

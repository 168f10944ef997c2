"""Fused experts of transformers, taken apart: one module of linear layers an expert.

Transformers 5 keeps the weights of all experts of a mixture in one tensor, `[experts, …]`. What
hooks linear layers one by one wants them as modules, as they were before. The weights are not
copied: those of the modules are views.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from accelsim.capture.extra import require

if TYPE_CHECKING:
    import torch

# How a class says that its weights are stacked and how: `use_experts_implementation`.
_TRAITS = ("is_transposed", "is_concatenated", "has_gate", "has_bias")


def take_apart(model: torch.nn.Module) -> None:
    """Replace the fused experts of a model by modules that compute the same."""
    for path, module in list(model.named_modules()):
        if path and all(hasattr(module, trait) for trait in _TRAITS):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, _apart(module))


def _apart(fused: Any) -> torch.nn.Module:
    """Return experts `0`, `1`, … with `gate_proj`, `up_proj` and `down_proj`, as one module."""
    nn = require("torch").nn

    class Experts(nn.Module):  # type: ignore[misc, name-defined]
        """Runs each expert on the tokens that are routed to it."""

        def forward(self, hidden: Any, chosen: Any, shares: Any) -> Any:
            return _mixed(fused, self, hidden, chosen, shares)

    experts = Experts()
    for number in range(len(fused.down_proj)):
        one = nn.Module()
        for name, weight, bias in _layers(fused, number):
            one.add_module(name, _linear(weight, bias))
        experts.add_module(str(number), one)
    return experts.eval()


def _layers(fused: Any, number: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, weight `[out, in]` and bias of the layers of one expert; the bias may be None."""
    for name in ("gate_up_proj" if fused.has_gate else "up_proj", "down_proj"):
        weight = getattr(fused, name).detach()[number]
        weight = weight.T if fused.is_transposed else weight
        bias = getattr(fused, f"{name}_bias").detach()[number] if fused.has_bias else None
        if name != "gate_up_proj":
            yield name, weight, bias
            continue
        half = len(weight) // 2
        halves = slice(half), slice(half, None)
        turns = slice(0, None, 2), slice(1, None, 2)  # gate 0, up 0, gate 1, …
        parts = halves if fused.is_concatenated else turns
        for each, part in zip(("gate_proj", "up_proj"), parts, strict=True):
            yield each, weight[part], None if bias is None else bias[part]


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Module:
    """Return a linear layer whose parameters are views."""
    nn = require("torch").nn
    out_features, in_features = weight.shape
    layer: torch.nn.Module = nn.Linear(in_features, out_features, bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def _mixed(fused: Any, experts: Any, hidden: Any, chosen: Any, shares: Any) -> Any:
    """Return what the experts make of tokens `[T, K]`, each `chosen[T, k]` by its `shares`."""
    torch = require("torch")
    result = torch.zeros_like(hidden)
    for number, one in enumerate(experts.children()):
        tokens, place = torch.where(chosen == number)
        if not len(tokens):
            continue
        for layer in one.children():
            layer.tokens = tokens  # for those who have to know which rows these are
        output = _run(fused, one, hidden[tokens]) * shares[tokens, place, None]
        result.index_add_(0, tokens, output.to(result.dtype))
    return result


def _run(fused: Any, expert: Any, rows: Any) -> Any:
    """Return what one expert makes of some rows."""
    torch = require("torch")
    if fused.has_gate:
        both = expert.gate_proj(rows), expert.up_proj(rows)
        inner = fused._apply_gate(
            torch.cat(both, -1) if fused.is_concatenated else torch.stack(both, -1).flatten(-2)
        )
    else:
        inner = fused.act_fn(expert.up_proj(rows))
    output: Any = expert.down_proj(inner)
    has_norm = getattr(fused, "has_post_expert_norm", False)  # of newer versions
    return fused.post_expert_norm(output) if has_norm else output

"""Rounding and selection of tensors: the functions of the simulated selector, on any device.

On the CPU these are the very functions that `accelsim run` uses, on the same memory. Elsewhere
they are written in torch, and tests hold them against the others bit by bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.base.errors import InputError
from accelsim.capture.extra import require
from accelsim.precision import PRECISIONS, Operands, Precision
from accelsim.precision.groups import Packed
from accelsim.sparsity import Pattern
from accelsim.sparsity.patterns.nm import NM
from accelsim.sparsity.patterns.threshold import Threshold

if TYPE_CHECKING:
    import torch

FLOAT = "float"


def check_precision(name: str) -> None:
    """Raise InputError unless a precision is `float` or one that a machine has."""
    if name != FLOAT and name not in PRECISIONS and "/" not in name:
        raise InputError(
            f"unknown precision '{name}'; allowed: {', '.join([FLOAT, *sorted(PRECISIONS)])}, or "
            f"X/W such as int8/int4:64"
        )
    if name != FLOAT:
        Operands.parse(name)


def packs_weights(precision: str) -> bool:
    """Return whether W is stored in a narrower format than that of X."""
    return precision != FLOAT and Operands.parse(precision).unpacks


def round_tokens(values: torch.Tensor, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float32 `[T, K]` as the hardware ranks it, and the real values that this stands for.

    `float` leaves everything as it is.
    """
    if precision == FLOAT:
        return values, values
    if values.device.type == "cpu":
        return _round_in_numpy(values, precision)
    return _round_in_torch(values, precision)


def held(values: torch.Tensor, precision: str) -> torch.Tensor:
    """Return float32 or float64 values `[T, K]` as the hardware holds them, in their own type."""
    return round_tokens(values.float(), precision)[1].to(values.dtype)


def remainders(values: torch.Tensor, kept: torch.Tensor, precision: str) -> torch.Tensor:
    """Return what float32 tokens `[T, K]` hold beyond those that a mask keeps, rounded again.

    `float` leaves exactly the dropped values.
    """
    if precision == FLOAT:
        return values * ~kept
    torch = require("torch")
    kind, array = _format_of_x(precision), values.cpu().numpy()
    operands = kind.remainders(array, kind.encode_tokens(array) * kept.cpu().numpy())
    reals = (operands * kind.token_scales(array)).astype(np.float32, copy=False)
    return torch.from_numpy(reals).to(values.device)


def _round_in_numpy(values: torch.Tensor, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a tensor that is on the CPU."""
    torch = require("torch")
    kind, array = _format_of_x(precision), values.numpy()
    operands = kind.encode_tokens(array)
    reals = operands * kind.token_scales(array)
    return torch.from_numpy(operands), torch.from_numpy(reals.astype(np.float32, copy=False))


def _round_in_torch(values: torch.Tensor, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what `encode_tokens` and `token_scales` of a number format do."""
    torch = require("torch")
    kind = _format_of_x(precision)
    if kind.block:  # torch rounds to no format with scales of blocks
        held, reals = _round_in_numpy(values.cpu(), precision)
        return held.to(values.device), reals.to(values.device)
    narrow_type, largest = getattr(torch, kind.torch_type), kind.largest
    if not largest:
        kind.encode(values.abs().amax(dim=1).cpu().numpy())  # refuses too large
        narrow = values.to(narrow_type).float()
        return narrow, narrow
    peak = values.abs().amax(dim=1, keepdim=True)
    # By a tensor: by a number, CUDA multiplies with the reciprocal, which rounds differently.
    scale = peak / torch.full_like(peak, largest)
    scale = torch.where(scale > 0, scale, torch.ones_like(peak))
    if kind.is_float():
        codes = (values / scale).clamp(-largest, largest).to(narrow_type).float()
    else:
        codes = (values / scale).round().to(narrow_type)
    return codes, codes * scale


def round_weights(weight: torch.Tensor, precision: str) -> torch.Tensor:
    """Return weights `[O, K]` as the hardware multiplies them.

    Formats with scales, int8, fp8 and nvfp4, have one an output; fp4 has those of blocks below it.
    Weights that are stored in a narrower format than that of X are rounded to it in groups: see
    `accelsim.precision.groups`.
    """
    if precision == FLOAT:
        return weight
    single = weight.detach().float()
    if not packs_weights(precision):
        return round_tokens(single, precision)[1].to(weight.dtype)
    kind, values = _format_of_x(precision), single.cpu().numpy()  # once a layer, on any device
    packed = Packed.of(kind.encode_tokens(values), Operands.parse(precision))
    reals = packed[:, :].T * kind.token_scales(values)
    torch = require("torch")
    return torch.from_numpy(reals.astype(np.float32, copy=False)).to(weight.device, weight.dtype)


def scale_scores(operands: torch.Tensor, factors: Any, precision: str) -> torch.Tensor:
    """Return the scores `[T, K]` that are ranked: magnitudes scaled by float64 factors `[K]`."""
    torch = require("torch")
    factors = torch.as_tensor(factors)
    if precision == FLOAT:
        return operands * factors.to(operands.device, torch.float32)
    scores = _format_of_x(precision).scores(operands.cpu().numpy(), factors.cpu().numpy())
    return torch.from_numpy(scores).to(operands.device)


def _format_of_x(precision: str) -> type[Precision]:
    return PRECISIONS[Operands.parse(precision).x.precision]


def keep(pattern: Pattern, scores: torch.Tensor) -> torch.Tensor:
    """Return the mask `[T, K]` of the values that survive."""
    torch = require("torch")
    if scores.device.type != "cpu" and isinstance(pattern, NM):
        return _keep_nm(pattern, scores)
    if isinstance(pattern, Threshold) and pattern.level is not None:
        return scores.abs() > pattern.level
    return torch.from_numpy(pattern.keep(scores.cpu().numpy())).to(scores.device)


def _keep_nm(pattern: NM, scores: torch.Tensor) -> torch.Tensor:
    """Do what `NM.keep` does: those stay whom fewer than N of their group beat.

    A value is beaten by larger ones, and by equal ones in front of it. M passes over the scores
    are much quicker on a GPU than sorting many small groups.
    """
    torch = require("torch")
    length, m = scores.shape[-1], pattern.group_size
    strength = scores.to(torch.int16 if scores.dtype == torch.int8 else scores.dtype).abs()
    padded = torch.nn.functional.pad(strength, (0, -length % m))
    grouped = padded.reshape(-1, m).T.contiguous()  # a place of all groups is one stretch
    beaten = torch.zeros_like(grouped, dtype=torch.int8)
    for place, rival in enumerate(grouped):
        beaten[:place] += rival > grouped[:place]
        beaten[place + 1 :] += rival >= grouped[place + 1 :]
    mask = pattern.kept_per_group > beaten.T
    return mask.reshape(len(scores), -1)[:, :length]

"""Operands for the power simulation: real activations and weights of the shipped model."""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np
from gates import Ints
from synthesis import ROOT

from accelsim.precision import PRECISIONS, Float8, Values
from accelsim.precision.fp4 import E2M1
from accelsim.trace import load_trace

TRACE = ROOT / "traces" / "llama.npz"
WEIGHTS = ROOT / "traces" / "models" / "llama-docs-16m" / "model.safetensors"
INPUTS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
LAYERS = 8
STREAMS = 1024  # 4 kinds of input x 256 tokens, each token from one of the 8 layers


def codes(values: Values, number_format: str, *, per_row: bool) -> Ints:
    """Return the bit patterns of values in int8, fp8 or bf16."""
    kind = PRECISIONS[number_format]
    coded = kind.encode_tokens(values) if per_row else kind.encode(values)[0]
    return kind.bit_patterns(coded).astype(np.int64)


class Vectors:
    """Activations and weights that meet, as bit patterns of a format, for `STREAMS` streams."""

    def __init__(self, number_format: str) -> None:
        self.number_format = number_format

    @cached_property
    def activations(self) -> Ints:
        """Return `[streams, 384]`: of each token the first 384 inputs."""
        trace = load_trace(TRACE)
        rows = []
        for kind in INPUTS:
            layers = [trace.values(f"model.layers.{n}.{kind}") for n in range(LAYERS)]
            coded = [codes(values, self.number_format, per_row=True)[:, :384] for values in layers]
            rows += [coded[token % LAYERS][token] for token in range(STREAMS // len(INPUTS))]
        return np.array(rows)

    def weights(self, columns: int) -> Ints:
        """Return `[streams, columns, 384]`: weights of random columns of the layer of a stream."""
        random = np.random.default_rng(0)
        rows = []
        for kind in INPUTS:
            names = [f"model.layers.{n}.{kind}.weight" for n in range(LAYERS)]
            coded = [
                codes(_tensor(name), self.number_format, per_row=False)[:, :384] for name in names
            ]
            for token in range(STREAMS // len(INPUTS)):
                matrix = coded[token % LAYERS]
                rows.append(matrix[random.integers(len(matrix), size=columns)])
        return np.array(rows)


class BlockVectors:
    """Activations and weights that meet, as codes of E2M1 and of the scales of their blocks."""

    def __init__(self, number_format: str) -> None:
        self.kind = PRECISIONS[number_format]

    @cached_property
    def activations(self) -> tuple[Ints, Ints]:
        """Return `[streams, 384]` and `[streams, 384 / block]`: the tokens that `Vectors` has."""
        trace = load_trace(TRACE)
        rows = []
        for kind in INPUTS:
            layers = [trace.values(f"model.layers.{n}.{kind}") for n in range(LAYERS)]
            picked = [layers[token % LAYERS][token] for token in range(STREAMS // len(INPUTS))]
            rows += [row[:384] for row in picked]
        return self._codes(np.array(rows))

    def weights(self, columns: int) -> tuple[Ints, Ints]:
        """Return `[streams, columns, 384]`, of random outputs, and their scales."""
        random = np.random.default_rng(0)
        rows = []
        for kind in INPUTS:
            names = [f"model.layers.{n}.{kind}.weight" for n in range(LAYERS)]
            layers = [_tensor(name)[:, :384] for name in names]
            for token in range(STREAMS // len(INPUTS)):
                matrix = layers[token % LAYERS]
                rows.append(matrix[random.integers(len(matrix), size=columns)])
        codes, scales = self._codes(np.array(rows).reshape(-1, 384))
        return tuple(part.reshape(STREAMS, columns, -1) for part in (codes, scales))

    def _codes(self, values: Values) -> tuple[Ints, Ints]:
        elements, scales = self.kind.blocks(values / self.kind.token_scales(values))
        is_e4m3 = self.kind.name == "nvfp4"
        of_scales = Float8.bit_patterns(scales) if is_e4m3 else np.log2(scales) + 127
        return E2M1.bit_patterns(elements).astype(np.int64), of_scales.astype(np.int64)


def _tensor(name: str) -> Values:
    """Read a bf16 tensor of the model as float32; numpy has no bf16 that a library could return."""
    with WEIGHTS.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
        entry = header[name]
        if entry["dtype"] != "BF16":
            raise ValueError(f"{name}: {entry['dtype']}, not BF16")
        first, end = entry["data_offsets"]
        file.seek(start + first)
        raw = np.frombuffer(file.read(end - first), np.uint16).reshape(entry["shape"])
    return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)


def magnitudes(values: Ints, number_format: str) -> Ints:
    """Return what selection compares: absolute values of int8, of floats all bits but the sign."""
    if number_format != "int8":
        return values & (0x7F if number_format == "fp8" else 0x7FFF)
    return np.abs(np.where(values >= 128, values - 256, values))


def select(groups: Ints, n: int, number_format: str) -> tuple[Ints, Ints]:
    """Select n of the last axis: return the positions, in order, and the values kept."""
    order = np.argsort(-magnitudes(groups, number_format), axis=-1, kind="stable")
    positions = np.sort(order[..., :n], axis=-1)
    return positions, np.take_along_axis(groups, positions, axis=-1)

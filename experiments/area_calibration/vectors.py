"""Operands for the power simulation: real activations and weights of the shipped model."""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np
from gates import Ints
from synthesis import ROOT

from accelsim.precision import BFloat16, Int8, Values
from accelsim.trace import load_trace

TRACE = ROOT / "traces" / "llama.npz"
WEIGHTS = ROOT / "traces" / "models" / "llama-docs-16m" / "model.safetensors"
INPUTS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
LAYERS = 8
STREAMS = 1024  # 4 kinds of input x 256 tokens, each token from one of the 8 layers


def codes(values: Values, bits: int, *, per_row: bool) -> Ints:
    """Return the bit patterns of values in int8 or bf16."""
    if bits == 16:
        return (BFloat16.encode(values)[0].view(np.uint32) >> np.uint32(16)).astype(np.int64)
    coded = Int8.encode_tokens(values) if per_row else Int8.encode(values)[0]
    return coded.astype(np.int64) & 0xFF


class Vectors:
    """Activations and weights that meet, as bit patterns of `bits` bits, for `STREAMS` streams."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    @cached_property
    def activations(self) -> Ints:
        """Return `[streams, 384]`: of each token the first 384 inputs."""
        trace = load_trace(TRACE)
        rows = []
        for kind in INPUTS:
            layers = [trace.values(f"model.layers.{n}.{kind}") for n in range(LAYERS)]
            coded = [codes(values, self.bits, per_row=True)[:, :384] for values in layers]
            rows += [coded[token % LAYERS][token] for token in range(STREAMS // len(INPUTS))]
        return np.array(rows)

    def weights(self, columns: int) -> Ints:
        """Return `[streams, columns, 384]`: weights of random columns of the layer of a stream."""
        random = np.random.default_rng(0)
        rows = []
        for kind in INPUTS:
            names = [f"model.layers.{n}.{kind}.weight" for n in range(LAYERS)]
            coded = [codes(_tensor(name), self.bits, per_row=False)[:, :384] for name in names]
            for token in range(STREAMS // len(INPUTS)):
                matrix = coded[token % LAYERS]
                rows.append(matrix[random.integers(len(matrix), size=columns)])
        return np.array(rows)


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


def magnitudes(values: Ints, bits: int) -> Ints:
    """Return what selection compares: absolute values of int8, the low 15 bits of bf16."""
    if bits == 16:
        return values & 0x7FFF
    return np.abs(np.where(values >= 128, values - 256, values))


def select(groups: Ints, n: int, bits: int) -> tuple[Ints, Ints]:
    """Select n of the last axis: return the positions, in order, and the values kept."""
    order = np.argsort(-magnitudes(groups, bits), axis=-1, kind="stable")
    positions = np.sort(order[..., :n], axis=-1)
    return positions, np.take_along_axis(groups, positions, axis=-1)

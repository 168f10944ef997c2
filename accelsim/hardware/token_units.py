"""Shipped units as machines have them that compute a token at a time (`twell`).

Where nothing is known of the hidden values of an FFN, as in attention, each works as what it is
made of; where something is, as `accelsim.mapping.token_packing` says.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from typing_extensions import override

from accelsim.hardware.activation_buffer import ActivationBuffer
from accelsim.hardware.dram import Dram
from accelsim.hardware.mac_array import MacArray
from accelsim.hardware.output_buffer import OutputBuffer, stored_bytes
from accelsim.hardware.weight_buffer import WeightBuffer
from accelsim.mapping import Ints, Work, bytes_of, ceil_div
from accelsim.mapping.jobs import Flags
from accelsim.mapping.token_packing import TokenPacking


def packed(work: Work) -> TokenPacking | None:
    """Return what is known of the hidden values, if the layer is part of an FFN."""
    return work.found if isinstance(work.found, TokenPacking) else None


class TokenArray(MacArray):
    """The array, whose R × C elements serve one token, or R tokens as a dense one does.

    Timing:
        up   = Σ over tokens of ceil(n / C) × ceil(reduction / (R × L)): each row has a part of K
        down = Σ over tokens of ceil(n / L) × ceil(columns / (R × C)): each row has other columns
        busy = that of tokens that do not overflow, and dense blocks of those that do

    Actions:
        As `MacArray`; an element accumulates in every cycle of a turn.

    Not modelled:
        As `MacArray`; the last sums of R rows (up) take place while the next turn begins.

    Example:
        Two tokens of which 3 and 9 outputs are needed take 1 + 2 turns of 8 columns, each over
        256 values of K in 8 × 16 lanes: 2 cycles.

        >>> from accelsim.hardware.examples import of_ffn
        >>> TokenArray(rows=8, columns=8, lanes=16).busy_cycles(of_ffn("up", [3, 9]))
        array([6])
    """

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        found, jobs, path = packed(work), work.jobs, work.path
        counts = super().actions(work)
        if found is None:
            return counts
        updates = found.serial_cycles(jobs, path) * path.rows * path.columns
        updates = updates + found.dense_tokens(jobs) * jobs.columns * path.steps(jobs.reduction)
        return {**counts, "accumulate": int(updates.sum())}


class TokenWeightBuffer(WeightBuffer):
    """The weight buffer, of which a token at a time reads rows or columns of W.

    Timing:
        A vector of W (up: a column, stored as one; down: a row) is read in words of a macro,
        port_bytes / macros, once for each value of a token. That is R times the rate of a dense
        array, which the port limits. Tokens that overflow read the tile once for R of them.

    Actions:
        See `Buffer`; whole words.

    Not modelled:
        Conflicts of vectors in the same macro: words of a cycle are in different ones.

    Example:
        12 columns of 256 weights, in words of 32 bytes: 3,072 bytes through a port of 256.

        >>> from accelsim.hardware.examples import of_ffn
        >>> buffer = TokenWeightBuffer(capacity_kib=64, port_bytes=256, macros=8)
        >>> buffer.busy_cycles(of_ffn("up", [3, 9]))
        array([12])
    """

    @override
    def write_bytes(self, work: Work) -> Ints:
        fetched = fetched_bytes(work, 1)
        return super().write_bytes(work) if fetched is None else fetched

    @override
    def read_bytes(self, work: Work) -> Ints:
        found, jobs, path = packed(work), work.jobs, work.path
        if found is None:
            return super().read_bytes(work)
        number, vector_bytes = found.vectors(jobs, path)
        word_bytes = self.port_bytes // self.macros
        words = ceil_div(vector_bytes, word_bytes)
        dense = jobs.weight_tile_bytes(path) * found.dense_blocks(jobs, path)
        return number * words * word_bytes + dense


class TokenActivationBuffer(ActivationBuffer):
    """The activation buffer: X, and beside it (up) or in its place (down) rows of TwELL.

    Timing:
        up   reads a token's row of X in each turn, and the payloads once
        down reads payloads once for each R × C columns; X of tokens that overflow as a dense array

    Actions:
        See `Buffer`.

    Not modelled:
        The room that rows of TwELL take beside X (up).

    Example:
        Rows of X of 256 bytes in 3 turns, 12 payloads and 2 counts of 3 bytes each.

        >>> from accelsim.hardware.examples import of_ffn
        >>> buffer = TokenActivationBuffer(capacity_kib=64, port_bytes=128)
        >>> buffer.read_bytes(of_ffn("up", [3, 9])), 3 * 256 + 14 * 3
        (array([810]), 810)
    """

    @override
    def uses(self, work: Work) -> Flags | None:
        return None

    @override
    def read_bytes(self, work: Work) -> Ints:
        found = packed(work)
        if found is None:
            return work.jobs.activation_tile_bytes(work.path) * work.jobs.column_blocks(work.path)
        return found.activation_bytes(work.jobs, work.path)

    @override
    def write_bytes(self, work: Work) -> Ints:
        found, jobs = packed(work), work.jobs
        if found is None or found.product == "gate":
            return super().write_bytes(work)
        rows = found.row_bytes(jobs, work.path)
        if found.product == "down":
            return rows * jobs.loads_activations
        return super().write_bytes(work) + rows * jobs.first_reduction


class TokenOutputBuffer(OutputBuffer):
    """The output buffer: outputs of the gate are there dense and as TwELL, those of up as TwELL.

    Timing:
        As `OutputBuffer`; gate: payloads and counts besides; up: payloads and counts, and outputs
        of tokens that overflow.

    Actions:
        See `Buffer`.

    Not modelled:
        The room that TwELL takes beside dense outputs, a part of them.

    Example:
        12 payloads and 2 counts of 3 bytes each; of the gate, 2 × 64 outputs besides.

        >>> from accelsim.hardware.examples import of_ffn
        >>> buffer = TokenOutputBuffer(capacity_kib=64, port_bytes=64)
        >>> [int(buffer.write_bytes(of_ffn(name, [3, 9])).sum()) for name in ("up", "gate")]
        [42, 170]
    """

    @override
    def write_bytes(self, work: Work) -> Ints:
        found, jobs, path = packed(work), work.jobs, work.path
        if found is None or found.product == "down":
            return super().write_bytes(work)
        words = found.word_bytes(jobs, path) * jobs.last_reduction
        if found.product == "gate":
            return super().write_bytes(work) + words
        is_whole = jobs.first_reduction & jobs.last_reduction
        bits = np.where(is_whole, path.y.bits, path.accumulator_bits)
        sums = bytes_of(found.values * path.accumulator_bits) * ~is_whole
        dense = bytes_of(found.overflowing * jobs.columns * bits)
        return dense + sums + words + work.resumed_bytes

    @override
    def read_bytes(self, work: Work) -> Ints:
        found, jobs, path = packed(work), work.jobs, work.path
        if found is None or found.product == "down":
            return super().read_bytes(work)
        partial = found.values + found.overflowing * jobs.columns
        if found.product == "gate":
            partial = jobs.tokens * jobs.columns
        partial = bytes_of(partial * path.accumulator_bits)
        return partial * ~jobs.first_reduction + sent_bytes(work, found)

    @override
    def far_cycles(self, work: Work) -> Ints:
        found = packed(work)
        if found is None or found.product == "down":
            return super().far_cycles(work)
        return ceil_div(sent_bytes(work, found), self.port_bytes)


class TokenDram(Dram):
    """The DRAM channel: hidden values of an FFN stand there as TwELL, and overflowing tokens dense.

    Timing:
        As `Dram`; up loads the rows of the gate with each tile of outputs; down loads rows of
        hidden values in place of X; gate and up store such rows in place of Y. In decode, of W_up
        those columns are fetched and of W_down those rows that some token needs, each in bursts of
        its own; all, if a token overflows.

    Actions:
        As `Dram`.

    Not modelled:
        As `Dram`.

    Example:
        A quarter of a TwELL tile of 32 words for each of two tokens: 2 × 8 × 3 bytes, a burst.

        >>> from accelsim.hardware.examples import of_ffn
        >>> dram = TokenDram(standard="lpddr4", bandwidth_gb_per_s=64, latency_ns=100)
        >>> dram.output_bytes(of_ffn("up", [3, 9]))
        array([64])
    """

    @override
    def activation_bytes(self, work: Work) -> Ints:
        found, jobs = packed(work), work.jobs
        if found is None or found.product == "gate":
            return super().activation_bytes(work)
        rows = found.row_bytes(jobs, work.path)
        if found.product == "up":
            return super().activation_bytes(work) + self.bursts(rows * jobs.first_reduction)
        return self.bursts(rows * jobs.loads_activations) + self.bursts(work.resumed_bytes)

    @override
    def weight_bytes(self, work: Work) -> Ints:
        fetched = fetched_bytes(work, self.burst_bytes)
        return super().weight_bytes(work) if fetched is None else fetched

    @override
    def output_bytes(self, work: Work) -> Ints:
        found = packed(work)
        if found is None or found.product == "down":
            return super().output_bytes(work)
        return self.bursts(sent_bytes(work, found))


def fetched_bytes(work: Work, burst_bytes: int) -> Ints | None:
    """Return the bytes of W that each job loads if only needed vectors are; None: all are.

    No more than the tile has.
    """
    found, jobs, path = packed(work), work.jobs, work.path
    if found is None or found.product == "gate" or not work.is_decode:
        return None
    _, vector_bytes = found.vectors(jobs, path)
    apart = found.needed * ceil_div(vector_bytes, burst_bytes)
    whole = ceil_div(jobs.weight_tile_bytes(path), burst_bytes)
    fetched: Ints = np.minimum(apart, whole) * burst_bytes * jobs.loads_weights
    return fetched


def sent_bytes(work: Work, found: TokenPacking) -> Ints:
    """Return the bytes of outputs that each job of gate or up stores: rows, or partial sums."""
    jobs = work.jobs
    rows = found.row_bytes(jobs, work.path) * jobs.ends_outputs
    return np.where(jobs.last_reduction, rows, stored_bytes(jobs, work.path))

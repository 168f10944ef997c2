"""Simulate a mapped netlist, many independent streams at once, and price its toggles.

A bit of a 64-bit word is a stream; every stream has its own inputs and flip-flops. In a cycle the
flip-flops take their inputs, the ports change, and the logic settles: with zero delay, so that a
net changes at most once a cycle, or with delays, which shows glitches.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from liberty import Cell, Function, Library, Pin, Power, Table, compile_function
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
ZERO, ONE = 0, 1  # the first two nets are constants


@dataclass(frozen=True)
class Batch:
    """Equal cells that are evaluated together: for each pin, the nets of all of them."""

    cell: Cell
    nets: Mapping[str, Ints]

    def pins(self, values: Words) -> dict[str, Words]:
        """Return the values at the pins, `[cells, words]` each."""
        return {pin: values[nets] for pin, nets in self.nets.items()}


class Netlist:
    """What Yosys wrote with `write_json` after mapping to `library`; one clock, port `clk`.

    Attributes:
        ports: nets of each port, lowest bit first.
        levels: combinational cells in the order in which they settle.
        flip_flops: the others.
    """

    def __init__(self, path: Path, library: Library) -> None:
        modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
        (module,) = (m for m in modules.values() if "blackbox" not in m["attributes"])
        self.library = library
        self._numbers: dict[Any, int] = {"0": ZERO, "1": ONE, "x": ZERO}
        self.ports = {
            name: np.array([self._net(bit) for bit in port["bits"]])
            for name, port in module["ports"].items()
        }
        self.outputs = {n for n, port in module["ports"].items() if port["direction"] == "output"}
        cells = [self._instance(cell) for cell in module["cells"].values()]
        self.nets = len(self._numbers) + 1
        self.levels = [
            batch for level in _levels(c for c in cells if not c[0].flip_flop) for batch in level
        ]
        self.flip_flops = _batches(c for c in cells if c[0].flip_flop)
        clocks = [net for batch in self.flip_flops for net in batch.nets[_clock(batch.cell)]]
        if any(net != self.ports["clk"][0] for net in clocks):
            raise ValueError("a flip-flop is not clocked by port clk")

    def _net(self, bit: Any) -> int:
        return self._numbers.setdefault(bit, len(self._numbers))

    def _instance(self, data: Mapping[str, Any]) -> tuple[Cell, dict[str, int]]:
        """Return a cell with its nets; an output that leads nowhere gets a net of its own."""
        cell, nets = self.library.cells[data["type"]], {}
        for pin in cell.pins:
            bits = data["connections"].get(pin) or [object()]
            nets[pin] = self._net(bits[0])
        return cell, nets

    @property
    def batches(self) -> list[Batch]:
        """Return all cells."""
        return [*self.levels, *self.flip_flops]

    @cached_property
    def area_um2(self) -> float:
        """Return the area of all cells."""
        return sum(len(nets) * cell.area_um2 for cell, nets in self._counted)

    @cached_property
    def leakage_nw(self) -> float:
        """Return the leakage of all cells, averaged over their states."""
        return sum(len(nets) * cell.leakage_nw for cell, nets in self._counted)

    @property
    def _counted(self) -> Iterator[tuple[Cell, Ints]]:
        return ((batch.cell, next(iter(batch.nets.values()))) for batch in self.batches)

    def loads_ff(self, output_ff: float) -> NDArray[np.float64]:
        """Return the capacitance on each net: the pins that it drives; no wires."""
        loads = np.zeros(self.nets)
        for batch in self.batches:
            for pin in batch.cell.inputs:
                np.add.at(loads, batch.nets[pin], batch.cell.pins[pin].capacitance_ff)
        for name in self.outputs:
            np.add.at(loads, self.ports[name], output_ff)
        return loads


def _clock(cell: Cell) -> str:
    assert cell.flip_flop is not None
    return cell.flip_flop.clock


def _batches(instances: Iterator[tuple[Cell, dict[str, int]]]) -> list[Batch]:
    """Gather equal cells."""
    equal: dict[str, list[tuple[Cell, dict[str, int]]]] = defaultdict(list)
    for cell, nets in instances:
        equal[cell.name].append((cell, nets))
    return [
        Batch(some[0][0], {pin: np.array([nets[pin] for _, nets in some]) for pin in some[0][1]})
        for some in equal.values()
    ]


def _levels(instances: Iterator[tuple[Cell, dict[str, int]]]) -> list[list[Batch]]:
    """Order combinational cells so that each comes after those that drive it."""
    waiting = list(instances)
    driven = {nets[pin] for cell, nets in waiting for pin in cell.outputs}
    result = []
    while waiting:
        ready = [
            (cell, nets)
            for cell, nets in waiting
            if not any(nets[pin] in driven for pin in cell.inputs)
        ]
        if not ready:
            raise ValueError("a combinational loop")
        result.append(_batches(iter(ready)))
        done = {id(nets) for _, nets in ready}
        waiting = [(cell, nets) for cell, nets in waiting if id(nets) not in done]
        driven -= {nets[pin] for cell, nets in ready for pin in cell.outputs}
    return result


# --- values ---------------------------------------------------------------------------------------
def pack(values: Ints, bits: int) -> Words:
    """Pack integers `[streams]` or `[streams, elements]` into words `[elements * bits, words]`."""
    values = values.reshape(len(values), -1)
    split = (values[:, :, None] >> np.arange(bits)) & 1
    flat = split.reshape(len(values), -1).T.astype(np.uint8)
    packed = np.packbits(flat, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view(np.uint64)


def unpack(words: Words, bits: int) -> Ints:
    """Return the integers `[streams, elements]` that `pack` packed; not their sign."""
    flat = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    split = flat.T.reshape(flat.shape[1], -1, bits).astype(np.int64)
    return (split << np.arange(bits)).sum(axis=2)


def ones(words: Words) -> Ints:
    """Count the streams in which each net is one."""
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


# --- energy ---------------------------------------------------------------------------------------
@dataclass
class Energy:
    """Energy in fJ, over all streams: of pin capacitances, inside of cells, and clock pins."""

    cycles: int = 0
    toggles: float = 0.0
    gate_fj: float = 0.0
    internal_fj: float = 0.0
    clock_fj: float = 0.0  # both kinds, of the clock pins

    @property
    def total_fj(self) -> float:
        """Return everything."""
        return self.gate_fj + self.internal_fj + self.clock_fj


@dataclass
class _Prices:
    """What edges of the nets of a batch cost, `[cells]` each."""

    outputs: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict
    )
    inputs: dict[str, list[tuple[Function | None, float, float]]] = field(default_factory=dict)


class Timed:
    """Equal cells of one delay, in ticks; pulses shorter than the delay are swallowed."""

    def __init__(
        self, cell: Cell, pin: str, ticks: int, instances: list[Mapping[str, int]]
    ) -> None:
        self.batch = Batch(
            cell, {name: np.array([nets[name] for nets in instances]) for name in instances[0]}
        )
        self.output = self.batch.nets[pin]
        self.function = compile_function(cell.pins[pin].function)
        self.ticks = ticks

    def rest(self, values: Words) -> None:
        """Begin with settled values."""
        self.seen = np.repeat(values[self.output][None], self.ticks, axis=0)
        self.at = 0

    def tick(self, old: Words, values: Words) -> bool:
        """Change the outputs whose new value has lasted; tell whether some have yet to."""
        self.seen[self.at] = wanted = self.function(self.batch.pins(old))
        self.at = (self.at + 1) % self.ticks
        now = old[self.output]
        lasting, any_seen = (f.reduce(self.seen) for f in (np.bitwise_and, np.bitwise_or))
        values[self.output] = lasting | (now & any_seen)
        return not np.array_equal(now, wanted)


class Simulation:
    """Streams through a netlist; `energy` adds up from where `start` was called.

    Args:
        netlist: what to simulate.
        streams: a multiple of 64.
        slew_ps: of all edges, for the tables of the library.
        output_ff: load on the output ports.
        tick_ps: 0 for no delays; else delays are those of the library, rounded to ticks, at least
            one. With an infinite tick all cells have the same delay.
    """

    def __init__(
        self,
        netlist: Netlist,
        *,
        streams: int,
        slew_ps: float,
        output_ff: float,
        tick_ps: float = 0,
    ) -> None:
        self.netlist = netlist
        self.streams = streams
        self.values: Words = np.zeros((netlist.nets, streams // 64), np.uint64)
        self.values[ONE] = ~np.uint64(0)
        self.loads_ff = netlist.loads_ff(output_ff)
        self._half_v2 = 0.5 * netlist.library.supply_v**2
        self._prices = [_prices(batch, self.loads_ff, slew_ps) for batch in netlist.batches]
        clock = netlist.ports.get("clk")
        self._clock_net = None if clock is None else int(clock[0])
        self._functions = {
            (batch.cell.name, pin): compile_function(batch.cell.pins[pin].function)
            for batch in netlist.levels
            for pin in batch.cell.outputs
        }
        self._timed = self._delays(slew_ps, tick_ps) if tick_ps else []
        self._is_counting = False
        self.energy = Energy()

    def _delays(self, slew_ps: float, tick_ps: float) -> list[Timed]:
        """Gather cells by kind and delay."""
        equal: dict[tuple[str, str, int], list[Mapping[str, int]]] = defaultdict(list)
        for batch in self.netlist.levels:
            for place in range(len(next(iter(batch.nets.values())))):
                nets = {pin: int(some[place]) for pin, some in batch.nets.items()}
                for pin in batch.cell.outputs:
                    load = self.loads_ff[nets[pin]]
                    tables = batch.cell.pins[pin].delays
                    delay_ps = float(np.mean([table.at(slew_ps, load) for table in tables]))
                    ticks = max(1, round(delay_ps / tick_ps))
                    equal[batch.cell.name, pin, ticks].append(nets)
        cells = self.netlist.library.cells
        return [Timed(cells[name], pin, ticks, nets) for (name, pin, ticks), nets in equal.items()]

    def start(self) -> None:
        """Begin to count; before that delays do not matter and are left out."""
        self._is_counting = True
        self.energy = Energy()

    def output(self, port: str, bits: int = 1) -> Ints:
        """Return the values of a port, `[streams, elements]`."""
        return unpack(self.values[self.netlist.ports[port]], bits)

    def cycle(self, inputs: Mapping[str, Words]) -> None:
        """Take the clock edge, change ports, and let the logic settle."""
        old = self.values.copy()
        states = [_next_state(batch, old) for batch in self.netlist.flip_flops]
        self._count_clock(rising=True)
        for batch, state in zip(self.netlist.flip_flops, states, strict=True):
            for pin in batch.cell.outputs:
                self.values[batch.nets[pin]] = state[pin]
        for name, words in inputs.items():
            self.values[self.netlist.ports[name]] = words
        self.values[:2] = old[:2]  # an unused port bit may be tied to a constant
        if self._timed and self._is_counting:
            for timed in self._timed:
                timed.rest(old)
            self._count(old)
            while self._tick():
                pass
        else:
            self._settle()
            self._count(old)
        self._count_clock(rising=False)
        self.energy.cycles += 1

    def _settle(self) -> None:
        for batch in self.netlist.levels:
            pins = batch.pins(self.values)
            for pin in batch.cell.outputs:
                self.values[batch.nets[pin]] = self._functions[batch.cell.name, pin](pins)

    def _tick(self) -> bool:
        """Let a tick pass; tell whether something is still on its way."""
        old = self.values.copy()
        pending = [timed.tick(old, self.values) for timed in self._timed]
        self._count(old)
        return any(pending)

    def _count(self, old: Words) -> None:
        """Price the edges from `old` to now."""
        up, down = self.values & ~old, old & ~self.values
        rises, falls = ones(up), ones(down)
        toggles = rises + falls
        self.energy.toggles += float(toggles.sum())
        self.energy.gate_fj += self._half_v2 * float(toggles @ self.loads_ff)
        for batch, prices in zip(self.netlist.batches, self._prices, strict=True):
            for pin, (rise_fj, fall_fj) in prices.outputs.items():
                nets = batch.nets[pin]
                self.energy.internal_fj += float(rises[nets] @ rise_fj + falls[nets] @ fall_fj)
            self._count_hidden(batch, prices, up, down)

    def _count_hidden(self, batch: Batch, prices: _Prices, up: Words, down: Words) -> None:
        """Price edges of inputs that no output follows; at a flip-flop, while its clock is high."""
        clock = _clock(batch.cell) if batch.cell.flip_flop else None
        for pin, conditions in prices.inputs.items():
            if pin == clock:
                continue
            edges = (up[batch.nets[pin]], down[batch.nets[pin]])
            pins = batch.pins(self.values)
            if clock:
                pins[clock] = np.full_like(edges[0], ~np.uint64(0))
            else:
                followed = np.zeros_like(edges[0])
                for output in batch.cell.outputs:
                    followed |= up[batch.nets[output]] | down[batch.nets[output]]
                edges = (edges[0] & ~followed, edges[1] & ~followed)
            for edge, which in zip(edges, (0, 1), strict=True):
                self.energy.internal_fj += _conditional(conditions, pins, edge, which)

    def _count_clock(self, *, rising: bool) -> None:
        """Price an edge of the clock at every flip-flop, by what it stores and will store."""
        if self._clock_net is None:
            return
        self.energy.clock_fj += self._half_v2 * self.loads_ff[self._clock_net] * self.streams
        first = len(self.netlist.levels)
        for batch, prices in zip(self.netlist.flip_flops, self._prices[first:], strict=True):
            pins = batch.pins(self.values)
            everywhere = np.full_like(pins[batch.cell.inputs[0]], ~np.uint64(0))
            conditions = prices.inputs.get(_clock(batch.cell), [])
            which = 0 if rising else 1
            self.energy.clock_fj += _conditional(conditions, pins, everywhere, which)


def _next_state(batch: Batch, values: Words) -> dict[str, Words]:
    """Return what the outputs of flip-flops become."""
    flip_flop = batch.cell.flip_flop
    assert flip_flop is not None
    state = compile_function(flip_flop.next_state)(batch.pins(values))
    names = {flip_flop.state: state, flip_flop.inverse: ~state}
    return {pin: names[batch.cell.pins[pin].function] for pin in batch.cell.outputs}


def _conditional(
    conditions: list[tuple[Function | None, float, float]],
    pins: Mapping[str, Words],
    edge: Words,
    which: int,
) -> float:
    """Add up energies of an edge by state; a price without condition holds where no other does."""
    total, left = 0.0, edge
    for when, *prices in conditions:
        now = left if when is None else left & when(pins)
        total += prices[which] * float(ones(now).sum())
        left = left & ~now
    return total


def _prices(batch: Batch, loads_ff: NDArray[np.float64], slew_ps: float) -> _Prices:
    """Look the tables up at one slew and the loads of the nets."""
    cell, result = batch.cell, _Prices()
    for pin in cell.pins.values():
        if not pin.power:
            continue
        if pin.is_output:
            arcs = _arcs(pin, _clock(cell) if cell.flip_flop else None)
            loads = loads_ff[batch.nets[pin.name]]
            result.outputs[pin.name] = (
                _mean([[power.rise for power in arc] for arc in arcs], slew_ps, loads),
                _mean([[power.fall for power in arc] for arc in arcs], slew_ps, loads),
            )
        else:
            by_state = sorted(pin.power, key=lambda power: power.when is None)
            result.inputs[pin.name] = [
                (power.when, power.rise.at(slew_ps, 0), power.fall.at(slew_ps, 0))
                for power in by_state
            ]
    return result


def _arcs(pin: Pin, clock: str | None) -> list[list[Power]]:
    """Return the powers of an output by the input that causes them; of a flip-flop, the clock."""
    arcs: dict[str | None, list[Power]] = defaultdict(list)
    for power in pin.power:
        if clock is None or power.related == clock:
            arcs[power.related].append(power)
    return [[p for p in arc if p.when] or arc for arc in arcs.values()]


def _mean(
    arcs: list[list[Table]], slew_ps: float, loads: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average over the states of an arc, then over arcs, for each load."""
    per_arc = [
        np.mean([[table.at(slew_ps, load) for load in loads] for table in arc], axis=0)
        for arc in arcs
    ]
    return np.mean(per_arc, axis=0)

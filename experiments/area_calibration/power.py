"""Make `accelsim/tech/data/energy_<library>.csv`: energy of each action of our RTL, from toggles.

    python experiments/area_calibration/power.py --library nangate45 --jobs 2 [--only selector]

Netlists come from synthesis.py (script `area`), operands from vectors.py. The simulation checks
what a netlist computes against numpy, then prices its toggles: half C V^2 with the capacitance of
the driven pins, internal energy of the cells from the tables of the library at one input slew, and
the clock pins of all flip-flops in every cycle. No wires, no clock tree, no clock gating. Glitches
depend on delays, `delay_model`: none (`zero`), of the library (`cell`, pulses shorter than the
delay of a cell are swallowed), the same for every cell (`unit`).
"""

from __future__ import annotations

import argparse
import csv
import datetime
import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
from gates import Netlist, Simulation, Words, pack
from grid import CROSSBARS, DATA, FEW_PATTERNS, Point, selection, sources_sha256
from numpy.typing import NDArray
from synthesis import KITS, Kitted, kitted, synthesise, yosys_version
from vectors import STREAMS, BlockVectors, Vectors, select

from accelsim.base.files import replacing
from accelsim.precision.fp4 import E2M1
from accelsim.rtl.reference import dot_bf16, dot_blocks, dot_int8

# Of all edges, for the tables of the library: what its smallest gates make with two or three loads.
SLEW_PS = {"nangate45": 20.0, "asap7": 20.0, "sg13g2": 80.0}
TICK_PS = {"nangate45": 5.0, "asap7": 4.0, "sg13g2": 20.0}  # a quarter of the delay of a NAND2
STEPS = 12  # of a sum of products, and those counted of a crossbar
FEW_COLUMNS, MANY_COLUMNS = 1, 8  # two points of a line: decoding, and routing a column
ROUND_GROUPS = 2  # that a lane which joins masks holds
FEW_LANES, MANY_LANES = 4, 16  # two points of a line: accumulation, and a lane
GLITCHES = (  # simulated with delays, too
    *(Point(block, bits=8) for block in ("mac", "dot_product")),
    *(Point(block, bits=16, float=1) for block in ("mac", "dot_product")),
    *selection("selector", 2, 4, 8),
    *selection("selector", 8, 16, 8),
    *(Point("crossbar", kind, *pattern, 8) for kind in CROSSBARS for pattern in ((2, 4), (8, 16))),
)
UNIT_DELAY = (Point("mac", bits=8), Point("selector", "rank", 8, 16, 8))


@dataclass(frozen=True)
class Row:
    """Energy of one action."""

    block: str
    kind: str
    n: int
    m: int
    bits: int
    float: int
    lanes: int
    columns: int
    pipelined: int
    action: str
    energy_pj: float
    activity: float  # toggles per net
    gate_share: float  # of the energy: pins that nets drive
    internal_share: float  # inside of cells, but for clock edges
    clock_share: float  # clock pins and what clock edges cost inside of flip-flops
    leakage_nw_per_um2: float
    vectors: int  # actions over which this is an average
    delay_model: str
    supply_v: float
    slew_ps: float
    yosys: str
    library: str
    library_sha256: str
    rtl_sha256: str


Parts = NDArray[np.float64]  # gate, internal, clock fJ, toggles: of one action; nets
Ports = dict[str, Words]
# Of each code of fp8, by the definition of E4M3: the sign, 4 bits of exponent, 3 of fraction.
FP8 = np.array(
    [
        (-1) ** (code >> 7)
        * (code & 7 | 8 * (code & 120 != 0))
        * 2.0 ** (max(code >> 3 & 15, 1) - 10)
        for code in range(256)
    ],
    np.float32,
)


@dataclass
class Bench:
    """Synthesises and simulates for one library."""

    kit: Kitted
    delay_model: str
    rtl_sha256: str

    def simulation(self, point: Point) -> Simulation:
        """Map a module and prepare its simulation."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "netlist.json"
            synthesise(
                self.kit, point.top, point.parameters, "area", folder=point.folder, netlist=path
            )
            netlist = Netlist(path, self.kit.library)
        return Simulation(
            netlist,
            streams=STREAMS,
            slew_ps=SLEW_PS[self.kit.name],
            output_ff=self.kit.kit.load_ff,
            tick_ps={"zero": 0, "cell": TICK_PS[self.kit.name], "unit": math.inf}[self.delay_model],
        )

    def run(
        self, simulation: Simulation, inputs: Iterator[Ports], check: Callable[[], None]
    ) -> None:
        """Simulate the cycles of `inputs`, and check the ports in each."""
        for ports in inputs:
            simulation.cycle(ports)
            check()

    def row(self, point: Point, action: str, parts: Parts, netlist: Netlist, vectors: int) -> Row:
        """Describe the energy of an action."""
        own = asdict(point)
        del own["script"]
        energy_fj, library = float(parts[:3].sum()), self.kit.library
        gate, internal, clock = (round(float(part) / energy_fj, 3) for part in parts[:3])
        return Row(
            **own,
            action=action,
            energy_pj=float(f"{energy_fj / 1000:.5g}"),
            activity=round(float(parts[3] / parts[4]), 4),
            gate_share=gate,
            internal_share=internal,
            clock_share=clock,
            leakage_nw_per_um2=leakage_nw_per_um2(netlist),
            vectors=vectors,
            delay_model=self.delay_model,
            supply_v=library.supply_v,
            slew_ps=SLEW_PS[self.kit.name] if library.has_power else 0.0,
            yosys=yosys_version(),
            library=self.kit.name,
            library_sha256=library.sha256,
            rtl_sha256=self.rtl_sha256,
        )


def leakage_nw_per_um2(netlist: Netlist) -> float:
    """Return the leakage of a netlist over its area; NaN if its library says nothing of it."""
    return float(f"{netlist.leakage_nw / netlist.area_um2:.4g}") if netlist.leakage_nw else math.nan


def parts_of(simulation: Simulation, actions: int) -> Parts:
    """Return what was counted, for each of `actions` of a stream."""
    energy = simulation.energy
    sums = [energy.gate_fj, energy.internal_fj, energy.clock_fj, energy.toggles]
    return np.array([*(x / (actions * STREAMS) for x in sums), simulation.netlist.nets - 2])


def line(few: Parts, many: Parts, x_few: int, x_many: int) -> tuple[Parts, Parts]:
    """Return slope and offset of the line through two measurements."""
    slope = (many - few) / (x_many - x_few)
    return slope, few - x_few * slope


@cache
def vectors(number_format: str) -> Vectors:
    """Return the operands in a format."""
    return Vectors(number_format)


@cache
def block_vectors(number_format: str) -> BlockVectors:
    """Return the operands in a format with scales of blocks."""
    return BlockVectors(number_format)


def flag(value: int) -> Words:
    """Return a port of one bit that is the same in all streams."""
    return pack(np.full(STREAMS, value), 1)


# --- blocks ---------------------------------------------------------------------------------------
def selector(bench: Bench, point: Point) -> Iterator[Row]:
    """Selection core, compaction and output register: groups without a gap, then no groups."""
    simulation = bench.simulation(point)
    groups = vectors(point.format).activations.reshape(STREAMS, -1, point.m)
    positions, kept = select(groups, point.n, point.format)
    masks = np.zeros(groups.shape, np.int64)
    np.put_along_axis(masks, positions, 1, axis=-1)
    steps = {"radix": point.bits - point.float, "cascade": point.n}.get(point.kind, 0)
    cycles = 1 if point.pipelined or not steps else steps + 1
    filling, counted = (40, 24) if cycles == 1 else (3, 9)  # groups
    if bench.delay_model != "zero":
        counted //= 3
    out = 0

    def check() -> None:
        nonlocal out
        if simulation.output("out_valid").any():
            which = out % groups.shape[1]
            assert simulation.output("out_valid").all()
            assert np.array_equal(simulation.output("out_mask"), masks[:, which]), point
            assert np.array_equal(simulation.output("out_kept", point.bits), kept[:, which]), point
            out += 1

    def beats(first: int, last: int) -> Iterator[Ports]:
        for number in range(first, last):
            words = pack(groups[:, number % groups.shape[1]], point.bits)
            for cycle in range(cycles):
                yield {"rst": flag(0), "in_valid": flag(1), "in_values": words}
                assert simulation.output("in_ready").all() == (cycle == 0), point

    simulation.cycle({"rst": flag(1), "in_valid": flag(0)})
    bench.run(simulation, beats(0, filling), check)
    simulation.start()
    bench.run(simulation, beats(filling, filling + counted), check)
    parts = parts_of(simulation, counted)
    yield bench.row(point, "group", parts, simulation.netlist, counted * STREAMS)

    idle = {"in_valid": flag(0)}
    bench.run(simulation, (idle for _ in range(60)), check)
    assert out == filling + counted
    simulation.start()
    bench.run(simulation, (idle for _ in range(4)), check)
    yield bench.row(point, "idle_cycle", parts_of(simulation, 4), simulation.netlist, 4 * STREAMS)


def crossbar(bench: Bench, point: Point) -> Iterator[Row]:
    """One row of lanes for one group a step: mask and weights change in every step."""
    measured = {}
    for columns in (FEW_COLUMNS, MANY_COLUMNS):
        own = replace(point, lanes=point.n, columns=columns)
        simulation = bench.simulation(own)
        groups = vectors(point.format).activations.reshape(STREAMS, -1, point.m)
        weights = vectors(point.format).weights(columns).reshape(STREAMS, columns, -1, point.m)
        for step in range(STEPS + 1):
            which = step % groups.shape[1]
            positions, _ = select(groups[:, which], point.n, point.format)
            mask = np.zeros((STREAMS, point.m), np.int64)
            np.put_along_axis(mask, positions, 1, axis=-1)
            routed = np.take_along_axis(weights[:, :, which], positions[:, None], axis=-1)
            ports = {"weights": pack(weights[:, :, which], point.bits)}
            if point.kind == "full":
                ports["indices"] = pack(positions, (point.m - 1).bit_length())
            else:
                ports["mask"] = pack(mask, 1)
            simulation.cycle(ports)
            operands = simulation.output("operands", point.bits)
            assert np.array_equal(operands, routed.reshape(STREAMS, -1)), own
            if step == 0:
                simulation.start()
        measured[columns] = parts_of(simulation, STEPS)
    route, decode = line(
        measured[FEW_COLUMNS], measured[MANY_COLUMNS], FEW_COLUMNS * point.n, MANY_COLUMNS * point.n
    )
    for action, parts in (("decode", decode), ("route", route)):
        yield bench.row(own, action, parts, simulation.netlist, STEPS * STREAMS)


def match_lane(bench: Bench, point: Point) -> Iterator[Row]:
    """Rounds of two groups, X at 8:16 and W at 2:4: all streams wait for the one with most."""
    own = replace(point, lanes=ROUND_GROUPS, columns=point.n)
    simulation, matches = bench.simulation(own), 0
    x = vectors(point.format).activations.reshape(STREAMS, -1, point.m)
    w = vectors(point.format).weights(1).reshape(x.shape)
    held = [held_by_lanes(x, point.n), held_by_lanes(w.reshape(STREAMS, -1, 4), 2)]
    for first in range(0, x.shape[1] - 1, ROUND_GROUPS):
        a, b = (each[:, first : first + ROUND_GROUPS].reshape(STREAMS, -1) for each in (x, w))
        start = {"load": flag(1), "groups": pack(np.full(STREAMS, ROUND_GROUPS), 2)}
        both = np.ones(a.shape, np.bool_)
        for name, (mask, values) in zip("xw", held, strict=True):
            in_round = slice(first * point.m, (first + ROUND_GROUPS) * point.m)
            both &= mask[:, in_round] > 0
            kept = slice(first * point.n, (first + ROUND_GROUPS) * point.n)
            start[f"{name}_masks"] = pack(mask[:, in_round], 1)
            start[f"{name}_values"] = pack(values[:, kept], point.bits)
        if first == ROUND_GROUPS:
            simulation.start()
            matches = 0
        simulation.cycle(start)
        simulation.cycle({"load": flag(0)})
        matches += int(both.sum())
        taken = np.zeros(STREAMS, np.int64)
        places = np.argsort(~both, axis=1, kind="stable")
        while not simulation.output("done").all():
            simulation.cycle({"load": flag(0)})
            valid = np.flatnonzero(simulation.output("valid")[:, 0])
            place = places[valid, taken[valid]]
            for port, each in (("x", a), ("w", b)):
                found = simulation.output(port, point.bits)[valid, 0]
                assert np.array_equal(found, each[valid, place]), point
            taken[valid] += 1
        assert np.array_equal(taken, both.sum(axis=1)), point
    parts = parts_of(simulation, 1)
    parts[:4] *= STREAMS / matches
    yield bench.row(own, "match", parts, simulation.netlist, matches)


def held_by_lanes(groups: Words, kept: int) -> tuple[Words, Words]:
    """Return masks `[streams, positions]` and values `[streams, kept]` of groups of int8."""
    positions, values = select(groups, kept, "int8")
    mask = np.zeros(groups.shape, np.int64)
    np.put_along_axis(mask, positions, 1, axis=-1)
    return mask.reshape(STREAMS, -1), values.reshape(STREAMS, -1)


def index_codec(bench: Bench, point: Point) -> Iterator[Row]:
    """Bitmask to indices, or back: one group a step."""
    simulation = bench.simulation(point)
    groups = vectors("int8").activations.reshape(STREAMS, -1, point.m)
    positions, _ = select(groups, point.n, "int8")
    masks = np.zeros(groups.shape, np.int64)
    np.put_along_axis(masks, positions, 1, axis=-1)
    index_bits = (point.m - 1).bit_length()
    sides = [("mask", masks, 1), ("indices", positions, index_bits)]
    (source, given, given_bits), (sink, wanted, wanted_bits) = (
        sides if point.block == "index_encoder" else sides[::-1]
    )
    for step in range(STEPS + 1):
        which = step % groups.shape[1]
        simulation.cycle({source: pack(given[:, which], given_bits)})
        assert np.array_equal(simulation.output(sink, wanted_bits), wanted[:, which]), point
        if step == 0:
            simulation.start()
    yield bench.row(
        point, "group", parts_of(simulation, STEPS), simulation.netlist, STEPS * STREAMS
    )


def operands(point: Point, *, idle: bool) -> tuple[Words, Words]:
    """Return activations and weights `[sums, streams, steps, lanes]`: 8:16, or all if N is 0."""
    lanes = point.lanes or 1
    groups = vectors(point.format).activations.reshape(STREAMS, -1, 16)
    weights = vectors(point.format).weights(3).reshape(STREAMS, 3, -1, 16)
    if point.n:
        positions, kept = select(groups, point.n, point.format)
        weights = np.take_along_axis(weights, positions[:, None], axis=-1)
        groups = kept
    b = weights.reshape(STREAMS, 3, -1)[:, :, : STEPS * lanes].transpose(1, 0, 2)
    a = groups.reshape(STREAMS, -1)[:, : STEPS * lanes]
    shape = (3, STREAMS, STEPS, lanes)
    return np.broadcast_to(a * (not idle), b.shape).reshape(shape), b.reshape(shape)


def expected(a: Words, b: Words, number_format: str) -> NDArray[np.int64]:
    """Return the bit patterns of sums of products of bit patterns `[streams, steps, lanes]`."""
    if number_format == "fp8":
        a, b = (FP8[x] for x in (a, b))
        return dot_bf16(a, b).view(np.uint32).astype(np.int64)
    if number_format == "bf16":
        a, b = ((x.astype(np.uint32) << np.uint32(16)).view(np.float32) for x in (a, b))
        return dot_bf16(a, b).view(np.uint32).astype(np.int64)
    a, b = (x.astype(np.uint8).view(np.int8) for x in (a, b))
    return dot_int8(a, b).view(np.uint32).astype(np.int64)


def products(bench: Bench, point: Point, *, idle: bool) -> tuple[Parts, Netlist]:
    """Return the energy of a step of a dot product, or of a MAC, with sums one after the other."""
    simulation = bench.simulation(replace(point, n=0, m=0))
    a, b = operands(point, idle=idle)
    wanted = [expected(a[number], b[number], point.format) for number in range(3)]
    is_mac = point.block == "mac"
    latency = 1 if is_mac else 3 + (point.lanes - 1).bit_length()
    simulation.cycle({} if is_mac else {"rst": flag(1)})
    control = {"in_valid": flag(1)} if is_mac else {"in_valid": flag(1), "rst": flag(0)}
    for cycle in range(3 * STEPS):
        number, step = divmod(cycle, STEPS)
        ports = {
            "a": pack(a[number, :, step], point.bits),
            "b": pack(b[number, :, step], point.bits),
            "in_first": flag(step == 0),
        }
        if not is_mac:
            ports["in_last"] = flag(step == STEPS - 1)
        if cycle == STEPS:
            simulation.start()
        simulation.cycle(control | ports)
        past, since = divmod(cycle - latency - STEPS + 1, STEPS)
        if past >= 0 and since == 0:
            port = "total" if is_mac else "out_value"
            assert np.array_equal(simulation.output(port, 32)[:, 0], wanted[past]), point
    return parts_of(simulation, 2 * STEPS), simulation.netlist


def mac(bench: Bench, point: Point) -> Iterator[Row]:
    """One lane, with its accumulator: real operands, then zeros in place of activations."""
    for action, idle in (("mac", False), ("mac_idle", True)):
        parts, netlist = products(bench, point, idle=idle)
        yield bench.row(point, action, parts, netlist, 2 * STEPS * STREAMS)


def dot_product(bench: Bench, point: Point) -> Iterator[Row]:
    """A lane with its share of the tree, and what is left at no lanes: accumulator and result."""
    wide = replace(point, lanes=MANY_LANES)
    for action, idle in (("mac", False), ("mac_idle", True)):
        few, _ = products(bench, replace(point, lanes=FEW_LANES), idle=idle)
        many, netlist = products(bench, wide, idle=idle)
        slope, offset = line(few, many, FEW_LANES, MANY_LANES)
        count = 2 * STEPS * STREAMS
        yield bench.row(wide, action, slope, netlist, count)
        yield bench.row(wide, action.replace("mac", "accumulate"), offset, netlist, count)
        yield bench.row(wide, action.replace("mac", "step"), many, netlist, count)


def block_dot_product(bench: Bench, point: Point) -> Iterator[Row]:
    """A lane with its share of integer adders, and what is left: scaling, fp32 sum, result."""
    few_lanes = replace(point, lanes=FEW_LANES, n=FEW_LANES)
    wide, count = replace(point, lanes=MANY_LANES), 2 * STEPS * STREAMS
    if point.n < MANY_LANES:  # several blocks, to hold the prices against
        parts, netlist = block_products(bench, wide, idle=False)
        yield bench.row(wide, "step", parts, netlist, count)
        return
    for action, idle in (("mac", False), ("mac_idle", True)):
        few, _ = block_products(bench, few_lanes, idle=idle)
        many, netlist = block_products(bench, wide, idle=idle)
        slope, offset = line(few, many, FEW_LANES, MANY_LANES)
        yield bench.row(wide, action, slope, netlist, count)
        yield bench.row(wide, action.replace("mac", "accumulate"), offset, netlist, count)
        yield bench.row(wide, action.replace("mac", "step"), many, netlist, count)


def block_operands(point: Point, *, idle: bool) -> tuple[list[Words], list[Words]]:
    """Return codes `[3 sums, streams, steps, lanes]` and scales `[…, blocks]` of X and of W."""
    source, lanes = block_vectors(point.format), point.lanes
    block = 384 // source.activations[1].shape[1]
    places = np.arange(STEPS * lanes)
    (x, x_scales), (w, w_scales) = source.activations, source.weights(3)
    codes = [np.broadcast_to(x * (not idle), (3, *x.shape)), w.transpose(1, 0, 2)]
    scales = [np.broadcast_to(x_scales, (3, *x_scales.shape)), w_scales.transpose(1, 0, 2)]
    shape = (3, STREAMS, STEPS)
    of_steps = places[:: point.n] // block  # S lanes are a part of a block, or all of it
    return (
        [each[..., places].reshape(*shape, lanes) for each in codes],
        [each[..., of_steps].reshape(*shape, lanes // point.n) for each in scales],
    )


def real_scales(codes: Words, kind: str) -> NDArray[np.float64]:
    """Return what codes of scales stand for."""
    return FP8[codes].astype(np.float64) if kind == "e4m3" else 2.0 ** (codes - 127.0)


def block_products(bench: Bench, point: Point, *, idle: bool) -> tuple[Parts, Netlist]:
    """Return the energy of a step of a dot product of fp4, with sums one after the other."""
    simulation = bench.simulation(point)
    codes, scales = block_operands(point, idle=idle)
    elements = [E2M1.decoded(each) for each in codes]
    real = [real_scales(each, point.kind) for each in scales]
    wanted = [
        dot_blocks(*(each[n] for each in (*elements, *real))).view(np.uint32) for n in range(3)
    ]
    blocks = point.lanes // point.n
    latency = 4 + (point.n - 1).bit_length() + (blocks - 1).bit_length()
    simulation.cycle({"rst": flag(1)})
    for cycle in range(3 * STEPS):
        number, step = divmod(cycle, STEPS)
        ports = {
            name: pack(each[number, :, step], 4) for name, each in zip("ab", codes, strict=True)
        }
        for name, each in zip("ab", scales, strict=True):
            ports[f"{name}_scale"] = pack(each[number, :, step], 8)
        ports |= {"in_first": flag(step == 0), "in_last": flag(step == STEPS - 1)}
        if cycle == STEPS:
            simulation.start()
        simulation.cycle(ports | {"in_valid": flag(1), "rst": flag(0)})
        past, since = divmod(cycle - latency - STEPS + 1, STEPS)
        if past >= 0 and since == 0:
            found = simulation.output("out_value", 32)[:, 0]
            assert np.array_equal(found, wanted[past].astype(np.int64)), point
    return parts_of(simulation, 2 * STEPS), simulation.netlist


def register(bench: Bench, point: Point) -> Iterator[Row]:
    """Activations written in every cycle; then held: the input stays, or the enable is off."""
    simulation = bench.simulation(point)
    values = vectors("int8").activations
    for action, enable in (("write", 1), ("hold", 0)):
        for cycle in range(20):
            data = {"d": pack(values[:, cycle if enable or point.kind == "enable" else 0], 8)}
            before = simulation.output("q", 8)
            simulation.cycle(data | {"enable": flag(enable)})
            if not enable and cycle > 2:
                assert np.array_equal(simulation.output("q", 8), before)
            if cycle == 3:
                simulation.start()
        parts = parts_of(simulation, 16)
        yield bench.row(point, action, parts, simulation.netlist, 16 * STREAMS)


BLOCKS: dict[str, Callable[[Bench, Point], Iterator[Row]]] = {
    "selector": selector,
    "crossbar": crossbar,
    "match_lane": match_lane,
    "index_encoder": index_codec,
    "index_decoder": index_codec,
    "mac": mac,
    "dot_product": dot_product,
    "block_dot_product": block_dot_product,
    "register": register,
}


def blocks_of_fp4() -> list[Point]:
    """Return dot products with scales of blocks: one block of 16 lanes, and two of 8."""
    return [
        Point("block_dot_product", kind, n=shared, bits=4, float=1)
        for kind in ("e4m3", "e8m0")
        for shared in (MANY_LANES // 2, MANY_LANES)
    ]


def points(library: str) -> list[Point]:
    """Return what is measured: 8 bits everywhere, bf16 where energy is needed for the model."""
    result = [Point("register", kind, bits=8) for kind in ("plain", "enable")]
    for n, m in ((0, 0), (8, 16)):  # dense, and what 8:16 keeps
        for block in ("mac", "dot_product"):
            for bits, is_float in ((8, 0), (8, 1), (16, 1)):
                result.append(Point(block, n=n, m=m, bits=bits, float=is_float))
    result += blocks_of_fp4() if library == "nangate45" else []
    result += [Point("match_lane", n=8, m=16, bits=8)] if library == "nangate45" else []
    for n, m in FEW_PATTERNS if library == "nangate45" else ((8, 16),):
        result += [Point(block, n=n, m=m) for block in ("index_encoder", "index_decoder")]
        for bits in (8, 16) if (n, m) == (8, 16) and library == "nangate45" else (8,):
            result += selection("selector", n, m, bits)
            result += [
                Point("crossbar", kind, n, m, bits, float=int(bits == 16)) for kind in CROSSBARS
            ]
    return result


# --- run ------------------------------------------------------------------------------------------
Key = tuple[str, ...]
KEY = ("block", "kind", "n", "m", "bits", "float", "pipelined", "delay_model")


@dataclass(frozen=True)
class Task:
    """A module to measure."""

    point: Point
    delay_model: str

    @property
    def key(self) -> Key:
        """Return what its rows have in common."""
        own = asdict(self.point) | {"delay_model": self.delay_model}
        return tuple(str(own[name]) for name in KEY)

    @property
    def rtl_sha256(self) -> str:
        """Return the hash of its sources."""
        return sources_sha256(self.point.folder, self.point.top)


def tasks(library: str) -> list[Task]:
    """Return everything that a table holds."""
    return [
        *(Task(point, "zero") for point in points(library)),
        *(Task(point, "cell") for point in GLITCHES),
        *(Task(point, "unit") for point in UNIT_DELAY),
    ]


class Table:
    """The table on disk, by task."""

    def __init__(self, library: str, library_sha256: str) -> None:
        self.path = DATA / f"energy_{library}.csv"
        self.library = library
        self.library_sha256 = library_sha256
        self.order = [task.key for task in tasks(library)]
        self.rows: dict[Key, list[dict[str, str]]] = defaultdict(list)
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            for row in csv.DictReader(line for line in lines if not line.startswith("#")):
                self.rows[tuple(row[name] for name in KEY)].append(row)

    def has(self, task: Task) -> bool:
        """Tell whether a task was done with these sources and this library."""
        wanted = {"rtl_sha256": task.rtl_sha256, "library_sha256": self.library_sha256}
        rows = self.rows.get(task.key, [])
        return bool(rows) and all(row.items() >= wanted.items() for row in rows)

    def add(self, task: Task, rows: list[Row]) -> None:
        """Add the rows of a task."""
        self.rows[task.key] = [{k: str(v) for k, v in asdict(row).items()} for row in rows]
        with replacing(self.path) as path, path.open("w", encoding="utf-8", newline="") as file:
            file.write(
                "# Energy of actions of our RTL, from toggles of gate-level simulation; no wires, "
                "clock tree, clock gating.\n"
                f"# Made {datetime.datetime.now(datetime.UTC):%Y-%m-%d} by: python "
                f"experiments/area_calibration/power.py --library {self.library}\n"
                "# Operands: activations and weights of llama-docs-16m. What the columns mean: "
                "experiments/area_calibration/README.md\n"
            )
            names = [field.name for field in fields(Row)]
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for key in self.order for row in self.rows.get(key, []))


_open = ExitStack()  # of a worker process: its library
_kit: list[Kitted] = []


def _start_worker(library: str, liberty: Path | None) -> None:
    _kit.append(_open.enter_context(kitted(library, liberty)))


def _measure(task: Task) -> list[Row]:
    bench = Bench(_kit[0], task.delay_model, task.rtl_sha256)
    return list(BLOCKS[task.point.block](bench, task.point))


def main() -> None:
    """Measure all blocks of one library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=KITS, required=True)
    parser.add_argument("--liberty", type=Path, help="this file instead of the one in ../shared")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="blocks that begin like this")
    arguments = parser.parse_args()
    library, liberty = arguments.library, arguments.liberty
    with kitted(library, liberty) as kit:
        table = Table(library, kit.library.sha256)
    start = (library, liberty)
    with ProcessPoolExecutor(arguments.jobs, initializer=_start_worker, initargs=start) as pool:
        waiting = {
            pool.submit(_measure, task): task
            for task in tasks(library)
            if task.point.block.startswith(arguments.only) and not table.has(task)
        }
        for done, future in enumerate(as_completed(waiting), 1):
            task, error = waiting[future], future.exception()
            if error is None:
                table.add(task, future.result())
                result = ", ".join(f"{row.action} {row.energy_pj} pJ" for row in future.result())
            else:
                result = f"FAILED: {error}"
            print(f"{done}/{len(waiting)} {task.delay_model} {task.point}: {result}", flush=True)


if __name__ == "__main__":
    main()

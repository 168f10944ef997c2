"""A whole chain of layers as one network: what the windows of its links must add up to.

Nothing of `accelsim.dataflows.seams` is used. The links are put behind each other job by job; what
belongs to a link waits for the end of the link before, its first loads of weights apart.
"""

from pathlib import Path

import numpy as np

from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine import Network, Requests, Room, Stage
from accelsim.mapping.tiling import store_lag
from accelsim.testing.traces import Drawn
from accelsim.trace import Linear, Trace
from accelsim.trace.record import InputInfo, TraceMeta

END = "end"


def block_trace(shapes, *, blocks=2, lengths=(8,), kinds=True):
    """Return a trace of blocks of seven layers; shapes: widths of the model, of k and v, of up."""
    model, narrow, wide = shapes
    layers = {
        "q_proj": ("h", model, model),
        "k_proj": ("h", model, narrow),
        "v_proj": ("h", model, narrow),
        "o_proj": ("a", model, model),
        "gate_proj": ("g", model, wide),
        "up_proj": ("g", model, wide),
        "down_proj": ("d", wide, model),
    }
    linears = tuple(
        Linear(
            name=f"model.layers.{block}.{kind if kinds else i}.{kind if kinds else 'x'}",
            input=f"{block}.{key}",
            in_features=rows,
            out_features=columns,
        )
        for block in range(blocks)
        for i, (kind, (key, rows, columns)) in enumerate(layers.items())
    )
    return _trace(linears, lengths)


def trace_of_kinds(kinds, shapes, *, lengths=(8,)):
    """Return a trace of layers of one block, each with an input of its own."""
    linears = tuple(
        Linear(name=f"layers.0.{kind}", input=kind, in_features=rows, out_features=columns)
        for kind, (rows, columns) in zip(kinds, shapes, strict=True)
    )
    return _trace(linears, lengths)


def _trace(linears, lengths):
    inputs = {linear.input: InputInfo(dtype="int8") for linear in linears}
    meta = TraceMeta(model="drawn", sequence_lengths=lengths, linears=linears, inputs=inputs)
    return Trace(Path("drawn.npz"), "0" * 64, meta, Drawn(meta))


def whole_network(tiles, ahead, works=None):
    """Return the network of all products one after the other, and the jobs of each.

    Args:
        tiles: the products, all with the same stages, tables apart.
        ahead: of each, how many of its first loads of weights stand in the program of the one
            before.
        works: of each, what it does; default: every row of W is fetched.
    """
    whole = _Whole(tiles, works or [tiled.work() for tiled in tiles], ahead)
    stages = [whole.stage(variant) for variant in whole.variants]
    zeros = np.zeros(whole.starts[-1], np.int64)
    stages.append(Stage(END, zeros, inputs=tuple(stage.name for stage in stages)))
    names = dict.fromkeys(name for network in whole.alone for name in network.order)
    return Network(tuple(stages), {name: whole.order(name) for name in names}), whole.jobs


def ends_of(times, jobs):
    """Return the cycle in which each link is over."""
    return times.stages[END].finish[np.cumsum(jobs) - 1]


class _Whole:
    """The links by themselves, and where they begin in the whole."""

    def __init__(self, tiles, works, ahead):
        self.tiles, self.works = tiles, works
        self.alone = [
            build_pipeline(tiled.machine, work).network
            for tiled, work in zip(tiles, works, strict=True)
        ]
        self.jobs = [len(work.jobs) for work in works]
        self.starts = np.cumsum([0, *self.jobs])
        self.ahead = [*ahead, 0]
        self.variants = {}  # the links that have a stage, by name, resource and latency
        for at, network in enumerate(self.alone):
            for stage in network.stages:
                self.variants.setdefault(_variant(stage), {})[at] = stage

    def variant(self, at, name):
        """Return what a stage of a link is called in the whole."""
        return next(v for v, of in self.variants.items() if at in of and of[at].name == name)

    def stage(self, variant):
        """Return a stage over all links; where a link lacks it, it has no work."""
        of_links = self.variants[variant]
        busy, inputs, rooms = np.zeros(self.starts[-1], np.int64), {}, {}
        for at, stage in of_links.items():
            busy[self.starts[at] : self.starts[at + 1]] = stage.busy
            inputs |= dict.fromkeys(
                v for v, of in self.variants.items() for s in of.values() if s.name in stage.inputs
            )
            for consumer, buffer, job, frees in self.waits(at, stage):
                key = consumer, buffer
                rooms.setdefault(key, np.full(self.starts[-1], -1))[job] = frees
        stage = next(iter(of_links.values()))
        rooms = tuple(Room(consumer, frees, buffer) for (consumer, buffer), frees in rooms.items())
        return Stage(variant, busy, tuple(inputs), rooms, stage.latency, stage.resource)

    def waits(self, at, stage):
        """Yield consumer, buffer, job and the job that it waits for: room, and the seams."""
        begin = self.starts[at]
        for room in stage.rooms:
            for job in np.flatnonzero(room.frees >= 0).tolist():
                consumer = self.variant(at, room.consumer)
                yield consumer, room.buffer, begin + job, begin + room.frees[job]
        if at:
            yield from self.seam_waits(at, stage)

    def seam_waits(self, at, stage):
        """Yield the same of the seam before a link: all of it waits, but first loads of weights."""
        loads, begin, before = np.flatnonzero(stage.busy), self.starts[at], self.starts[at - 1]
        ahead = self.ahead[at] if stage.name == "weight_dma" else 0
        for k in range(ahead):
            last = _last_in_the_way(*self.works[at - 1 : at + 1], self.tiles[at], k)
            if last >= 0:
                yield self.variant(at - 1, "compute"), "weights", begin + loads[k], before + last
        if ahead and at > 1:  # no more than one layer ahead
            yield END, "begin of the layer before", begin + loads[0], before - 1
        if not ahead or ahead < len(loads):
            yield END, "the layer before", begin + (loads[ahead] if ahead else 0), begin - 1

    def order(self, name):
        """Return the requests of all links: of each its own, with first loads of the next."""
        pairs = []
        for at, network in enumerate(self.alone):
            own = [(at, *request) for request in network.order.get(name, ())]
            made = np.flatnonzero(self.loading(at).busy)[: self.ahead[at]]
            own = [(i, s, job) for i, s, job in own if s != "weight_dma" or job not in made]
            if self.ahead[at + 1] and self.loading(at + 1).resource == name:
                self.insert(at, own)
            for link, stage, job in own:
                pairs.append((self.variant(link, stage), int(self.starts[link] + job)))
        return Requests.of(pairs)

    def insert(self, at, own):
        """Put first loads of the next link before the stores that lag so far, behind all loads."""
        lag = _lag(self.tiles[at], self.works[at])
        loads = np.flatnonzero(self.loading(at + 1).busy)[: self.ahead[at + 1]]
        for k, job in enumerate(loads.tolist()):
            turn = self.jobs[at] + k
            place = len(own)
            while place and own[place - 1][1] == "output_dma" and own[place - 1][2] + lag >= turn:
                place -= 1
            own.insert(place, (at + 1, "weight_dma", job))

    def loading(self, at):
        """Return the stage of a link that loads weights."""
        return next(stage for stage in self.alone[at].stages if stage.name == "weight_dma")


def _variant(stage):
    """A stage that moves nothing over its resource is another one: another resource and latency."""
    return f"{stage.name} {stage.resource} {stage.latency}"


def _last_in_the_way(work, behind, tiled, k):
    """Return the first job of a layer after which load k of the next one has room; -1: at once."""
    store = tiled.machine.stores.weights
    fills = np.flatnonzero(work.jobs.loads_weights)
    uses = {}  # of each fill, its last use
    now = {}
    for job, tile in enumerate(work.jobs.weight_tile.tolist()):
        if job in fills:
            now[tile] = job
        uses[now[tile]] = job
    size, next_size = work.tile_bytes.weights, behind.tile_bytes.weights
    for job in range(-1, len(work.jobs)):
        there = sum(last > job for last in uses.values())
        fits = there * size + (k + 1) * next_size <= store.capacity_bytes
        if fits and (store.double_buffered or not there):
            return job
    raise AssertionError("never")


def most_ahead(tiled, behind):
    """Return how many first loads of a product may be made before the end of the one before."""
    if tiled.gathers or behind.gathers:
        return 0
    work = behind.work()
    loads = np.count_nonzero(work.weight_bytes)
    slots = behind.machine.stores.weights.slots(work.tile_bytes.weights)
    if "y" in tiled.on_chip:
        return min(slots, loads)
    return min(_lag(tiled, tiled.work()), max(1, slots - 1), loads)


def _lag(tiled, work):
    return store_lag(work.tiling, work.gemm, work.path, tiled.machine.stores)

"""A whole chain of layers as one network: what the windows of its links must add up to.

Nothing of `accelsim.dataflows.seams` is used. The links are put behind each other job by job; what
belongs to a link waits for the end of the link before, its first loads of weights apart.
"""

from pathlib import Path

import numpy as np

from accelsim.dataflows.pipeline import build_pipeline, present_stages
from accelsim.engine import Network, Requests, Room, Stage
from accelsim.mapping.tiling import store_lag
from accelsim.run.chain import Walk
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
    inputs = {linear.input: InputInfo(dtype="int8") for linear in linears}
    meta = TraceMeta(model="drawn", sequence_lengths=lengths, linears=linears, inputs=inputs)
    return Trace(Path("drawn.npz"), "0" * 64, meta, Drawn(meta))


def links_of(runner, trace, steps):
    """Return the product of each link on a machine."""
    return [link.tiled for link in Walk(runner, trace, steps).chain.links]


def whole_network(tiles, works=None):
    """Return the network of all products one after the other, and the jobs of each.

    Args:
        tiles: the products, all with the same stages, tables apart.
        works: of each, what it does; default: every row of W is fetched.
    """
    works = works or [tiled.work() for tiled in tiles]
    alone = [build_pipeline(t.machine, w).network for t, w in zip(tiles, works, strict=True)]
    jobs = [len(work.jobs) for work in works]
    starts = np.cumsum([0, *jobs])
    parts = {}
    for at, network in enumerate(alone):
        for stage in network.stages:
            parts.setdefault(_variant(stage), {})[at] = stage
    ahead = [0, *(_ahead(*pair) for pair in zip(tiles, tiles[1:], strict=False))]
    stages = [_stage(key, parts, starts, works, tiles, ahead) for key in parts]
    zeros = np.zeros(starts[-1], np.int64)
    stages.append(Stage(END, zeros, inputs=tuple(stage.name for stage in stages)))
    orders = {}
    for name in dict.fromkeys(name for network in alone for name in network.order):
        orders[name] = Requests.of(_order(name, alone, starts, works, tiles, ahead))
    return Network(tuple(stages), orders), jobs


def _variant(stage):
    """A stage that moves nothing over its resource is another one: another resource and latency."""
    return f"{stage.name} {stage.resource} {stage.latency}"


def _stage(key, parts, starts, works, tiles, ahead):
    busy = np.zeros(starts[-1], np.int64)
    inputs, rooms = [], {}
    for at, stage in parts[key].items():
        inside = slice(starts[at], starts[at + 1])
        busy[inside] = stage.busy
        inputs += [k for k, of in parts.items() for s in of.values() if s.name in stage.inputs]
        for room in stage.rooms:
            consumer = next(k for k, of in parts.items() if at in of and of[at].name == room.consumer)
            frees = rooms.setdefault((consumer, room.buffer), np.full(starts[-1], -1))
            frees[inside] = np.where(room.frees < 0, -1, room.frees + starts[at])
        loads = np.flatnonzero(stage.busy)
        is_ahead = stage.name == "weight_dma" and ahead[at]
        first = loads[ahead[at]] if is_ahead and len(loads) > ahead[at] else 0
        gate = rooms.setdefault((END, "the layer before"), np.full(starts[-1], -1))
        if at and not (is_ahead and len(loads) <= ahead[at]):
            gate[starts[at] + first] = starts[at] - 1
        if is_ahead and at > 1:  # no more than one layer ahead
            gate[starts[at] + loads[0]] = starts[at - 1] - 1
        if is_ahead:
            reader = next(
                k for k, of in parts.items() if at - 1 in of and of[at - 1].name == "compute"
            )
            frees = rooms.setdefault((reader, "weights"), np.full(starts[-1], -1))
            for k in range(ahead[at]):
                wait = _last_in_the_way(works[at - 1], works[at], tiles[at], k)
                frees[starts[at] + loads[k]] = wait + starts[at - 1] if wait >= 0 else -1
    stage = next(iter(parts[key].values()))
    return Stage(
        key,
        busy,
        inputs=tuple(dict.fromkeys(inputs)),
        rooms=tuple(Room(consumer, frees, name) for (consumer, name), frees in rooms.items()),
        latency=stage.latency,
        resource=stage.resource,
    )


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


def _ahead(tiled, behind):
    """Return how many first loads of a product are made before the end of the one before."""
    if tiled.gathers or behind.gathers:
        return 0
    work = behind.work()
    loads = np.count_nonzero(work.weight_bytes)
    slots = behind.machine.stores.weights.slots(work.tile_bytes.weights)
    if "y" in tiled.on_chip:
        return min(slots, loads)
    return min(_lag(tiled, tiled.work()), max(1, slots - 1), loads)


def _lag(tiled, work):
    waiting = any(s.stream and s.after and s.stream.operand == "w" for s in _present(tiled, work))
    return waiting + store_lag(work.tiling, work.gemm, work.path, tiled.machine.stores)


def _present(tiled, work):
    return present_stages(tiled.machine, work)


def _order(name, alone, starts, works, tiles, ahead):
    """Return the requests of all links: of each its own, with first loads of the next between."""
    pairs = []
    for at, network in enumerate(alone):
        stages = {stage.name: stage for stage in network.stages}
        lag = _lag(tiles[at], works[at])
        keyed = []
        for stage, job in network.order.get(name, ()):
            loads = np.flatnonzero(stages[stage].busy)
            if stage == "weight_dma" and job in loads[: ahead[at]]:
                continue  # made before
            is_store = stage == "output_dma"
            keyed.append(((job + lag if is_store else -1), is_store, len(keyed), stage, job, at))
        if at + 1 < len(alone) and ahead[at + 1]:
            stage = next(s for s in alone[at + 1].stages if s.name == "weight_dma")
            if stage.resource == name:
                for k, job in enumerate(np.flatnonzero(stage.busy)[: ahead[at + 1]].tolist()):
                    keyed.append((len(works[at].jobs) + k, False, 10**9, stage.name, job, at + 1))
        # Own requests keep their order; a load ahead goes before the first store that lags so far.
        own = [entry for entry in keyed if entry[5] == at]
        for entry in (entry for entry in keyed if entry[5] != at):
            place = next(
                (i for i, other in enumerate(own) if other[1] and other[0] >= entry[0]), len(own)
            )
            last_load = max((i for i, other in enumerate(own) if not other[1]), default=-1)
            own.insert(max(place, last_load + 1), entry)
        for *_, stage, job, link in own:
            variant = next(s for s in alone[link].stages if s.name == stage)
            pairs.append((_variant(variant), int(starts[link] + job)))
    return pairs


def ends_of(times, jobs):
    """Return the cycle in which each link is over."""
    return times.stages[END].finish[np.cumsum(jobs) - 1]



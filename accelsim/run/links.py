"""The links of a chain: layers of a trace as the products that a machine runs one after the other.

Layers that read the same input are one link; an output that fits stays on chip for its consumer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Self

from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.seams import first_loads
from accelsim.mapping import Gemm
from accelsim.mapping.tiling import Reuse, Store, TileBytes, dram_bytes
from accelsim.planning import Planner
from accelsim.run.layers import TiledProduct, naming
from accelsim.sparsity.policy import Method
from accelsim.trace import Linear, Trace
from accelsim.trace.places import block_of

FEEDS = {
    "o_proj": ("gate_proj", "up_proj"),
    "gate_proj": ("down_proj",),
    "up_proj": ("down_proj",),
    "down_proj": ("q_proj", "k_proj", "v_proj"),
}
"""By kinds of layers: whose input is made of whose output token by token.

Between them stand the addition to the residual stream, a normalisation, or the product of gate and
up. What q, k and v feed is the attention, which is not modelled and needs the tokens before.
"""


Products = tuple[TiledProduct, ...]
_LITTLE_MORE = 1.01  # off chip, as for tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Layers that run as one product.

    Attributes:
        linears: the layers; several read the same input.
        method: how they are pruned.
        tiled: their product, all columns side by side; None where a layer has to run by itself.
    """

    linears: tuple[Linear, ...]
    method: Method
    tiled: TiledProduct | None

    @property
    def columns(self) -> tuple[int, ...]:
        """Outputs of each layer."""
        return tuple(linear.out_features for linear in self.linears)

    @property
    def as_one(self) -> Linear:
        """The layers as one, named after all of them."""
        first, *others = self.linears
        names = [first.name, *(other.name.rsplit(".", 1)[-1] for other in others)]
        update = {"name": " + ".join(names), "out_features": sum(self.columns)}
        return first.model_copy(update=update)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a trace is on a machine, link after link.

    Attributes:
        links: in the order of the trace.
        kinds_are_known: whether names of layers tell what is made of what.
    """

    links: tuple[Link, ...]
    kinds_are_known: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """How the layers of a trace run on a machine.

    Attributes:
        arch: the machine.
        machines: it as each method sets it.
        methods: how each layer is pruned, by its name.
        batch: sequences of a decode step; None is prefill.
        planner: finds tiles.
        cycles: returns what a product takes by itself, every row of W fetched.
    """

    arch: Architecture
    machines: dict[Method, LayerMachine]
    methods: dict[str, Method]
    batch: int | None
    planner: Planner
    cycles: Callable[[TiledProduct], int]


def chain_of(trace: Trace, setting: Setting) -> Chain:
    """Return the links of a trace on a machine."""
    links: list[Link] = []
    known: dict[Hashable, Products] = {}  # blocks are alike
    for _, group in groupby(trace.linears, lambda x: (x.input, setting.methods[x.name])):
        before = links[-1].tiled if links else None
        links += _links(tuple(group), trace, setting, known, before)
    kinds_are_known = any(linear.kind in FEEDS for linear in trace.linears)
    return Chain(links=tuple(_staying(links, trace.linears)), kinds_are_known=kinds_are_known)


def _links(
    linears: tuple[Linear, ...],
    trace: Trace,
    setting: Setting,
    known: dict[Hashable, Products],
    before: TiledProduct | None,
) -> Iterator[Link]:
    """Yield layers with one input and method as one link where that pays, or each as its own."""
    method = setting.methods[linears[0].name]
    rows = trace.meta.rows(linears[0].input)
    is_partial = setting.batch is not None and rows != trace.tokens
    machine, is_decode = setting.machines[method], setting.batch is not None
    is_matched = machine.packs_in(is_decode=is_decode) is not None  # with masks of each layer
    if method.demands.rank or is_partial or is_matched:  # products of its own, or steps of its own
        yield from (Link(linears=(one,), method=method, tiled=None) for one in linears)
        return
    tokens = rows if setting.batch is None else setting.batch
    columns = tuple(x.out_features for x in linears)
    key = method, tokens, linears[0].in_features, columns, _split_of(before)
    if key not in known:
        known[key] = _products(linears, method, tokens, setting, before)
    products = known[key]
    groups = [linears] if len(products) == 1 else [(one,) for one in linears]
    for group, tiled in zip(groups, products, strict=True):
        yield Link(linears=group, method=method, tiled=tiled)


def _products(
    linears: tuple[Linear, ...],
    method: Method,
    tokens: int,
    setting: Setting,
    before: TiledProduct | None,
) -> Products:
    """Return layers with one input as one product where that pays, else each as its own.

    It does not where tiles of one layer stay in the weight buffer, and those of all do not.
    """
    alone: Products = ()
    for one in linears:
        latest = alone[-1] if alone else before
        alone = (*alone, _product((one,), method, tokens, setting, latest))
    has_column_table = method.demands.epilogue in ("add", "axpy")  # of the outputs of one layer
    if len(linears) == 1 or has_column_table:
        return alone
    joined = _product(linears, method, tokens, setting, before)
    with naming(setting.arch, linears[0]):
        pays = setting.cycles(joined) <= sum(map(setting.cycles, alone))
    return (joined,) if pays else alone


def _product(
    linears: tuple[Linear, ...],
    method: Method,
    tokens: int,
    setting: Setting,
    before: TiledProduct | None,
) -> TiledProduct:
    """Return layers with one input as one product.

    A memory that X and W share stays split as for the product before, unless another split moves
    less off chip, or saves more cycles than the first load of weights takes: about what a seam
    saves where no macro changes hands.
    """
    machine, width = setting.machines[method], linears[0].in_features
    gemm = Gemm(tokens, width, sum(linear.out_features for linear in linears))

    def on(machine: LayerMachine) -> TiledProduct:
        return TiledProduct.of(
            machine,
            gemm,
            kept_per_token=machine.products_per_output(method.pattern, width),
            is_decode=setting.batch is not None,
            planner=setting.planner,
        )

    with naming(setting.arch, linears[0]):
        free = on(machine)
        if before is None or _split_of(free) == _split_of(before):
            return free
        for same in machine.splits:
            if same.stores.of_x_and_w == _split_of(before) and same.has_room(gemm):
                kept = on(same)
                saved = setting.cycles(kept) - setting.cycles(free)
                moves_more = _dram_bytes(kept) > _LITTLE_MORE * _dram_bytes(free)
                return free if moves_more or saved > _first_load_cycles(free) else kept
    return free


def _split_of(tiled: TiledProduct | None) -> tuple[Store, Store] | None:
    """Return the buffers of X and W as a product finds them; None if there is no product."""
    return None if tiled is None else tiled.machine.stores.of_x_and_w


def _dram_bytes(tiled: TiledProduct) -> int:
    """Return what a product moves off chip by itself."""
    machine, gemm = tiled.machine, tiled.gemm
    reuse = Reuse.of(tiled.tiling, gemm, machine.path, machine.stores)
    return dram_bytes(gemm, machine.path, reuse)


def _first_load_cycles(tiled: TiledProduct) -> int:
    """Return the cycles from the request of the first tile of weights until it is there."""
    machine = tiled.machine
    found = first_loads(machine, tiled.work(min(tiled.outer_tiles, 2)), 1)
    loading = max((row[0] for row in found.ahead_cycles), default=0)
    return loading + machine.units[machine.diagram.resource_of("w")].latency_cycles(machine.path)


def _staying(links: Sequence[Link], linears: Sequence[Linear]) -> Iterator[Link]:
    """Yield the links, with what stays on chip between them."""
    names = _Names.of(linears)
    inside = [names.feeds(*pair) and _has_room(*pair) for pair in pairwise(links)]
    for link, before, behind in zip(links, [False, *inside], [*inside, False], strict=True):
        on_chip = {operand for operand, there in (("x", before), ("y", behind)) if there}
        tiled = link.tiled and replace(link.tiled, on_chip=frozenset(on_chip))
        yield replace(link, tiled=tiled)


def _has_room(link: Link, consumer: Link) -> bool:
    """Whether all of the input of a link fits beside what the one before needs of its buffer."""
    here, there = link.tiled, consumer.tiled
    if here is None or there is None or here.gemm.tokens != there.gemm.tokens:
        return False
    if consumer.method.demands.statistics:  # reads its input twice, the first time as a table
        return False
    if here.spills or there.spills:  # partial sums go to DRAM and back as Y does, and with X
        return False
    if here.machine.stores.of_x_and_w != there.machine.stores.of_x_and_w:
        return False  # of a shared memory, macros change hands
    store = there.machine.stores.activations
    own_tiles, own_bytes = _input(here)
    tiles, tile_bytes = _input(there)
    own_slots = min(own_tiles, store.slots(own_bytes))
    return (
        tiles <= store.slots(tile_bytes)
        and own_slots * own_bytes + tiles * tile_bytes <= store.capacity_bytes
    )


def _input(tiled: TiledProduct) -> tuple[int, int]:
    """Return the tiles of the input of a product, and the bytes that each takes."""
    token_tiles, _, reduction_tiles = tiled.tiling.counts(tiled.gemm)
    size = TileBytes.of(tiled.tiling, tiled.gemm, tiled.machine.path)
    return token_tiles * reduction_tiles, size.activations


@dataclass(frozen=True, slots=True)
class _Names:
    """What the names and widths of layers tell.

    Attributes:
        counts: layers of each block and kind.
        readers: layers that read each input.
    """

    counts: Counter[tuple[str, str]]
    readers: Counter[str]

    @classmethod
    def of(cls, linears: Sequence[Linear]) -> Self:
        return cls(Counter(map(_place, linears)), Counter(linear.input for linear in linears))

    def feeds(self, link: Link, consumer: Link) -> bool:
        """Whether a link makes all of the input of the next one, and for nobody else.

        Each kind must be there once in its block: the output of an expert is only a part of what
        comes next.
        """
        width, (block, kind) = consumer.linears[0].in_features, _place(consumer.linears[0])
        own_block = _place(link.linears[0])[0]
        feeding = {k for b, k in self.counts if b == own_block and kind in FEEDS.get(k, ())}
        return (
            {linear.kind for linear in link.linears} == feeding
            and (block == own_block) != ("down_proj" in feeding)
            and self.readers[consumer.linears[0].input] == len(consumer.linears)
            and all(linear.out_features == width for linear in link.linears)
            and all(self.counts[_place(x)] == 1 for x in (*link.linears, *consumer.linears))
        )


def _place(linear: Linear) -> tuple[str, str]:
    """Return block and kind of a layer, as far as its own name tells them."""
    return block_of(linear.name), linear.kind

"""Small machines and workloads: an architecture file with changed values, a layer with random X."""

from functools import lru_cache
from pathlib import Path

from accelsim.config import load_arch
from accelsim.config.sections import TilingChoice
from accelsim.run.layers import TiledProduct, layer_gemm
from accelsim.run.runner import Runner
from accelsim.run.simulation import selections
from accelsim.selection.decode import decode_batches
from accelsim.testing.traces import trace_of

ROOT = Path(__file__).parents[2]
OTHERS = {
    "dstc", "dual24_816", "highlight", "highlight_x", "nm48_fp4", "nvidia24", "s2ta", "sharq",
    "twell", "weights1632", "weights816",
}  # fmt: skip
"""Shipped machines with sparse weights, or scales beside values, which have tests of their own."""
ROW_GATHER = ["qsparse", "teal", "teal_w4"]
"""Shipped machines that gather rows in decode, with tests of their own."""
ARCHITECTURES = sorted(
    {path.stem for path in (ROOT / "arch_configs").glob("*.yaml")} - {*OTHERS, *ROW_GATHER}
)
SHIPPED_TRACE = ROOT / "traces" / "llama.npz"


def load(name, changes=None):
    """Load a shipped architecture, `changes` (dotted key → value) written over it.

    Tiles are those of the estimate: the search for better ones takes longer than most tests, and
    has tests of its own in `tests/planning`.
    """
    changes = {"tiling": "quick"} | (changes or {})
    overrides = tuple(f"{key}={value}" for key, value in changes.items())
    return _load(name, overrides)


@lru_cache(maxsize=512)
def _load(name, overrides):
    return load_arch(ROOT / "arch_configs" / f"{name}.yaml", overrides)


def cramped(name):
    """Load a shipped architecture with buffers so small that layers take many tiles."""
    sizes = {"activations": 1, "weights": 4, "outputs": 2}
    if load(name).buffers.compressed is not None:
        sizes["compressed"] = 1
    return load(name, {f"buffers.{buffer}.capacity_kib": size for buffer, size in sizes.items()})


def machine_for(pattern, changes=None):
    """Load the dense or the 8:16 machine with another pattern; 64 activations a cycle selected."""
    if pattern == "dense":
        return load("dense", changes)
    group = int(pattern.split(":")[1])
    chosen = {"pattern": pattern, "selector.instances": max(1, 64 // group)}
    return load("nm816", chosen | (changes or {}))


def changed(arch, changes):
    """Return `arch` with parameters replaced (dotted key → value); quick, and not validated."""
    for key, value in changes.items():
        arch = _replaced(arch, key.split("."), value)
    return arch


def tile(tokens, reduction, columns, order="tokens_outer"):
    """Return a tile set by hand, the value of `tiling`."""
    return TilingChoice(tokens=tokens, reduction=reduction, columns=columns, order=order)


def _replaced(model, path, value):
    head, *rest = path
    inner = _replaced(getattr(model, head), rest, value) if rest else value
    return model.model_copy(update={head: inner})


def layer_runs(arch, shape, *, batch=None, lengths=None, values=None):
    """Run one layer (tokens, in_features, out_features); return [(work, run)], one a step.

    Prices are left out, so this is quick and knows nothing of technology.
    """
    tokens, in_features, out_features = shape
    arrays = {} if values is None else {"layers.0.x": values}
    trace = trace_of([(in_features, out_features)], lengths=lengths or (tokens,), arrays=arrays)
    runner = Runner(arch)
    return [(work, runner.run(work)) for work in works_of(arch, trace, batch=batch)]


def gemm_of(arch, linear, selection, steps):
    """Return the product of a layer on a machine."""
    return layer_gemm(arch.running(), linear.contraction, selection, steps)


def works_of(arch, trace, *, batch=None, layer=0):
    """Return the work of a layer of a trace, one entry a decode step, in order of time."""
    chosen = list(selections([arch], trace, with_masks=batch is not None))
    linear, (selection,) = chosen[layer]
    steps = None if batch is None else decode_batches(trace.meta.sequence_lengths, batch)
    gemm, is_decode = (
        gemm_of(arch, linear, selection, steps),
        steps is not None,
    )
    tiled = TiledProduct.of(arch.running(), gemm, is_decode=is_decode)
    return list(tiled.works(selection, steps, one_by_one=True))


def cycles_of(arch, shape, *, batch=None):
    """Return the cycles of one layer, all decode steps together."""
    return sum(run.times.cycles for _, run in layer_runs(arch, shape, batch=batch))


SELECTING = [name for name in ARCHITECTURES if load(name).selector is not None]
"""Shipped machines that have a selector."""

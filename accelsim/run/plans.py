"""What the search for tiles found for the layers of a trace, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.base.cache import DiskCache
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm, Ints, Tiling
from accelsim.mapping.tiling import Reuse
from accelsim.planning import plan
from accelsim.run.chain import Walk
from accelsim.run.following import Layers
from accelsim.run.layers import naming
from accelsim.run.links import Link
from accelsim.run.runner import Runner
from accelsim.run.simulation import layer_runs
from accelsim.sparsity.policy import Policy
from accelsim.trace import Linear, Trace


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """The search for the tile of a product: of a layer, of several in one, or of a decode step.

    Attributes:
        kind: of the layers, `q+k+v_proj`.
        gemm: the product.
        over_bound: cycles beyond what is proven of the chosen tiling, as a share.
        bound_by: the stage, resource or buffer that this bound comes from.
        left: cycles that another tiling could save at most, as a share: what is not proven.
        x_share: share of the memory of X and W that is X's, where they share one; else None.
        stays: operands that are brought on chip once: `X W`; `Y out` if partial sums do not stay.
        on_chip: operands that do not move over DRAM at all, since a neighbour has them: `X Y`.
        runner_up: the best tiling of another kind that was run, if there is one.
        slower: its cycles beyond those of the chosen one, as a share; 0 where it moves more.
    """

    kind: str
    gemm: Gemm
    over_bound: float
    bound_by: str
    left: float
    x_share: float | None
    stays: str
    on_chip: str
    runner_up: Tiling | None
    slower: float


def layer_plans(  # noqa: PLR0913, PLR0917
    arch: Architecture,
    trace: Trace,
    policy: Policy | None,
    steps: Ints | None,
    layers: Layers,
    cache: DiskCache | None = None,
) -> Iterator[LayerPlan]:
    """Search for the tile of each distinct product of a trace, and tell what was found.

    Nothing is yielded where there is no search: a tile set by hand, or `tiling: quick`.

    Args:
        arch: the machine, equipped for the policy.
        trace: the workload.
        policy: how which layer is pruned; None: as the machine says.
        steps: the tokens of each decode step; None for prefill.
        layers: `chained`, products are those of links; `isolated`, those of layers.
        cache: where found tiles are kept, to learn which layers are joined.
    """
    runner = Runner(arch, policy=policy, is_brief=True, cache=cache)
    chain = Walk(runner, trace, steps).chain.links if layers == "chained" else ()
    links = {linear.name: link for link in chain for linear in link.linears}
    seen = set()
    for linear in trace.linears:
        machine = runner.machine(runner.method(linear, is_decode=steps is not None))
        if not machine.is_searched:
            continue
        link = links.get(linear.name)
        chosen = link.tiled.machine if link and link.tiled else None  # a shared memory is split
        for kind, gemm, on_chip in _products(trace, linear, link, steps):
            with naming(arch, linear):
                split = (
                    chosen or runner.planner.fitted(machine, gemm, is_decode=steps is not None)[0]
                )
                if (key := (kind, gemm, on_chip, machine.method, split.stores)) not in seen:
                    seen.add(key)
                    is_shared = bool(machine.splits)
                    yield _plan(
                        split, kind, gemm, on_chip, is_decode=steps is not None, is_shared=is_shared
                    )


def _products(
    trace: Trace, linear: Linear, link: Link | None, steps: Ints | None
) -> Iterator[tuple[str, Gemm, str]]:
    """Yield kinds of layers, product, and what stays on chip, of a layer or of its link."""
    if link is not None and link.tiled is not None:
        kinds = [trace.places[each.name].kind for each in link.linears]
        suffix = kinds[0][kinds[0].rfind("_") :] if "_" in kinds[0] else ""
        kind = "+".join(each.removesuffix(suffix) for each in kinds) + suffix
        yield kind, link.tiled.gemm, " ".join(sorted(link.tiled.on_chip)).upper()
        return
    for _, tokens in layer_runs(trace, linear, steps):
        gemm = Gemm(tokens, linear.in_features, linear.out_features)
        yield trace.places[linear.name].kind, gemm, ""


def _plan(  # noqa: PLR0913
    machine: LayerMachine,
    kind: str,
    gemm: Gemm,
    on_chip: str,
    *,
    is_decode: bool,
    is_shared: bool,
) -> LayerPlan:
    """Search for the tile of a product; a shared memory is split already."""
    found = plan(machine, gemm, is_decode=is_decode)
    best, stores = found.best, machine.stores
    both_bytes = stores.activations.capacity_bytes + stores.weights.capacity_bytes
    others = (each for each in found.found[1:] if each.tiling != best.tiling)
    second = min(others, key=lambda each: each.cycles, default=None)
    return LayerPlan(
        kind=kind,
        gemm=gemm,
        over_bound=best.cycles / best.bound_cycles - 1,
        bound_by=best.bound_by,
        left=max(0.0, 1 - found.bound_cycles / best.cycles),
        x_share=stores.activations.capacity_bytes / both_bytes if is_shared else None,
        stays=_stays(Reuse.of(best.tiling, gemm, machine.path, machine.stores)),
        on_chip=on_chip,
        runner_up=second.tiling if second else None,
        slower=max(0.0, second.cycles / best.cycles - 1) if second else 0.0,
    )


def _stays(reuse: Reuse) -> str:
    once = {"X": reuse.activation_loads == 1, "W": reuse.weight_loads == 1}
    stays = [name for name, is_once in once.items() if is_once]
    return " ".join([*stays, *(["Y out"] if reuse.spills else [])]) or "-"

"""What the search for tiles found for the layers of a trace, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.config import Architecture
from accelsim.mapping import Gemm, Ints, Tiling
from accelsim.mapping.tiling import Reuse
from accelsim.planning import plan
from accelsim.run.layers import method_of, naming
from accelsim.run.simulation import layer_runs
from accelsim.sparsity.policy import Policy
from accelsim.trace import Trace


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """The search for the tile of a layer, or of a step of it in decode.

    Attributes:
        kind: of the layer, `q_proj`.
        gemm: its product.
        over_bound: cycles beyond what is proven of all tilings, as a share.
        bound_by: the stage, resource or buffer that the chosen tiling comes closest to.
        stays: operands that are brought on chip once: `X W`; `Y out` if partial sums do not stay.
        runner_up: the best tiling of another kind that was run, if there is one.
        slower: its cycles beyond those of the chosen one, as a share; 0 where it moves more.
    """

    kind: str
    gemm: Gemm
    over_bound: float
    bound_by: str
    stays: str
    runner_up: Tiling | None
    slower: float


def layer_plans(
    arch: Architecture, trace: Trace, policy: Policy | None, steps: Ints | None
) -> Iterator[LayerPlan]:
    """Search for the tile of each distinct layer of a trace, and tell what was found.

    Nothing is yielded where there is no search: a tile set by hand, or `tiling: quick`.

    Args:
        arch: the machine, equipped for the policy.
        trace: the workload.
        policy: how which layer is pruned; None: as the machine says.
        steps: the tokens of each decode step; None for prefill.
    """
    seen = set()
    for linear in trace.linears:
        machine = arch.running(method_of(arch, policy, linear))
        if isinstance(machine.tiling, Tiling) or machine.tiling == "quick":
            continue
        for _, tokens in layer_runs(trace, linear, steps):
            gemm = Gemm(tokens, linear.in_features, linear.out_features)
            if (key := (trace.places[linear.name].kind, gemm, machine.method)) in seen:
                continue
            seen.add(key)
            with naming(machine, linear):
                found = plan(machine, gemm, is_decode=steps is not None)
            reuse = Reuse.of(found.best.tiling, gemm, machine.path, machine.stores)
            others = (each for each in found.found[1:] if each.tiling != found.best.tiling)
            second = min(others, key=lambda each: each.cycles, default=None)
            yield LayerPlan(
                kind=key[0],
                gemm=gemm,
                over_bound=found.best.cycles / found.bound_cycles - 1,
                bound_by=found.best.bound_by,
                stays=_stays(reuse),
                runner_up=second.tiling if second else None,
                slower=max(0.0, second.cycles / found.best.cycles - 1) if second else 0.0,
            )


def _stays(reuse: Reuse) -> str:
    once = {"X": reuse.activation_loads == 1, "W": reuse.weight_loads == 1}
    stays = [name for name, is_once in once.items() if is_once]
    return " ".join([*stays, *(["Y out"] if reuse.spills else [])]) or "-"

"""A cycle-approximate simulator of N:M activation sparsity.

    import accelsim as acs
    result = acs.simulate("arch_configs/nm816.yaml", "traces/llama.npz")
    result.totals()["effective_tops"]

Machines, workloads and policies are given as paths, or as what these functions return:

    load_arch         a machine, from an architecture file
    load_trace        a workload, from a trace file
    load_policy       which layer is pruned how, from a policy file
    synthesise        write a workload: shapes of a public model, activations drawn
    synthesise_gemms  the same for a file of shapes

To run them:

    simulate          a workload on a machine: cycles, energy, area
    simulate_all      on several machines, in one pass over the values
    compare           the same, as rows with ratios to the first machine
    sweep             a sweep file, as a table of a row a point

What they take and return: Architecture, Trace, Policy, Result, DiskCache; what they raise for bad
input: InputError. Capturing from a model (`accelsim.capture`) and perplexity (`accelsim.accuracy`)
need torch and are imported by themselves.
"""

# Names are imported on first use, so that `accelsim --help` stays quick.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from accelsim.version import __version__

if TYPE_CHECKING:
    from accelsim.base.cache import DiskCache as DiskCache
    from accelsim.base.errors import InputError as InputError
    from accelsim.config import Architecture as Architecture
    from accelsim.config import load_arch as load_arch
    from accelsim.results.result import Result as Result
    from accelsim.run.simulation import compare as compare
    from accelsim.run.simulation import simulate as simulate
    from accelsim.run.simulation import simulate_all as simulate_all
    from accelsim.sparsity.policy import Policy as Policy
    from accelsim.sparsity.policy import load_policy as load_policy
    from accelsim.sweeps import sweep as sweep
    from accelsim.trace import Trace as Trace
    from accelsim.trace import load_trace as load_trace
    from accelsim.trace.shapes import synthesise as synthesise
    from accelsim.trace.shapes import synthesise_gemms as synthesise_gemms

_HOMES = {
    "Architecture": "accelsim.config",
    "DiskCache": "accelsim.base.cache",
    "InputError": "accelsim.base.errors",
    "Policy": "accelsim.sparsity.policy",
    "Result": "accelsim.results.result",
    "Trace": "accelsim.trace",
    "compare": "accelsim.run.simulation",
    "load_arch": "accelsim.config",
    "load_policy": "accelsim.sparsity.policy",
    "load_trace": "accelsim.trace",
    "simulate": "accelsim.run.simulation",
    "simulate_all": "accelsim.run.simulation",
    "sweep": "accelsim.sweeps",
    "synthesise": "accelsim.trace.shapes",
    "synthesise_gemms": "accelsim.trace.shapes",
}
__all__ = [
    "Architecture",
    "DiskCache",
    "InputError",
    "Policy",
    "Result",
    "Trace",
    "__version__",
    "compare",
    "load_arch",
    "load_policy",
    "load_trace",
    "simulate",
    "simulate_all",
    "sweep",
    "synthesise",
    "synthesise_gemms",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__file__", "__path__"]

"""accelsim: a cycle-approximate simulator of N:M activation sparsity.

The public API is small; names are imported on first use so that `accelsim --help` stays quick.

    import accelsim as acs
    result = acs.simulate(acs.load_arch("arch_configs/nm816.yaml"), acs.load_trace("t.npz"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from accelsim.version import __version__

if TYPE_CHECKING:
    from accelsim.config import Architecture as Architecture
    from accelsim.config import load_arch as load_arch
    from accelsim.errors import InputError as InputError
    from accelsim.results.result import Result as Result
    from accelsim.simulation import simulate as simulate
    from accelsim.sweeps import sweep as sweep
    from accelsim.trace import Trace as Trace
    from accelsim.trace import load_trace as load_trace

_HOMES = {
    "Architecture": "accelsim.config",
    "InputError": "accelsim.errors",
    "Result": "accelsim.results.result",
    "Trace": "accelsim.trace",
    "load_arch": "accelsim.config",
    "load_trace": "accelsim.trace",
    "simulate": "accelsim.simulation",
    "sweep": "accelsim.sweeps",
}
__all__ = [
    "Architecture",
    "InputError",
    "Result",
    "Trace",
    "__version__",
    "load_arch",
    "load_trace",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)

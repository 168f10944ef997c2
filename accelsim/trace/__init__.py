"""Records, the npz format, synthetic traces and statistics of activations."""

from accelsim.trace.contraction import Contraction, Operand
from accelsim.trace.npz import TraceWriter, load_trace
from accelsim.trace.record import InputInfo, Linear, Trace, TraceMeta

__all__ = [
    "Contraction",
    "InputInfo",
    "Linear",
    "Operand",
    "Trace",
    "TraceMeta",
    "TraceWriter",
    "load_trace",
]

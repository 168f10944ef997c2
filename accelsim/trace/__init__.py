"""Records, the npz format, synthetic traces and statistics of activations."""

from accelsim.trace.npz import TraceWriter, load_trace
from accelsim.trace.record import InputInfo, Linear, Trace, TraceMeta

__all__ = ["InputInfo", "Linear", "Trace", "TraceMeta", "TraceWriter", "load_trace"]

"""Design-space sweeps: many machines, traces and methods, run by many processes or hosts.

The package is not called `sweep` because the function is, as `simulate` is in `simulation.py`.
"""

from accelsim.sweeps.run import sweep

__all__ = ["sweep"]

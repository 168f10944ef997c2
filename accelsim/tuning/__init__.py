"""Machines at their best: the smallest parts for an array, and the best machine for an area.

`tune` shrinks what is around the array of one machine (`accelsim tune`); `AreaSearch` looks for
the fastest machine of a pattern in an area (`experiments/equal_area`).
"""

from accelsim.tuning.bench import Candidate, Duty, Workbench
from accelsim.tuning.descent import Tuned, tune

__all__ = ["Candidate", "Duty", "Tuned", "Workbench", "tune"]

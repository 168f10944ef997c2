"""Publication plots: one file a kind, registered on import.

figure, (ax,) = style.figure()
plots.draw("cost", [result.to_dict() for result in results], ax)
style.save(figure, Path("cost.pdf"))
"""

import sys

from accelsim.base.registry import import_siblings
from accelsim.report.plots.base import PLOTS, Plot, draw

import_siblings(sys.modules[__name__])

__all__ = ["PLOTS", "Plot", "draw"]

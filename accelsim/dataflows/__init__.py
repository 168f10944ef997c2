"""Dataflows: one file a block diagram, registered when the package is imported."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.dataflows.diagram import DATAFLOWS, Diagram

import_siblings(sys.modules[__name__])

DEFAULT_DATAFLOW = "output_stationary"
"""Of an architecture file that names none."""

__all__ = ["DATAFLOWS", "DEFAULT_DATAFLOW", "Diagram"]

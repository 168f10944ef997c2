"""Operand crossbars: one file a kind, registered on import."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar

import_siblings(sys.modules[__name__])

__all__ = ["CROSSBARS", "Crossbar"]

"""Operand crossbars: one file a kind, registered on import."""

import sys

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.registry import import_siblings

import_siblings(sys.modules[__name__])

__all__ = ["CROSSBARS", "Crossbar"]

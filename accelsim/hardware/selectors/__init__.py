"""N:M selectors: one file a kind, registered on import."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.hardware.selectors.base import SELECTORS, Selector

import_siblings(sys.modules[__name__])

__all__ = ["SELECTORS", "Selector"]

"""N:M selectors: one file a kind, registered on import."""

import sys

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.registry import import_siblings

import_siblings(sys.modules[__name__])

__all__ = ["SELECTORS", "Selector"]

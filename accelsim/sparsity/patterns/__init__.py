"""Which values survive: one file a pattern, registered on import."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern, magnitude, parse_pattern

import_siblings(sys.modules[__name__])

__all__ = ["PATTERNS", "Mask", "Pattern", "magnitude", "parse_pattern"]

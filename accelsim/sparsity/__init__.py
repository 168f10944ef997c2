"""Sparsity patterns and storage formats: one file each, registered when the package is imported."""

import sys

from accelsim.registry import import_siblings
from accelsim.sparsity.formats import FORMATS, Format
from accelsim.sparsity.pattern import PATTERNS, Mask, Pattern, magnitude, parse_pattern

import_siblings(sys.modules[__name__])

__all__ = ["FORMATS", "PATTERNS", "Format", "Mask", "Pattern", "magnitude", "parse_pattern"]

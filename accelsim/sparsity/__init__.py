"""Sparsity: patterns, storage formats, criteria, mitigations, and the policies made of them."""

from accelsim.sparsity.formats import FORMATS, Format
from accelsim.sparsity.patterns import PATTERNS, Mask, Pattern, magnitude, parse_pattern

__all__ = ["FORMATS", "PATTERNS", "Format", "Mask", "Pattern", "magnitude", "parse_pattern"]

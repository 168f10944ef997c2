"""Sparsity: patterns, storage formats, criteria, mitigations, and the policies made of them."""

from accelsim.sparsity.formats import FORMATS, Format, stored_formats
from accelsim.sparsity.patterns import PATTERNS, Mask, Pattern, magnitude, parse_pattern

__all__ = [
    "FORMATS",
    "PATTERNS",
    "Format",
    "Mask",
    "Pattern",
    "magnitude",
    "parse_pattern",
    "stored_formats",
]

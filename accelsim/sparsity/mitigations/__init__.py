"""Mitigations, one file each, registered when the package is imported."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.sparsity.mitigations.base import (
    MITIGATIONS,
    Mitigation,
    Pruned,
    Sample,
    Select,
    parse_mitigation,
)

import_siblings(sys.modules[__name__])

__all__ = ["MITIGATIONS", "Mitigation", "Pruned", "Sample", "Select", "parse_mitigation"]

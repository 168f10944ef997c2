"""Criteria, one file each, registered when the package is imported."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.sparsity.criteria.base import CRITERIA, Criterion

import_siblings(sys.modules[__name__])

__all__ = ["CRITERIA", "Criterion"]

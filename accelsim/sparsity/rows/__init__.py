"""How rows of which any values may be left are stored: one file a format, registered on import."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.sparsity.rows.base import ROW_FORMATS, RowFormat, Stored

import_siblings(sys.modules[__name__])

__all__ = ["ROW_FORMATS", "RowFormat", "Stored"]

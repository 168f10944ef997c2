"""How kept values are stored and moved: one file a format, registered on import."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.sparsity.formats.base import FORMATS, Format, stored_formats

import_siblings(sys.modules[__name__])

__all__ = ["FORMATS", "Format", "stored_formats"]

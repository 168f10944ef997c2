"""What things cost: one class a kind of technology, registered on import; tables of numbers."""

import sys

from accelsim.base.registry import import_siblings

import_siblings(sys.modules[__name__])

"""Number formats of the datapath, one file each, and the formats of the operands of a product."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.precision.base import PRECISIONS, Precision, Values
from accelsim.precision.bf16 import BFloat16
from accelsim.precision.fp4 import MXFP4, NVFP4
from accelsim.precision.fp8 import Float8
from accelsim.precision.fp16 import Float16
from accelsim.precision.int8 import Int8
from accelsim.precision.operands import GROUPS, OperandFormat, Operands

import_siblings(sys.modules[__name__])

__all__ = [
    "GROUPS",
    "MXFP4",
    "NVFP4",
    "PRECISIONS",
    "BFloat16",
    "Float8",
    "Float16",
    "Int8",
    "OperandFormat",
    "Operands",
    "Precision",
    "Values",
]

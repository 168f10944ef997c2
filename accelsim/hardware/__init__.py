"""Hardware units: one file each, pure descriptions of parameters, time, work and cost."""

from accelsim.hardware.activation_buffer import ActivationBuffer
from accelsim.hardware.compressed_buffer import CompressedBuffer
from accelsim.hardware.crossbars import CROSSBARS, Crossbar
from accelsim.hardware.dram import Dram
from accelsim.hardware.mac_array import MacArray
from accelsim.hardware.output_buffer import OutputBuffer
from accelsim.hardware.selectors import SELECTORS, Selector
from accelsim.hardware.unit import Unit
from accelsim.hardware.weight_buffer import WeightBuffer

__all__ = [
    "CROSSBARS",
    "SELECTORS",
    "ActivationBuffer",
    "CompressedBuffer",
    "Crossbar",
    "Dram",
    "MacArray",
    "OutputBuffer",
    "Selector",
    "Unit",
    "WeightBuffer",
]

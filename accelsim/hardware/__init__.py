"""Hardware units: one file each, pure descriptions of parameters, time, work and cost."""

import sys

from accelsim.base.registry import import_siblings
from accelsim.hardware.activation_buffer import ActivationBuffer
from accelsim.hardware.buffer import Buffer
from accelsim.hardware.compressed_buffer import CompressedBuffer
from accelsim.hardware.crossbars import CROSSBARS, Crossbar
from accelsim.hardware.dram import Dram
from accelsim.hardware.epilogue import Epilogue
from accelsim.hardware.lanes import LaneUnit, TableUnit
from accelsim.hardware.mac_array import MacArray
from accelsim.hardware.moments import Moments
from accelsim.hardware.output_buffer import OutputBuffer
from accelsim.hardware.pre_scaler import PreScaler
from accelsim.hardware.pre_shifter import PreShifter
from accelsim.hardware.resource import READ, WRITE, Direction, Resource
from accelsim.hardware.selectors import SELECTORS, Selector
from accelsim.hardware.splitter import Splitter
from accelsim.hardware.statistics import Statistics
from accelsim.hardware.unit import UNITS, Unit
from accelsim.hardware.unpacker import Unpacker
from accelsim.hardware.weight_buffer import WeightBuffer
from accelsim.tech.blocks import BLOCKS  # with the parts of all of them registered

import_siblings(sys.modules[__name__])  # a unit in a file of its own registers itself

__all__ = [
    "BLOCKS",
    "CROSSBARS",
    "READ",
    "SELECTORS",
    "UNITS",
    "WRITE",
    "ActivationBuffer",
    "Buffer",
    "CompressedBuffer",
    "Crossbar",
    "Direction",
    "Dram",
    "Epilogue",
    "LaneUnit",
    "MacArray",
    "Moments",
    "OutputBuffer",
    "PreScaler",
    "PreShifter",
    "Resource",
    "Selector",
    "Splitter",
    "Statistics",
    "TableUnit",
    "Unit",
    "Unpacker",
    "WeightBuffer",
]

"""Hardware units: one file each, pure descriptions of parameters, time, work and cost."""

from accelsim.hardware.activation_buffer import ActivationBuffer
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
from accelsim.hardware.selectors import SELECTORS, Selector
from accelsim.hardware.statistics import Statistics
from accelsim.hardware.unit import Unit
from accelsim.hardware.weight_buffer import WeightBuffer

__all__ = [
    "CROSSBARS",
    "SELECTORS",
    "ActivationBuffer",
    "CompressedBuffer",
    "Crossbar",
    "Dram",
    "Epilogue",
    "LaneUnit",
    "MacArray",
    "Moments",
    "OutputBuffer",
    "PreScaler",
    "PreShifter",
    "Selector",
    "Statistics",
    "TableUnit",
    "Unit",
    "WeightBuffer",
]

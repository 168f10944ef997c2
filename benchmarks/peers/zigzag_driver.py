"""Time one GEMM in ZigZag on its `tpu_like`: the folder of the other inputs, and `fast` or ''."""

import json
import sys
import time
from pathlib import Path

import zigzag
from zigzag.api import get_hardware_performance_zigzag

inputs, variant = Path(sys.argv[1]), sys.argv[2]
# How many loop factors the search permutes; the default of 6 gives the same answer here.
settings = {"lpf_limit": 3} if variant == "fast" else {}
start = time.perf_counter()
_, cycles, _ = get_hardware_performance_zigzag(
    str(inputs / "workload.yaml"),
    str(Path(zigzag.__file__).parent / "inputs/hardware/tpu_like.yaml"),
    str(inputs / "mapping.yaml"),
    dump_folder="out",
    loma_show_progress_bar=False,
    **settings,
)
seconds = time.perf_counter() - start
sys.stdout.write(json.dumps({"cycles": int(cycles), "seconds": seconds}) + "\n")

"""Time one GEMM in SCALE-Sim: the folder of its input files.

Cycles are read from the report, because `get_total_cycles` of 3.0.0 raises a TypeError.
"""

import csv
import json
import sys
import time
from pathlib import Path

from scalesim.scale_sim import scalesim

inputs = Path(sys.argv[1])
start = time.perf_counter()
simulator = scalesim(
    save_disk_space=True,  # no traces on disk
    verbose=False,
    config=str(inputs / "scale.cfg"),
    topology=str(inputs / "topology.csv"),
    layout=str(inputs / "layout.csv"),
    input_type_gemm=True,
)
simulator.run_scale(top_path="out")
seconds = time.perf_counter() - start
with Path("out/gemm/COMPUTE_REPORT.csv").open(encoding="utf-8") as report:
    (layer,) = csv.DictReader(report, skipinitialspace=True)
sys.stdout.write(json.dumps({"cycles": int(layer["Total Cycles"]), "seconds": seconds}) + "\n")

"""Time one GEMM in AccelForge, mapper included: the folder of its input files, and `fast` or ''."""

import json
import sys
import time
from pathlib import Path

import accelforge as af

CYCLES_PER_SECOND = 1e9  # throughput of a MAC in arch.yaml

inputs, variant = Path(sys.argv[1]), sys.argv[2]
if variant == "fast":
    af.set_n_parallel_jobs(1)  # the default, a job a core, spends seconds on starting workers
start = time.perf_counter()
spec = af.Spec.from_yaml(inputs / "arch.yaml", inputs / "workload.yaml")
mappings = spec.map_workload_to_arch(print_progress=False)
latency_seconds = float(mappings.latency())
seconds = time.perf_counter() - start
cycles = round(latency_seconds * CYCLES_PER_SECOND)  # the latency is in single precision
sys.stdout.write(json.dumps({"cycles": cycles, "seconds": seconds}) + "\n")

"""Time one GEMM in accelsim: ARCH TRACE."""

import json
import sys
import time

from accelsim import load_arch, load_trace, simulate

arch, trace = sys.argv[1:]
start = time.perf_counter()
result = simulate(load_arch(arch), load_trace(trace))
seconds = time.perf_counter() - start
sys.stdout.write(json.dumps({"cycles": result.totals()["cycles"], "seconds": seconds}) + "\n")

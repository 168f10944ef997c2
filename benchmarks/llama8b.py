"""Whole runs on the shapes of Llama-3-8B: seconds, CPU seconds and peak memory of each command.

224 linear layers, 2,048 tokens. Activations are drawn from quantiles of the real model where the
file is given or lies in ../shared, else from a Laplace distribution (which is slower to draw).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOKENS, FEWEST = 2048, 64  # the fewest fill each batch once
QUANTILES = ROOT.parent / "shared/reference/activation_quantiles_llama-3-8b.npz"
ARCH = str(ROOT / "arch_configs/nm816.yaml")
CASES = (
    ("prefill, cold", "values", ()),
    ("prefill, selections on disk", "values", ()),
    ("prefill, shapes only", "shapes", ()),
    ("decode, batch 1, cold", "values", ("--phase", "decode", "--batch", "1")),
    ("decode, batch 8", "values", ("--phase", "decode", "--batch", "8")),
    ("decode, batch 64", "values", ("--phase", "decode", "--batch", "64")),
)


def accelsim(*arguments: str, cache: Path) -> tuple[float, float, float]:
    """Run one command; return wall seconds, CPU seconds and peak MiB."""
    command = [sys.executable, "-m", "accelsim", *arguments]
    environment = os.environ | {"ACCELSIM_CACHE_DIR": str(cache)}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    seconds = time.perf_counter() - began
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Make the traces, run the cases in order (a later one finds what an earlier one kept)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quantiles", type=Path, default=QUANTILES)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--quick", action="store_const", const=FEWEST, dest="tokens")
    options = parser.parse_args()
    drawn = ("--distribution", "laplace")
    if options.quantiles.exists():
        drawn = ("--quantiles", str(options.quantiles))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, how in (("values", drawn), ("shapes", ("--distribution", "none"))):
            shape = ("synth", "--model", "llama-3-8b", "--tokens", str(options.tokens))
            accelsim(*shape, *how, "--out", str(place / f"{name}.npz"), cache=place)
        print(
            f"Llama-3-8B, {options.tokens} tokens, {drawn[-1]}; 8:16 and dense, two machines a run"
        )
        print(f"{'':30s} {'s':>8s} {'CPU s':>8s} {'peak MiB':>9s}")
        for title, trace, flags in CASES:
            cost = accelsim(
                "run", ARCH, "--trace", str(place / f"{trace}.npz"), *flags, cache=place / "cache"
            )
            print(f"{title:30s} {cost[0]:8.2f} {cost[1]:8.2f} {cost[2]:9.0f}", flush=True)


if __name__ == "__main__":
    main()

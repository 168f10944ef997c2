"""Random machines with ports as wide as their arrays need, and layers of Llama-3-8B."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from accelsim.base.errors import InputError
from accelsim.config import Architecture, load_arch
from accelsim.mapping import Gemm
from accelsim.run.balance import narrow_ports

PATTERNS = ("dense", "2:4", "4:8", "8:16", "16:32")
SHAPES = ((4096, 4096), (4096, 1024), (4096, 14336), (14336, 4096))
RUNS = ((128, False), (2048, False), (1, True), (8, True), (64, True))  # tokens, whether decode


def machines(base_folder: str, seed: int) -> Iterator[Architecture]:
    """Yield machines without end: an array, buffers and a DRAM, each drawn by itself."""
    draw = random.Random(seed)
    while True:
        pattern = draw.choice(PATTERNS)
        base = "dense" if pattern == "dense" else "nm816"
        sides = {key: draw.choice([4, 8, 16, 32]) for key in ("rows", "columns")}
        lanes = draw.choice([8, 16, 32])
        changes = [f"mac_array.{key}={value}" for key, value in (*sides.items(), ("lanes", lanes))]
        changes += [
            f"dram.bandwidth_gb_per_s={draw.choice([16, 32, 64, 128, 256, 512])}",
            f"dram.latency_ns={draw.choice([50, 100, 200])}",
        ]
        buffers = {"activations": (32, 512), "weights": (32, 512), "outputs": (16, 256)}
        if pattern != "dense":
            buffers["compressed"] = (16, 128)
            changes.append(f'pattern="{pattern}"')
            changes.append(f"selector.instances={draw.choice([1, 2, 4, 8])}")
        for name, (least, most) in buffers.items():
            changes.append(f"buffers.{name}.macros=1")
            size = draw.choice([2**n for n in range(4, 10) if least <= 2**n <= most])
            changes.append(f"buffers.{name}.capacity_kib={size}")
        area = sides["rows"] * sides["columns"]
        changes.append(f"buffers.outputs.port_bytes={draw.choice([area // 4, area])}")
        try:
            arch = load_arch(f"{base_folder}/{base}.yaml", changes)
            wide = [f"{found.key}={found.needed}" for found in narrow_ports(arch)]
            if pattern != "dense":
                selected = arch.selector.instances * arch.path.group_size
                wide.append(f"buffers.activations.port_bytes={selected}")
            yield load_arch(f"{base_folder}/{base}.yaml", changes + wide)
        except InputError:
            continue


def pairs(
    base_folder: str, number: int, seed: int = 1
) -> Iterator[tuple[Architecture, Gemm, bool]]:
    """Yield machines with a layer each, and whether it is a decode step."""
    draw = random.Random(seed)
    for arch in islice(machines(base_folder, seed), number):
        (tokens, is_decode), (k, o) = draw.choice(RUNS), draw.choice(SHAPES)
        yield arch, Gemm(tokens, k, o), is_decode

"""Put cost beside accuracy: simulate a machine for each pattern of `accuracy.json`.

Each machine runs without mitigation, with the best one that needs no hardware, and with the best
of all, whose hardware it then has. The reference is the dense machine of the same array, buffers
and DRAM.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import accelsim as acs
from accelsim.results.comparison import Ratios

ROOT = Path(__file__).parents[2]
# 24 lanes hold whole groups of 3, 6, 12 and 24 kept values, as 16 hold those of 2, 4, 8 and 16;
# their ports are as wide as 32 positions, and 24 kept values of 8 rows, need.
LANES_24 = (
    "mac_array.lanes=24",
    "buffers.activations.port_bytes=192",
    "buffers.activations.macros=6",
    "buffers.compressed.port_bytes=224",
)
MACHINES = {
    "2:4": ("nm24", ()),
    "4:8": ("nm48", ()),
    "8:16": ("nm816", ()),
    "16:32": ("nm1632", ()),
    "3:4": ("nm24", ("pattern=3:4", *LANES_24)),
    "6:8": ("nm48", ("pattern=6:8", *LANES_24)),
    "12:16": ("nm816", ("pattern=12:16", *LANES_24)),
    "24:32": ("nm1632", ("pattern=24:32", *LANES_24)),
}


def chosen(row: dict[str, Any]) -> list[str]:
    """Return no mitigation, the best that needs no hardware, and the best of all."""

    def perplexity(name: str) -> float:
        return row[name]["perplexity"]

    free = min((name for name in row if not row[name]["demands"]), key=perplexity)
    return list(dict.fromkeys(("none", free, min(row, key=perplexity))))


def cost(pattern: str, mitigation: str, trace: acs.Trace) -> dict[str, float]:
    """Simulate one machine, and the dense one of the same array; return ratios to it."""
    name, overrides = MACHINES[pattern]
    path = ROOT / f"arch_configs/{name}.yaml"
    machine = acs.load_arch(path, [*overrides, f"mitigation={mitigation}"])
    result, dense = acs.simulate(machine, trace), acs.simulate(machine.dense(), trace)
    return Ratios.of(result, dense).to_dict()


def main() -> None:
    """Read accuracy, simulate, write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("accuracy", type=Path, help="what `accelsim accuracy --json` printed")
    parser.add_argument("--trace", type=Path, default=ROOT / "traces/llama.npz")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results.json")
    arguments = parser.parse_args()
    data = json.loads(arguments.accuracy.read_text(encoding="utf-8"))
    trace = acs.load_trace(arguments.trace)
    rows: dict[str, dict[str, Any]] = {}
    for row in data["rows"]:
        kept = {name: value for name, value in row.items() if name not in ("layers", "policy")}
        rows.setdefault(row["pattern"], {})[row["mitigation"]] = kept
    for pattern in MACHINES:
        for mitigation in chosen(rows[pattern]):
            rows[pattern][mitigation] |= cost(pattern, mitigation, trace)
    record = {
        **{key: data[key] for key in ("accelsim", "model", "text", "settings", "dense")},
        "trace": dict(trace.describe()) | {"path": arguments.trace.name},
        "patterns": rows,
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(arguments.out)


if __name__ == "__main__":
    main()

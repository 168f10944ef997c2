"""Measure perplexity, speed, energy and area of each pattern on one model; write one JSON file.

Perplexity of every mitigation is measured at the machines' precision; each machine is simulated
without mitigation and with the one that came out best, whose hardware it then has.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.progress import Progress

import accelsim as acs
from accelsim.accuracy.evaluate import Report, Settings, combine, evaluate
from accelsim.accuracy.subject import load_subject
from accelsim.accuracy.texts import load_text
from accelsim.policy import Policy
from accelsim.results.comparison import Ratios
from accelsim.sparsity import parse_pattern

ROOT = Path(__file__).parents[2]
MITIGATIONS = ("none", "dpts", "spts", "lpts", "var", "ls", "rsparse64")
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
UNSTRUCTURED = ("topk:0.5", "topk:0.75")  # no machine here runs them: the bound of each family


def accuracy(arguments: argparse.Namespace) -> Report:
    """Measure every pattern with every mitigation."""
    patterns = [parse_pattern(text) for text in (*MACHINES, *UNSTRUCTURED)]
    methods, _ = combine(patterns, ["act"], MITIGATIONS)
    subject = load_subject(str(arguments.model))
    settings = Settings(tokens=arguments.tokens, precision="int8")
    with Progress() as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        return evaluate(
            subject,
            load_text(arguments.text),
            [Policy(method) for method in methods],
            settings,
            calibration_text=load_text(arguments.calibration),
            progress=advance,
        )


def cost(pattern: str, mitigation: str, trace: acs.Trace) -> dict[str, float]:
    """Simulate one machine, and the dense one of the same array; return ratios to it."""
    name, overrides = MACHINES[pattern]
    path = ROOT / f"arch_configs/{name}.yaml"
    machine = acs.load_arch(path, [*overrides, f"mitigation={mitigation}"])
    result, dense = acs.simulate(machine, trace), acs.simulate(machine.dense(), trace)
    return Ratios.of(result, dense).to_dict()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "traces/models/llama-docs-16m")
    parser.add_argument("--trace", type=Path, default=ROOT / "traces/llama.npz")
    parser.add_argument("--text", default="python-topics")
    parser.add_argument("--calibration", default="python-topics-calibration")
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results.json")
    arguments = parser.parse_args()
    report = accuracy(arguments)
    data = report.to_dict()
    trace = acs.load_trace(arguments.trace)
    rows: dict[str, dict[str, Any]] = {}
    for row in data["rows"]:
        kept = {name: value for name, value in row.items() if name not in ("layers", "policy")}
        rows.setdefault(row["pattern"], {})[row["mitigation"]] = kept
    for pattern in MACHINES:
        best = min(rows[pattern], key=lambda name: rows[pattern][name]["perplexity"])
        for mitigation in dict.fromkeys(("none", best)):
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

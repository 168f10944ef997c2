"""Distribution of losses over random pairs: `python -m benchmarks.mapping [PAIRS] [PROCESSES]`.

Also the bias of speed-ups: of each sparse machine against its own dense counterpart, both with
searched tiles, as a share of the same with the best tiles.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from typing import Any

import numpy as np

from accelsim.config import Architecture
from accelsim.mapping import Gemm
from benchmarks.mapping.losses import REFERENCE, Losses, losses_of
from benchmarks.mapping.pairs import pairs

_NOTICEABLE, _LARGE = 1.05, 1.25


def pair_of_losses(pair: tuple[Architecture, Gemm, bool]) -> tuple[Losses, Losses | None]:
    """Return the losses of a machine, and of its dense counterpart if it is sparse."""
    arch, gemm, is_decode = pair
    dense = None if arch.pattern.is_dense else losses_of(arch.dense(), gemm, is_decode)
    return losses_of(arch, gemm, is_decode), dense


def summary(found: Sequence[tuple[Losses, Losses | None]]) -> dict[str, Any]:
    """Return percentiles of the losses by pattern, of search times, and of the bias."""
    own = [losses for losses, _ in found]
    rows: dict[str, Any] = {"pairs": len(found)}
    for pattern in ("all", *sorted({losses.pattern for losses in own})):
        some = [losses for losses in own if pattern in ("all", losses.pattern)]
        rows[pattern] = {
            "searched": _percentiles([losses.searched for losses in some]),
            "estimated": _percentiles([losses.estimated for losses in some]),
        }
    rows["search_ms"] = _percentiles([1e3 * losses.search_s for losses in own])
    gaps = [losses.best_cycles / losses.bound_cycles - 1 for losses in own]
    rows["proven_gap"] = _percentiles(gaps) | {
        "unproven": sum(gap > REFERENCE.slack for gap in gaps)
    }
    for kind in ("searched", "estimated"):
        bias = [
            (1 + getattr(dense, kind)) / (1 + getattr(sparse, kind))
            for sparse, dense in found
            if dense is not None
        ]
        rows[f"bias_{kind}"] = {
            "pairs": len(bias),
            "least": min(bias),
            "most": max(bias),
            "understated_by_5_percent": sum(value < 1 / _NOTICEABLE for value in bias),
            "understated_by_25_percent": sum(value < 1 / _LARGE for value in bias),
            "overstated_by_5_percent": sum(value > _NOTICEABLE for value in bias),
        }
    return rows


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    at = {"median": 50, "p90": 90, "p99": 99, "worst": 100}
    return {name: float(np.percentile(values, q)) for name, q in at.items()} | {
        "mean": float(np.mean(values))
    }


def main() -> None:
    """Print the summary as JSON, with progress on stderr."""
    number, processes = (int(text) for text in [*sys.argv[1:], "800", "2"][:2])
    work = pairs("arch_configs", number)
    found = []
    with get_context("fork").Pool(processes) as pool:
        for each in pool.imap_unordered(pair_of_losses, work, chunksize=4):
            found.append(each)
            if len(found) % 50 == 0:
                print(f"{len(found)} of {number} pairs", file=sys.stderr, flush=True)
    print(json.dumps(summary(found), indent=1))


if __name__ == "__main__":
    main()

"""Compare ABC scripts with the two that the tables use; prints the table in README.md.

python experiments/area_calibration/compare_scripts.py --jobs 2     # about 15 minutes
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synthesis import _REDUCE, _SMALLER, KITS, RTL, SCRIPTS, Kitted, Row, kitted, synthesise

_SIZE = "topo; buffer; upsize; dnsize"
_YOSYS = (
    "strash; &get -n; &fraig -x; &put; scorr; dc2; dretime; strash; &get -n; &dch -f; &nf; &put"
)
ALTERNATIVES = {
    "area": {
        "3 dc2; dch; amap": f"{_REDUCE}; dc2; dc2; dc2; strash; dch -f; amap -m",
        "3 dc2; 3 x (dch; amap)": f"{_REDUCE}; dc2; dc2; dc2; strash; dch -f; amap -m; strash; "
        "dch -f; amap -m; strash; dch -f; amap -m",
        "3 dc2; dch; map -a": f"{_REDUCE}; dc2; dc2; dc2; strash; dch -f; map -a -B 0.9",
        "resubstitution; dch; amap": f"{_REDUCE}; {_SMALLER}; dch; amap -m",
        "the same twice; 2 x (dch; amap)": f"{_REDUCE}; dc2; {_SMALLER}; {_SMALLER}; dch; amap -m; "
        "strash; dch; amap -m",
        "default of Yosys": _YOSYS,
    },
    "delay": {
        "default of Yosys, sized": f"{_YOSYS}; {_SIZE}",
        "dch; map": f"{_REDUCE}; dc2; strash; dch -f; map -B 0.9; {_SIZE}",
        "&st; &syn3; dch; map": f"{_REDUCE}; &get -n; &st; &syn3; &syn3; &put; dch -f; map; "
        f"{_SIZE}",
        "&if -g; dch; map": f"{_REDUCE}; &get -n; &st; &if -g -K 6; &put; dch -f; map -B 0.9; "
        f"{_SIZE}",
        "if -g; dc2 -l; dch; map": f"{_REDUCE}; dc2; dc2; strash; if -g -K 6; strash; dc2 -l; "
        f"dch -f; map -B 0.9; {_SIZE}",
    },
}
MODULES: tuple[tuple[str, dict[str, int]], ...] = (
    ("select_rank", {"N": 8, "M": 16, "B": 8}),
    ("select_radix", {"N": 8, "M": 16, "B": 8}),
    ("crossbar_window", {"N": 8, "M": 16, "B": 8, "L": 16, "C": 2}),
    ("crossbar_logshift", {"N": 8, "M": 16, "B": 8, "L": 16, "C": 2}),
    ("mac", {"B": 8}),
    ("mac", {"B": 16, "FLOAT": 1}),
)


def ratios(row: Row, base: Row) -> tuple[float, float]:
    """Return combinational area and delay, relative to another row."""
    return row.comb_um2 / base.comb_um2, row.delay_ps / base.delay_ps


def compare(kit: Kitted, folder: Path, chosen: str, jobs: int) -> None:
    """Print, for every alternative, area and delay over those of the chosen script."""
    with ThreadPoolExecutor(jobs) as pool:

        def run(script: str) -> list[Row]:
            one = lambda module: synthesise(kit, *module, script, folder=folder)  # noqa: E731
            return list(pool.map(one, MODULES))

        base = run(chosen)
        for name, script in ALTERNATIVES[chosen].items():
            both = [ratios(*pair) for pair in zip(run(script), base, strict=True)]
            area, delay = (
                100 * math.exp(math.fsum(map(math.log, values)) / len(both)) - 100
                for values in zip(*both, strict=True)
            )
            each = " ".join(f"{100 * value - 100:+.0f}" for value, _ in both)
            print(f"| {kit.name} | {name} | {area:+.1f} | {delay:+.1f} | {each} |", flush=True)


def main() -> None:
    """Compare over all libraries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--library", choices=KITS, action="append")
    parser.add_argument("--folder", type=Path, default=RTL)
    arguments = parser.parse_args()
    for chosen in SCRIPTS:
        print(f"| library | {chosen} | area, % | delay, % | area of each module, % |")
        print("|---|---|---|---|---|")
        for name in arguments.library or KITS:
            with kitted(name) as kit:
                compare(kit, arguments.folder, chosen, arguments.jobs)


if __name__ == "__main__":
    main()

"""Is the comparison of small layers that of Llama-3-8B?"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.base.errors import InputError
from accelsim.report import style
from accelsim.report.plots import draw
from accelsim.report.plots.bars import grouped
from accelsim.studies import (
    Claim,
    Page,
    Run,
    claims_table,
    markdown_table,
    picked,
    row,
    runs_of,
    the,
)
from accelsim.trace.shapes import synthesise

if TYPE_CHECKING:
    from accelsim.report.style import Figure

FOLDER = Path(__file__).parent
QUANTILES = FOLDER.parents[2] / "shared/reference/activation_quantiles_llama-3-8b.npz"
TOKENS = {"prefill": 512, "decode": 16}
MACHINES = {"nm816": "1,024", "large816": "16,384"}
PATTERNS = ("2:4", "4:8", "8:16", "16:32")
# One layer of those that share an input.
KINDS = {"q_proj": "q, k, v", "o_proj": "o", "gate_proj": "gate, up", "down_proj": "down"}
MISSING = (
    "{path}: no quantiles of Llama-3-8B's activations. This experiment draws from the real ones: "
    "make them from the histograms that the TEAL authors published (MIT), or from your own "
    "capture, in the format of docs/guide/own_model.md, and name the file with --quantiles"
)


def simulated(quantiles: Path) -> list[Run]:
    """Return prefill and decode of all 224 layers on both machines, by every pattern."""
    if not quantiles.is_file():
        raise InputError(MISSING.format(path=quantiles))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for phase, tokens in TOKENS.items():
            path = Path(folder) / f"{phase}.npz"
            synthesise("llama-3-8b", path, tokens=tokens, quantiles=quantiles)
            for name in (phase, f"large_{phase}"):
                runs += runs_of(FOLDER / f"{name}.yaml", path)
    return runs


def table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a machine and pattern."""
    rows = []
    for base, multipliers in MACHINES.items():
        for pattern in PATTERNS:
            run = the(runs, base=base, pattern=pattern, phase="prefill")
            cells, decode = row(run), row(the(runs, base=base, pattern=pattern, phase="decode"))
            rows.append(
                {
                    "multipliers": multipliers,
                    "pattern": pattern,
                    "TOPS": f"{cells['effective_tops']:.2f}",
                    "speed-up": f"{cells['speedup']:.2f}×",
                    "energy": f"{cells['energy_ratio']:.2f}×",
                    "area": f"{cells['area_overhead_ratio']:+.1%}",
                    "work per area": f"{cells['tops_per_mm2_ratio']:.2f}×",
                    "decode, batch 1": f"{decode['speedup']:.2f}×",
                    "energy in decode": f"{decode['energy_ratio']:.2f}×",
                    "dropped energy": f"{cells['dropped_energy_ratio']:.1%}",
                }
            )
    return rows


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""

    def ratio(name: str) -> Callable[[Sequence[Run]], float]:
        return lambda some: some[0]["baseline"][name]

    def on(base: str, pattern: str, phase: str = "prefill") -> list[Run]:
        return picked(runs, base=base, pattern=pattern, phase=phase)

    def over(metric: str) -> Callable[[Sequence[Run]], float]:
        return lambda some: some[1]["totals"][metric] / some[0]["totals"][metric]

    small, large = on("nm816", "8:16"), on("large816", "8:16")
    steps = [*on("large816", "2:4"), *large]
    energy, speedup = ratio("energy_ratio"), ratio("speedup")
    one = "16,384 multipliers: "
    return [
        Claim(f"{one}8:16 is 1.95 times as fast as dense", speedup, large, above=1.95),
        Claim(f"{one}8:16 takes at most 0.75 of the dense energy", energy, large, below=0.75),
        Claim(f"{one}8:16 is at most 5 % larger than 2:4", over("area_um2"), steps, below=1.05),
        Claim(
            f"{one}8:16 takes at most 5 % more energy than 2:4",
            over("energy_pj"),
            steps,
            below=1.05,
        ),
        Claim(
            f"{one}8:16 does 1.6 times as much work per area as dense",
            ratio("tops_per_mm2_ratio"),
            large,
            above=1.6,
        ),
        Claim(f"{one}16:32 takes less energy than dense", energy, on("large816", "16:32"), below=1),
        Claim(
            "1,024 multipliers: 8:16 takes at most 0.9 of the dense energy",
            energy,
            small,
            below=0.9,
        ),
        Claim(
            "1,024 multipliers: 8:16 is 1.9 times as fast in decode at batch 1",
            speedup,
            on("nm816", "8:16", "decode"),
            above=1.9,
        ),
    ]


def answer(runs: Sequence[Run]) -> str:
    """Return two sentences."""
    small, large = (row(the(runs, base=base, pattern="8:16", phase="prefill")) for base in MACHINES)
    two, wide = (
        row(the(runs, base="large816", pattern=pattern, phase="prefill"))
        for pattern in ("2:4", "16:32")
    )
    decode = row(the(runs, base="nm816", pattern="8:16", phase="decode"))
    return (
        f"Yes, with speed-ups nearer to 2: on all 224 layers of Llama-3-8B 8:16 is "
        f"{small['speedup']:.2f}× as fast as dense at {small['energy_ratio']:.2f} of the energy "
        f"and +{100 * small['area_overhead_ratio']:.1f} % of area with 1,024 multipliers, "
        f"{large['speedup']:.2f}×, {large['energy_ratio']:.2f} and "
        f"+{100 * large['area_overhead_ratio']:.1f} % with 16,384, and {decode['speedup']:.2f}× in "
        f"decode at batch 1. With 16,384 multipliers the patterns are further apart: from "
        f"+{100 * two['area_overhead_ratio']:.1f} % of area and {two['energy_ratio']:.2f} of the "
        f"energy at 2:4 to +{100 * wide['area_overhead_ratio']:.1f} % and "
        f"{wide['energy_ratio']:.2f} at 16:32."
    )


def picture(runs: Sequence[Run]) -> Figure:
    """Return the cost on both machines, and what each pattern drops."""
    figure, axes = style.figure(3, width_mm=style.PAGE_MM, height_mm=62)
    for ax, (base, multipliers) in zip(axes, MACHINES.items(), strict=False):
        draw("cost", picked(runs, base=base, phase="prefill"), ax)
        with style.styled():
            ax.set_xlabel(f"pattern, {multipliers} multipliers")
            ax.set_ylim(0, 2.5)
    with style.styled():
        kinds: dict[str, list[float]] = {}
        for pattern in PATTERNS:
            layers = the(runs, base="nm816", pattern=pattern, phase="prefill")["layers"]
            for kind, name in KINDS.items():
                dropped = [x["dropped_energy_ratio"] for x in layers if x["kind"] == kind]
                kinds.setdefault(name, []).append(100 * sum(dropped) / len(dropped))
        grouped(axes[2], list(PATTERNS), kinds, form="{:.1f}")
        axes[2].set_ylabel("dropped share of squared magnitude (%)")
        axes[2].set_xlabel("pattern")
        style.legend_above(axes[2], columns=4)
    return figure


def main() -> None:
    """Simulate, write the page."""
    page, arguments = Page.of(
        __file__, quantiles={"type": Path, "default": QUANTILES, "help": "of layer inputs (.npz)"}
    )
    try:
        runs = simulated(arguments.quantiles)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    page.table("llama3_8b", [{**row(run), "trace": "llama-3-8b"} for run in runs])
    page.write("answer", answer(runs))
    page.write("table", markdown_table(table(runs)))
    page.write("claims", markdown_table(claims_table(claims(runs))))
    page.figure("figure", picture(runs))
    page.finish()


if __name__ == "__main__":
    main()

"""`accelsim plot`: saved results as a figure for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import JsonOption, show, show_json
from accelsim.cli.streams import tell

if TYPE_CHECKING:
    from accelsim.report.plots import Plot
    from accelsim.report.saved import Run

EXAMPLE = "accelsim plot cost out/first --out cost.pdf"


def command(
    kind: Annotated[
        str,
        typer.Argument(
            help="breakdown, causes, cost, decode, efficiency, front, heatmap, overhead, roofline "
            "or utilization.",
            show_default=False,
        ),
    ],
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR…",
            help="Folders that `run --out` or `compare --out` wrote.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Figure: .png, .pdf or .svg.", metavar="FILE", show_default=False)
    ],
    title: Annotated[str | None, typer.Option(help="Above the figure.")] = None,
    width_mm: Annotated[
        float | None,
        typer.Option(help="Width; default: 85 for one panel, 180 for several.", min=40, max=1000),
    ] = None,
    height_mm: Annotated[float, typer.Option(help="Height of a row.", min=30, max=1000)] = 65,
    quantity: Annotated[
        str | None, typer.Option(help="breakdown: energy_pj or area_um2.", show_default=False)
    ] = None,
    accuracy: Annotated[
        Path | None,
        typer.Option(
            help="front: what `accelsim accuracy --json` printed.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            help="front: energy_ratio, edp_ratio, speedup, tops_per_mm2_ratio.", show_default=False
        ),
    ] = None,
    bins: Annotated[
        int | None, typer.Option(help="utilization: spans of a timeline.", show_default=False)
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Draw saved results: one of ten kinds of figures, in a style for papers."""
    from accelsim.report.labels import plain
    from accelsim.report.plots import PLOTS, draw
    from accelsim.report.saved import captions, load_runs
    from accelsim.report.style import check_format, figure, save, styled

    plot = PLOTS[kind]
    check_format(out)
    given = {"quantity": quantity, "cost": cost, "bins": bins}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if accuracy is not None:
        options["accuracy"] = _accuracy(accuracy)
    runs = load_runs(folders)
    panels = _panels(plot, runs)
    width = width_mm or (85 if len(panels) == 1 else 180)
    rows = -(-len(panels) // 2)
    drawn, axes = figure(len(panels), width_mm=width, height_mm=height_mm * rows, rows=rows)
    names = captions(runs)
    numbers = []
    for place, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        numbers.append(draw(kind, panel, ax, **options))
        if len(panels) > 1:
            with styled():  # inside of the axes' frame would hide data, above is the legend
                ax.set_xlabel(f"{ax.get_xlabel()}\n({plain(names[place])})")
    for ax in axes[len(panels) :]:
        ax.remove()
    if title is not None:
        with styled():
            drawn.suptitle(plain(title))
    save(drawn, out)
    alone = [row for panel in numbers for row in panel if row.get("value", 0) is None]
    if alone:
        tell(f"note: {len(alone)} rows of accuracy have no run beside them")
    if json_:
        show_json({"schema": 1, "kind": kind, "file": str(out), "panels": numbers})
    else:
        show(f"{out}: {plot.about}")


def _panels(plot: type[Plot], runs: list[Run]) -> list[list[Run]]:
    """Return the runs of each panel: one, or one each."""
    return [[run] for run in runs] if plot.is_of_one_run else [runs]


def _accuracy(path: Path) -> Any:
    """Read what `accelsim accuracy --json` printed."""
    from accelsim.base.errors import InputError, shown
    from accelsim.base.renamed import with_new_names
    from accelsim.base.strict_json import json_text, read_json

    data = read_json(path)
    keys = {"pattern", "criterion", "mitigation", "perplexity_increase_ratio"}
    given = data.get("rows") if isinstance(data, dict) else None
    rows = [with_new_names(row) for row in given or () if isinstance(row, dict)]
    if not isinstance(given, list) or len(rows) < len(given) or any(keys - r.keys() for r in rows):
        wanted = f"no 'rows' with {', '.join(sorted(keys))}"
        raise InputError(f"{path}: not what `accelsim accuracy --json` prints: {wanted}")
    increases = [row["perplexity_increase_ratio"] for row in rows]
    wrong = [json_text(one) for one in increases if not isinstance(one, (int, float))]
    if wrong:
        raise InputError(f"{path}: perplexity_increase_ratio {shown(wrong[0])}: must be a number")
    return data

"""Tables of what `accelsim tune` came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from accelsim.report.quantity import Scale, area_scale, change, scale_of
from accelsim.report.tables import J_PER_PJ, titled_table

Row = Mapping[str, Any]
_MACHINES = ("before", "generous", "after")


def tuning_tables(data: Mapping[str, Any]) -> list[Table]:
    """Return the keys and areas of a machine before and after, and the cycles of each duty.

    Args:
        data: what `accelsim tune --json` prints.
    """
    return [_unit_table(data), _duty_table(data["duties"])]


def _unit_table(data: Mapping[str, Any]) -> Table:
    """Return a row for each key that changed, beside the area of its unit, and the total."""
    area = area_scale(row["area_um2"]["before"] for row in data["units"])
    heads = ["unit", "key", "file", "generous", "tuned", f"{area.unit} file", "tuned"]
    table = titled_table(f"Parts of {data['machine']}", heads)
    table.columns[1].justify = "left"
    for row in data["units"]:
        for cells in _unit_rows(row, area):
            table.add_row(*cells)
    total = data["area_um2"]
    areas = area.show(total["before"]), area.show(total["after"])
    table.add_row("total", "", "", "", "", *areas, style="bold")
    return table


def _unit_rows(row: Row, area: Scale) -> Iterator[Sequence[str]]:
    """Yield the cells of a unit: its areas stand in its first row."""
    areas = [area.show(row["area_um2"][which]) for which in ("before", "after")]
    keys = row["keys"] or {"": dict.fromkeys(_MACHINES, "")}
    for place, (key, values) in enumerate(keys.items()):
        shown = [_shown(values[which]) for which in _MACHINES]
        name = key.rpartition(".")[2]
        yield [row["unit"], name, *shown, *areas] if place == 0 else ["", name, *shown, "", ""]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)


def _duty_table(duties: Sequence[Row]) -> Table:
    """Return cycles and energy of each duty, and what it loses against generous parts."""
    energy = scale_of([J_PER_PJ * row["energy_pj"]["before"] for row in duties], "J")
    heads = ["cycles", "file", "generous", "tuned", "loss", f"{energy.unit} file", "tuned"]
    table = titled_table("Duties", heads)
    for row in duties:
        batch = "" if row["batch"] is None else f", batch {row['batch']}"
        cycles = [f"{row['cycles'][which]:,}" for which in _MACHINES]
        energies = [
            energy.show(J_PER_PJ * row["energy_pj"][which]) for which in ("before", "after")
        ]
        table.add_row(f"{row['phase']}{batch}", *cycles, change(row["loss_ratio"]), *energies)
    return table

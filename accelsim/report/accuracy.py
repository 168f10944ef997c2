"""Tables of what pruning does to a model, made from the JSON of `accelsim accuracy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from accelsim.report.quantity import change, counted, percent, times
from accelsim.report.tables import titled_table
from accelsim.report.text import escaped
from accelsim.trace.places import grid

_BEYOND = 100_000  # a perplexity of which only the size matters
_LEAST_NOISE = 0.001  # that a table shows


def accuracy_headline(data: Mapping[str, Any]) -> str:
    """Return two lines: model, text and settings; and the perplexity of the dense model."""
    settings, text, dense = data["settings"], data["text"], data["dense"]
    perplexity = _number(dense["perplexity"]) + _error(dense["perplexity_stderr"], ".2f")
    return (
        f"{escaped(data['model']['model_id'])} on {escaped(text['name'])}: "
        f"{counted(dense['counted_tokens'], 'token')} in {counted(dense['windows'], 'window')} of "
        f"{settings['seq_len']}, {settings['phase']}, {settings['precision']} "
        f"in {data['compute_type']}"
        + (f", W {settings['weights']}" if "weights" in settings else "")
        + (f", each begins with {escaped(data['bos'])}" if data.get("bos") else "")
        + "\n"
        f"dense: perplexity {perplexity}{_of_rounding(dense)}"
    )


def _of_rounding(dense: Mapping[str, Any]) -> str:
    """Return what the precision costs by itself, where that was measured."""
    if "unrounded" not in dense:
        return ""
    before = _number(dense["unrounded"]["perplexity"])
    return (
        f", {change(dense['perplexity_increase_ratio'])} over {before} before weights were rounded"
    )


def accuracy_table(data: Mapping[str, Any]) -> Table:
    """Return one row a combination.

    ± is one standard error over windows; noise is what rounding alone changes of the increase.
    """
    plain = {"criterion": "act", "mitigation": "none"}
    told = [part for part in plain if any(row[part] != plain[part] for row in data["rows"])]
    columns = ["pattern", *told, "perplexity", "increase", "noise", "dropped", "error"]
    rows = titled_table("Perplexity under pruning", columns)
    for row in data["rows"]:
        rows.add_row(
            row["pattern"] + (" + rules" if row["policy"] else ""),
            *(row[part] for part in told),
            _number(row["perplexity"]),
            _change(row["perplexity_increase_ratio"], row["perplexity_increase_ratio_stderr"]),
            _noise(row["perplexity_increase_ratio_noise"]),
            percent(row["dropped_squared_magnitude_ratio"]),
            percent(row["output_error_ratio"]),
        )
    notes = [
        "±: standard error over windows (8 or more); noise: of the increase, from rounding alone",
        "dropped: squared input magnitude, error: squared output error; layers' mean",
    ]
    notes += [_rules(row) for row in data["rows"] if row["policy"]]
    rows.caption = "\n".join(notes + _needs(data["rows"]))
    rows.caption_justify = "left"
    return rows


def sensitivity_table(data: Mapping[str, Any]) -> Table:
    """Return one row for each kind of layer and each block: the effect of pruning it alone."""
    layers = data["rows"][0]["layers"]
    rows = titled_table(
        "Pruned alone", ["layers", "n", "perplexity", "increase", "dropped", "error"]
    )
    for probe in data["sensitivity"]:
        by_block, name = probe["group"] == "block", probe["name"]
        members = [
            found
            for layer, found in layers.items()
            if (layer.startswith(f"{name}.") if by_block else found["kind"] == name)
        ]
        if not members:
            continue  # never called, so pruning it says nothing
        rows.add_row(
            probe["name"],
            str(len(members)),
            _number(probe["perplexity"]),
            _change(probe["perplexity_increase_ratio"], probe["perplexity_increase_ratio_stderr"]),
            percent(_mean(members, "dropped_squared_magnitude_ratio")),
            percent(_mean(members, "output_error_ratio")),
        )
    return rows


def layer_matrix(data: Mapping[str, Any]) -> Table:
    """Return the output error of every layer, a block a row, and how its inputs are spread."""
    layers, outliers = data["rows"][0]["layers"], data["outliers"]
    blocks, kinds, at = grid({name: (one["block"], one["kind"]) for name, one in layers.items()})
    rows = titled_table("Squared output error by layer", ["block", *kinds, "peak"])
    for block in blocks:
        cells = [[layers[name] for name in at.get((block, kind), ())] for kind in kinds]
        errors = [percent(_mean(cell, "output_error_ratio")) if cell else "-" for cell in cells]
        peak = max(outliers[name]["peak"] for kind in kinds for name in at.get((block, kind), ()))
        rows.add_row(block, *errors, f"{peak:.0f}")
    rows.caption = "peak: largest input magnitude of the block over its layer's root mean square"
    rows.caption_justify = "left"
    return rows


def policy_table(data: Mapping[str, Any]) -> Table:
    """Return a policy between all dense and all pruned; costs are ratios to the dense machine."""
    title = f"{data['pruned_layers']} of {data['layers']} layers pruned on {data['machine']}"
    rows = titled_table(title, ["layers", "cycles", "energy", "perplexity", "increase", "noise"])
    names = {
        "dense": "dense machine",
        "unpruned": "all dense",
        "found": "policy",
        "pruned": "all pruned",
    }
    for row in data["rows"]:
        rows.add_row(
            names[row["name"]],
            times(row["cycles_ratio"]),
            times(row["energy_ratio"]),
            _number(row["perplexity"]),
            _change(row["increase"], row["increase_stderr"]),
            _noise(row["increase_noise"]),
        )
    return rows


def _mean(members: list[Mapping[str, float]], name: str) -> float:
    return sum(member[name] for member in members) / len(members)


def _number(perplexity: float) -> str:
    return f"{perplexity:.2f}" if perplexity < _BEYOND else f"{perplexity:.1e}"


def _rules(row: Mapping[str, Any]) -> str:
    """Return how many layers a policy prunes how."""
    return "rules: " + ", ".join(f"{count} × {name}" for name, count in row["methods"].items())


def _needs(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what each method asks of a machine, once."""
    needs = {}
    for row in rows:
        parts = {row["criterion"]: "act", row["mitigation"]: "none"}
        name = " ".join(part for part, plain in parts.items() if part != plain)
        needs["the policy" if row["policy"] else name] = row["demands"]
    return [f"{name} needs {', '.join(units)}" for name, units in needs.items() if units]


def _change(ratio: float, error: float | None) -> str:
    return f"{ratio:+.1%}{_error(error, '.1%')}"


def _noise(noise: float | None) -> str:
    """Return a noise with its first digit or two, or a dash where it was not measured."""
    if noise is None:
        return "-"
    return f"{noise:.1%}" if noise >= _LEAST_NOISE else f"<{_LEAST_NOISE:.1%}"


def _error(error: float | None, form: str) -> str:
    """Return ` ± error`, or nothing where too few windows do not tell it."""
    return "" if error is None else f" ± {error:{form}}"

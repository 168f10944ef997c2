"""The block diagram of a machine in a few lines of text."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from textwrap import wrap

from accelsim.dataflows import Diagram
from accelsim.dataflows.diagram import Role, Stage, Wait, remaining
from accelsim.hardware import READ

_COLUMNS = 80


def drawing(diagram: Diagram, units: Collection[str], streams: Collection[str]) -> str:
    """Return the stages of a machine: where their words come from, through what, and where to.

    Args:
        diagram: its dataflow.
        units: names of the units that it has; others are left out.
        streams: names of the streams that it may have.

    Example:
        >>> from accelsim.dataflows import DATAFLOWS
        >>> units = {"dram", "activation_buffer", "weight_buffer", "mac_array", "output_buffer"}
        >>> text = drawing(DATAFLOWS["output_stationary"], units, {"activation_dma"})
        >>> text.splitlines()[2].strip()
        'dram → activation_dma → [activation_buffer]'
    """

    def exists(stage: Stage) -> bool:
        if not stage.has_place(units):
            return False
        return not stage.is_once or (stage.stream is not None and stage.stream.name in streams)

    lines = [f"{diagram.name}: {diagram.about}"]
    for stage in remaining(diagram.stages, exists=exists):
        lines.append(f"  {stage.name}" + (", once before all tiles" if stage.is_once else ""))
        flow = " → ".join(_boxes(stage, units))
        lines += wrap(
            flow,
            _COLUMNS,
            initial_indent=" " * 4,
            subsequent_indent=" " * 6,
            break_on_hyphens=False,
        )
        if stage.after:
            lines.append("    after " + ", ".join(map(_wait, stage.after)))
    return "\n".join(lines)


def _boxes(stage: Stage, units: Collection[str]) -> Iterator[str]:
    """Yield what the words of a stage pass: buffers in brackets, resources where they end."""
    if stage.reads:
        yield " + ".join(f"[{name}]" for name in stage.reads)
    for part in stage.parts:
        if part.role is Role.STREAM:
            ends = (part.resource, part.name)
            yield from ends if part.direction is READ else ends[::-1]
        elif part.name in units:
            yield part.name
    if stage.fills:
        yield f"[{stage.fills}]"


def _wait(wait: Wait) -> str:
    return wait.stage if wait.when is None else f"{wait.stage} where {wait.when.about}"

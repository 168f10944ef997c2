"""From what was recorded to the arrays and the table of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accelsim.capture.hooks import Tap
from accelsim.capture.run import WRITING, Progress
from accelsim.capture.spill import Spill
from accelsim.errors import InputError
from accelsim.trace import InputInfo, Linear, TraceWriter


def sort_out(
    taps: Mapping[str, Tap], wanted: Iterable[str], passes: int
) -> tuple[list[Tap], dict[str, str]]:
    """Split the wanted layers into those that saw every token once, and reasons for the rest.

    Raises:
        InputError: no layer is left.
    """
    skipped = {}
    for name in wanted:
        tap = taps.get(name)
        if tap is None:
            skipped[name] = "never called"
        elif tap.problem:
            skipped[name] = tap.problem
        elif tap.passes < passes:
            skipped[name] = f"called in {tap.passes} of {passes} forward passes"
    kept = [tap for name, tap in taps.items() if name not in skipped]
    if not kept:
        name, reason = next(iter(skipped.items()))
        raise InputError(
            f"nothing was captured: all {len(skipped)} layers were left out, e.g. {name}: {reason}"
        )
    return kept, skipped


def input_keys(taps: Iterable[Tap]) -> dict[str, str]:
    """Return the input key of each layer: the name of the first of `taps` that reads it."""
    owners: dict[int, str] = {}
    return {tap.name: owners.setdefault(id(tap.stream), tap.name) for tap in taps}


def write_inputs(
    writer: TraceWriter,
    spill: Spill,
    taps: Iterable[Tap],
    progress: Progress,
) -> dict[str, InputInfo]:
    """Copy each distinct input of `taps` to the trace, one array in memory at a time."""
    keys = input_keys(taps := list(taps))
    streams = {tap.name: tap.stream for tap in taps if tap.stream and keys[tap.name] == tap.name}
    inputs = {}
    for key, stream in streams.items():
        values, inputs[key] = spill.read(stream)
        writer.add(key, values)
        progress(WRITING, len(inputs), len(streams))
    return inputs


def linear_table(taps: Iterable[Tap]) -> tuple[Linear, ...]:
    """Return the layers of a trace, in the order in which the model called them."""
    keys = input_keys(taps := list(taps))
    return tuple(
        Linear(
            name=tap.name,
            input=keys[tap.name],
            in_features=tap.linear.in_features,
            out_features=tap.linear.out_features,
        )
        for tap in taps
    )

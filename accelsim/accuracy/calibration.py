"""What methods learn about each layer before they are used, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.accuracy.arithmetic import at_least_single, running
from accelsim.accuracy.greedy import greedy_sparsities
from accelsim.accuracy.hooks import rows_of, watching
from accelsim.accuracy.pruning import FACTORS, LEVEL, LayerPruning, RowLayout, State, weight_of
from accelsim.accuracy.subject import Subject
from accelsim.base.errors import InputError
from accelsim.base.files import check_regular, replacing
from accelsim.base.strict_json import json_text
from accelsim.capture.extra import require
from accelsim.capture.linears import LinearModule
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import Sample, parse_mitigation
from accelsim.sparsity.patterns.threshold import Threshold
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace.archive import Archive, naming

if TYPE_CHECKING:
    import torch

SCHEMA = 1
Key = tuple[str, str]  # layer and method


@dataclass
class Calibration:
    """States by layer and method, and what they were made from."""

    facts: dict[str, Any]
    states: dict[Key, State] = field(default_factory=dict)

    def missing(self, wanted: Iterable[tuple[str, Method]]) -> list[tuple[str, Method]]:
        """Return the pairs of layer and method that need a state and have none."""
        return [
            (layer, method)
            for layer, method in wanted
            if has_state(method) and (layer, str(method)) not in self.states
        ]


def has_state(method: Method) -> bool:
    """Whether a method knows anything of its own about a layer."""
    return needs_text(method) or method.demands.factors == "fixed" or bool(method.demands.rank)


def needs_text(method: Method) -> bool:
    """Whether a method is calibrated on activations."""
    is_calibrated = parse_mitigation(method.mitigation).is_calibrated
    return not method.pattern.is_dense and (is_calibrated or isinstance(method.pattern, Threshold))


def wanted_states(policies: Iterable[Policy], layers: Iterable[str]) -> list[tuple[str, Method]]:
    """Return each pair of layer and method that some policy has, once."""
    names = list(layers)
    return list(dict.fromkeys((name, policy.of(name)) for policy in policies for name in names))


def calibrate(  # noqa: PLR0913
    subject: Subject,
    ids: torch.Tensor,
    wanted: Iterable[tuple[str, Method]],
    *,
    precision: str,
    seq_len: int,
    on_layer: Callable[[], None] = lambda: None,
    on_block: Callable[[int, int], None] = lambda *_: None,
) -> dict[Key, State]:
    """Let methods learn what they need of their layers.

    The model reads the calibration text once, dense; each layer is looked at when its input
    passes, so that one input is in memory at a time.

    Args:
        subject: the model.
        ids: token ids of the calibration text; those after the last whole sequence are left out.
        wanted: layers and methods.
        precision: what the machine holds.
        seq_len: tokens in a sequence.
        on_layer: called after each layer.
        on_block: told how many of how many layers have greedy thresholds.
    """
    pairs = list(wanted)
    levels = _greedy_levels(subject, ids, pairs, seq_len, on_block)
    by_layer: dict[str, list[Method]] = {}
    for name, method in pairs:
        by_layer.setdefault(name, []).append(method)
    states: dict[Key, State] = {}

    def learn(name: str, inputs: torch.Tensor | None) -> None:
        for method in by_layer[name]:
            share = levels.get((name, str(method)))
            layer = subject.linears[name]
            states[name, str(method)] = _fit(layer, inputs, method, precision, share, seq_len)
        on_layer()

    seen: set[str] = set()

    def look(name: str, *arguments: Any) -> None:
        seen.add(name)
        learn(name, rows_of(*arguments))

    reading = [name for name, methods in by_layer.items() if any(map(needs_text, methods))]
    modules = {name: subject.linears[name].module for name in reading}
    with watching(modules, look):
        if reading:
            _read(subject, ids, seq_len)
    unseen = [name for name in reading if name not in seen]
    if unseen:
        raise InputError(
            f"{len(unseen)} layers learned nothing, e.g. '{unseen[0]}': no token of the "
            f"calibration text reached them; take more with --calibration-tokens, or leave them "
            f"out with --exclude"
        )
    for name in by_layer.keys() - set(reading):
        learn(name, None)
    return states


def _fit(  # noqa: PLR0913, PLR0917
    linear: LinearModule,
    inputs: torch.Tensor | None,
    method: Method,
    precision: str,
    share: float | None,
    seq_len: int,
) -> State:
    """Return what a method knows of one layer.

    Args:
        linear: the layer.
        inputs: `[T, K]`, float32 or float64; None if the method needs none.
        method: how it is pruned.
        precision: what the machine holds.
        share: what a greedy threshold drops here; None: what the pattern says.
        seq_len: tokens in a sequence of the inputs.
    """
    state: dict[str, Any] = {}
    weight = at_least_single(weight_of(linear))
    factors = CRITERIA[method.criterion].layer_factors(weight.cpu().numpy())
    if factors is not None:
        state[FACTORS] = factors
    if isinstance(method.pattern, Threshold) and inputs is not None:
        dropped = method.pattern.sparsity if share is None else share
        state[LEVEL] = float(np.quantile(inputs.abs().cpu().numpy(), dropped))
    layer = LayerPruning(method, precision, state)
    rows = RowLayout() if inputs is None else RowLayout(len(inputs) // seq_len, seq_len)
    if inputs is not None:
        rows.check(len(inputs), method)
    sample = Sample(
        inputs, weight, lambda values: layer.select(values, rows), require("torch").linalg
    )
    return state | layer.mitigation.fit(sample)


def _read(subject: Subject, ids: torch.Tensor, seq_len: int) -> None:
    """Run the model once on the whole sequences of a text, as one batch."""
    length = subject.text_tokens(seq_len)
    sequences = len(ids) // length
    if not sequences:
        raise InputError(
            f"the calibration text has {len(ids)} tokens, less than one sequence of {length}"
        )
    with running(subject.model):
        subject.read(ids[: sequences * length].reshape(sequences, -1))


def _greedy_levels(
    subject: Subject,
    ids: torch.Tensor,
    pairs: list[tuple[str, Method]],
    seq_len: int,
    on_block: Callable[[int, int], None],
) -> dict[Key, float]:
    """Return the share that greedy thresholds drop of each layer."""
    shares: dict[Key, float] = {}
    known: dict[float, dict[str, float]] = {}
    for method in dict.fromkeys(method for _, method in pairs):
        pattern = method.pattern
        if not isinstance(pattern, Threshold) or not pattern.is_greedy:
            continue
        if pattern.sparsity not in known:
            known[pattern.sparsity] = greedy_sparsities(
                subject, ids, pattern.sparsity, seq_len, on_block
            )
        shares |= {(name, str(method)): share for name, share in known[pattern.sparsity].items()}
    return shares


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write states to an `.npz` without pickles: `meta` (JSON), and an array for each number."""
    names: list[list[str]] = []
    arrays: dict[str, Any] = {}
    for (layer, method), state in calibration.states.items():
        for name, value in state.items():
            arrays[str(len(names))] = np.asarray(value.cpu() if hasattr(value, "cpu") else value)
            names.append([layer, method, name])
    meta = json_text({"schema": SCHEMA, "facts": calibration.facts, "arrays": names})
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, meta=np.array(meta), **arrays)


def load_calibration(path: Path, facts: Mapping[str, Any], device: str) -> Calibration:
    """Read states that were made for the same model, layers and precision.

    Raises:
        InputError: not such a file, or made for something else; says what differs.
    """
    check_regular(path, "cannot read the calibration")
    try:
        with naming(path, unreadable="cannot read", damaged="damaged"), Archive(path) as archive:
            table = _read_table(archive)
            values = [
                _read_state(archive, str(place), name, device)
                for place, (_, _, name) in enumerate(table.arrays)
            ]
    except InputError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise InputError(
            f"{path}: not a calibration file of accelsim, or a damaged one: {why}"
        ) from error
    if table.schema_ != SCHEMA:
        raise InputError(f"{path}: schema {table.schema_}; this version reads {SCHEMA}")
    for name, known in facts.items():
        if table.facts.get(name) != known:
            raise InputError(
                f"{path}: calibrated for {name} {table.facts.get(name)!r}, this is {known!r}"
            )
    states: dict[Key, dict[str, Any]] = {}
    for (layer, method, name), value in zip(table.arrays, values, strict=True):
        states.setdefault((layer, method), {})[name] = value
    return Calibration(table.facts, dict(states))


class _Table(BaseModel):
    """The `meta` entry of a calibration file: where its arrays belong."""

    model_config = ConfigDict(extra="forbid")

    schema_: int = Field(alias="schema")
    facts: dict[str, Any]
    arrays: list[tuple[str, str, str]]


def _read_table(archive: Archive) -> _Table:
    text = archive.read_text("meta")
    try:
        return _Table.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "(whole)"
        raise InputError(f"entry 'meta', {where}: {first['msg']}") from error


def _read_state(archive: Archive, entry: str, name: str, device: str) -> Any:
    """Return an array of a calibration file as methods hold it."""
    array = archive.read_array(entry)
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InputError(
            f"{archive.path}: array '{entry}' ({name}) must hold finite floating-point numbers"
        )
    if name == LEVEL:
        if array.shape != ():
            raise InputError(f"{archive.path}: array '{entry}' ({name}) must be one number")
        return float(array)
    return array if name == FACTORS else require("torch").from_numpy(array).to(device)


def check_states(
    path: Path,
    states: Mapping[Key, State],
    wanted: Iterable[tuple[str, Method]],
    linears: Mapping[str, LinearModule],
) -> None:
    """Raise InputError unless the states of a file have the shapes that their layers need."""
    for layer, method in wanted:
        state = states.get((layer, str(method)))
        if state is None:
            continue
        needed = _shapes(linears[layer], method)
        found = {name: tuple(np.shape(value)) for name, value in state.items()}
        if needed is not None and found != needed:
            raise InputError(
                f"{path}: {method} of layer '{layer}' has {_shown(found)}, needed: {_shown(needed)}"
            )


def _shapes(linear: LinearModule, method: Method) -> dict[str, tuple[int, ...]] | None:
    """Return the shape of each part of a method's state; None: the mitigation does not say."""
    mitigation = parse_mitigation(method.mitigation)
    shapes = mitigation.shapes(linear.in_features, linear.out_features)
    if shapes is None:
        return None
    if method.demands.factors == "fixed":
        shapes[FACTORS] = (linear.in_features,)
    if isinstance(method.pattern, Threshold):
        shapes[LEVEL] = ()
    return shapes


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items())) or "nothing"

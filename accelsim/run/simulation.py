"""The data flow: load, select, tile, run, price, return. Read this file first.

A layer is cut into tiles in `layers.py`; `runner.py` runs and prices it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal

from accelsim.base.arguments import check_count, held, sequence_of
from accelsim.base.cache import DiskCache
from accelsim.base.errors import InputError
from accelsim.config import Architecture, load_arch
from accelsim.mapping import Gemm, Ints
from accelsim.results.comparison import comparison_rows
from accelsim.results.result import Result
from accelsim.run.following import DEFAULT_LAYERS, Layers, check_layers
from accelsim.run.hidden import beside_hidden
from accelsim.run.layers import method_of, naming
from accelsim.run.line import ChainedLine, Line
from accelsim.run.runner import DEFAULT_ENGINE, Observer, Runner
from accelsim.selection.decode import decode_batches, rows_of_steps
from accelsim.selection.selections import Wish, selections_of
from accelsim.selection.sparsify import Selection
from accelsim.sparsity.policy import Policy, load_policy
from accelsim.trace import Linear, Trace, load_trace

Phase = Literal["prefill", "decode"]


def every_layer(_: Linear) -> bool:
    """Whether a layer is watched, where nothing else is said: always."""
    return True


def simulate(  # noqa: PLR0913 - all but two are optional, and named
    arch: Architecture | str | Path,
    trace: Trace | str | Path,
    *,
    policy: Policy | str | Path | None = None,
    phase: Phase = "prefill",
    batch: int | None = None,
    engine: str = DEFAULT_ENGINE,
    layers: Layers = DEFAULT_LAYERS,
    cache: DiskCache | None = None,
    on_layer: Callable[[Linear], None] | None = None,
    observer: Observer | None = None,
    watches: Callable[[Linear], bool] = every_layer,
) -> Result:
    """Run every layer of a trace on a machine; return cycles, energy and area.

    Args:
        arch: the machine, or its file.
        trace: the workload, or its file; its values decide what is selected.
        policy: how the machine prunes which layer, or its file; None: all alike, as the machine
            says. It gets the units that the methods of its layers ask for.
        phase: `prefill` runs all tokens of the trace as one batch; `decode` runs one token of each
            of `batch` sequences a step, over all tokens of the trace; an expert runs those of them
            that are routed to it.
        batch: sequences of a decode step; default 1.
        engine: `recurrence`, or `simpy`, the reference; the results are the same.
        layers: `chained`, each begins where the one before ends; `isolated`, each begins with an
            empty machine.
        cache: where selections and tiles are kept from run to run, e.g. `DiskCache.of_user()`.
        on_layer: called before each layer, for progress.
        observer: called after each run of a layer, or of several that read the same input and run
            as one, for timelines.
        watches: layers that the observer is called for; default all.

    Raises:
        InputError: a file is wrong, a tile or a table cannot fit, a layer's pattern does not run on
            the machine, the batch is larger than the trace, the machine deadlocks.
        ArgumentError: an argument has a type that it cannot have.
    """
    (result,) = simulate_all(
        [arch],
        trace,
        policies=[policy],
        phase=phase,
        batch=batch,
        engine=engine,
        layers=layers,
        cache=cache,
        on_layer=on_layer,
        observer=observer,
        watches=watches,
    )
    return result


def compare(  # noqa: PLR0913
    archs: Sequence[Architecture | str | Path],
    trace: Trace | str | Path,
    *,
    policies: Sequence[Policy | str | Path | None] | None = None,
    phase: Phase = "prefill",
    batch: int | None = None,
    engine: str = DEFAULT_ENGINE,
    layers: Layers = DEFAULT_LAYERS,
    cache: DiskCache | None = None,
    on_layer: Callable[[Linear], None] | None = None,
) -> list[dict[str, Any]]:
    """Run a trace on several machines; return a row for each, with ratios to the first.

    The rows are those of `accelsim compare --json`; `pandas.DataFrame` takes them as they are.

    Args:
        archs: the machines, or their files.
        trace: the workload, or its file.
        policies: of each machine, how it prunes which layer, or its file; None: as it says.
        phase: `prefill` or `decode`, as in `simulate`.
        batch: sequences of a decode step; default 1.
        engine: as in `simulate`.
        layers: as in `simulate`.
        cache: as in `simulate`.
        on_layer: called before each layer on each machine, for progress.

    Raises:
        InputError: as `simulate`; there are no machines, or not as many policies.
        ArgumentError: an argument has a type that it cannot have.
    """
    results = simulate_all(
        archs,
        trace,
        policies=policies,
        phase=phase,
        batch=batch,
        engine=engine,
        layers=layers,
        cache=cache,
        on_layer=on_layer,
    )
    return comparison_rows(results)


def simulate_all(  # noqa: PLR0913
    archs: Sequence[Architecture | str | Path],
    trace: Trace | str | Path,
    *,
    policies: Sequence[Policy | str | Path | None] | None = None,
    phase: Phase = "prefill",
    batch: int | None = None,
    engine: str = DEFAULT_ENGINE,
    layers: Layers = DEFAULT_LAYERS,
    cache: DiskCache | None = None,
    on_layer: Callable[[Linear], None] | None = None,
    observer: Observer | None = None,
    watches: Callable[[Linear], bool] = every_layer,
) -> list[Result]:
    """Run every layer of a trace on each of several machines, in one pass over its values.

    Args:
        archs: the machines, or their files.
        trace: the workload, or its file.
        policies: of each machine, how it prunes which layer, or its file; None: as it says.
        phase: `prefill` or `decode`, as in `simulate`.
        batch: sequences of a decode step; default 1.
        engine: as in `simulate`.
        layers: as in `simulate`.
        cache: as in `simulate`.
        on_layer: called before each layer on each machine, for progress.
        observer: called after each such run on the first machine, for timelines.
        watches: layers that the observer is called for; default all.

    Raises:
        InputError: as `simulate`; there are no machines, or not as many policies.
        ArgumentError: an argument has a type that it cannot have.
    """
    trace = held(trace, Trace, load_trace, "trace")
    check_layers(layers)
    steps = decode_steps(trace, phase, batch)
    machines, rules = _opened(archs, policies)
    machines = [equip(arch, trace, rule) for arch, rule in zip(machines, rules, strict=True)]
    found = selections(machines, trace, rules, with_masks=steps is not None, cache=cache)
    kind = ChainedLine if layers == "chained" else Line
    observers = [observer, *[None] * (len(machines) - 1)]
    lines = [
        kind(Runner(arch, engine, rule, cache=cache), trace, steps, own_observer, watches)
        for arch, rule, own_observer in zip(machines, rules, observers, strict=True)
    ]
    for linear, chosen in found:
        own = layer_steps(trace, linear, steps)
        if own is not None and not own:
            continue  # no token of any step reaches this layer
        for line, selection in zip(lines, chosen, strict=True):
            if on_layer is not None:
                on_layer(linear)
            line.add(linear, selection, own)
    return [line.result() for line in lines]


def _opened(
    archs: Sequence[Architecture | str | Path],
    policies: Sequence[Policy | str | Path | None] | None,
) -> tuple[list[Architecture], list[Policy | None]]:
    """Return machines and their policies, those given as paths from their files."""
    machines = [held(arch, Architecture, load_arch, "arch") for arch in sequence_of(archs, "archs")]
    if not machines:
        raise InputError("argument 'archs' names no machine; at least one is needed")
    given = [None] * len(machines) if policies is None else sequence_of(policies, "policies")
    if len(given) != len(machines):
        raise InputError(
            f"{len(given)} policies for {len(machines)} machines; give one for each, or None"
        )
    rules = [
        None
        if policy is None
        else held(policy, Policy, partial(load_policy, default=arch.method), "policy")
        for arch, policy in zip(machines, given, strict=True)
    ]
    return machines, rules


def decode_steps(trace: Trace, phase: str, batch: int | None) -> Ints | None:
    """Return the tokens of each decode step, `[steps, batch]`; None for prefill."""
    if phase not in ("prefill", "decode"):
        raise InputError(f"unknown phase '{phase}'; allowed: prefill, decode")
    if phase == "prefill" and batch is not None:
        raise InputError("a batch is for phase 'decode'; prefill takes all tokens at once")
    if batch is not None:
        check_count(batch, "batch")
    if batch is not None and batch < 1:
        raise InputError(f"batch {batch}: must be at least 1")
    return decode_batches(trace.meta.sequence_lengths, batch or 1) if phase == "decode" else None


def layer_steps(trace: Trace, linear: Linear, steps: Ints | None) -> list[Ints] | None:
    """Return the rows of a layer's input in each decode step, steps with as many rows together.

    Tokens that do not reach the layer, as those that are routed to other experts, have no row; nor
    has a step without any. None for prefill.

    Raises:
        InputError: the rows of the layer are no tokens, so that they belong to no step.
    """
    if steps is None:
        return None
    numbers = trace.token_numbers(linear.input)
    if numbers is None:
        raise InputError(
            f"{trace.path}: layer '{linear.name}' has {trace.meta.rows(linear.input)} rows that "
            f"are not tokens of the trace ({trace.tokens}), so that no decode step has them; run "
            f"phase prefill, or capture without this layer"
        )
    return rows_of_steps(steps, numbers, trace.tokens)


def layer_runs(trace: Trace, linear: Linear, steps: Ints | None) -> list[tuple[int, int]]:
    """Return how often a layer runs, with how many rows of its input each time."""
    parts = layer_steps(trace, linear, steps)
    if parts is None:
        return [(1, trace.meta.rows(linear.input))]
    return [(len(part), part.shape[1]) for part in parts]


def equip(arch: Architecture, trace: Trace, policy: Policy | None) -> Architecture:
    """Return the machine with the units and tables that the layers of a trace ask for.

    Raises:
        InputError: a rule names no layer, or the machine cannot run what one of them says.
    """
    if policy is not None:
        policy.check(linear.name for linear in trace.linears)
    methods = {linear: method_of(arch, policy, linear, is_decode=True) for linear in trace.linears}
    if policy is not None:
        distinct = dict.fromkeys(methods.values())
        for method in distinct:
            with naming(arch, next(layer for layer in methods if methods[layer] == method)):
                arch.running(method)
        arch = arch.equipped(distinct)
    return arch.sized(
        (Gemm(trace.meta.rows(linear.input), linear.in_features, linear.out_features), method)
        for linear, method in methods.items()
    )


def selections(
    archs: Sequence[Architecture],
    trace: Trace,
    policies: Sequence[Policy | None] | None = None,
    *,
    with_masks: bool = False,
    cache: DiskCache | None = None,
) -> Iterator[tuple[Linear, list[Selection]]]:
    """Yield each layer with what survives of its input on each machine.

    Layers that share an input share it, whatever their methods; one input is in memory at a time.
    """
    policies = policies or [None] * len(archs)
    pairs = list(zip(archs, policies, strict=True))
    for key, group in groupby(trace.linears, lambda linear: linear.input):
        wishes = {
            linear: [wish_of(*pair, linear, is_decode=with_masks) for pair in pairs]
            for linear in group
        }
        distinct = list(dict.fromkeys(chain.from_iterable(wishes.values())))
        found = selections_of(trace, key, distinct, cache)
        for linear, wanted in wishes.items():
            chosen = [found[wish] for wish in wanted]
            for place, ((arch, policy), selection) in enumerate(zip(pairs, chosen, strict=True)):
                method = method_of(arch, policy, linear, is_decode=with_masks)
                if arch.diagram.sees_hidden and not method.pattern.is_dense:
                    chosen[place] = beside_hidden(selection, wanted[place], trace, linear, cache)
            yield linear, chosen


def wish_of(arch: Architecture, policy: Policy | None, linear: Linear, *, is_decode: bool) -> Wish:
    """Return what a layer wants to know of its input: all that the values of a trace can tell.

    In decode a token is a sequence by itself, whose ranking is by magnitude.
    """
    method = method_of(arch, policy, linear, is_decode=is_decode)
    demands = method.demands
    ranks_chunks = demands.factors == "chunk" and not is_decode
    needs_mask = is_decode or arch.diagram.gathers_operands
    is_matched = arch.diagram.packs is not None
    fetches = not (method.pattern.is_dense or demands.residual)  # rows of W by what is kept
    return Wish(
        arch.path.x.precision,
        method.pattern,
        with_mask=is_matched or (needs_mask and fetches),
        without_zeros=is_matched,
        criterion=method.criterion if ranks_chunks else "act",
        is_centred=demands.statistics == "median",
        has_residual=demands.residual,
    )

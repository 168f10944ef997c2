"""Many machines on one trace: those that can run it, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.files import is_folder
from accelsim.config import Architecture, load_arch
from accelsim.results.result import Result
from accelsim.run.simulation import decode_steps, equip, simulate
from accelsim.sparsity.policy import Policy
from accelsim.trace import Trace

_FIRST = "dense.yaml"


@dataclass(frozen=True)
class Refusal:
    """A machine that does not run a trace.

    Attributes:
        name: of its file, without the ending.
        reason: as `accelsim run` says it.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Fleet:
    """What the machines of a folder made of a trace; `machines` and `results` are pairs.

    Attributes:
        machines: those that ran.
        results: theirs: of the first machine, then the fastest first, of equals the thriftiest.
        refusals: the other machines, by name.
    """

    machines: Sequence[Architecture]
    results: Sequence[Result]
    refusals: Sequence[Refusal]


def machine_files(folder: Path) -> list[Path]:
    """Return the architecture files of a folder by name, but `dense.yaml` before all others.

    Raises:
        InputError: it is no folder, or there are none in it.
    """
    if not is_folder(folder):
        raise InputError(f"{folder}: no such folder; name one that holds architecture files")
    found = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    if not found:
        raise InputError(f"{folder}: holds no architecture files (.yaml)")
    return sorted(found, key=lambda path: path.name != _FIRST)


def run_fleet(
    files: Sequence[Path],
    trace: Trace,
    *,
    overrides: Sequence[str] = (),
    policy_of: Callable[[Architecture], Policy | None] = lambda _: None,
    **options: Any,
) -> Fleet:
    """Run a trace on every machine that can run it.

    Args:
        files: of the machines; ratios are to the first that runs.
        trace: the workload.
        overrides: keys to replace in every file, as in `load_arch`.
        policy_of: returns how a machine prunes which layer; None: as it says.
        options: `phase` and others of `simulate`, the same for all machines.

    Raises:
        InputError: the trace has no such decode steps, or no machine runs it.
    """
    # A wrong batch is no fault of the machines.
    decode_steps(trace, options.get("phase", "prefill"), options.get("batch"))
    ran: list[tuple[Architecture, Result]] = []
    refusals: list[Refusal] = []
    for file in files:
        try:
            arch = load_arch(file, overrides)
            rule = policy_of(arch)
            arch = equip(arch, trace, rule)
            ran.append((arch, simulate(arch, trace, policy=rule, **options)))
        except InputError as error:
            refusals.append(Refusal(file.stem, str(error)))
    if not ran:
        raise InputError(f"no machine runs this: {refusals[0].reason}")
    ordered = list(_fastest_first(ran))
    return Fleet([arch for arch, _ in ordered], [result for _, result in ordered], refusals)


def _fastest_first(
    ran: Sequence[tuple[Architecture, Result]],
) -> Iterator[tuple[Architecture, Result]]:
    """Yield the first, and then the others by time and energy."""

    def order(pair: tuple[Architecture, Result]) -> tuple[float, float]:
        totals = pair[1].totals()
        return totals["time_s"], totals["energy_pj"]

    yield ran[0]
    yield from sorted(ran[1:], key=order)

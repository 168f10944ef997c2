"""The search of a whole plan: chains of searches, in as many processes as there are cores.

A chain is one work and one seed, over bandwidths and areas from the smallest. In each area all
patterns are searched alike: half of the trials begin at the machine of the pattern's file, at that
machine tuned, and at the best ones of the bandwidth and of the area before; the other half at what
the first found, and at the best machines of the other patterns, as far as they are alike. Chains
know nothing of each other, so seeds tell how far a search can be trusted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelsim.base.cache import DiskCache
from accelsim.base.errors import InputError
from accelsim.base.files import folder as output_folder
from accelsim.base.files import write_texts
from accelsim.base.yaml_source import YamlSource, read_yaml
from accelsim.config import load_arch
from accelsim.run.simulation import decode_steps
from accelsim.sweeps.totals import Workload
from accelsim.tuning.area_plan import AreaPlan, load_area_plan
from accelsim.tuning.bench import Contents, Workbench, changed, got
from accelsim.tuning.descent import tune
from accelsim.tuning.journal import Journal, code_digest
from accelsim.tuning.processes import processes
from accelsim.tuning.search import AreaSearch, Found
from accelsim.tuning.space import Places, Space

Row = dict[str, Any]
Note = Callable[[str], None]
_KEYS = (
    *(("mac_array", name) for name in ("rows", "columns", "lanes")),
    *(("crossbar", "kind"), ("selector", "instances")),
    *(
        ("buffers", buffer, name)
        for buffer in ("activations", "weights", "outputs", "compressed")
        for name in ("capacity_kib", "port_bytes", "macros")
    ),
)


@dataclass(frozen=True)
class Chain:
    """The searches of one work and one seed.

    Attributes:
        plan_path: the file of the plan.
        folder: of the journals.
        trials: of each search.
        work, seed: which ones.
    """

    plan_path: Path
    folder: Path
    trials: int
    work: str
    seed: int

    def rows(self) -> list[Row]:
        """Return the best machine of each search."""
        plan = load_area_plan(self.plan_path)
        sides = [Side.of(self, plan, pattern) for pattern in plan.bases]
        whole_um2 = _area_um2(self.plan_path.parent / plan.reference)
        rows: list[Row] = []
        for bandwidth in plan.bandwidths_gb_per_s:
            for share in plan.shares_of(self.work):
                searches = [side.search(bandwidth, share, share * whole_um2) for side in sides]
                for side, search in zip(sides, searches, strict=True):
                    search.run(side.starts(search.space, share), self.trials - self.trials // 2)
                firsts = [search.best for search in searches]
                for side, search in zip(sides, searches, strict=True):
                    search.run(_exchanged(search, firsts), self.trials // 2)
                    if search.best is not None:
                        side.best[share] = search.best.places
                        rows.append(self._row(side.pattern, search, bandwidth, share))
        return rows

    def path(self, what: str, pattern: str) -> Path:
        """Return a file of the chain."""
        plain = "".join(sign if sign.isalnum() else "_" for sign in f"{self.work}-{pattern}")
        return self.folder / f"{what}-{plain}"

    def _row(self, pattern: str, search: AreaSearch, bandwidth: float, share: float) -> Row:
        best = search.best
        assert best is not None
        row: Row = {"work": self.work, "share": share, "pattern": pattern}
        row["dram.bandwidth_gb_per_s"] = bandwidth
        row |= {"seed": self.seed, "trials": len(search.found)}
        row |= best.measured | {"area_um2": best.candidate.area_um2}
        return row | {".".join(key): got(best.candidate.contents, key) for key in _KEYS}


@dataclass
class Side:
    """One pattern in a chain.

    Attributes:
        pattern: of its machines.
        bench: on which they are tried.
        journal: of what was simulated.
        machines: the machine of the pattern's file, and that tuned.
        seed: of its searches.
        best: the places of the best machine of each share, of the last bandwidth that had it.
    """

    pattern: str
    bench: Workbench
    journal: Journal
    machines: Sequence[Contents]
    seed: str
    best: dict[float, Places] = field(default_factory=dict)

    @classmethod
    def of(cls, chain: Chain, plan: AreaPlan, pattern: str) -> Side:
        """Return a pattern with nothing found."""
        bench = _bench(chain, plan, pattern)
        journal = Journal(chain.path(f"seed{chain.seed}", pattern), _identity(bench))
        tuned = json.loads(chain.path("tuned", pattern).read_text("utf-8"))["contents"]
        seed = f"{chain.seed} {chain.work}"
        return cls(pattern, bench, journal, [bench.source.data, tuned], seed)

    def search(self, bandwidth: float, share: float, budget_um2: float) -> AreaSearch:
        """Return the search of an area."""
        space = Space(self.bench.source, bandwidth)
        seed = f"{self.seed} {bandwidth:g} {share:g}"
        return AreaSearch(space, self.bench, self.journal, budget_um2, seed)

    def starts(self, space: Space, share: float) -> list[Places]:
        """Return where a search begins: each machine as it is, and with all columns that fit."""
        known = [self.best[other] for other in sorted(self.best) if other <= share]
        places = [*map(space.near, self.machines), *known[-2:]]
        return [it for one in places for it in (one, space.filling(one))]


def tune_base(chain: Chain, pattern: str) -> None:
    """Tune the machine of a pattern's file for the work of a chain, unless that is on disk."""
    bench = _bench(chain, load_area_plan(chain.plan_path), pattern)
    path, identity = chain.path("tuned", pattern), _identity(bench)
    with suppress(OSError, ValueError, AttributeError):  # not there, or damaged: made again
        if json.loads(path.read_text("utf-8")).get("identity") == identity:
            return
    text = json.dumps({"identity": identity, "contents": tune(bench).after.contents})
    write_texts({path: text})


def _exchanged(search: AreaSearch, firsts: Sequence[Found | None]) -> list[Places]:
    """Return the best machines of other patterns, with what they lack from the search's own."""
    own = search.best
    if own is None:
        return []
    others = [first.places for first in firsts if first is not None and first is not own]
    alike = [
        {**own.places, **{name: place for name, place in it.items() if name in own.places}}
        for it in others
    ]
    return [it for one in alike for it in (one, search.space.filling(one))]


def _area_um2(path: Path) -> float:
    arch = load_arch(path)
    tech = arch.load_technology()
    return sum(unit.area_um2(tech, arch.path) for unit in arch.units.values())


def _bench(chain: Chain, plan: AreaPlan, pattern: str) -> Workbench:
    """Return a bench for the machines of a pattern."""
    beside, work = chain.plan_path.parent, plan.works[chain.work]
    source = read_yaml(beside / plan.bases[pattern])
    key = ("dram", "bandwidth_gb_per_s")
    data = changed(source.data, key, plan.tuned_at_gb_per_s)
    source = YamlSource(source.path, data, source.lines, source.overrides)
    workload = Workload(work.load(beside, chain.folder), DiskCache.of_user())
    return Workbench(source, workload, [work.duty])


def _identity(bench: Workbench) -> str:
    """Return what measured numbers depend on besides the machine."""
    return f"{code_digest()} {bench.workload.trace.sha256} {bench.duties[0]}"


def _check(plan: AreaPlan, path: Path, folder: Path) -> None:
    """Raise InputError if a machine or the work of a plan is none: before the search, not after."""
    load_arch(path.parent / plan.reference)
    for base in plan.bases.values():
        for bandwidth in (plan.tuned_at_gb_per_s, *plan.bandwidths_gb_per_s):
            load_arch(path.parent / base, [f"dram.bandwidth_gb_per_s={bandwidth}"])
    for name, work in plan.works.items():
        try:
            decode_steps(work.load(path.parent, folder), work.duty.phase, work.batch)
        except InputError as error:
            raise InputError(f"{path}: work '{name}': {error}") from error


def run_area_plan(
    path: Path, folder: Path, *, trials: int | None = None, workers: int = 2, note: Note = print
) -> list[Row]:
    """Return the best machine of every search of a plan.

    Stopped, and started again with the same folder, it goes on where it was.

    Args:
        path: the file of the plan.
        folder: of the journals, made if need be.
        trials: of each search, if not those of the plan.
        workers: processes.
        note: told of what is finished.

    Raises:
        InputError: the plan or one of its files is wrong.
    """
    plan = load_area_plan(path)
    with output_folder(folder):
        _check(plan, path, folder)
    chains = [
        Chain(path, folder, trials or plan.trials, *which)  # in the order of the plan
        for which in plan.chains()
    ]
    begun_s = time.monotonic()
    first = {chain.work: chain for chain in reversed(chains)}
    pairs = [(chain, pattern) for chain in reversed(first.values()) for pattern in plan.bases]
    with processes(workers) as submit:
        tuned = [submit(tune_base, *pair) for pair in pairs]
        for done, it in enumerate(as_completed(tuned), start=1):
            it.result()
            note(f"tuned {done} of {len(tuned)}, {time.monotonic() - begun_s:.0f} s")
        running = [submit(chain.rows) for chain in chains]
        for done, one in enumerate(as_completed(running), start=1):
            one.result()
            seconds = time.monotonic() - begun_s
            note(f"searched {done} of {len(chains)} chains, {seconds:.0f} s")
        return [row for one in running for row in one.result()]

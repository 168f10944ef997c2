"""The search of a whole plan: chains of searches, in as many processes as there are cores.

A chain is one work, one pattern and one seed, over bandwidths and areas from the smallest. Each
search of it begins at the machine of the pattern's file, at that machine tuned, and at the best
ones of the bandwidth and of the area before. Chains know nothing of each other, so seeds tell how
far a search can be trusted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from accelsim.base.cache import DiskCache
from accelsim.base.yaml_source import YamlSource, read_yaml
from accelsim.config import load_arch
from accelsim.sweeps.totals import Workload
from accelsim.tuning.area_plan import AreaPlan, load_area_plan
from accelsim.tuning.bench import Contents, Workbench, changed, got
from accelsim.tuning.descent import tune
from accelsim.tuning.journal import Journal, code_digest
from accelsim.tuning.search import AreaSearch, Found
from accelsim.tuning.space import Places, Space

Row = dict[str, Any]
Note = Callable[[str], None]
_DIGITS = 12
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
    """The searches of one work, one pattern and one seed.

    Attributes:
        plan_path: the file of the plan.
        folder: of the journals.
        trials: of each search.
        work, pattern, seed: which ones.
    """

    plan_path: Path
    folder: Path
    trials: int
    work: str
    pattern: str
    seed: int

    def rows(self) -> list[Row]:
        """Return the best machine of each search."""
        plan = load_area_plan(self.plan_path)
        bench = _bench(self, plan)
        reference = load_arch(self.plan_path.parent / plan.reference)
        tech = reference.load_technology()
        whole_um2 = sum(unit.area_um2(tech, reference.path) for unit in reference.units.values())
        journal = Journal(self._path("machines", self.seed), _identity(bench))
        tuned = json.loads(self._path("tuned").read_text(encoding="utf-8"))["contents"]
        rows: list[Row] = []
        best: dict[tuple[float, float], Places] = {}
        for bandwidth in plan.bandwidths_gb_per_s:
            space, before = Space(bench.source, bandwidth), dict(best)
            best = {}
            for share in plan.shares_of(self.work):
                known = [*_at(before, share), *(it for found in best.values() for it in [found])]
                starts = _starts(space, [bench.source.data, tuned], known)
                search = AreaSearch(
                    space=space,
                    bench=bench,
                    journal=journal,
                    budget_um2=share * whole_um2,
                    trials=self.trials,
                    seed=f"{self.seed} {self.work} {bandwidth:g} {share:g}",
                    starts=starts,
                )
                found = search.run()
                if found:
                    best[bandwidth, share] = found[0].places
                    rows.append(self._row(found, bandwidth, share))
        return rows

    def _path(self, what: str, seed: int | None = None) -> Path:
        name = f"{what}-{self.work}-{self.pattern}{'' if seed is None else f'-{seed}'}"
        plain = "".join(sign if sign.isalnum() else "_" for sign in name)
        return self.folder / f"{plain}.jsonl"

    def _row(self, found: list[Found], bandwidth: float, share: float) -> Row:
        best = found[0]
        row: Row = {"work": self.work, "bandwidth": bandwidth, "share": share}
        row |= {"pattern": self.pattern, "seed": self.seed, "trials": len(found)}
        row |= best.measured | {"area_um2": best.candidate.area_um2}
        values = {".".join(key): got(best.candidate.contents, key) for key in _KEYS}
        return row | values

    def tune(self) -> None:
        """Tune the machine of the pattern's file for the work, unless that is on disk."""
        plan = load_area_plan(self.plan_path)
        bench, path = _bench(self, plan), self._path("tuned")
        identity = _identity(bench)
        if path.is_file() and json.loads(path.read_text("utf-8")).get("identity") == identity:
            return
        contents = tune(bench).after.contents
        path.write_text(json.dumps({"identity": identity, "contents": contents}), "utf-8")


def _at(best: Mapping[tuple[float, float], Places], share: float) -> Iterator[Places]:
    """Yield the best machine of another bandwidth at an area."""
    yield from (places for (_, other), places in best.items() if other == share)


def _starts(space: Space, machines: list[Contents], known: list[Places]) -> list[Places]:
    """Return where a search begins: each machine as it is, and with all columns that fit."""
    places = [*map(space.near, machines), *known]
    return [it for one in places for it in (one, space.filling(one))]


def _bench(chain: Chain, plan: AreaPlan) -> Workbench:
    """Return a bench for the machines of a chain."""
    beside, work = chain.plan_path.parent, plan.works[chain.work]
    source = read_yaml(beside / plan.bases[chain.pattern])
    key = ("dram", "bandwidth_gb_per_s")
    data = changed(source.data, key, plan.tuned_at_gb_per_s)
    source = YamlSource(source.path, data, source.lines, source.overrides)
    workload = Workload(work.load(beside, chain.folder), DiskCache.of_user())
    return Workbench(source, workload, [work.duty])


def _identity(bench: Workbench) -> str:
    """Return what measured numbers depend on besides the machine."""
    return f"{code_digest()} {bench.workload.trace.sha256} {bench.duties[0]}"


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
        note: told of each chain that is finished.

    Raises:
        InputError: the plan or one of its files is wrong.
    """
    plan = load_area_plan(path)
    folder.mkdir(parents=True, exist_ok=True)
    chains = [
        Chain(path, folder, trials or plan.trials, *which)  # in the order of the plan
        for which in plan.chains()
    ]
    for work in plan.works.values():  # once, and not by each process
        work.load(path.parent, folder)
    begun_s = time.monotonic()
    if workers == 1:
        for chain in chains:
            chain.tune()
        results = map(Chain.rows, chains)
        return _gathered(chains, results, partial(_said, note, begun_s))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        firsts = [chain for chain in chains if chain.seed == 0]
        for done, _ in enumerate(pool.map(Chain.tune, firsts), start=1):
            note(f"tuned {done} of {len(firsts)}, {time.monotonic() - begun_s:.0f} s")
        results = pool.map(Chain.rows, chains)
        return _gathered(chains, results, partial(_said, note, begun_s))


def _gathered(
    chains: list[Chain], results: Iterator[list[Row]], said: Callable[[Chain, int, int], None]
) -> list[Row]:
    """Return the rows of all chains, as they are finished."""
    rows: list[Row] = []
    for done, (chain, found) in enumerate(zip(chains, results, strict=True), start=1):
        rows += found
        said(chain, done, len(chains))
    return rows


def _said(note: Note, begun_s: float, chain: Chain, done: int, count: int) -> None:
    seconds = time.monotonic() - begun_s
    note(f"{done} of {count}: {chain.work}, {chain.pattern}, seed {chain.seed}; {seconds:.0f} s")

"""What searches found is remembered: in the process, and on disk."""

import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from accelsim.base.cache import DiskCache
from accelsim.mapping import Gemm
from accelsim.planning import Planner, planner
from accelsim.run.simulation import simulate
from benchmarks.mapping.__main__ import pair_of_losses, summary
from benchmarks.mapping.pairs import pairs
from tests.helpers.small import ROOT, load, trace_of

LAYER = Gemm(24, 192, 96)


@pytest.fixture
def searches():
    """Count searches, with nothing known from before."""
    asked = []
    real = planner.plan

    def count(machine, gemm, **options):
        asked.append(gemm)
        return real(machine, gemm, **options)

    with patch.object(planner, "plan", count), patch.object(planner, "_known", planner.Memory(64)):
        yield asked


def machine(**changes):
    return load("nm816", {"tiling": "auto"} | changes).running()


def forget():
    planner._known._known.clear()


def test_a_layer_is_searched_once_for_each_machine(searches):
    first = Planner().tile(machine(), LAYER)
    assert Planner().tile(machine(), LAYER) == first
    assert len(searches) == 1
    Planner().tile(machine(), LAYER, is_decode=True)
    Planner().tile(machine(**{"dram.bandwidth_gb_per_s": 32}), LAYER)
    Planner().tile(machine(), Gemm(25, 192, 96))
    assert len(searches) == 4


def test_costs_matter_only_where_energy_is_the_aim(searches):
    for node in (45, 7):
        Planner().tile(machine(**{"technology.node_nm": node}), LAYER)
    assert len(searches) == 1
    for node in (45, 7):
        priced = {"tiling": "{objective: energy}", "technology.node_nm": node}
        Planner().tile(machine(**priced), LAYER)
    assert len(searches) == 3


def test_another_process_finds_it_on_disk(searches, tmp_path):
    store = DiskCache(tmp_path)
    first = Planner(store).tile(machine(), LAYER)
    forget()
    assert Planner(store).tile(machine(), LAYER) == first
    assert len(searches) == 1
    (entry,) = tmp_path.glob("*.bin")
    entry.write_bytes(b"damaged")
    forget()
    assert Planner(store).tile(machine(), LAYER) == first
    assert len(searches) == 2


@pytest.mark.parametrize("stored", [b"", b"5", b"[1]", b'{"tokens": 1}', b'{"tile": 1}', b"\xff"])
def test_what_is_no_tile_counts_as_missing(searches, tmp_path, stored):
    with patch.object(DiskCache, "get", lambda *_: stored):
        found = Planner(DiskCache(tmp_path)).tile(machine(), LAYER)
    assert len(searches) == 1
    forget()
    assert Planner().tile(machine(), LAYER) == found


@pytest.mark.parametrize("layers", ["isolated", "chained"])
def test_a_run_stores_what_it_finds_and_finds_it_again(searches, tmp_path, layers):
    store, arch = DiskCache(tmp_path), load("nm816", {"tiling": "auto"})
    trace = trace_of([(64, 32), (32, 64)], lengths=(6,))
    first = simulate(arch, trace, layers=layers, cache=store)
    made = len(searches)
    forget()
    assert made
    assert simulate(arch, trace, layers=layers, cache=store).cycles == first.cycles
    assert len(searches) == made


def test_a_program_that_has_changed_searches_again(searches, tmp_path):
    store = DiskCache(tmp_path)
    Planner(store).tile(machine(), LAYER)
    forget()
    with patch.object(planner, "_source", lambda: ("another state",)):
        Planner(store).tile(machine(), LAYER)
    assert len(searches) == 2


def test_a_users_dataflow_is_known_by_its_functions(searches, tmp_path):
    """A condition of the same name that holds at other times is another dataflow."""
    store, known = DiskCache(tmp_path), machine()
    Planner(store).tile(known, LAYER)
    stages = tuple(map(without_conditions, known.diagram.stages))
    other = replace(known, diagram=replace(known.diagram, stages=stages))
    assert str(Path(__file__).name) in " ".join(planner._program(other))
    forget()
    Planner(store).tile(other, LAYER)
    assert len(searches) == 2


def without_conditions(stage):
    """The same stage, whose conditions never hold."""
    waits = (
        replace(wait, when=wait.when and replace(wait.when, holds=lambda _: False))
        for wait in stage.after
    )
    return replace(stage, after=tuple(waits))


def test_the_state_of_a_program_is_that_of_its_files(tmp_path):
    file = tmp_path / "unit.py"
    file.write_text("a = 1\n", encoding="utf-8")
    before = planner._state(file)
    os.utime(file, ns=(0, 0))
    assert planner._state(file) != before
    assert planner._state(Path("nowhere.py")) == "nowhere.py"
    assert any(text.startswith("mac_array.py") for text in planner._source())


def test_the_search_on_random_pairs_is_within_a_hundredth_of_the_best():
    """`docs/performance.md` has 800 of them."""
    both = [pair_of_losses(pair) for pair in pairs(str(ROOT / "arch_configs"), 24, seed=7)]
    found = [own for own, _ in both]
    assert np.percentile([losses.searched for losses in found], 90) <= 0.01
    assert max(losses.searched for losses in found) <= 0.05
    assert max(losses.estimated for losses in found) > 0.25, "do these pairs still ask much?"
    assert all(losses.bound_cycles <= losses.best_cycles for losses in found)
    assert summary(both)["bias_searched"]["least"] > 0.95, "speed-ups over dense are understated"

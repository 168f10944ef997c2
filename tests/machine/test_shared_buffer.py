"""One memory for X and W: each layer has its own split of the macros."""

import json
from unittest.mock import patch

import pytest
import yaml

from accelsim import load_arch, simulate
from accelsim.base.cache import DiskCache
from accelsim.base.errors import InputError
from accelsim.base.yaml_source import read_yaml
from accelsim.mapping import Gemm
from accelsim.planning import planner
from accelsim.run import links
from accelsim.run.chain import Walk
from accelsim.run.runner import Runner
from accelsim.run.simulation import decode_steps
from accelsim.run.verify import verify
from accelsim.sweeps.totals import Workload
from accelsim.testing.traces import trace_of
from accelsim.tuning.bench import Workbench
from accelsim.tuning.descent import tune
from tests.helpers.chains import block_trace
from tests.helpers.small import ROOT

NM816 = ROOT / "arch_configs" / "nm816.yaml"
KIB = 6
SMALL = f"buffers.shared={{capacity_kib: {KIB}, port_bytes: 768, macros: 3}}"
LAYERS = trace_of([(1024, 16), (256, 256), (64, 384)], lengths=(48,))


@pytest.fixture(scope="module")
def shared_file(tmp_path_factory):
    """The 8:16 machine with the two memories as one of 12 macros."""
    data = yaml.safe_load(NM816.read_text(encoding="utf-8"))
    del data["buffers"]["activations"], data["buffers"]["weights"]
    data["buffers"]["shared"] = {"capacity_kib": 384, "port_bytes": 384, "macros": 12}
    path = tmp_path_factory.mktemp("shared") / "nm816_shared.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def apart(x_macros, *keys):
    """Return the machine with so many of the three macros for X, the rest for W."""
    names = (("activations", x_macros), ("weights", 3 - x_macros))
    sizes = [f"buffers.{name}.capacity_kib={KIB / 3 * n}" for name, n in names]
    ports = [f"buffers.{name}.port_bytes={256 * n}" for name, n in names]
    macros = [f"buffers.{name}.macros={n}" for name, n in names]
    return load_arch(NM816, [*sizes, *ports, *macros, *keys])


def cycles(result):
    return [layer.cycles for layer in result.layers]


@pytest.mark.parametrize("tiling", ["auto", "quick"])
def test_each_layer_runs_as_on_a_machine_with_its_split(shared_file, tiling):
    """Of two splits, a layer has the faster one; cycles and energy are those of two memories."""
    key = f"tiling={tiling}"
    shared = simulate(load_arch(shared_file, [SMALL, key]), LAYERS, layers="isolated")
    others = [simulate(apart(n, key), LAYERS, layers="isolated") for n in (1, 2)]
    for layer, *pair in zip(shared.layers, *(other.layers for other in others), strict=True):
        alike = [each for each in pair if each.tiling == layer.tiling]
        alike = [each for each in alike if each.cycles == layer.cycles]
        assert alike
        energies = [each.energy_pj for each in alike]
        assert any(layer.energy_pj == pytest.approx(energy) for energy in energies)
        if tiling == "auto":
            assert layer.cycles <= 1.001 * min(each.cycles for each in pair)


def test_layers_want_different_splits():
    """Else the test above would not tell one memory from two."""
    first, second = (cycles(simulate(apart(n), LAYERS, layers="isolated")) for n in (1, 2))
    signs = {a < b for a, b in zip(first, second, strict=True) if a != b}
    assert signs == {True, False}


def test_its_area_is_that_of_its_macros(shared_file):
    shared, two = load_arch(shared_file, [SMALL]), apart(1)
    areas = [
        sum(arch.units[name].area_um2(arch.load_technology(), arch.path) for name in names)
        for arch in (shared, two)
        for names in [("activation_buffer", "weight_buffer")]
    ]
    assert areas[0] == pytest.approx(areas[1])


def test_where_macros_change_hands_nothing_is_loaded_ahead(shared_file):
    """Chained or not, q and what follows it take the same cycles if their splits differ."""
    arch = load_arch(shared_file, [SMALL])
    trace = trace_of([(1024, 16), (16, 512)], lengths=(48,))
    with patch.object(links, "_first_load_cycles", lambda _: -(2**31)):  # seams are worth nothing
        chained, alone = (simulate(arch, trace, layers=x) for x in ("chained", "isolated"))
    assert cycles(chained) == cycles(alone)


def walked(path, trace, batch):
    """Return the cycles of a chain of decode steps, and the bytes that each link has for X."""
    runner = Runner(load_arch(path))
    walk = Walk(runner, trace, decode_steps(trace, "decode", batch))
    rooms = [link.tiled.machine.stores.activations.capacity_bytes for link in walk.chain.links]
    return simulate(runner.arch, trace, phase="decode", batch=batch).cycles, rooms


def test_links_keep_a_split_unless_another_one_saves_more_than_a_seam(shared_file):
    """Each by itself takes the split that is fastest, if by a few cycles; a seam is worth more."""
    trace = block_trace((384, 128, 1024), blocks=1, lengths=(1,) * 8)
    kept, rooms = walked(shared_file, trace, 8)
    assert len(set(rooms)) == 1
    with patch.object(links, "_first_load_cycles", lambda _: -(2**31)):
        free, rooms = walked(shared_file, trace, 8)
    assert len(set(rooms)) > 1
    assert kept < free


def test_a_split_is_not_kept_where_that_moves_more_off_chip(shared_file):
    trace = block_trace((384, 128, 1024), blocks=1, lengths=(256,))

    def moved():
        result = simulate(load_arch(shared_file), trace, layers="chained")
        return sum(layer.dram_bytes for layer in result.layers)

    found = moved()
    with patch.object(links, "_LITTLE_MORE", 100):
        assert moved() > 1.5 * found


def test_a_tile_by_hand_has_the_split_whose_ports_keep_up(shared_file):
    """64 values of a token, 64 columns, on 8 columns × 16 lanes: 8 blocks of 4 steps, 32 cycles.

    X is read for every block, 512 bytes: two macros of 8 bytes a cycle do that in 32 cycles. W is
    read once, 4096 bytes: sixteen macros. So of eighteen, X has two. It enters in 64 / 16 = 4
    cycles, then W does in 64; 100 cycles later it is there; 10 after the array the output is.
    """
    keys = ["buffers.shared={capacity_kib: 4.5, port_bytes: 144, macros: 18}"]
    keys.append("tiling={tokens: 1, columns: 64, reduction: 64}")
    arch = load_arch(shared_file, keys).dense()
    result = simulate(arch, trace_of([(64, 64)], lengths=(1,)), layers="isolated")
    assert cycles(result) == [4 + 64 + 100 + 32 + 10 + 1]


@pytest.mark.parametrize("tiling", ["quick", "{tokens: 64, columns: 128, reduction: 128}"])
def test_an_estimated_split_is_no_slower_than_the_shipped_one(shared_file, tiling):
    """`nm816` has a third of the macros for X: what its array needs of W takes the rest."""
    trace = trace_of([(384, 1024)], lengths=(256,))
    found = [
        cycles(simulate(load_arch(path, [f"tiling={tiling}"]), trace, layers="isolated"))
        for path in (shared_file, NM816)
    ]
    assert found[0] <= found[1]


def test_engines_and_values_agree(shared_file):
    arch = load_arch(shared_file, [SMALL, "tiling=quick"])
    fast, slow = (simulate(arch, LAYERS, engine=engine) for engine in ("recurrence", "simpy"))
    assert fast.cycles == slow.cycles
    assert fast.units == slow.units
    assert all(check.passed for check in verify(arch, LAYERS))


def test_a_resolved_machine_is_read_again(shared_file, tmp_path):
    arch = load_arch(shared_file)
    path = tmp_path / "again.yaml"
    path.write_text(json.dumps(arch.resolved()), encoding="utf-8")
    assert load_arch(path) == arch


WRONG = {
    "buffers.activations={capacity_kib: 8, port_bytes: 32}": "leave out 'activations'",
    "buffers.shared.macros=1": "buffers.shared.macros",
    "buffers.shared.macros=33": "buffers.shared.macros",
    "buffers.shared.macros=7": "must divide by macros 7",
    "buffers.shared.capacity_kib=-1": "buffers.shared.capacity_kib",
    "buffers.shared={}": "buffers.shared.capacity_kib",
    "buffers.shared.capacity_kib=0.001": "capacity_kib",
    "buffers.shared=12": "buffers",
}


@pytest.mark.parametrize(("key", "message"), WRONG.items())
def test_what_is_wrong_is_said(shared_file, key, message):
    with pytest.raises(InputError, match=r"nm816_shared\.yaml") as caught:
        load_arch(shared_file, [key])
    assert message in str(caught.value)


def test_what_fits_in_no_split_is_said(shared_file):
    keys = ["buffers.shared={capacity_kib: 0.25, port_bytes: 64, macros: 2}"]
    keys.append("tiling={tokens: 64, columns: 64, reduction: 64}")
    with pytest.raises(InputError, match=r"in no split of buffers\.shared: .*must fit"):
        simulate(load_arch(shared_file, keys), LAYERS)


def test_tune_says_that_it_leaves_them_alone(shared_file):
    bench = Workbench(read_yaml(shared_file), Workload(LAYERS, None))
    with pytest.raises(InputError, match=r"'buffers\.shared' is not tuned; write "):
        tune(bench)


@pytest.mark.parametrize("stored", [b"", b"5", b"[1]", b'[1, {"tile": 1}]', b'["x", {}]', b"\xff"])
def test_what_is_no_split_on_disk_counts_as_missing(shared_file, tmp_path, stored):
    machine, gemm = load_arch(shared_file, [SMALL]).running(), Gemm(48, 96, 96)
    with patch.object(planner, "_known", planner.Memory(8)):
        expected = planner.Planner().fitted(machine, gemm)[1]
    with (
        patch.object(planner, "_known", planner.Memory(8)),
        patch.object(DiskCache, "get", lambda *_: stored),
    ):
        assert planner.Planner(DiskCache(tmp_path)).fitted(machine, gemm)[1] == expected

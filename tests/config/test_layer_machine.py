"""A machine as layers find it: by the machine's own method, by another one, dense."""

from functools import partial

import pytest

from accelsim.base.errors import InputError
from accelsim.mapping import Gemm, Tiling
from accelsim.planning import Planner
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method

PATTERN = 'pattern: "8:16"'
HAND = "tiling: {tokens: 8, columns: 64, reduction: 64, order: columns_outer}"
LAYER = Gemm(tokens=64, in_features=128, out_features=128)


@pytest.fixture
def arch(edit):
    return edit(PATTERN, f"{PATTERN}\nmitigation: var").load()


def by(pattern, *others):
    return Method(parse_pattern(pattern), *others)


def test_a_layer_of_the_machines_own_method_finds_all_of_it(arch):
    found = arch.running()
    assert found is arch.running()
    assert found == arch.running(arch.method)
    assert (found.name, found.method) == (arch.name, arch.method)
    assert (found.units, found.path, found.stores) == (arch.units, arch.path, arch.stores)
    assert found.diagram is arch.diagram
    assert found.weight_burst_bytes == arch.dram.burst_bytes


def test_a_layer_by_another_method_finds_the_machines_groups(arch):
    found = arch.running(by("4:8", "clact", "none"))
    assert found.method == by("8:16", "clact", "none")
    assert found.path.demands == by("8:16", "clact", "none").demands
    assert (found.path.kept_per_group, found.path.group_size) == (8, 16)
    assert found.units == arch.units


def test_a_dense_layer_passes_selection_by_but_not_the_crossbar(arch):
    found = arch.running(by("dense"))
    assert (found.name, str(found.pattern)) == (arch.name, "dense")
    passed_by = {"selector", "compressed_buffer", "moments", "epilogue"}
    assert set(arch.units) - set(found.units) == passed_by
    assert found.stores.compressed is None
    assert (found.path.group_size, found.path.metadata_bits_per_group) == (1, 0)


def test_a_pattern_that_does_not_fit_the_groups_is_refused(arch):
    with pytest.raises(InputError, match=r"'16:32' does not run .* allowed: dense, 8:16, and N:M"):
        arch.running(by("16:32"))


def test_the_tile_is_the_one_set_by_hand_if_it_fits(edit):
    found = edit("tiling: auto", HAND).load().running()
    assert Planner().tile(found, LAYER) == Tiling(8, 64, 64, "columns_outer")
    found.check_room(LAYER)
    large = edit("tiling: auto", HAND.replace("tokens: 8", "tokens: 9999")).load().running()
    for ask in (partial(Planner().tile, large), large.check_room):
        with pytest.raises(InputError, match="must fit"):
            ask(Gemm(tokens=9999, in_features=128, out_features=128))


def test_without_one_any_that_fits_will_do(edit):
    found = edit("tiling: auto", "tiling: auto").load().running()
    found.check_room(LAYER)
    assert Planner().tile(found, LAYER).tokens <= LAYER.tokens
    tiny = edit("weights: {capacity_kib: 256", "weights: {capacity_kib: 1").load
    with pytest.raises(InputError, match=r"buffers\.weights"):
        tiny(
            "buffers.weights.port_bytes=8", "mac_array.columns=1024", "mac_array.lanes=32"
        ).running().check_room(LAYER)


def test_a_table_that_a_layer_needs_must_fit(edit):
    arch = edit(PATTERN, f"{PATTERN}\ncriterion: amber\npre_scaler: {{table_kib: 1}}").load()
    wide = Gemm(tokens=8, in_features=8192, out_features=8)
    with pytest.raises(InputError, match=r"pre_scaler\.table_kib of 1024 bytes"):
        arch.running().check_room(wide)
    arch.running(by("dense")).check_tables(wide)

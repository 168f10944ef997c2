"""A machine that the checks accept always finishes; one that cannot is refused, with the reason."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accelsim.base.errors import DeadlockError, InputError
from tests.helpers.random_machines import batches, machines, shapes
from tests.helpers.small import ARCHITECTURES, changed, cycles_of, layer_runs, load, tile


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("lag", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("batch", [None, 2])
def test_shipped_machines_finish_with_any_lag_of_stores(name, lag, batch):
    arch = changed(load(name), {"dram.store_lag_tiles": lag})
    assert cycles_of(arch, (8, 96, 64), batch=batch) > 0


def assert_finishes_or_is_refused(arch, shape):
    """Whether stores lag less or the machine is refused is a choice; to hang is not."""
    refusal = ""
    try:
        assert cycles_of(arch, shape) > 0
    except DeadlockError:
        raise
    except InputError as error:
        refusal = str(error)
    assert not refusal or "store_lag_tiles" in refusal


@pytest.mark.parametrize("capacity_kib", [1, 2, 4, 64])
def test_stores_never_hang_behind_a_single_output_buffer(capacity_kib):
    """K is cut, so several jobs share an output tile; but the next output needs the same slot."""
    changes = {
        "buffers.outputs.capacity_kib": capacity_kib,
        "buffers.outputs.double_buffered": False,
        "buffers.activations.capacity_kib": 4,
        "buffers.weights.capacity_kib": 4,
    }
    arch = changed(load("dense"), changes)
    assert arch.dram.store_lag_tiles == 4  # the default
    assert_finishes_or_is_refused(arch, (256, 512, 128))
    assert cycles_of(changed(arch, {"dram.store_lag_tiles": 1}), (256, 512, 128)) > 0


def test_stores_lag_no_longer_than_their_outputs_can_wait():
    """1 KiB holds 16 outputs of 8 × 8, so a lag of 32 tiles is cut to 16 and behaves like it."""
    changes = {"tiling": tile(8, 64, 8), "buffers.outputs.capacity_kib": 1}
    runs = [
        cycles_of(changed(load("dense"), {**changes, "dram.store_lag_tiles": lag}), (64, 64, 64))
        for lag in (16, 17, 32)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_stores_never_hang_behind_partial_sums():
    """K in four tiles, lag 8, two output slots of 8 × 8 accumulators (512 bytes), two slots each.

    The store of output 0 (after job 3) stands behind the loads of job 11, which need the slots of
    job 9, which is output 2; its slot is that of output 0. So jobs 3 to 10 touch outputs 0, 1 and 2
    and two slots are one too few: 1 + ceil((8 - 1) / 4) = 3.
    """
    arch = changed(
        load("dense"),
        {
            "tiling": tile(8, 16, 8),
            "dram.store_lag_tiles": 8,
            "buffers.outputs.capacity_kib": 0.5,
            "buffers.activations.capacity_kib": 0.25,
            "buffers.weights.capacity_kib": 0.25,
        },
    )
    assert_finishes_or_is_refused(arch, (32, 64, 32))
    roomy = changed(arch, {"buffers.outputs.capacity_kib": 0.75})
    assert cycles_of(roomy, (32, 64, 32)) > 0


def test_a_layer_of_one_output_tile_needs_one_slot():
    """K in four tiles, all of one output: its only store comes last, and nothing waits for it."""
    arch = changed(
        load("dense"), {"tiling": tile(8, 16, 8), "buffers.outputs.double_buffered": False}
    )
    ((work, run),) = layer_runs(arch, (8, 64, 8))
    assert len(work.jobs) == 4
    assert run.times.cycles > 0


@given(
    arch=machines(),
    shape=shapes(),
    batch=batches(),
    lag=st.integers(0, 12),
    single=st.sets(st.sampled_from(["activations", "weights", "outputs", "compressed"])),
)
@settings(max_examples=150)
def test_an_accepted_machine_never_deadlocks(arch, shape, batch, lag, single):
    changes = {"dram.store_lag_tiles": lag}
    for buffer in single:
        if buffer != "compressed" or arch.buffers.compressed is not None:
            changes[f"buffers.{buffer}.double_buffered"] = False
    try:
        runs = layer_runs(
            changed(arch, changes), shape, batch=min(batch, shape[0]) if batch else None
        )
    except DeadlockError:
        raise
    except InputError:
        assume(False)
    assert all(run.times.cycles > 0 for _, run in runs)

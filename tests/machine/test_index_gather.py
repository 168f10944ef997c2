"""Top-K in prefill: each token takes rows of W of its own from banks, and waits for full ones."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.config import load_arch
from accelsim.hardware.crossbars.banked import BankedCrossbar
from accelsim.hardware.examples import work
from accelsim.mapping.banked import banked
from accelsim.run.verify import verify
from accelsim.testing.traces import trace_of
from tests.helpers.small import ROOT, SHIPPED_TRACE, load, tile

SHAPES = [(100, 72), (72, 40)]


def machine(dataflow="index_gather", **changes):
    """The shipped machine with the tiles of the estimate; `changes`: key with __ for dots."""
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    if dataflow != "index_gather":
        changes |= {"dataflow": dataflow, "crossbar": "{kind: none}"}
    return load("qsparse", changes)


def rounds(rows, *, banks, queue_steps=1, reduction=64, share=0.5):
    """Pack one tile of tokens that keep these positions; return what was found, as numbers."""
    only = work(f"topk:{share}", tokens=len(rows), reduction=reduction)
    kept = np.zeros((len(rows), reduction), bool)
    for token, positions in enumerate(rows):
        kept[token, list(positions)] = True
    found = banked(kept, only.jobs, only.path, banks=banks, queue_steps=queue_steps)
    return {name: int(values[0]) for name, values in found.arrays.items()}


# By hand, with 16 lanes and 8 rows ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "banks", "queue_steps", "expected"),
    [
        ([range(16)], 16, 1, (1, 1, 16)),  # each lane has a bank of its own
        ([range(16)], 8, 1, (1, 2, 16)),  # two rows from each bank
        ([range(0, 64, 4)], 16, 1, (1, 4, 16)),  # 0, 4, 8, 12 only: four rows from each
        ([range(0, 64, 4)], 64, 1, (1, 1, 16)),
        ([range(16), range(16)], 16, 1, (1, 1, 16)),  # the same row serves both tokens
        ([range(16), range(16, 32)], 16, 1, (1, 2, 32)),
        ([range(16), range(16, 32)], 32, 1, (1, 1, 32)),
        ([range(17)], 16, 1, (2, 2, 17)),  # ragged: the second step has one value
        ([range(17)], 16, 2, (2, 2, 17)),  # both steps in one round: two rows of bank 0
        # Two rounds: rows 0 … 15, of which 4 banks have 4 each; then 16 … 31, of 16 banks.
        ([[*range(0, 64, 4), 61, 62, 63]], 16, 1, (2, 5, 19)),
        # In one round bank 0 has 0, 16, 32 and 48; banks 13, 14 and 15 one row more each.
        ([[*range(0, 64, 4), 61, 62, 63]], 16, 2, (2, 4, 19)),
        ([[], []], 16, 1, (0, 0, 0)),
        ([[0], [16], [32]], 16, 1, (1, 3, 3)),  # three tokens, one bank
        # Nine tokens are two row blocks: each reads the row by itself.
        ([[0]] * 9, 16, 1, (2, 2, 2)),
    ],
)
def test_rounds_by_hand(rows, banks, queue_steps, expected):
    found = rounds(rows, banks=banks, queue_steps=queue_steps)
    assert (found["block_steps"], found["round_cycles"], found["rows_given"]) == expected


def test_cycles_and_bytes_of_a_layer_by_hand():
    """Token 0 keeps 0, 4 … 60, token 1 the 16 behind; 16 columns are two blocks of the array.

    Of 16 banks the first four give four rows to token 0, and every one a row to token 1; rows 16,
    20, 24 and 28 both take. Banks 0, 4, 8 and 12 hold those, which makes four rows there.
    """
    values = np.ones((2, 64), np.int8)
    values[0, ::4] = values[1, 16:32] = 100
    trace = trace_of([(64, 16)], lengths=(2,), arrays={"layers.0.x": values})
    sizes = {"port_bytes": 128, "macros": 16, "capacity_kib": 256}
    arch = machine(pattern="topk:0.25", crossbar__queue_steps=1, buffers__weights=sizes)
    (layer,) = simulate(arch, trace).layers
    assert layer.units["mac_array"].ledger.busy_cycles == 2 * 1
    assert layer.units["crossbar"].ledger.busy_cycles == 2 * 4
    assert layer.breakdown.stall_cycles["crossbar"] >= 2 * 3
    given = 16 + 16 - 4
    assert layer.units["weight_buffer"].actions["read_bytes"] == given * 16
    assert layer.units["weight_buffer"].actions["write_bytes"] == 64 * 16
    assert layer.units["crossbar"].actions == {"route": 32 * 16, "decode": 32 * 2}
    assert layer.units["mac_array"].actions["mac"] == layer.macs_executed == 32 * 16
    assert layer.units["mac_array"].actions["accumulate"] == 2 * 16
    assert layer.units["compressed_buffer"].actions["write_bytes"] == 2 * (16 + 64 // 8)
    assert layer.units["selector"].actions == {"compare": 128, "move": 128}


# Against an oracle -------------------------------------------------------------------------------


def served(rows, *, banks, queue_steps, lanes=16, array_rows=8):
    """Return steps, cycles and rows given, one cycle after the other, a queue for each bank."""
    steps = cycles = given = 0
    for first in range(0, len(rows), array_rows):
        waiting = [sorted(positions) for positions in rows[first : first + array_rows]]
        while any(waiting):
            asked = [positions[: lanes * queue_steps] for positions in waiting]
            waiting = [positions[lanes * queue_steps :] for positions in waiting]
            queues = [
                sorted({p for one in asked for p in one if p % banks == bank})
                for bank in range(banks)
            ]
            left = [[one[i : i + lanes] for i in range(0, len(one), lanes)] for one in asked]
            while any(queues) or any(left):
                given += sum(map(bool, queues))
                queues = [queue[1:] for queue in queues]
                steps += any(left)
                left = [one[1:] for one in left]
                cycles += 1
    return steps, cycles, given


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.sets(st.integers(0, 63)), min_size=1, max_size=19),
    banks=st.integers(1, 70),
    queue_steps=st.integers(1, 5),
)
def test_rounds_equal_banks_with_queues(rows, banks, queue_steps):
    found = rounds(rows, banks=banks, queue_steps=queue_steps)
    steps, cycles, given = served(rows, banks=banks, queue_steps=queue_steps)
    assert (found["block_steps"], found["round_cycles"], found["rows_given"]) == (
        steps, cycles, given,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.sets(st.integers(0, 63)), min_size=1, max_size=19),
    banks=st.sampled_from([1, 3, 8, 16]),
    queue_steps=st.integers(1, 3),
)
def test_twice_the_banks_or_the_queue_is_never_slower(rows, banks, queue_steps):
    plain, wide, deep, ideal = (
        rounds(rows, banks=b, queue_steps=q)
        for b, q in (
            (banks, queue_steps),
            (2 * banks, queue_steps),
            (banks, 2 * queue_steps),
            (64, queue_steps),
        )
    )
    assert wide["round_cycles"] <= plain["round_cycles"]
    assert deep["round_cycles"] <= plain["round_cycles"]
    assert deep["rows_given"] <= plain["rows_given"]
    assert plain["block_steps"] == ideal["block_steps"] == ideal["round_cycles"]
    assert plain["stored_values"] == sum(map(len, rows))


@pytest.mark.parametrize("queue_steps", [1, 2, 4])
def test_tokens_that_keep_everything_never_wait(queue_steps):
    """All of them ask for the same 16 rows in a step: as many banks are enough."""
    found = rounds([range(64)] * 20, banks=16, queue_steps=queue_steps, share=1.0)
    assert found["round_cycles"] == found["block_steps"] == 3 * 4
    assert found["rows_given"] == 3 * 64


# In machines -------------------------------------------------------------------------------------


def test_with_all_kept_the_array_is_busy_as_the_dense_one():
    trace = trace_of(SHAPES, lengths=(7, 9))
    chosen = tile(16, 100, 72)
    gathering, dense = (
        simulate(arch.model_copy(update={"tiling": chosen}), trace)
        for arch in (machine(pattern="topk:1.0"), machine().dense())
    )
    for one, other in zip(gathering.layers, dense.layers, strict=True):
        array = one.units["mac_array"], other.units["mac_array"]
        assert array[0].ledger.busy_cycles == array[1].ledger.busy_cycles
        assert array[0].actions == array[1].actions
        assert one.units["crossbar"].ledger.busy_cycles == array[0].ledger.busy_cycles


@pytest.mark.parametrize("queue_steps", [1, 3])
@pytest.mark.parametrize("banks", [5, 64])
def test_cycles_are_conserved_and_the_engines_agree(banks, queue_steps):
    sizes = {"port_bytes": 8 * banks, "macros": banks, "capacity_kib": 256}
    arch = machine(crossbar__queue_steps=queue_steps, buffers__weights=sizes)
    arch = arch.model_copy(update={"tiling": tile(12, 48, 24)})
    trace = trace_of(SHAPES, lengths=(7, 9))
    runs = [simulate(arch, trace, engine=engine) for engine in ("recurrence", "simpy")]
    plain = [replace(run, engine="") for run in runs]
    assert plain[0].to_dict() == plain[1].to_dict()
    for layer in runs[0].layers:
        assert {unit.ledger.total_cycles for unit in layer.units.values()} == {layer.cycles}
        assert layer.breakdown.total_cycles == layer.cycles
        array = layer.units["mac_array"]
        lane_cycles = array.ledger.busy_cycles * 1024
        assert array.actions["mac"] + array.actions["mac_idle"] == lane_cycles
        assert array.actions["mac_idle"] >= 0
        assert layer.units["crossbar"].ledger.busy_cycles >= array.ledger.busy_cycles
    total = sum(unit.energy_pj for unit in runs[0].units.values())
    assert runs[0].totals()["energy_pj"] == pytest.approx(total)


@pytest.mark.parametrize("batch", [1, 3])
def test_decode_gathers_rows_as_without_banks(batch):
    """What the crossbar adds is its latency, once a step; in decode nothing conflicts."""
    trace = trace_of(SHAPES, lengths=(7, 9))
    banks, plain = (
        simulate(machine(name), trace, phase="decode", batch=batch)
        for name in ("index_gather", "row_gather_topk")
    )
    for one, other in zip(banks.layers, plain.layers, strict=True):
        assert one.units["mac_array"].actions == other.units["mac_array"].actions
        array = one.units["mac_array"].ledger
        assert one.units["crossbar"].ledger.busy_cycles == array.busy_cycles
        assert one.units["crossbar"].actions["decode"] == 0
        for name in ("dram", "weight_buffer", "compressed_buffer", "activation_buffer"):
            assert one.units[name].actions == other.units[name].actions
    assert 0 < banks.cycles - plain.cycles <= 3 * 2 * 16  # of 2 layers, at most 16 steps


def test_the_machine_computes_what_numpy_does():
    checks = list(verify(machine(), trace_of(SHAPES, lengths=(7, 9))))
    assert [check.is_exact for check in checks] == [True, True]


def test_a_row_from_the_wrong_bank_is_noticed():
    def next_bank(self, positions):
        return positions // self.banks, (positions + 1) % self.banks

    with patch.object(BankedCrossbar, "place_of", next_bank):
        checks = list(verify(machine(), trace_of(SHAPES, lengths=(7, 9))))
    assert not any(check.passed for check in checks)


def test_banks_are_as_many_as_the_port_gives_rows():
    assert machine().crossbar.banks == 64  # macros
    assert (
        machine(buffers__weights__port_bytes=448, buffers__weights__macros=56).crossbar.banks == 56
    )
    narrow = {"port_bytes": 256, "macros": 64, "capacity_kib": 256}
    assert machine(buffers__weights=narrow, crossbar__banks=32).crossbar.banks == 32
    assert machine(buffers__weights=narrow, precision="int8/int4:32").crossbar.banks == 64


def test_area_and_energy_grow_with_banks_and_queues():
    def priced(**changes):
        arch = machine(**{f"crossbar__{key}": value for key, value in changes.items()})
        unit, tech = arch.crossbar, arch.load_technology()
        return unit.area_um2(tech, arch.path), unit.energy_pj(tech, arch.path)

    plain, fewer, deeper = priced(), priced(banks=16), priced(queue_steps=8)
    assert fewer[0] < plain[0] < deeper[0]
    assert fewer[1]["route"] < plain[1]["route"] < deeper[1]["route"]
    assert min(plain[1].values()) > 0
    # A multiplexer of 64 legs of 8 bits for each of 1,024 multipliers, about 1 um2 a leg.
    assert plain[0] - fewer[0] == pytest.approx(48 * 8 * 1024, rel=0.4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["crossbar.banks=65"], r"crossbar.banks 65: .*port_bytes must be at least 520, not 512"),
        (["crossbar.banks=48"], r"macros 64 must be whole banks, .* 48; write 96"),
        (["crossbar={kind: full}"], "'banked', got 'full'"),
        (["crossbar={kind: none}"], r"needs a crossbar that routes weights: crossbar.kind banked"),
        (["pattern=8:16"], "knows no groups"),
        (["pattern=threshold:0.5"], "does not select by 'threshold:0.5'"),
        (["buffers.weights.port_bytes=4", "buffers.weights.macros=1"], "must be at least 8, not 4"),
        (["mitigation=rsparse8"], "does not keep"),
    ],
)
def test_what_it_cannot_run_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        load_arch(ROOT / "arch_configs" / "qsparse.yaml", changes)


# What it must show -------------------------------------------------------------------------------


def test_conflicts_eat_part_of_the_gain_of_prefill():
    """Output and gate of a block of the shipped trace: what is left of a factor of 2.

    The level of a token, and rows that wait for the longest one, take their share as well.
    """
    trace = load_trace(SHIPPED_TRACE)
    block = replace(trace, meta=trace.meta.model_copy(update={"linears": trace.linears[3:5]}))

    def gain(banks, queue_steps):
        sizes = {"port_bytes": 8 * banks, "macros": banks, "capacity_kib": 256}
        changes = {"crossbar__queue_steps": queue_steps, "buffers__weights": sizes}
        result = simulate(machine(**changes, tiling="auto"), block)
        stalls = result.breakdown.stall_cycles.get("crossbar", 0)
        return dense / result.cycles, stalls / result.cycles

    dense = simulate(load("dense", {"tiling": "auto"}), block).cycles
    few, some, enough, ideal = (gain(*sizes) for sizes in ((32, 1), (64, 1), (64, 4), (1024, 1)))
    speeds, stalls = zip(few, some, enough, ideal, strict=True)
    assert few[0] < 1  # slower than a dense array
    assert 1.3 < some[0] < 1.7
    assert 1.8 < enough[0] <= ideal[0] < 2
    assert list(speeds) == sorted(speeds)
    assert few[1] > 0.3
    assert stalls[3] == 0

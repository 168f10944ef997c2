"""A unit of one's own on the path of weights, and a channel of one's own: ledger, energy, sweep."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.accounting.cost import Prices
from accelsim.accounting.ledger import ledgers
from accelsim.dataflows.memory import Memory
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine import recurrence, simpy_engine
from accelsim.run.area import AreaReport
from accelsim.run.balance import bottlenecks
from accelsim.run.simulation import equip
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from accelsim.testing import check_dataflow
from tests.helpers.guide import examples
from tests.helpers.small import ROOT, SHIPPED_TRACE, trace_of, works_of

NM816 = ROOT / "arch_configs" / "nm816.yaml"
QUICK = "tiling=quick"  # the same tiles with the unit and without it
RATES = (1, 2, 4, 8, 16)


@pytest.fixture(scope="module", autouse=True)
def guide():
    """What the guide adds."""
    files = ("hardware/row_gather", "dataflows/gathering", "dataflows/weight_channel")
    with examples(*(f"accelsim/{file}.py" for file in files)) as found:
        yield found


def gathering(rate):
    return acs.load_arch(
        NM816, [QUICK, "dataflow=gathering", f"units.row_gather.rows_per_cycle={rate}"]
    )


def two_channels(*sets):
    weight_dram = "units.weight_dram={kind: dram, standard: lpddr4, bandwidth_gb_per_s: 32}"
    return acs.load_arch(NM816, [QUICK, "dataflow=weight_channel", weight_dram, *sets])


@pytest.fixture(scope="module")
def trace():
    return trace_of([(256, 130), (100, 64)], lengths=(9, 6))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("rate", RATES)
def test_the_channel_works_as_long_as_without_the_gather(trace, batch, rate):
    """The gather stands first in its stage, where one would look for the stream."""
    arch = gathering(rate)
    assert [part.name for part in arch.diagram.stages[3].parts] == ["row_gather", "weight_dma"]
    plain, with_gather = (
        acs.simulate(machine, trace, phase="decode", batch=batch).units
        for machine in (acs.load_arch(NM816, [QUICK]), arch)
    )
    for name, unit in plain.items():
        assert with_gather[name].ledger.busy_cycles == unit.ledger.busy_cycles, name
        assert with_gather[name].actions == unit.actions, name


def test_its_own_ledger_and_energy_by_hand(trace):
    """8 weights a row, 2 rows a cycle: 16 bytes a cycle of what is fetched for each job."""
    arch = gathering(2)
    works = [w for layer in (0, 1) for w in works_of(arch, trace, batch=4, layer=layer)]
    cycles = sum(int(np.ceil(work.weight_bytes / 16).sum()) for work in works)
    fetched = sum(int(work.weight_bytes.sum()) for work in works)
    result = acs.simulate(arch, trace, phase="decode", batch=4)
    found, tech = result.units["row_gather"], arch.load_technology()
    assert found.ledger.busy_cycles == cycles > 0
    assert found.ledger.total_cycles == result.cycles
    assert found.actions == {"gathered_bytes": fetched}
    assert found.action_pj["gathered_bytes"] == pytest.approx(16 * tech.register_pj * fetched)
    assert found.area_um2 == 2 * 64 * tech.register_um2
    plain = acs.simulate(acs.load_arch(NM816, [QUICK]), trace, phase="decode", batch=4)
    leaks = result.totals()["energy_pj"] - plain.totals()["energy_pj"] - found.energy_pj
    prices = Prices.of(acs.load_arch(NM816, [QUICK]), tech)
    longer_s = (result.cycles - plain.cycles) * 1e-9
    assert leaks == pytest.approx(sum(prices.leakage_mw.values()) * longer_s * 1e9, rel=1e-6)


def test_the_dense_counterpart_gathers_nothing(trace):
    dense = gathering(1).dense()
    assert "row_gather" not in dense.units
    assert (
        acs.simulate(dense, trace).cycles
        == acs.simulate(acs.load_arch(NM816, [QUICK]).dense(), trace).cycles
    )


@pytest.mark.parametrize("batch", [None, 4])
def test_a_sweep_over_its_rate_gives_each_point_its_own_cycles(trace, batch):
    workload, memory = Workload(trace, None), new_memory()
    assert isinstance(memory, Memory)
    phase = {"phase": "decode", "batch": batch} if batch else {}
    rows = [
        totals_of(equip(gathering(rate), trace, None), workload, None, batch, memory)["cycles"]
        for rate in RATES
    ]
    assert rows == [acs.simulate(gathering(rate), trace, **phase).cycles for rate in RATES]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows[:4])) == 4  # 8 rows of 8 bytes are what DRAM gives


@pytest.mark.slow
def test_the_shipped_trace_at_decode():
    """The fault that roles undo: 37.97 instead of 25.38 million cycles of the channel."""
    trace = acs.load_trace(SHIPPED_TRACE)
    result = acs.simulate(gathering(4), trace, phase="decode", batch=1, layers="isolated")
    assert round(result.units["dram"].ledger.busy_cycles / 1e6, 2) == 25.38


# --- two channels --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 4])
def test_two_channels_share_the_streams_and_the_bytes(trace, batch):
    phase = {"phase": "decode", "batch": batch} if batch else {}
    one = acs.simulate(acs.load_arch(NM816, [QUICK]), trace, **phase)
    two = acs.simulate(two_channels(), trace, **phase)
    assert two.totals()["dram_bytes"] == one.totals()["dram_bytes"]
    moved = [two.units[name].actions for name in ("dram", "weight_dram")]
    assert moved[1]["write_bytes"] == 0
    for action in ("read_bytes", "write_bytes"):
        assert sum(part[action] for part in moved) == one.units["dram"].actions[action]
    busy = {name: unit.ledger.busy_cycles for name, unit in two.units.items()}
    assert busy["weight_dram"] == busy["weight_dma"] > 0
    assert busy["dram"] == busy["activation_dma"] + busy["output_dma"]
    assert two.chip_power()["chip_power_mw"] < two.totals()["power_mw"] / 2


def test_each_channel_has_its_own_order_and_neither_waits_for_the_other(trace):
    work = works_of(two_channels(), trace)[0]
    pipeline = build_pipeline(two_channels().running(), work)
    orders = pipeline.network.order
    assert list(orders) == ["dram", "weight_dram"]
    assert {name for name, _ in orders["weight_dram"]} == {"weight_dma"}
    assert {name for name, _ in orders["dram"]} == {"activation_dma", "output_dma"}
    times = recurrence.run(pipeline.network)
    assert np.array_equal(times.table, simpy_engine.run(pipeline.network).table)
    # Loads of weights begin at once, beside those of activations.
    assert times.stages["weight_dma"].start[0] == times.stages["activation_dma"].start[0] == 0
    found = ledgers(pipeline, times)
    assert found["weight_dma"].contended_cycles == 0
    for name in ("dram", "weight_dram"):
        assert found[name].total_cycles == times.cycles


def test_rows_of_sweeps_and_rules_hold_with_two_channels(guide):
    check_dataflow(guide["WEIGHT_CHANNEL"])
    check_dataflow(guide["GATHERING"], {"units": {"row_gather": {"rows_per_cycle": 1}}})


def test_no_channel_is_part_of_the_chip():
    report = AreaReport.of(two_channels())
    assert report.off_chip == {"dram", "weight_dram"}
    assert report.total_um2 == AreaReport.of(acs.load_arch(NM816, [QUICK])).total_um2
    assert narrow_keys(two_channels()) == narrow_keys(acs.load_arch(NM816, [QUICK]))


def narrow_keys(arch):
    """Which keys slow a run down: heuristics that ask what array and channels need."""
    result = acs.simulate(arch, trace_of([(1024, 512)], lengths=(64,)))
    return [found.key for found in bottlenecks(arch, result)]

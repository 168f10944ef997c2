"""Layers that follow each other: exact against the whole chain as one network, and conserved."""

from dataclasses import astuple
from itertools import pairwise
from operator import le

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.base.errors import InputError
from accelsim.engine import engine_named
from accelsim.report.summary import one_by_one_line
from accelsim.run import runner as runner_module
from accelsim.run.chain import Walk
from accelsim.run.runner import Runner
from accelsim.run.simulation import decode_steps, selections
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from accelsim.trace import load_trace
from tests.helpers.chains import block_trace, ends_of, most_ahead, trace_of_kinds, whole_network
from tests.helpers.random_machines import machines, tiles
from tests.helpers.small import ARCHITECTURES, SHIPPED_TRACE, changed, cramped, load, tile

PHASES = [("prefill", None), ("decode", 1), ("decode", 3)]
WIDTHS = (64, 32, 96)


class Walked:
    """The links of a trace on a machine, and what each of its layers adds up to."""

    def __init__(self, arch, trace, phase, batch=None, engine="recurrence"):
        self.steps = decode_steps(trace, phase, batch)
        self.runner = Runner(arch, engine)
        found = selections([arch], trace, with_masks=batch is not None)
        self.selections = {linear.name: selection for linear, (selection,) in found}
        walk = Walk(self.runner, trace, self.steps)
        self.links = walk.chain.links
        self.products = [link.tiled for link in self.links]
        self.found = []  # by each link, of its first loads
        real = self.runner.window

        def window(tiled, seams):
            self.found.append(len(seams.arrival_cycles))
            return real(tiled, seams)

        self.runner.window = window
        self.tallies = {
            linear: walk.of(linear, lambda x=linear: self.selections[x.name])[1]
            for linear in trace.linears
        }

    @property
    def ends(self):
        """The cycle in which each link is over, all steps added up."""
        cycles = [sum(self.tallies[x].cycles for x in link.linears) for link in self.links]
        return np.cumsum(cycles).tolist()

    def ends_in_one_network(self, engine="recurrence"):
        """The same, from a network of all links."""
        run = engine_named(engine)
        if not self.products[0].gathers:
            network, jobs = whole_network(self.products, self.found)
            count = 1 if self.steps is None else len(self.steps)
            return (count * ends_of(run(network), jobs)).tolist()
        works = [
            link.tiled.works(self.selections[link.linears[0].name], self.steps, one_by_one=True)
            for link in self.links
        ]
        ends = 0
        for of_step in zip(*works, strict=True):
            network, jobs = whole_network(self.products, [0] * len(of_step), of_step)
            ends = ends + ends_of(run(network), jobs)
        return ends.tolist()

    def alone(self):
        """The cycles of the layers one by one."""
        steps = None if self.steps is None else [self.steps]
        return sum(
            self.runner.alone_cycles(linear, self.selections[linear.name], steps)
            for linear in self.tallies
        )


# By hand ------------------------------------------------------------------------------------------


def two_layers(kinds, latency_ns):
    """Cycles of two layers of 64 × 64, a token each, on the dense machine; one tile a layer.

    X and Y take one cycle of DRAM each, W takes 64. The array computes for 8 × 4 cycles, and 10
    later its outputs are there.
    """
    arch = load("dense", {"dram.latency_ns": latency_ns})
    trace = trace_of_kinds(kinds, [(64, 64), (64, 64)], lengths=(1,))
    result = simulate(arch, trace, layers="chained")
    assert result.isolated_cycles == 2 * (1 + 64 + latency_ns + 32 + 10 + 1)
    return [layer.cycles for layer in result.layers]


def test_weights_load_ahead_and_the_next_input_waits_for_the_store():
    """The first layer as ever: 208 cycles. The second has its weights: X, array, Y."""
    assert two_layers(["fc", "proj"], 100) == [208, 1 + 100 + 32 + 10 + 1]


@pytest.mark.parametrize("latency_ns", [100, 1000])
def test_an_output_that_stays_takes_no_dram(latency_ns):
    """Y passes a port instead, in a cycle. W of the second layer is read in cycles 65 to 129.

    So it is visible 21 cycles after the seam; X is there long before.
    """
    assert two_layers(["o_proj", "gate_proj"], latency_ns) == [108 + latency_ns, 21 + 32 + 10 + 1]


def test_loading_goes_on_across_the_seam():
    """At 4 bytes a cycle W takes 1024: what is left of it at the end of the first layer is 876."""
    arch = load("dense", {"dram.latency_ns": 0, "dram.bandwidth_gb_per_s": 4})
    trace = trace_of_kinds(["o_proj", "gate_proj"], [(64, 64), (64, 64)], lengths=(1,))
    result = simulate(arch, trace, layers="chained")
    first = 16 + 1024 + 32 + 10 + 1
    left = 1024 - (first - 16 - 1024)
    assert [layer.cycles for layer in result.layers] == [first, left + 32 + 10 + 16]
    busy = [layer.units["dram"].ledger.busy_cycles for layer in result.layers]
    assert busy == [16 + 1024 + 43, left + 16]


def test_loads_that_have_not_begun_take_their_turn():
    """W in eight tiles of 128 cycles: between the last load and the seam, one of the next begins.

    There would be room for all. With Y to be stored, a store that lags takes 16 cycles after the
    last load, and then the last output is there (4 + 10 cycles): none begins.
    """
    changes = {"dram.latency_ns": 0, "dram.bandwidth_gb_per_s": 4}
    arch = changed(load("dense", changes), {"tiling": tile(1, 64, 8)})
    for kinds, begun in ((["o_proj", "gate_proj"], 1), (["fc", "proj"], 0)):
        trace = trace_of_kinds(kinds, [(64, 64), (64, 64)], lengths=(1,))
        assert Walked(arch, trace, "prefill").found == [0, begun]


def test_layers_with_one_input_load_it_once():
    trace = block_trace(WIDTHS, blocks=1, lengths=(4,))
    chained, isolated = (
        simulate(load("nm816"), trace, layers=layers) for layers in ("chained", "isolated")
    )
    shared = 4 * 64 * 2 + 4 * 64  # k and v, up
    stay = 4 * (64 + 96)  # of gate and up, and of down
    reads = [
        sum(layer.units["dram"].actions["read_bytes"] for layer in result.layers)
        for result in (chained, isolated)
    ]
    assert reads[1] - reads[0] == shared + stay
    selected = [
        sum(layer.units["compressed_buffer"].actions["write_bytes"] for layer in result.layers)
        for result in (chained, isolated)
    ]
    assert selected[0] * (3 + 1 + 2 + 96 / 64) == pytest.approx(selected[1] * (1 + 1 + 1 + 1.5))


@pytest.mark.parametrize("order", ["reduction_outer", "tokens_outer"])
def test_partial_sums_go_to_dram_and_come_back_in_a_chain_too(order):
    """Sums in pieces move over DRAM with X and Y: where they do, neither stays on chip.

    64 × 64 and 64 × 64, 48 tokens; the output buffer holds few tiles of 16 × 16 sums.
    """
    changes = {"tiling": tile(16, 16, 16, order), "buffers.outputs.capacity_kib": 2}
    trace = trace_of_kinds(["o_proj", "gate_proj"], [(64, 64), (64, 64)], lengths=(48,))
    chained, alone = (
        simulate(changed(load("dense"), changes), trace, layers=layers)
        for layers in ("chained", "isolated")
    )
    saved_bytes = 2 * 48 * 64 if order == "tokens_outer" else 0
    moved = [result.totals()["dram_bytes"] for result in (chained, alone)]
    assert moved[0] == moved[1] - saved_bytes
    assert (alone.totals()["dram_bytes"] > 2 * (48 * 64 * 2 + 64 * 64)) == (not saved_bytes)


# Against the whole chain --------------------------------------------------------------------------


RUNS = [(name, "prefill", None) for name in ARCHITECTURES]
RUNS += [("dense", "decode", 1), ("dense", "decode", 8)]


@pytest.mark.parametrize(("name", "phase", "batch"), RUNS)
def test_windows_of_shipped_machines_add_up_to_the_whole_chain(name, phase, batch):
    """Where rows are gathered, each step is another network: see the small traces below."""
    walked = Walked(load(name), load_trace(SHIPPED_TRACE), phase, batch)
    assert walked.ends == walked.ends_in_one_network()


@settings(deadline=None, max_examples=40)
@given(arch=machines(), phase=st.sampled_from(PHASES), data=st.data())
def test_windows_of_any_machine_add_up_to_the_whole_chain(arch, phase, data):
    """Cycles of every link; and what is conserved of each layer is so, its share of a link too."""
    if data.draw(st.booleans()):
        arch = changed(arch, {"tiling": data.draw(tiles(arch.path.group_size))})
    trace = block_trace((32, 16, 48), blocks=2, lengths=(4,))
    try:
        walked = Walked(arch, trace, *phase)
    except InputError as error:
        assert "fit" in str(error)  # noqa: PT017 - the tile, on a machine drawn too small
        return
    assert walked.ends == walked.ends_in_one_network()
    most = [0, *(most_ahead(*pair) for pair in pairwise(walked.products))]
    assert all(map(le, walked.found, most))
    for tally in walked.tallies.values():
        assert tally.breakdown.total_cycles == tally.cycles
        for ledger in tally.ledgers.values():
            assert ledger.total_cycles == tally.cycles
            assert min(astuple(ledger)) >= 0


@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_engines_agree_on_windows_and_on_the_whole_chain(name):
    trace = block_trace((32, 16, 48), blocks=2, lengths=(4,))
    arch = changed(load(name), {"tiling": tile(2, 16, 8), "dram.bandwidth_gb_per_s": 2})
    fast, slow = (Walked(arch, trace, "prefill", engine=e) for e in ("recurrence", "simpy"))
    assert list(fast.tallies.values()) == list(slow.tallies.values())
    assert fast.ends == fast.ends_in_one_network("simpy")


@pytest.mark.parametrize("bandwidth", [1, 16, 200])
@pytest.mark.parametrize("order", ["tokens_outer", "columns_outer"])
def test_a_long_layer_is_continued_between_others_as_if_it_was_walked(
    monkeypatch, order, bandwidth
):
    is_tall = order == "tokens_outer"
    cut = tile(2, 32, 16, order) if is_tall else tile(8, 32, 8, order)
    changes = {"tiling": cut, "dram.bandwidth_gb_per_s": bandwidth}
    arch = changed(cramped("nm816"), changes)
    shape, tokens = ((64, 64, 128), 160) if is_tall else ((256, 256, 256), 16)
    trace = block_trace(shape, blocks=2, lengths=(tokens,))
    whole = Walked(arch, trace, "prefill")
    monkeypatch.setattr(runner_module, "_WALKED_TILES", 0)
    runs = []
    real = runner_module.joined_pipeline
    monkeypatch.setattr(
        runner_module,
        "joined_pipeline",
        lambda machine, work, seams: runs.append(len(work.jobs)) or real(machine, work, seams),
    )
    short = Walked(arch, trace, "prefill")
    assert list(short.tallies.values()) == list(whole.tallies.values())
    whole_jobs = {len(product.work().jobs) for product in whole.products}
    assert whole_jobs - set(runs)  # some were not walked


# What follows what --------------------------------------------------------------------------------


def stays(arch, trace, phase="decode", batch=1):
    """Which outputs stay on chip, by the kinds of the layers that make them."""
    links = Walked(arch, trace, phase, batch).links
    return [link.linears[0].kind for link in links if "y" in link.tiled.on_chip]


def test_outputs_of_named_layers_stay_where_they_fit():
    trace = block_trace(WIDTHS, blocks=2)
    there = ["o_proj", "gate_proj", "down_proj", "o_proj", "gate_proj"]
    assert stays(load("dense"), trace) == there
    small = load("dense", {"buffers.activations.capacity_kib": 0.25})
    assert stays(small, block_trace(WIDTHS), batch=8) == []
    large = block_trace((512, 32, 1024), blocks=1, lengths=(256,))
    assert stays(load("dense"), large, "prefill", None) == []


def test_unknown_names_keep_nothing_and_say_so():
    trace = block_trace(WIDTHS, kinds=False)
    assert stays(load("dense"), trace) == []
    result = simulate(load("dense"), trace, layers="chained")
    assert "do not tell" in result.chain_note
    assert next(one_by_one_line(result)).endswith("every output goes to DRAM")
    assert not simulate(load("dense"), block_trace(WIDTHS), layers="chained").chain_note


def test_layers_are_not_joined_where_that_does_not_pay():
    """By itself each W stays in the buffer over the tokens; side by side they do not."""
    changes = {"tiling": tile(2, 64, 8), "buffers.weights.capacity_kib": 4}
    trace = block_trace((64, 64, 64), blocks=1, lengths=(64,))
    small = changed(load("dense", {"dram.bandwidth_gb_per_s": 4}), changes)
    for arch, counts in ((small, [1] * 7), (load("dense"), [3, 1, 2, 1])):
        links = Walked(arch, trace, "prefill").links
        assert [len(link.linears) for link in links] == counts
        # What several links read is in DRAM for all of them.
        assert bool(stays(arch, trace, "prefill", None)) == (len(counts) < len(trace.linears))


# Results ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "batch"), PHASES)
@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_sweep_rows_equal_runs(name, phase, batch):
    trace = block_trace(WIDTHS, blocks=3, lengths=(6,))
    arch, workload = load(name), Workload(trace, None)
    result = simulate(arch, trace, phase=phase, batch=batch, layers="chained")
    memory = new_memory()
    for _ in range(2):  # walked, then known
        row = totals_of(arch, workload, None, batch, memory, "chained")
        assert {key: row[key] for key in result.totals()} == result.totals()


@pytest.mark.parametrize("name", ["nm816", "dense"])
@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 2)])
def test_an_observer_sees_each_link_and_changes_nothing(name, phase, batch):
    """Links in order, with names of all of their layers; q, k and v are one."""
    seen = []
    trace, flags = block_trace(WIDTHS, blocks=2, lengths=(6,)), {"phase": phase, "batch": batch}

    def watch(linear, _, run):
        seen.append((linear.name, run.times.cycles))

    watched = simulate(load(name), trace, layers="chained", observer=watch, **flags)
    assert watched == simulate(load(name), trace, layers="chained", **flags)
    assert sum(cycles for _, cycles in seen) == watched.cycles < watched.isolated_cycles
    links = list(dict.fromkeys(name for name, _ in seen))
    assert [len(name.split(" + ")) for name in links] == [3, 1, 2, 1] * 2
    assert links[0].endswith("q_proj + k_proj + v_proj")
    assert len(seen) == len(links) * (1 if batch is None else 3)


def test_an_observer_of_one_layer_sees_the_link_that_it_runs_in():
    seen = []
    options = {"watches": lambda x: x.kind == "k_proj", "observer": lambda x, *_: seen.append(x)}
    simulate(load("dense"), block_trace(WIDTHS, blocks=1), layers="chained", **options)
    (link,) = seen
    assert link.name.endswith("q_proj + k_proj + v_proj")
    assert link.out_features == 64 + 32 + 32


def test_json_says_what_the_layers_take_one_by_one():
    trace = block_trace(WIDTHS, blocks=1)
    chained, alone = (simulate(load("dense"), trace, layers=x) for x in ("chained", "isolated"))
    assert chained.to_dict()["isolated_cycles"] == alone.cycles
    assert alone.to_dict()["isolated_cycles"] is None


def test_the_summary_says_the_gain():
    """The layers of `two_layers` that store: 416 cycles one by one, 208 + 144 in a chain."""
    trace = trace_of_kinds(["fc", "proj"], [(64, 64), (64, 64)], lengths=(1,))
    (line,) = one_by_one_line(simulate(load("dense"), trace, layers="chained"))
    assert line.startswith("layers follow each other: -15.4% cycles, one by one 416;")
    assert not list(one_by_one_line(simulate(load("dense"), trace, layers="isolated")))


def test_layers_that_do_not_exist_are_told():
    with pytest.raises(InputError, match=r"'chain'.*allowed: chained, isolated"):
        simulate(load("dense"), block_trace(WIDTHS), layers="chain")

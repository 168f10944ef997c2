"""Layers that follow each other: exact against the whole chain as one network, and conserved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.base.errors import InputError
from accelsim.engine import engine_named
from accelsim.run.chain import Walk
from accelsim.run.runner import Runner
from accelsim.run.simulation import decode_steps, selections
from accelsim.trace import load_trace
from tests.helpers.chains import block_trace, ends_of, whole_network
from tests.helpers.random_machines import machines, tiles
from tests.helpers.small import ARCHITECTURES, SHIPPED_TRACE, changed, load

PHASES = [("prefill", None), ("decode", 1), ("decode", 3)]


def walked(arch, trace, phase, batch, engine="recurrence"):
    """Run the links of a trace; return the products, and the cycles of each of one step."""
    steps, runner = decode_steps(trace, phase, batch), Runner(arch, engine)
    walk = Walk(runner, trace, steps)
    products = [link.tiled for link in walk.chain.links]
    chosen = {
        linear.name: selection
        for linear, (selection,) in selections([arch], trace, with_masks=batch is not None)
    }
    cycles = []
    for link in walk.chain.links:
        found = [walk.of(x, lambda x=x: chosen[x.name])[1] for x in link.linears]
        cycles.append(sum(tally.cycles for tally in found))
    return products, cycles, steps, chosen, walk.chain.links


def whole_ends(arch, trace, phase, batch, engine="recurrence"):
    """Return the cycles in which the links end, by windows and in one network, all steps added."""
    products, cycles, steps, chosen, links = walked(arch, trace, phase, batch, engine)
    run = engine_named(engine)
    if not products[0].gathers:
        network, jobs = whole_network(products)
        count = 1 if steps is None else len(steps)
        return np.cumsum(cycles), count * ends_of(run(network), jobs)
    by_step = zip(
        *(
            link.tiled.works(chosen[link.linears[0].name], steps, one_by_one=True)
            for link in links
        ),
        strict=True,
    )
    ends = []
    for works in by_step:
        network, jobs = whole_network(products, list(works))
        ends.append(ends_of(run(network), jobs))
    return np.cumsum(cycles), np.sum(ends, axis=0)


@settings(deadline=None, max_examples=60)
@given(arch=machines(), phase=st.sampled_from(PHASES), blocks=st.integers(1, 3), data=st.data())
def test_windows_add_up_to_the_whole_chain(arch, phase, blocks, data):
    trace = block_trace((64, 32, 96), blocks=blocks, lengths=(6,))
    if data.draw(st.booleans()):
        arch = changed(arch, {"tiling": data.draw(tiles(arch.path.group_size))})
    try:
        ours, theirs = whole_ends(arch, trace, *phase)
    except InputError as error:
        assert "must fit" in str(error) or "fits" in str(error)
        return
    assert ours.tolist() == theirs.tolist()

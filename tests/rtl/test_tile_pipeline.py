"""The tile pipeline in SystemVerilog against the simulator: every event, in the same cycle.

A log holds the start and end of every job of the five stages, every beat of kept groups (masks and
values) and of outputs (accumulators) with its cycle, and the busy, starved and blocked cycles of
each stage. Both sides write one; they must be equal line by line. The simulator's side runs the
same `build_pipeline` and engine as `accelsim run`.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.rtl_bench import tool
from tests.helpers.rtl_pipelines import PATTERNS, differing, random_case

pytestmark = pytest.mark.slow

# All of them in CI; a sample elsewhere, because each takes about a second of Icarus.
CASES = range(240) if os.environ.get("CI") else range(24)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Simulate all cases, two at a time; return {seed: (case, differing, expected)}."""
    tool("iverilog")

    def outcome(seed):
        case = random_case(seed)
        folder = tmp_path_factory.mktemp(f"pipeline{seed}")
        return seed, (case, *differing(case, folder)[:2])

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(outcome, CASES))


@pytest.mark.parametrize("seed", CASES)
def test_every_event_is_in_its_cycle(outcomes, seed):
    (arch, gemm, tiling, *_), difference, expected = outcomes[seed]
    assert not difference, (arch.resolved(), gemm, tiling, difference[:20])
    # A start, an end and counters of five stages, the total, kept groups and outputs.
    assert len(expected) >= 3 * 5 + 1 + 1 + 1


def test_the_cases_cover_what_the_pipeline_can_be(outcomes):
    archs = [case[0] for case, *_ in outcomes.values()]
    programs = [case[3] for case, *_ in outcomes.values()]
    assert {arch.selector.kind for arch in archs} == {"rank", "bitonic", "radix", "cascade"}
    assert {arch.crossbar.kind for arch in archs} == {
        "full", "window", "logshift", "hierarchical",
    }  # fmt: skip
    assert {arch.format for arch in archs} == {"bitmask", "index"}
    assert {arch.precision for arch in archs} == {"int8", "bf16"}
    assert any(arch.path.steps_per_group > 1 for arch in archs)
    assert any(arch.path.groups_per_step > 1 for arch in archs)
    assert any(program.stalls["output"].any() for program in programs)
    assert any(not program.tile_jobs.selects.all() for program in programs)  # reuse
    if len(CASES) > 200:
        assert {str(arch.pattern) for arch in archs} == set(PATTERNS)


def test_the_cases_are_starved_and_blocked(outcomes):
    # A comparison of counters that are all zero would show nothing.
    counters = [
        list(map(int, line.split()[1:]))
        for _, _, expected in outcomes.values()
        for line in expected
        if line.startswith("counters")
    ]
    for stage in (2, 3):  # select and compute
        assert sum(starved for s, _, starved, _ in counters if s == stage) > 100
        assert sum(blocked for s, _, _, blocked in counters if s == stage) > 10

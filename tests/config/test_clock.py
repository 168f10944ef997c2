"""The clock decides what an architecture file leaves open, and is obeyed or warned of otherwise."""

import pytest
import yaml

from accelsim.run.area import AreaReport
from tests.helpers.toy import UNITS, toy_table

# At the 1 GHz of nm816: a rank core in 3 cycles, indices and routing in 1,600 ps, so 2 stages.
DELAYS = {"select_rank": 2500, "compact": 400, "crossbar_full": 1000, "index_encoder": 600}


@pytest.fixture
def load(edit, tmp_path):
    """Load 8:16 with toy delays and, in its file, other words for a selector and a crossbar."""

    def _load(*overrides, selector="{kind: rank, instances: 4}", crossbar="{kind: full}"):
        table = tmp_path / "toy.yaml"
        table.write_text(yaml.safe_dump(toy_table(DELAYS)), encoding="utf-8")
        edited = edit("{kind: rank, instances: 4}", selector)
        text = edited.text.replace("{kind: full}", crossbar)
        edited.path.write_text(text.replace("{table: nangate45}", f"{{table: {table}}}"))
        return edited.load(*overrides)

    return _load


def notes(arch):
    return [str(note) for note in AreaReport.of(arch).notes if "memory" not in note.text]


def test_what_is_left_open_follows_from_the_clock(load):
    arch = load()
    assert (arch.selector.extra_stages, arch.selector.step_cycles) == (2, 1)
    assert arch.crossbar.pipeline_stages == 2
    assert arch.selector.latency_cycles(arch.path) == 1 + 1 + 2
    assert notes(arch) == [
        "selector: a step takes 2,500 ps and compaction 400 ps of a clock of 1,000 ps; pipelined "
        "with 2 more stages of 145 flip-flops",  # 16 × 9 + 1
        "crossbar: routing takes 1,600 ps of a clock of 1,000 ps; pipelined in 2 stages",
    ]


@pytest.mark.parametrize(
    ("clock_mhz", "extra", "stages"), [(100, 0, 1), (400, 0, 1), (500, 1, 1), (2000, 4, 4)]
)
def test_another_clock(load, clock_mhz, extra, stages):
    arch = load(f"clock_mhz={clock_mhz}")
    assert arch.selector.extra_stages == extra
    assert arch.crossbar.pipeline_stages == stages


def test_indices_need_no_encoder_in_front_of_a_full_crossbar(load):
    assert load("format=index").crossbar.pipeline_stages == 1


def test_more_stages_are_more_area(load):
    slow, fast = (AreaReport.of(load(f"clock_mhz={clock}")) for clock in (400, 1000))
    more = {name: fast.area_um2[name] - slow.area_um2[name] for name in ("selector", "crossbar")}
    # 4 selectors × 2 stages × 145, and the fast netlist is three times the 120 × 8 + 240 + 128
    # parts; a stage of 8 rows × 16 lanes × 8 bits × (8 + 1) columns; the small
    # netlist serves both clocks.
    assert more == {
        "selector": 4 * (2 * 145 + 2 * 1328 * UNITS["core"]),
        "crossbar": 8 * 16 * 8 * 9,
    }


def test_what_the_file_says_is_obeyed_and_warned_of_if_too_few(load):
    arch = load(
        selector="{kind: rank, instances: 4, extra_stages: 1}",
        crossbar="{kind: full, pipeline_stages: 1}",
    )
    assert (arch.selector.extra_stages, arch.crossbar.pipeline_stages) == (1, 1)
    assert [note for note in notes(arch) if note.startswith("warning")] == [
        "warning: selector: extra_stages 1 is too few for the clock; it needs 2",
        "warning: crossbar: pipeline_stages 1 is too few for the clock; it needs 2",
    ]


def test_more_than_needed_is_no_reason_to_warn(load):
    arch = load("selector.extra_stages=5", "crossbar.pipeline_stages=3")
    assert (arch.selector.extra_stages, arch.crossbar.pipeline_stages) == (5, 3)
    assert not [note for note in notes(arch) if note.startswith("warning")]


def test_what_was_decided_is_printed_and_loads_as_the_same_machine(load, write):
    arch = load()
    resolved = arch.resolved()
    assert resolved["selector"]["extra_stages"] == 2
    assert resolved["crossbar"]["pipeline_stages"] == 2
    assert write(yaml.safe_dump(resolved)).load() == arch


def test_a_table_that_does_not_price_the_machine_is_named(edit, tmp_path):
    contents = toy_table()
    del contents["blocks"]["select_rank"]
    table = tmp_path / "toy.yaml"
    table.write_text(yaml.safe_dump(contents), encoding="utf-8")
    edited = edit("{table: nangate45}", f"{{table: {table}}}")
    edited.refused("technology.table: ", "no block 'select_rank'", line=edited.line)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("selector.extra_stages=-1", "selector.extra_stages"),
        ("selector.extra_stages=257", "selector.extra_stages"),
        ("selector.step_cycles=0", "selector.step_cycles"),
        ("selector.step_cycles=1.5", "selector.step_cycles"),
        ("crossbar.pipeline_stages=65", "crossbar.pipeline_stages"),
        ("crossbar.pipeline_stages=yes", "crossbar.pipeline_stages"),
    ],
)
def test_stages_that_make_no_sense(edit, section, said):
    edited = edit("tiling: auto", "tiling: auto")
    edited.refused(said, overrides=(section,))

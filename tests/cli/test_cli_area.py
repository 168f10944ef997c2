"""`accelsim area --block`: one block on its own; and what the clock made of a whole machine."""

import json
from itertools import pairwise

import pytest
import yaml

from accelsim.hardware import CROSSBARS, SELECTORS
from tests.helpers.toy import toy_table

KEYS = {"schema", "block", "kind", "area_um2", "ge", "delay_ps", "stages", "effort", "source"}
ROUTING = sorted(set(CROSSBARS) - {"none"})
BLOCKS = [
    *(("selector", kind) for kind in sorted(SELECTORS)),
    *(("crossbar", kind) for kind in ROUTING),
    ("mac", "int8"),
    ("dot_product", "int8"),
]


@pytest.fixture
def block(accepted):
    def _block(name, kind, *flags):
        return json.loads(accepted("area", "--block", name, "--kind", kind, "--json", *flags).out)

    return _block


@pytest.fixture
def table(tmp_path):
    """Write a toy table; its gate equivalent has 4 um2, a flip-flop 1 um2."""

    def _table(small_ps=None, fast_ps=None):
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(toy_table(small_ps, fast_ps)), encoding="utf-8")
        return "--technology", path

    return _table


@pytest.mark.parametrize(("name", "kind"), BLOCKS)
def test_json_keeps_the_contract(block, name, kind):
    found = block(name, kind)
    assert set(found) == KEYS
    assert (found["schema"], found["block"], found["kind"]) == (1, name, kind)
    assert found["area_um2"] > 0
    assert found["delay_ps"] >= 0
    assert found["effort"] == "area"  # no clock, the small netlist
    assert found["source"].startswith("fit to ")
    assert isinstance(found["stages"], int)


@pytest.mark.parametrize(("name", "kind"), BLOCKS)
def test_ge_is_the_area_over_the_smallest_nand2(block, table, name, kind):
    found = block(name, kind, *table())
    assert found["ge"] == found["area_um2"] / 4
    # NangateOpenCellLibrary: NAND2_X1 has 0.798 um2.
    found = block(name, kind)
    assert found["area_um2"] / found["ge"] == pytest.approx(0.798)


@pytest.mark.parametrize(("name", "kind"), [case for case in BLOCKS if case[0] != "mac"])
def test_area_grows_with_the_group_and_the_lanes(block, name, kind):
    def size(m):
        lanes = () if name == "selector" else ("--lanes", m)
        return block(name, kind, "--n", m // 2, "--m", m, *lanes)["area_um2"]

    assert all(a < b for a, b in pairwise(size(m) for m in (4, 8, 16, 32, 64)))


@pytest.mark.parametrize("kind", ROUTING)
def test_a_crossbar_grows_with_its_columns(block, kind):
    sizes = [block("crossbar", kind, "--columns", count)["area_um2"] for count in (1, 2, 8, 64)]
    assert all(a < b for a, b in pairwise(sizes))


def test_a_selector_by_hand(block, table):
    # 2:4 int8: 92 parts of a rank core, 48 legs and 6 places of compaction, 37 + 21 flip-flops;
    # two stages of them.
    found = block("selector", "rank", "--n", 2, "--m", 4, *table({"select_rank": 9, "compact": 7}))
    assert found["area_um2"] == 6_0048_0092_0058
    assert (found["delay_ps"], found["stages"]) == (9, 2)
    assert found["source"] == "fit to toy"


def test_a_crossbar_by_hand(block, table):
    # 2:4 on 16 lanes, one row of 2 columns: 64 legs of 8 bits a column, no converter, no registers.
    size = ("--n", 2, "--m", 4, "--columns", 2)
    late = table({"crossbar_full": 900, "index_encoder": 600})
    found = block("crossbar", "full", *size, *late)
    assert (found["area_um2"], found["delay_ps"], found["stages"]) == (64_1024_0000_0000, 900, 0)
    # With a clock, weights are registered: 16 × 2 × 8 flip-flops a stage.
    for clock_mhz, stages in ((1000, 1), (1250, 2), (2500, 3)):
        found = block("crossbar", "full", *size, *late, "--clock-mhz", clock_mhz)
        assert found["stages"] == stages
        assert found["area_um2"] % 10**4 == stages * 256


def test_macs_by_hand(block, table):
    # 1 multiplier and 32 accumulator bits; 16 lanes: tests/hardware/test_mac_array.py.
    found = block("mac", "int8", *table({"mac": 700, "dot_product": 800}))
    assert (found["area_um2"], found["delay_ps"], found["stages"]) == (33_0032, 700, 1)
    found = block("dot_product", "int8", *table({"mac": 700, "dot_product": 800}))
    assert found["area_um2"] == 314_0604
    # Multiply, four levels of adders, accumulate, and the sum that waits.
    assert (found["delay_ps"], found["stages"]) == (800, 1 + 4 + 1 + 1)


def test_a_clock_takes_the_fast_netlist_then_stages(block, table):
    flags = table({"select_rank": 1500}, {"select_rank": 900})
    size = ("--n", 2, "--m", 4)
    found = [block("selector", "rank", *size, *flags, "--clock-mhz", c) for c in (500, 1000, 2000)]
    assert [f["effort"] for f in found] == ["area", "delay", "delay"]
    assert [f["delay_ps"] for f in found] == [1500, 900, 900]
    assert [f["stages"] for f in found] == [2, 2, 3]
    assert found[2]["area_um2"] - found[1]["area_um2"] == 37  # values, flags, valid


@pytest.mark.parametrize("kind", ["radix", "cascade"])
def test_the_pipelined_form_is_larger(block, kind):
    iterative = block("selector", kind)
    pipelined = block("selector", kind, "--pipelined")
    assert pipelined["area_um2"] > 2 * iterative["area_um2"]
    assert (iterative["stages"], pipelined["stages"]) == (2, 9)  # 8 planes, 8 maxima


def test_bits_choose_the_precision(block, table):
    # 2:4: 6 × 15 comparator bits, 12 wins, nothing to negate.
    flags = ("--n", 2, "--m", 4, "--bits", 16, *table())
    assert block("selector", "rank", *flags)["area_um2"] // 10**4 % 10**4 == 90 + 12
    assert block("crossbar", "window", *flags)["area_um2"] > 0


def test_a_mac_has_a_precision_by_default(accepted, table):
    for bits, kind in ((8, "int8"), (16, "bf16")):
        flags = ("--block", "mac", "--bits", bits, *table(), "--json")
        assert json.loads(accepted("area", *flags).out)["kind"] == kind


def test_the_table_says_it_in_words(accepted, table):
    flags = ("--block", "selector", "--kind", "rank", "--n", 2, "--m", 4, *table())
    words = accepted("area", *flags).words
    assert "selector rank" in words
    assert "6,004,800,920,058.0 µm²" in words
    assert "gate equivalents 1,501,200,230,014" in words  # a quarter, 14.5 to even
    assert "delay 0 ps (netlist mapped for area)" in words
    assert "register stages 2" in words
    assert "fit to toy" in words


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "give an architecture file, or --block"),
        (("--block", "selector"), "--block selector needs --kind"),
        (("--block", "crossbar"), "--block crossbar needs --kind"),
        (("--block", "adder", "--kind", "x"), "unknown block 'adder'; allowed: selector, crossbar"),
        (("--block", "selector", "--kind", "rnak"), "selector.kind 'rnak' (did you mean 'rank'?)"),
        (("--block", "crossbar", "--kind", "ful"), "crossbar.kind 'ful' (did you mean 'full'?)"),
        (("--block", "crossbar", "--kind", "none"), "wires only"),
        (("--block", "mac", "--kind", "int5"), "precision 'int5'"),
        (("--block", "dot_product", "--kind", "rank"), "precision 'rank'"),
        (("--block", "selector", "--kind", "rank", "--n", 9, "--m", 8), "1 <= N <= M <= 64"),
        (("--block", "selector", "--kind", "rank", "--n", 0), "1 <= N <= M <= 64"),
        (("--block", "selector", "--kind", "rank", "--m", 65), "1 <= N <= M <= 64"),
        (("--block", "selector", "--kind", "rank", "--bits", 12), "bits 12: allowed: 8 (int8), 16"),
        (("--block", "mac", "--bits", 12), "bits 12: allowed: 8 (int8), 16"),
        (("--block", "crossbar", "--kind", "full", "--lanes", 0), "lanes 0"),
        (("--block", "crossbar", "--kind", "full", "--columns", 1025), "columns 1025"),
        (("--block", "selector", "--kind", "rank", "--pipelined"), "'rank' is always pipelined"),
        (("--block", "mac", "--technology", "nangate54"), "did you mean 'nangate45'?"),
    ],
)
def test_bad_flags(refused, flags, said):
    assert said in refused("area", *flags)


def test_both_an_architecture_and_a_block(refused, arch):
    message = refused("area", arch("nm816"), "--block", "selector", "--kind", "rank")
    assert "give an architecture file, or --block" in message


def test_a_table_that_does_not_price_the_block(refused, tmp_path):
    contents = toy_table()
    del contents["blocks"]["compact"]
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(contents), encoding="utf-8")
    flags = ("--block", "selector", "--kind", "rank", "--technology", path)
    assert "technology 'toy' has no block 'compact'" in refused("area", *flags)


# --- whole machines ------------------------------------------------------------------------------

LATE = {"select_rank": 2500, "crossbar_full": 1600, "dot_product": 1200}
NOTES = (
    "selector: a step takes 2,500 ps and compaction 0 ps of a clock of 1,000 ps; pipelined with 2 "
    "more stages of 145 flip-flops",
    "crossbar: routing takes 1,600 ps of a clock of 1,000 ps; pipelined in 2 stages",
    "warning: mac_array: a stage takes 1,200 ps of a clock of 1,000 ps; it is not pipelined "
    "further",
)


@pytest.fixture
def late(arch, table):
    """Arguments of 8:16 with blocks that miss the clock."""
    _, path = table(LATE)
    return arch("nm816"), "--set", f"technology.table={path}"


def test_timing_is_noted(accepted, late):
    words = accepted("area", *late).words
    assert all(note in words for note in NOTES)
    assert set(NOTES) <= set(json.loads(accepted("area", *late, "--json").out)["warnings"])


def test_a_machine_in_time_has_no_notes(accepted, arch, table):
    _, path = table()
    flags = (arch("nm816"), "--set", f"technology.table={path}", "--json")
    assert json.loads(accepted("area", *flags).out)["warnings"] == []


def test_run_warns_of_what_misses_the_clock_and_of_nothing_else(cli, late, trace):
    outcome = cli("run", *late, "--trace", trace, "--json", "--set", "crossbar.pipeline_stages=1")
    assert outcome.code == 0
    *clock, power = outcome.err.splitlines()
    assert clock == [
        "warning: nm816: crossbar: pipeline_stages 1 is too few for the clock; it needs 2",
        NOTES[2].replace("warning: ", "warning: nm816: "),
    ]
    assert power.startswith("warning: power: ")  # at the prices of this table

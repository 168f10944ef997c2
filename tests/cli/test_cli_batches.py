"""Decode batches that are larger than the trace has sequences are never run without a word."""

import json

import pytest

from tests.helpers.small import SHIPPED_TRACE

DECODE = ("--phase", "decode", "--batch")


def test_a_batch_that_the_trace_can_form_gets_no_warning(accepted, arch, trace):
    shown = accepted("run", arch("nm816"), "--trace", trace, *DECODE, 2).out
    assert "decode batch 2, 20 of 21 tokens" in shown  # the incomplete last step does not run


@pytest.mark.parametrize("batch", [3, 8, 21])
def test_run_and_compare_warn_of_one_that_it_cannot(cli, arch, trace, batch):
    run = cli("run", arch("nm816"), "--trace", trace, *DECODE, batch, "--json")
    both = cli("compare", arch("dense"), arch("nm816"), "--trace", trace, *DECODE, batch)
    assert (run.code, both.code) == (0, 0)
    (line,) = run.err.splitlines()
    assert line.startswith(f"warning: batch {batch} of a trace of 3 sequences: in ")
    assert line.endswith("batches of up to 1 do without")
    assert both.err == run.err
    assert json.loads(run.out)["warnings"] == [line.removeprefix("warning: ")]


def test_a_dense_machine_does_not_care(accepted, arch, trace):
    accepted("run", arch("dense"), "--trace", trace, *DECODE, 8)


def test_a_sweep_warns_before_it_begins(cli, arch, trace, tmp_path):
    pytest.importorskip("pyarrow")
    file = tmp_path / "s.yaml"
    file.write_text(
        f"schema: 1\nname: s\nbase: {arch('nm816')}\ntraces: [{trace}]\nphases: decode\n"
        "batches: [1, 2, 8]\naxes: {dram.bandwidth_gb_per_s: [64]}\n",
        encoding="utf-8",
    )
    outcome = cli("sweep", file, "--out", tmp_path / "o", "--workers", "1")
    assert outcome.code == 0
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert "t.npz: batch 8 of a trace of 3 sequences" in warnings[0]


def test_every_warning_is_on_standard_error_and_in_json(cli, arch):
    """Of the clock, of power and of ports, with the machine that it is of."""
    bad = ("--set", "technology.node_nm=7", "--set", "clock_mhz=5000")
    run = cli("run", arch("nm816"), "--trace", SHIPPED_TRACE, *bad, "--json")
    both = cli("compare", arch("nm816"), "--trace", SHIPPED_TRACE, *bad)
    said = [line.removeprefix("warning: ") for line in run.err.splitlines()]
    assert sorted(json.loads(run.out)["warnings"]) == sorted(said)
    assert any("an access, the clock gives" in note for note in said)
    assert any("W/mm²" in note for note in said)
    assert "warning" not in both.out
    for note in said:
        assert note.removeprefix("nm816: ") in both.err

"""Each rule can be broken: a unit that does is refused with a sentence that says how."""

from itertools import islice
from unittest.mock import patch

import numpy as np
import pytest
from pydantic import Field

from accelsim.accounting import breakdown, ledger
from accelsim.dataflows import DATAFLOWS
from accelsim.engine import simpy_engine
from accelsim.hardware import MacArray, Unit
from accelsim.run.runner import Runner
from accelsim.testing import check_dataflow, check_unit, harness, machine_rules
from accelsim.testing.harness import problems_in, with_defaults
from accelsim.testing.rules import keep
from tests.helpers.guide import examples

OUTPUT_STATIONARY = DATAFLOWS["output_stationary"]

GUIDE_FILE = "accelsim/hardware/row_gather.py"

with examples(GUIDE_FILE) as guide:
    RowGather = guide["RowGather"]


class Undeclared(RowGather):
    def actions(self, work):
        return {**super().actions(work), "row": 1}


class Unpriced(RowGather):
    def energy_pj(self, tech, path):  # noqa: ARG002
        return {}


class Fractional(RowGather):
    def busy_cycles(self, work):
        return work.weight_bytes / 8


class OneNumber(RowGather):
    def busy_cycles(self, work):
        return np.int64(len(work.jobs))


class Negative(RowGather):
    def busy_cycles(self, work):
        return super().busy_cycles(work) - 10**6


class ByValue(RowGather):
    def busy_cycles(self, work):
        return super().busy_cycles(work) + work.nonzero


class Idle(RowGather):
    def busy_cycles(self, work):
        return 0 * super().busy_cycles(work)


class NumpyCounts(RowGather):
    def actions(self, work):
        return {"gathered_bytes": work.weight_bytes.sum()}


class RoundedCounts(RowGather):
    def actions(self, work):
        return {"gathered_bytes": int(-(-work.weight_bytes.sum() // 1000))}


class SquaredCounts(RowGather):
    def actions(self, work):
        return {"gathered_bytes": int(work.nonzero) ** 2}


class Latent(RowGather):
    def latency_cycles(self, path):  # noqa: ARG002
        return 0.5


class Priceless(RowGather):
    def energy_pj(self, tech, path):  # noqa: ARG002
        return {"gathered_bytes": float("nan")}


class Shrinking(RowGather):
    def area_um2(self, tech, path):  # noqa: ARG002
        return 1e3 / path.columns


class Hasty(RowGather):
    def busy_cycles(self, work):
        return np.where(work.weight_bytes > 0, 10_000 // work.gemm.tokens**2, 0)


class Forgetful(RowGather):
    def timing_key(self):
        return "row_gather"


class Undescribed(RowGather):
    depth: int = Field(2, strict=True, ge=0)


class Lenient(RowGather):
    depth: int = Field(2, description="Of a queue")


class Raising(RowGather):
    def area_um2(self, tech, path):  # noqa: ARG002
        raise ZeroDivisionError("no columns")


class WithoutExample(RowGather):
    """As its base."""


BROKEN = {
    Undeclared: "actions() counts gathered_bytes, row, where action_names has gathered_bytes",
    Unpriced: "energy_pj() prices nothing, where action_names has gathered_bytes",
    Fractional: "busy_cycles() is float64 (",
    OneNumber: "busy_cycles() is int64 (); expected int64 (",
    Negative: "expected no negative number",
    ByValue: "busy_cycles() depends on work.nonzero",
    Idle: "busy_cycles() is 0 for every job of every layer tried",
    NumpyCounts: "of 'gathered_bytes'; expected an int of at least 0",
    RoundedCounts: "the rule 'counts follow weight bytes'",
    SquaredCounts: "the rule 'counts follow nonzero activations'",
    Latent: "latency_cycles() is 0.5; expected an int of at least 0",
    Priceless: "energy_pj() of 'gathered_bytes' is nan; expected a finite number",
    Shrinking: "with twice the columns",
    Hasty: "42 tokens take",
    Forgetful: "timing_key() is the same for rows_per_cycle=4 and rows_per_cycle=8",
    Undescribed: "field 'depth' has no description; expected Field(description=…)",
    Lenient: "field 'depth' accepts -1; expected an error",
    Raising: "it raises ZeroDivisionError: no columns",
    WithoutExample: "its docstring has no section 'Example:'",
}


@pytest.mark.parametrize(
    ("cls", "sentence"), BROKEN.items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_a_broken_unit_is_refused_with_what_was_found(cls, sentence):
    with pytest.raises(AssertionError) as caught:
        check_unit(cls)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{cls.__name__} breaks the rule '") for line in lines)
    assert any(sentence in line for line in lines)


def test_an_example_that_prints_something_else_is_found():
    class WrongExample(RowGather):
        """As its base.

        Example:
            >>> 1 + 1
            3
        """

    sentence = "its example does not print what it shows: .*Expected: 3 Got: 2"
    with pytest.raises(AssertionError, match=sentence):
        check_unit(WrongExample)


def test_one_that_is_not_broken_is_silent():
    few = {"output_stationary": OUTPUT_STATIONARY}
    with examples(GUIDE_FILE) as found, patch.object(harness, "DATAFLOWS", few):
        check_unit(found["RowGather"])


def late(network, run=simpy_engine.run):
    """An engine that ends each job a cycle late."""
    times = run(network)
    times.table[..., 3, :, :] += 1
    return times


# --- in machines ---------------------------------------------------------------------------------


def broken_rules(unit):
    """Yield the rules that machines break with a unit in them."""
    return (problem.rule for problem in problems_in(unit, OUTPUT_STATIONARY))


def test_a_forgetful_key_makes_rows_of_sweeps_stale():
    assert set(islice(broken_rules(Forgetful()), 4)) == {"rows of sweeps are runs"}


def test_an_undeclared_action_is_found_in_a_run():
    assert next(broken_rules(Undeclared())) == "it runs"  # it has no price


@pytest.mark.parametrize(
    ("target", "name", "broken", "rule"),
    [
        # The first member of a stage for its stream: the fault that a gather showed.
        (
            ledger,
            "_stream_of",
            lambda members: (members[0].busy, np.zeros_like(members[0].busy)),
            "ledgers are the network",
        ),
        (ledger, "previous_finish", lambda stage: 0 * stage.finish, "cycles are conserved"),
        (breakdown, "_lockstep_stalls", lambda *_: breakdown.Counter(), "breakdowns add up"),
        (simpy_engine, "run", late, "both engines agree"),
        (Runner, "alone_cycles", lambda *_: 1, "chains are like runs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_machine_is_found(target, name, broken, rule):
    with patch.object(target, name, broken):
        assert rule in broken_rules(RowGather(rows_per_cycle=1))


def test_a_unit_that_makes_others_work_longer_is_found():
    """No unit can: what others do depends on the work only; so the ledger is bent."""
    honest = machine_rules.Observed.of

    def bent(arch, trace, batch):
        seen = honest(arch, trace, batch)
        if "checked" in arch.units:
            cycles = seen.result.layers[0].units["dram"].ledger.busy_cycles
            object.__setattr__(
                seen.result.layers[0].units["dram"].ledger, "busy_cycles", cycles + 1
            )
        return seen

    with patch.object(machine_rules.Observed, "of", bent):
        assert "others work as without it" in broken_rules(RowGather())


# --- dataflows -----------------------------------------------------------------------------------


def test_a_class_of_a_dataflow_is_checked_by_itself():
    class Hurried(MacArray):
        """An array whose price is forgotten.

        Example:
            >>> 1
            1
        """

        def energy_pj(self, tech, path):
            return {"mac": super().energy_pj(tech, path)["mac"]}

    drawn = DATAFLOWS["output_stationary"]
    own = type(drawn)(drawn.name, drawn.about, drawn.stages, classes={"mac_array": Hurried})
    with pytest.raises(AssertionError, match=r"Hurried breaks .* energy_pj\(\) prices mac, where"):
        check_dataflow(own)


def test_a_dataflow_that_no_machine_has_says_why():
    drawn = OUTPUT_STATIONARY.with_stream_on("weight_dma", "link")
    with pytest.raises(AssertionError, match="unknown unit 'nonsense'"):
        check_dataflow(drawn, {"units": {"link": {"kind": "nonsense"}}})


def test_a_class_without_defaults_asks_for_a_unit():
    with pytest.raises(AssertionError, match=r"give a unit, MacArray\(rows=…\), instead of"):
        check_unit(MacArray)
    assert with_defaults(RowGather) == RowGather()


def test_sentences_of_one_rule_are_counted():
    found = list(islice(problems_in(Forgetful(), OUTPUT_STATIONARY), 3))
    with pytest.raises(AssertionError, match=r"\(and 2 more\)$"):
        keep(found)
    assert issubclass(Forgetful, Unit)

"""The waveform: one state and one busy bit a unit, read back with a reader of its own."""

from collections import Counter, defaultdict

import pytest

from accelsim.base.errors import InputError, MissingExtraError
from accelsim.report.waveform import Waveform

vcd_reader = pytest.importorskip("vcd.reader")
STREAMS = ("activation_dma", "weight_dma", "output_dma")
STATES = {"busy", "starved", "blocked", "contended", "idle"}


def draw(path, machine, observed, **flags):
    with Waveform(path, [*machine.units, *STREAMS]) as waveform:
        return observed(machine, waveform, **flags)


def history(path):
    """Return ({variable: [(time, value)]}, last time); times must not run backwards."""
    names, changes, now = {}, defaultdict(list), 0
    with path.open("rb") as file:
        for token in vcd_reader.tokenize(file):
            if token.kind is vcd_reader.TokenKind.VAR:
                assert token.var.reference not in names.values()
                names[token.var.id_code] = token.var.reference
            elif token.kind is vcd_reader.TokenKind.CHANGE_TIME:
                assert token.time_change >= now
                now = token.time_change
            elif token.kind is vcd_reader.TokenKind.CHANGE_SCALAR:
                changes[names[token.scalar_change.id_code]].append((now, token.scalar_change.value))
            elif token.kind is vcd_reader.TokenKind.CHANGE_STRING:
                changes[names[token.string_change.id_code]].append((now, token.string_change.value))
    return changes, now


def time_in(changes, end):
    """Return how long each value lasted."""
    spent = Counter()
    for (start, value), (stop, _) in zip(changes, [*changes[1:], (end, None)], strict=True):
        spent[value] += stop - start
    return spent


@pytest.fixture(
    scope="module",
    params=[("dense", {}), ("nm816", {}), ("nm816", {"phase": "decode", "batch": 3})],
    ids=["dense", "8:16", "decode"],
)
def drawn(request, tmp_path_factory, arch, observed):
    name, flags = request.param
    path = tmp_path_factory.mktemp("vcd") / "w.vcd"
    result = draw(path, arch(name), observed, **flags)
    return *history(path), result


def test_every_unit_has_a_state_and_a_busy_bit(drawn):
    changes, _, result = drawn
    expected = {"layer"} | {f"{unit}_{kind}" for unit in result.units for kind in ("state", "busy")}
    assert set(changes) == expected


def test_states_are_the_causes_of_the_ledger(drawn):
    changes, end, result = drawn
    assert end == result.cycles
    for unit, total in result.units.items():
        spent = time_in(changes[f"{unit}_state"], end)
        assert set(spent) <= STATES
        ledger = {state: getattr(total.ledger, f"{state}_cycles") for state in STATES}
        assert {state: spent[state] for state in STATES} == ledger, unit


def test_the_busy_bit_is_set_while_the_state_is_busy(drawn):
    changes, end, result = drawn
    for unit, total in result.units.items():
        assert time_in(changes[f"{unit}_busy"], end)["1"] == total.ledger.busy_cycles, unit


def test_layers_come_in_order(drawn):
    changes, _, result = drawn
    names = list(dict.fromkeys(value for _, value in changes["layer"] if value))
    assert names == [layer.name for layer in result.layers]


def test_a_failed_run_leaves_nothing(tmp_path, arch, observed):
    machine = arch("dense")

    def fail():
        with Waveform(tmp_path / "w.vcd", [*machine.units, *STREAMS]) as waveform:
            observed(machine, waveform)
            raise InputError("later")

    with pytest.raises(InputError, match="later"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_gives_the_same_bytes(tmp_path, arch, observed):
    for name in ("1.vcd", "2.vcd"):
        draw(tmp_path / name, arch("nm816"), observed)
    assert (tmp_path / "1.vcd").read_bytes() == (tmp_path / "2.vcd").read_bytes()


def test_without_pyvcd_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vcd", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'accelsim\[vcd\]'"):
        Waveform(tmp_path / "w.vcd", ["dram"])
    assert list(tmp_path.iterdir()) == []

"""A machine never changes: copies have other values, and all that follows from these."""

import copy
import pickle

import pytest
from pydantic import ValidationError

from accelsim.base.models import remade
from accelsim.config import Architecture
from accelsim.hardware import Moments
from accelsim.mapping import Gemm
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method

PATTERN = 'pattern: "8:16"'
DERIVED = ("path", "stores", "units", "streams")
CHANGES = [
    ("mac_array.rows", 4),
    ("clock_mhz", 500.0),
    ("precision", "bf16"),
    ("buffers.weights.capacity_kib", 32.0),
    ("dram.store_lag_tiles", 1),
    ("selector.instances", 2),
    ("mitigation", "dpts"),  # units of its own, and a prologue
]


def used(arch):
    """Return a machine after all that follows from it has been asked for."""
    for name in DERIVED:
        getattr(arch, name)
    return arch


def values(arch):
    return {name: getattr(arch, name) for name in DERIVED}


@pytest.mark.parametrize("name", DERIVED)
def test_what_follows_is_found_out_once(edit, name):
    arch = edit(PATTERN, PATTERN).load()
    assert getattr(arch, name) is getattr(arch, name)


@pytest.mark.parametrize(("key", "value"), CHANGES, ids=str)
def test_a_copy_of_a_used_machine_is_as_a_new_one(edit, key, value):
    old, new = used(edit(PATTERN, PATTERN).load()), edit(PATTERN, PATTERN).load(f"{key}={value}")
    head = key.partition(".")[0]
    update = {name: getattr(new, name) for name in {head, *new.method_units}}
    assert values(old) != values(new)
    assert values(old.model_copy(update=update)) == values(new)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_used_machine_is_the_same_machine(edit, again):
    new, arch = edit(PATTERN, PATTERN).load(), used(edit(PATTERN, PATTERN).load())
    assert arch == new
    assert hash(arch) == hash(new)
    assert arch.resolved() == new.resolved()
    assert again(arch) == new
    assert values(again(arch)) == values(new)


def test_nothing_that_is_asked_of_a_machine_changes_it(edit):
    arch = used(edit(PATTERN, f"{PATTERN}\nmitigation: dpts").load())
    before, given = copy.deepcopy(arch), {k: set(u.model_fields_set) for k, u in units(arch)}
    other = Method(parse_pattern("4:8"), "clact", "none")
    arch.equipped([other])
    arch.sized([(Gemm(8, 4096, 64), arch.method)])
    arch.running(other)
    arch.dense()
    assert (arch, values(arch)) == (before, values(before))
    assert {k: u.model_fields_set for k, u in units(arch)} == given
    with pytest.raises(ValidationError, match="frozen"):
        arch.clock_mhz = 5.0


def units(arch):
    return arch.method_units.items()


def test_a_machine_is_not_resolved_twice(edit):
    arch = edit(PATTERN, PATTERN).load()
    assert Architecture.model_validate(arch) is arch
    assert Architecture.model_validate(arch.resolved()) == arch


def test_what_is_filled_in_stays_open():
    """Lanes that nobody gave follow the next question; those that somebody gave do not."""
    by_default = Moments().with_default("lanes", 3)
    assert by_default == Moments(lanes=3)
    assert "lanes" not in by_default.model_fields_set
    assert by_default.with_default("lanes", 5) == Moments(lanes=5)
    assert Moments(lanes=3).with_default("lanes", 5) == Moments(lanes=3)
    assert Moments(lanes=None).with_default("lanes", 5) == Moments(lanes=5)
    assert Moments().lanes is None


def test_a_remade_model_shares_nothing_that_changes():
    first = Moments(lanes=3)
    again = remade(first, lanes=4)
    again.model_fields_set.add("kinds")
    assert (first.lanes, first.model_fields_set) == (3, {"lanes"})

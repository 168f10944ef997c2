"""Any YAML loads as it is written, or is refused in one line, soon and in little memory.

Seeded: the same inputs in every run. More of them: `ACCELSIM_FUZZ=20 pytest tests/config`.
"""

import os
import random
import re
import resource
import time
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.config import load_arch
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, load_policy
from accelsim.sweeps.spec import load_sweep
from accelsim.tech.technology import Technology
from tests.helpers.toy import toy_table

FOLDER = Path(__file__).parents[2] / "arch_configs"
NM816 = (FOLDER / "nm816.yaml").read_text(encoding="utf-8")
DENSE = (FOLDER / "dense.yaml").read_text(encoding="utf-8")
COUNT = 240 * int(os.environ.get("ACCELSIM_FUZZ", "1"))

POLICY = """schema: 1
pattern: 8:16
criterion: act
mitigation: var
layers:
  "*.up_proj": dense
  "*.down_proj": {pattern: 4:8, criterion: amber}
  "blk[0].x": {mitigation: none}
"""
SWEEP = """schema: 1
name: small
base: [a.yaml, b.yaml]
traces: t.npz
phases: [prefill, decode]
batches: [1, 8]
axes:
  pattern: [2:4, 8:16]
  mac_array.lanes: {from: 8, to: 32, factor: 2}
linked: [{mac_array.rows: [4, 8], mac_array.columns: [8, 4]}]
constraints: [area_um2 <= 5e6]
objectives: [time_s, energy_pj]
mode: random
points: 10
"""
BASES = {
    "machine": NM816,
    "dense": DENSE,
    "policy": POLICY,
    "sweep": SWEEP,
    "technology": yaml.safe_dump(toy_table(), width=200),
}
LOADERS = {
    "machine": load_arch,
    "dense": load_arch,
    "policy": lambda path: load_policy(path, Method(parse_pattern("8:16"))),
    "sweep": load_sweep,
    "technology": lambda path: Technology.load(str(path)),
}
LAUGHS = "[&a [1,1,1,1,1,1,1,1,1], " + "".join(
    f"&{new} [{', '.join([f'*{old}'] * 9)}], "
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
SCALARS = [
    *("0", "-1", "1", "01000", "0b101", "0o17", "0x1F", "1_000", "1:04", "8:16", "190:20:30.15"),
    *(
        "1e3",
        "1e-9",
        "1E+400",
        "1e-400",
        "5e-324",
        ".5",
        "5.",
        "-.inf",
        ".nan",
        "1.7e308",
        "9" * 500,
    ),
    *(
        "true",
        "yes",
        "on",
        "~",
        "null",
        "",
        "=",
        "<<",
        "2001-01-01",
        "!!timestamp x",
        "!!binary aGk=",
    ),
    *(
        "!!python/object:os.system {}",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "! x",
        "!local 3",
        "*nothing",
    ),
    *(
        '"\\e[31m"',
        '"two\\nlines"',
        "|\n    text\n",
        "[]",
        "{}",
        "[[[[[[[[[[[[[[[[[[[[1",
        "é",
        "\x07",
    ),
    *(
        "&x {a: *x}",
        "&x [*x]",
        "{<<: &x {a: 1}}",
        "{<<: [1]}",
        "x" * 5000,
        f"{LAUGHS}1]",
        "{a: 1, a: 2}",
    ),
]
KEYS = [
    "? [a, b]\n: ",
    "? {a: 1}\n: ",
    "null: ",
    "1: ",
    "~: ",
    "<<: ",
    '"\\n": ',
    "k" * 3000 + ": ",
    ": ",
]


def mutated(rng, text):
    """Change a text in one to three places: a value, a key, a line, some characters."""
    for _ in range(rng.randint(1, 3)):
        lines = text.splitlines(keepends=True) or [""]
        at = rng.randrange(len(lines))
        change = rng.randrange(7)
        if change <= 1:  # a value on a line
            values = list(re.finditer(r"(?<=: )[^,{}\[\]\n]+", text)) or [re.match("", text)]
            place = rng.choice(values)
            text = text[: place.start()] + rng.choice(SCALARS) + text[place.end() :]
            continue
        if change == 2:  # a key
            lines[at] = rng.choice(KEYS) + rng.choice(SCALARS) + "\n"
        elif change == 3:  # indentation
            lines[at] = " " * rng.randint(0, 9) + lines[at].lstrip()
        elif change == 4:  # order
            lines.insert(at, rng.choice(lines))
        elif change == 5:
            del lines[at]
        else:  # characters
            where, size = rng.randrange(len(text) + 1), rng.randint(0, 8)
            noise = "".join(rng.choice(":{}[]&*!|>'\"%@`#-? \n\t0aé\x00") for _ in range(size))
            text = text[:where] + noise + text[where + rng.randint(0, 4) :]
            continue
        text = "".join(lines)
    return text


def outcome(load, *args):
    """Return what a loader makes of its input, or its message; check that it is a good one."""
    began = time.process_time()
    try:
        loaded = load(*args)
    except InputError as error:
        loaded = str(error)
        assert loaded.isprintable(), loaded
        assert len(loaded) < 1000, loaded
    assert time.process_time() - began < 3
    return loaded


@pytest.fixture(autouse=True)
def little_memory():
    """Nothing here needs more than 100 MiB beyond what is there already."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("kind", BASES)
def test_a_fuzzed_file_loads_or_is_refused_in_one_line(kind, tmp_path):
    rng, path = random.Random(kind), tmp_path / "a.yaml"
    refused = 0
    for _ in range(COUNT):
        path.write_text(mutated(rng, BASES[kind]), encoding="utf-8")
        refused += isinstance(outcome(LOADERS[kind], path), str)
    assert COUNT // 2 < refused < COUNT  # some changes are harmless


def test_a_fuzzed_override_sets_the_key_or_is_refused_in_one_line(tmp_path):
    rng, path = random.Random("--set"), tmp_path / "a.yaml"
    path.write_text(NM816, encoding="utf-8")
    keys = [
        "clock_mhz",
        "pattern",
        "dram",
        "dram.standard",
        "selector.kind",
        "name",
        "a.b",
        "",
        "..",
        "tiling",
    ]
    refused = 0
    for _ in range(COUNT):
        text = f"{rng.choice(keys)}={rng.choice(SCALARS)}"
        text = mutated(rng, text) if rng.random() < 0.2 else text
        refused += isinstance(outcome(load_arch, path, [text]), str)
    assert COUNT // 2 < refused < COUNT


# --- numbers -------------------------------------------------------------------------------------

numbers = st.one_of(
    st.from_regex(r"[-+]?0{0,3}[0-9]{1,6}(\.[0-9]{0,3})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"0[xob_]?[0-9a-fA-F_]{1,5}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(:[0-5]?[0-9]){1,2}(\.[0-9])?|[1-9][0-9_]{1,6}", fullmatch=True),
)


def read(text):
    """Return the number that a text is in YAML 1.2, as a fraction of integers; None for none."""
    for notation, base in (("0x[0-9a-fA-F]+", 16), ("0o[0-7]+", 8)):
        if re.fullmatch(notation, text):
            return Decimal(int(text[2:], base))
    return Decimal(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) else None


@given(numbers, st.booleans())
@settings(max_examples=200)
def test_a_number_is_what_is_written_or_refused(tmp_path_factory, text, by_override):
    folder = tmp_path_factory.getbasetemp()
    path = folder / "number.yaml"
    given_text = "1000" if by_override else text
    path.write_text(DENSE.replace("clock_mhz: 1000", f"clock_mhz: {given_text}"), encoding="utf-8")
    overrides = [f"clock_mhz={text}"] if by_override else []
    found = outcome(load_arch, path, overrides)
    if not isinstance(found, str):
        assert found.clock_mhz == float(read(text))
    elif read(text) is not None:
        assert not Decimal("0.001") < read(text) <= 20_000, found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1_000", "a number has no underscores"),
        ("16:40", "a number has no colons"),
        ("0b1111101000", "write a binary number as a decimal one"),
        ("-0x10", "without a sign"),
        ("on", "a switch is true or false"),
        ('"1000"', "without quotes it is a number"),
        ("1e400", "beyond the largest number"),
        ("1e-400", "so small that it would be read as 0"),
        ("9" * 300, "a number of more than 250 characters"),
        (".inf", "finite"),
        ("!!float 3", "tag !!float: tags are not read"),
    ],
)
def test_what_is_no_number_says_why(edit, text, said):
    edited = edit("clock_mhz: 1000", f"clock_mhz: {text}")
    edited.refused(said, line=edited.line)
    with pytest.raises(InputError, match=re.escape(said)):
        edit("clock_mhz: 1000", "clock_mhz: 1000").load(f"clock_mhz={text}")


@pytest.mark.parametrize(
    ("text", "value"),
    [("01000", 1000), ("1e3", 1000), ("0x40", 64), ("0o17", 15), ("+7", 7), ("5e-1", 0.5)],
)
def test_numbers_of_yaml_1_2(edit, text, value):
    assert edit("clock_mhz: 1000", f"clock_mhz: {text}").load().clock_mhz == value
    assert edit("clock_mhz: 1000", "clock_mhz: 1").load(f"clock_mhz={text}").clock_mhz == value


def test_an_override_of_one_alias_leaves_the_other(edit):
    edited = edit("weights: {", "weights: &w {")
    outputs = next(line for line in edited.text.splitlines() if line.startswith("  outputs:"))
    edited.path.write_text(edited.text.replace(outputs, "  outputs: *w"))
    arch = edited.load("buffers.outputs.port_bytes=128")
    assert (arch.buffers.weights.port_bytes, arch.buffers.outputs.port_bytes) == (256, 128)


def test_a_merge_takes_what_it_does_not_say_itself(edit):
    edited = edit("weights: {", "weights: &w {")
    outputs = next(line for line in edited.text.splitlines() if line.startswith("  outputs:"))
    edited.path.write_text(edited.text.replace(outputs, "  outputs: {port_bytes: 32, <<: *w}"))
    buffers = edited.load().buffers
    assert (buffers.outputs.capacity_kib, buffers.outputs.port_bytes) == (256, 32)

"""The committed schema is the models' own, and as strict as the loader."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.base.yaml_source import YamlSource
from accelsim.config.loader import arch_of
from accelsim.config.schema import architecture_schema, key_table

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "arch_configs").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(architecture_schema())


def test_committed_files_are_fresh():
    script = ROOT / ".ci" / "schema.py"
    command = [sys.executable, script, "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_follow_the_schema_that_they_name(path):
    text = path.read_text(encoding="utf-8")
    name = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((path.parent / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clock_mhz: 1000", "clock_mhz: fast"),
        ("clock_mhz: 1000", "clock_mhz: 0"),
        ("clock_mhz: 1000", "clock_mhz: 1000\nclok: 1"),
        ("precision: int8", "precision: int7"),
        ('pattern: "8:16"', "pattern: all"),
        ("format: bitmask", "format: runs"),
        ("rows: 8", "rows: 1025"),
        ("rows: 8", "rows: true"),
        ("kind: rank", "kind: rang"),
        ("kind: rank", "kind: rank, pipelined: true"),
        ("kind: full", "kind: fool"),
        ("tiling: auto", "tiling: manual"),
        ("standard: lpddr4", "standard: sdram"),
        ("tiling: auto", "tiling: auto\nmoments: {kinds: [scale]}"),
        ("table: nangate45", "tabel: nangate45"),
    ],
)
def test_schema_and_loader_refuse(edit, old, new):
    edited = edit(old, new)
    edited.refused()
    assert not VALIDATOR.is_valid(yaml.safe_load(edited.text))


def test_every_key_is_described():
    rows = key_table().splitlines()[2:]
    assert len(rows) > 50
    assert not [row for row in rows if row.endswith("|  |")]


VALUES = (None, True, 0, 1, 2, 2.5, -1, 1e12, "x", "8:16", "1e3", "none", "auto", [], ["x"], {})
KEYS = [row.split("`")[1].split(".") for row in key_table().splitlines()[2:]]


@given(st.sampled_from(KEYS), st.sampled_from(VALUES))
@settings(max_examples=300, deadline=None)
def test_schema_refuses_nothing_that_the_loader_accepts(key, value):
    """It may accept more: what parts ask of each other, and files and ranks by name."""
    path = CONFIGS[-1]
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    section = data
    for part in key[:-1]:
        if not isinstance(section.get(part), dict):
            section[part] = {}
        section = section[part]
    section[key[-1]] = value
    assume(not (key == ["schema"] and value is True))  # True == 1
    try:
        arch_of(YamlSource(path, data, {}))
    except InputError:
        return
    VALIDATOR.validate(data)

"""Help: every command shows an example, and the flags that its example uses."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from accelsim import __version__
from accelsim.cli import COMMANDS

ROOT = Path(__file__).parents[2]


def path_of(command):
    """The words that lead to a command: `policy` is a command of commands, with one so far."""
    is_group = hasattr(import_module(f"accelsim.cli.{command}"), "app")
    return [command, "search"] if is_group else [command]


def test_the_documented_commands_exist():
    assert {"run", "compare", "area", "inspect", "capture", "synth"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_contains_the_example(accepted, command):
    example = import_module(f"accelsim.cli.{command}").EXAMPLE
    words = accepted(command, "--help").words
    assert f"Usage: accelsim {command}" in words
    assert f"Example: {' '.join(example.split())}" in words


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_of_the_example_are_flags_of_the_command(accepted, command):
    name, *arguments = shlex.split(import_module(f"accelsim.cli.{command}").EXAMPLE)
    path = path_of(command)
    assert (name, arguments[: len(path)]) == ("accelsim", path)
    words = accepted(*path, "--help").words
    flags = [argument for argument in arguments if argument.startswith("-")]
    assert all(re.search(rf"{flag}\b", words) for flag in flags)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_speaks_json(accepted, command):
    assert "--json" in accepted(*path_of(command), "--help").words


def test_the_top_level_lists_every_command_with_a_sentence(accepted):
    words = accepted("--help").words
    assert "Example: accelsim run" in words
    for command in COMMANDS:
        assert re.search(rf"\b{command} [A-Z][\w-]+ ", words)


def test_version(accepted):
    assert accepted("--version").out == f"accelsim {__version__}\n"


def test_no_command_shows_the_help(cli):
    outcome = cli()
    assert "Usage: accelsim" in outcome.out + outcome.err
    assert outcome.code == 2


# --- the examples --------------------------------------------------------------------------------

SLOW = {"sweep", "pareto", "capture", "accuracy", "policy", "tune"}  # minutes, or torch: files only
FOLDERS = ("arch_configs", "experiments", "traces")


def examples(command):
    return [
        shlex.split(line)[1:]
        for line in import_module(f"accelsim.cli.{command}").EXAMPLE.split("\n\n")
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_files_of_the_examples_are_shipped(command):
    for arguments in examples(command):
        for argument in arguments:
            if argument.startswith(FOLDERS):
                assert (ROOT / argument).exists()


def test_the_quick_examples_run_one_after_the_other(accepted, monkeypatch, tmp_path):
    """Plots are of what the comparison before them has written."""
    pytest.importorskip("matplotlib")
    for name in FOLDERS:
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        for arguments in examples(command) if command not in SLOW else ():
            accepted(*arguments)


def test_a_sweep_is_followed_by_its_front():
    (sweep,), (front,) = examples("sweep"), examples("pareto")
    assert sweep[sweep.index("--out") + 1] == front[1]

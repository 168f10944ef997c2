"""Commands called in this process, on a trace of a few kilobytes."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from accelsim.cli import main
from accelsim.trace import TraceWriter

FOLDER = Path(__file__).parents[2] / "arch_configs"


@dataclass(frozen=True)
class Outcome:
    """What a command left on the screen, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def words(self):
        """The output as one line, however the terminal broke it."""
        return " ".join(self.out.replace("│", " ").split())


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def cli(capsys):
    """Run a command; arguments may be paths and numbers."""

    def _cli(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return _cli


@pytest.fixture
def accepted(cli):
    """Run a command that must succeed without a word on stderr."""

    def _accepted(*arguments):
        outcome = cli(*arguments)
        assert (outcome.code, outcome.err) == (0, ""), outcome.err
        return outcome

    return _accepted


@pytest.fixture
def refused(cli):
    """Run a command that must fail on bad input: exit 2, one line on stderr, nothing on stdout."""

    def _refused(*arguments):
        outcome = cli(*arguments)
        assert (outcome.code, outcome.out) == (2, ""), outcome.err
        assert outcome.err.startswith("error: ")
        assert outcome.err.endswith("\n")
        assert outcome.err.count("\n") == 1
        return outcome.err

    return _refused


@pytest.fixture(scope="session")
def trace(small_trace, tmp_path_factory):
    """The small trace as a file: 3 sequences of 8, 6 and 7 tokens, 4 layers."""
    path = tmp_path_factory.mktemp("cli") / "t.npz"
    with TraceWriter(path) as writer:
        for key in small_trace.meta.inputs:
            writer.add(key, small_trace.source.read(key))
        writer.finish(small_trace.meta)
    return path


@pytest.fixture(scope="session")
def arch():
    """Path of a shipped machine."""
    return lambda name: FOLDER / f"{name}.yaml"


@pytest.fixture
def renamed(tmp_path):
    """Copy a shipped machine under another name (in a folder of its own)."""

    def _renamed(name, base="nm816"):
        folder = tmp_path / "machines"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}.yaml"
        text = (FOLDER / f"{base}.yaml").read_text(encoding="utf-8")
        path.write_text(text.replace(f"name: {base}", f'name: "{name}"'), encoding="utf-8")
        return path

    return _renamed

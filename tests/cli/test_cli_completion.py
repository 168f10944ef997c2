"""What the shell offers, and how it learns to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accelsim.cli.completion import files

ROOT = Path(__file__).parents[2]


def accelsim(*arguments, **env):
    flags = {"capture_output": True, "text": True, "cwd": ROOT}
    command = [sys.executable, "-m", "accelsim", *arguments]
    return subprocess.run(command, check=False, env={**os.environ, **env}, **flags)


def offered(line):
    """Return what bash would offer at the end of a line."""
    words = line.split(" ")
    env = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return accelsim(_ACCELSIM_COMPLETE="complete_bash", **env).stdout.split()


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("accelsim ", {"run", "compare", "sweep"}),
        ("accelsim run arch_configs/nm8", {"arch_configs/nm816.yaml"}),
        ("accelsim run a.yaml --trace traces/llama.", {"traces/llama.npz"}),
        ("accelsim run a.yaml --phase ", {"prefill", "decode"}),
        ("accelsim run a.yaml --engine ", {"recurrence", "simpy"}),
        ("accelsim plot ", {"cost", "heatmap"}),
        ("accelsim run a.yaml --set dram.b", {"dram.bandwidth_gb_per_s=", "dram.burst_bytes="}),
        ("accelsim compare --al", {"--all"}),
        ("accelsim synth --model llama-3-", {"llama-3-8b"}),
        ("accelsim policy search arch_configs/nm1", {"arch_configs/nm1632.yaml"}),
    ],
)
def test_what_is_offered(line, some):
    assert some <= set(offered(line))


def test_only_files_that_fit_are_offered(tmp_path):
    for name in ("a.yaml", "b.txt", ".hidden.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.yaml").touch()
    found = [Path(name).name for name in files(".yaml")(f"{tmp_path}/")]
    assert found == ["a.yaml", "inner"]
    assert files(".yaml")(f"{tmp_path}/in") == [f"{tmp_path}/inner/c.yaml"]  # no choice there
    assert files(".yaml")(f"{tmp_path}/missing/x") == []


def test_bash_learns_it(tmp_path):
    script = f"{sys.executable} -m accelsim --show-completion; echo; "
    script += f"{sys.executable} -m accelsim --install-completion"
    env = {**os.environ, "HOME": str(tmp_path)}
    flags = {"capture_output": True, "text": True, "env": env, "cwd": ROOT}
    done = subprocess.run(["bash", "-c", script], check=True, **flags)
    assert "complete -o default -F _accelsim_completion accelsim" in done.stdout
    assert "accelsim.sh" in (tmp_path / ".bashrc").read_text(encoding="utf-8")

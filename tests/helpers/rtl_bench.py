"""Run RTL under Icarus from a test: compile once, feed words, read words back."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

SV = Path(__file__).parents[2] / "accelsim" / "rtl" / "sv"


def tool(name):
    """Return the path of a program; without it, skip, but fail in CI, which installs it."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed: apt-get install iverilog verilator yosys z3"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return path


def run(*command, cwd=None):
    """Run a command; its output is the message if it fails."""
    done = subprocess.run(
        list(map(str, command)), check=False, cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def icarus(top, testbench, folder, parameters=None, plusargs=()):
    """Run the whole library with a testbench (SystemVerilog text) in a folder; return its output.

    `parameters` override those of the module `top`, which is the testbench.
    """
    overrides = tuple(f"-P{top}.{name}={value}" for name, value in (parameters or {}).items())
    return run(tool("vvp"), "-N", compiled(top, testbench, overrides), *plusargs, cwd=folder)


@cache
def compiled(top, testbench, overrides):
    """Compile a testbench, once for runs that differ in what they read only; return the image."""
    folder = Path(tempfile.mkdtemp())
    source, image = folder / f"{top}.sv", folder / f"{top}.vvp"
    source.write_text(testbench)
    run(
        tool("iverilog"),
        "-g2012",
        "-y",
        SV,
        "-Y",
        ".sv",
        "-s",
        top,
        *overrides,
        "-o",
        image,
        source,
    )
    return image

"""Run the `$ accelsim …` commands of the README: check what they print, or write it down.

    python .ci/readme.py check | update

In a console block a first or last line `...` stands for lines that are left out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# The first line of a block may be continued with a backslash.
# Commands that measure a model, and the numbers in what they print.
MEASURING = ("accelsim accuracy", "accelsim policy")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
COMMAND = re.compile(r"^```console\n\$ (?P<command>(?:.*\\\n)*.*)\n", re.MULTILINE)


def blocks(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (head, command, shown lines) of every console block."""
    for block in re.findall(r"^```console\n.*?^```", text, re.MULTILINE | re.DOTALL):
        head = COMMAND.match(block)
        if head is None:
            raise SystemExit(f"README: a console block must begin with '$ command':\n{block}")
        command = head["command"].replace("\\\n", " ")
        yield head.group(0), command, block[head.end() : -len("```")].splitlines()


def printed_by(command: str) -> list[str]:
    """Return what a command prints, without blank lines; outputs go to a scratch folder."""
    with tempfile.TemporaryDirectory() as folder:
        words = shlex.split(command.replace("out/", f"{folder}/"))
        if words[0] != "accelsim":
            raise SystemExit(f"README: only accelsim commands are shown: {command}")
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"README: {command}\n{done.stderr}")
    lines = done.stdout.replace(folder, "out").splitlines()
    return [line.rstrip() for line in lines if line.strip()]


def excerpt(printed: list[str], shown: list[str]) -> list[str]:
    """Cut the output to what the README shows of it."""
    if shown[:1] == ["..."]:
        return ["...", *printed[-(len(shown) - 1) :]]
    if shown[-1:] == ["..."]:
        return [*printed[: len(shown) - 1], "..."]
    return printed


def same(command: str, lines: list[str], shown: list[str]) -> bool:
    """Whether a command printed what is shown; what torch computes differs a little by machine."""
    if lines == shown or not command.startswith(MEASURING):
        return lines == shown
    texts = ["\n".join(part) for part in (lines, shown)]
    new, old = ([float(number) for number in NUMBER.findall(text)] for text in texts)
    forms = {re.sub(r"[\s─]+", " ", NUMBER.sub("#", text)) for text in texts}
    near = (abs(a - b) <= 0.02 * abs(b) + 0.3 for a, b in zip(new, old, strict=False))
    return len(forms) == 1 and all(near)


def main() -> None:
    """Compare or rewrite every block."""
    text = fresh = README.read_text(encoding="utf-8")
    for head, command, shown in blocks(text):
        lines = excerpt(printed_by(command), shown)
        if not same(command, lines, shown):
            print(f"README differs: {command}")
            old, new = ("".join(f"{line}\n" for line in part) for part in (shown, lines))
            fresh = fresh.replace(head + old, head + new)
    if sys.argv[1:] == ["update"]:
        README.write_text(fresh, encoding="utf-8")
    elif fresh != text:
        raise SystemExit("the README does not show what the commands print: make readme")


if __name__ == "__main__":
    main()

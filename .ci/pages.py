"""Follow the README and the guide as a reader would: run what they say, compare what it prints.

    python .ci/pages.py check | update | measured [PAGE …]

`measured` checks what torch computes and leaves out commands of accelsim that cannot print other
numbers with other kernels of torch.

Blocks of a page run in order, in a scratch copy of the project:

    ```console               `$ command`, then what it prints; `...` as first or last line stands
                             for lines that are left out. A command may be refused if the page
                             shows its `error: …`
    ```sh run                commands; what they print is not shown
    ```python file=NAME      (or yaml, json …) written to that file. A file in accelsim/ goes into a
                             copy of the package, which the page's commands then use
    ```python run            run as a script
    ```… skip                not run: installs something, or needs the internet
    ```text                  nothing to run
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
COPIED, LINKED = ("arch_configs",), ("traces", "experiments", "docs")
# Commands that measure a model, and the numbers in what they print.
MEASURING = ("accelsim accuracy", "accelsim policy")
CAPTURED = re.compile(r"out/\S+\.npz")  # what a command reads that torch has written
BAD_INPUT = 2
REFUSED = re.compile(r"^error: ", re.MULTILINE)
NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?")
LAST_PLACES = 3  # by which the last place of a measured number may differ, beside 2 %
BLOCK = re.compile(r"^```(?P<info>\S.*)\n(?P<body>(?:.*\n)*?)^```$", re.MULTILINE)
# The first line of a block may be continued with a backslash.
COMMAND = re.compile(r"\$ (?P<command>(?:.*\\\n)*.*)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    info: str
    body: str
    start: int  # of the body, in the page

    @property
    def use(self) -> str:
        """Return what is done with it: console, run, skip, text, or file; empty if not said."""
        language, _, rest = self.info.partition(" ")
        if language in ("console", "text"):
            return language
        return "file" if rest.startswith("file=") else rest if rest in ("run", "skip") else ""

    @property
    def file(self) -> str:
        """Return the file that it is written to."""
        return self.info.partition("file=")[2]


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in BLOCK.finditer(page):
        yield Block(found["info"], found["body"], found.start("body"))


class Scratch:
    """A copy of the project in which a page is followed."""

    def __init__(self, folder: Path, page: Path, found: list[Block]) -> None:
        self.folder, self.page = folder, page
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name)
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)
        (folder / "out").mkdir()
        bins = Path(sys.executable).parent
        self.env = {**os.environ, "COLUMNS": "80", "PATH": f"{bins}:{os.environ['PATH']}"}
        if any(block.file.startswith("accelsim/") for block in found):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "accelsim", folder / "accelsim", ignore=ignore)
            self.env["PYTHONPATH"] = str(folder)

    def run(self, command: str, *, may_be_refused: bool = False) -> list[str]:
        """Return what a command prints, without blank lines; it must succeed."""
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        is_refused = done.returncode == BAD_INPUT and REFUSED.search(done.stderr)
        if done.returncode and not (may_be_refused and is_refused):
            raise SystemExit(f"{self.page.name}: {command}\n{done.stdout}{done.stderr}")
        printed = done.stderr if done.returncode else done.stdout
        return [line.rstrip() for line in printed.splitlines() if line.strip()]

    def write(self, block: Block) -> None:
        """Write a block to its file."""
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")


def follow(page: Path, *, only_measured: bool = False) -> str:
    """Follow a page; return it with what its commands print now."""
    text = page.read_text(encoding="utf-8")
    fresh, done = "", 0
    found = list(blocks(text))
    with tempfile.TemporaryDirectory() as name:
        scratch = Scratch(Path(name), page, found)
        for block in found:
            if block.use == "file":
                scratch.write(block)
            elif block.use == "run":
                language = block.info.split()[0]
                script = (
                    f"python - <<'END'\n{block.body}END\n" if language == "python" else block.body
                )
                scratch.run(script)
            elif block.use == "console" and not (only_measured and is_fixed(block.body)):
                fresh += text[done : block.start] + shown_now(scratch, block)
                done = block.start + len(block.body)
    return fresh + text[done:]


def shown_now(scratch: Scratch, block: Block) -> str:
    """Return a console block as it would be written now."""
    head = COMMAND.match(block.body)
    if head is None:
        raise SystemExit(f"{scratch.page.name}: must begin with '$ command':\n{block.body}")
    shown = block.body[head.end() :].splitlines()
    command = head["command"]
    may_be_refused = REFUSED.search(block.body) is not None
    lines = excerpt(scratch.run(command, may_be_refused=may_be_refused), shown)
    if same(command, lines, shown):
        return block.body
    print(f"{scratch.page.name} differs: {command}")
    return head.group(0) + "".join(f"{line}\n" for line in lines)


def excerpt(printed: list[str], shown: list[str]) -> list[str]:
    """Cut the output to what the page shows of it."""
    if shown == ["..."]:
        return shown
    if shown[:1] == ["..."]:
        return ["...", *printed[-(len(shown) - 1) :]]
    if shown[-1:] == ["..."]:
        return [*printed[: len(shown) - 1], "..."]
    return printed


def is_measured(command: str) -> bool:
    """Whether torch computes what a command prints."""
    return command.startswith(MEASURING) or CAPTURED.search(command) is not None


def is_fixed(body: str) -> bool:
    """Whether a console block neither shows nor makes anything that torch computes."""
    head = COMMAND.match(body)
    return head is not None and head[1].startswith("accelsim ") and not is_measured(head[1])


def same(command: str, lines: list[str], shown: list[str]) -> bool:
    """Whether a command printed what is shown; what torch computes differs a little by machine."""
    if lines == shown or not is_measured(command):
        return lines == shown
    texts = ["\n".join(part) for part in (lines, shown)]
    new, old = (NUMBER.findall(text) for text in texts)
    forms = {re.sub(r"[\s─]+", " ", NUMBER.sub("#", text)) for text in texts}
    return len(forms) == 1 and all(map(near, new, old))


def near(new: str, old: str) -> bool:
    """Whether two measured numbers differ by no more than machines do."""
    a, b = (float(number.replace(",", "")) for number in (new, old))
    last_place = 10.0 ** -len(old.partition(".")[2])
    return abs(a - b) <= 0.02 * b + LAST_PLACES * last_place


def main() -> None:
    """Compare or rewrite pages."""
    order, *chosen = sys.argv[1:] or ["check"]
    stale = []
    pages = [Path(name).resolve() for name in chosen] or PAGES
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # its threads wait for commands
        followed = list(pool.map(partial(follow, only_measured=order == "measured"), pages))
    for page, fresh in zip(pages, followed, strict=True):
        if order == "update":
            page.write_text(fresh, encoding="utf-8")
        elif fresh != page.read_text(encoding="utf-8"):
            stale.append(str(page.relative_to(ROOT)))
    if stale:
        raise SystemExit(f"not what the commands print: {', '.join(stale)} (make readme)")


if __name__ == "__main__":
    main()

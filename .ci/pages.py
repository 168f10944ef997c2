"""Follow the README and the guide as a reader would: run what they say, compare what it prints.

    python .ci/pages.py check | update | measured [PAGE …]

`measured` leaves out what cannot print other numbers with other kernels of torch: commands and
scripts that neither use torch nor read a trace that it may have written.

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
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
COPIED, LINKED = ("arch_configs",), ("traces", "experiments", "docs")
# Commands that measure a model, what else uses torch, and a trace that a page writes.
MEASURING = ("accelsim accuracy", "accelsim policy")
TORCH = re.compile(
    r"\baccelsim (?:accuracy|policy|capture)\b|^(?:import|from) torch\b", re.MULTILINE
)
TRACE = re.compile(r"out/\w+\.npz")
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


def unfinished(folder: str, names: list[str]) -> set[str]:
    """Return the files of __pycache__ that others are writing; the rest spare compiling again."""
    is_cache = Path(folder).name == "__pycache__"
    return {name for name in names if is_cache and not name.endswith((".pyc", ".nbi", ".nbc"))}


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
            shutil.copytree(ROOT / "accelsim", folder / "accelsim", ignore=unfinished)
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
    files = torch_files(found)
    with tempfile.TemporaryDirectory() as name:
        scratch = Scratch(Path(name), page, found)
        for block in found:
            if block.use == "file":
                scratch.write(block)
            elif only_measured and not needs_torch(block, files):
                continue
            elif block.use == "run":
                language = block.info.split()[0]
                script = (
                    f"python - <<'END'\n{block.body}END\n" if language == "python" else block.body
                )
                scratch.run(script)
            elif block.use == "console":
                fresh += text[done : block.start] + shown_now(scratch, block, files)
                done = block.start + len(block.body)
    return fresh + text[done:]


def shown_now(scratch: Scratch, block: Block, files: set[str]) -> str:
    """Return a console block as it would be written now; `files` are those of `torch_files`."""
    head = COMMAND.match(block.body)
    if head is None:
        raise SystemExit(f"{scratch.page.name}: must begin with '$ command':\n{block.body}")
    shown = block.body[head.end() :].splitlines()
    command = head["command"]
    may_be_refused = REFUSED.search(block.body) is not None
    lines = excerpt(scratch.run(command, may_be_refused=may_be_refused), shown)
    if lines == shown or (is_measured(command, files) and alike(lines, shown)):
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


def torch_files(found: Iterable[Block]) -> set[str]:
    """Return the scripts of a page that use torch, and the traces that torch may write."""
    using = [block for block in found if TORCH.search(block.body)]
    scripts = {block.file for block in using if block.file}
    return scripts.union(*(TRACE.findall(block.body) for block in using))


def needs_torch(block: Block, files: set[str]) -> bool:
    """Whether a block uses torch, runs a script that does, or reads what torch has written."""
    return TORCH.search(block.body) is not None or any(name in block.body for name in files)


def is_measured(command: str, files: set[str]) -> bool:
    """Whether torch computes what a command prints."""
    return command.startswith(MEASURING) or not files.isdisjoint(TRACE.findall(command))


def alike(lines: list[str], shown: list[str]) -> bool:
    """Whether a command printed what is shown, but for what numbers differ by machine."""
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

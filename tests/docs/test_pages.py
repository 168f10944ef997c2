"""The README and the guide, followed as a reader would: commands print what the pages show."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("pages", ROOT / ".ci" / "pages.py")
pages = importlib.util.module_from_spec(SPEC)
sys.modules["pages"] = pages  # dataclasses look their module up
SPEC.loader.exec_module(pages)
NAMES = [str(page.relative_to(ROOT)) for page in pages.PAGES]
MOST_SKIPPED = 4  # installs and downloads, of all pages


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_what_its_commands_print(name):
    pytest.importorskip("matplotlib")
    command = [sys.executable, ".ci/pages.py", "check", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_run_or_marked(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    found = list(pages.blocks(text))
    assert text.count("```") == 2 * len(found), "a fence without a language"
    assert [block.info for block in found if not block.use] == []


def page_of(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


REFUSED_COMMAND = "accelsim run arch_configs/none.yaml --trace traces/llama.npz"


@pytest.mark.parametrize(
    "block",
    [
        f"```sh run\n{REFUSED_COMMAND}\n```\n",
        f"```console\n$ {REFUSED_COMMAND}\n...\n```\n",
        "```python run\nraise SystemExit(1)\n```\n",
    ],
)
def test_a_command_that_fails_is_no_command_of_a_page(tmp_path, block):
    with pytest.raises(SystemExit, match=r"page\.md"):
        pages.follow(page_of(tmp_path, block))


def test_an_error_that_the_page_shows_is_compared(tmp_path):
    message = "error: arch_configs/none.yaml: cannot read: No such file or directory"
    right = f"```console\n$ {REFUSED_COMMAND}\n{message}\n```\n"
    assert pages.follow(page_of(tmp_path, right)) == right
    wrong = right.replace("cannot read", "cannot find")
    assert pages.follow(page_of(tmp_path, wrong)) == right


CAPTURING = """```python file=capture_mine.py
from torch import nn
capture(model, batches, out="out/mine.npz")
```
```console
$ accelsim capture --model a --out out/theirs.npz
captured
```
"""


@pytest.mark.parametrize(
    ("command", "needs_torch", "is_measured"),
    [
        ("accelsim run a.yaml --trace traces/llama.npz --verify", False, False),
        ("accelsim area a.yaml", False, False),
        ("accelsim synth --model llama-3-8b --out out/drawn.npz", False, False),
        ("accelsim run a.yaml --trace out/drawn.npz", False, False),
        ("python closed_form.py", False, False),
        ("accelsim run a.yaml --trace out/mine.npz", True, True),  # captured on this page
        ("accelsim inspect out/theirs.npz", True, True),
        ("accelsim accuracy \\\n  --exact", True, True),
        ("python capture_mine.py", True, False),  # what it prints is the same everywhere
    ],
)
def test_what_kernels_of_torch_can_change(command, needs_torch, is_measured):
    page = f"{CAPTURING}```console\n$ {command}\nprinted\n```\n"
    found = list(pages.blocks(page))
    files = pages.torch_files(found)
    assert files == {"capture_mine.py", "out/mine.npz", "out/theirs.npz"}
    assert pages.needs_torch(found[-1], files) is needs_torch
    assert pages.is_measured(command, files) is is_measured


def test_only_what_torch_computes_is_followed_if_that_is_asked_for(tmp_path):
    fixed = (
        f"```console\n$ {REFUSED_COMMAND}\nwrong\n```\n```python run\nraise SystemExit(1)\n```\n"
    )
    measured = "```console\n$ echo out/mine.npz\nwrong\n```\n"
    script = "```python file=a.py\nimport torch  # writes out/mine.npz\n```\n"
    found = pages.follow(page_of(tmp_path, fixed + script + measured), only_measured=True)
    assert found == fixed + script + measured.replace("wrong", "out/mine.npz")


def test_what_is_being_written_is_not_copied():
    names = ["a.pyc", "f.nbi", "f.1.nbc", "a.pyc.1402", "tmp.f.nbi.12"]
    assert pages.unfinished("a/__pycache__", names) == {"a.pyc.1402", "tmp.f.nbi.12"}
    assert pages.unfinished("a", names) == set()


@pytest.mark.parametrize(
    ("new", "old", "is_near"),
    [
        ("150,396", "152,000", True),  # 2 % of cycles
        ("150,396", "160,000", False),
        ("1.87", "1.90", True),
        ("1.87", "1.60", False),
        ("6.5", "6.8", True),  # three last places
        ("0", "3", True),
        ("0.730", "0.800", False),
    ],
)
def test_measured_numbers_are_near_by_their_own_places(new, old, is_near):
    assert pages.near(new, old) is is_near


def test_few_blocks_are_skipped():
    skipped = [
        block.body
        for name in NAMES
        for block in pages.blocks((ROOT / name).read_text(encoding="utf-8"))
        if block.use == "skip"
    ]
    assert len(skipped) <= MOST_SKIPPED
    assert all(re.search(r"make |pip |meta-llama", body) for body in skipped)


@pytest.mark.slow
def test_examples_of_extensions_pass_the_contract_tests(tmp_path):
    for name in ("accelsim", "tests", "arch_configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=pages.unfinished)
    for name in ("traces", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    page = (ROOT / "docs/guide/extend.md").read_text(encoding="utf-8")
    files = [block for block in pages.blocks(page) if block.file.startswith("accelsim/")]
    for block in files:
        (tmp_path / block.file).write_text(block.body, encoding="utf-8")
    names = " or ".join(Path(block.file).stem for block in files)
    options = "addopts=--import-mode=importlib --doctest-modules --strict-markers -q"
    command = [sys.executable, "-m", "pytest", "-o", options, "-p", "no:cacheprovider", "-k", names]
    done = subprocess.run(
        [*command, "tests/contract", *(block.file for block in files)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(files) == 10


def test_every_page_of_the_guide_is_in_its_index():
    index = (ROOT / "docs/guide/README.md").read_text(encoding="utf-8")
    names = {Path(name).name for name in NAMES if name.startswith("docs/guide/")}
    assert {name for name in names - {"README.md"} if f"({name})" not in index} == set()


def test_links_lead_somewhere():
    for page in [
        *pages.PAGES,
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("experiments/*/README.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"

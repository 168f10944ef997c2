"""What the pages name exists: files, folders, modules and what they link to."""

import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    ".ci",
    "accelsim",
    "arch_configs",
    "benchmarks",
    "docs",
    "experiments",
    "tests",
    "traces",
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.*<>-]*(?:/[\w.*<>-]+)*/?")
MODULE = re.compile(r"\b(?:import |from )?(accelsim(?:\.[A-Za-z_]\w*)+)")
LINK = re.compile(r"\]\((?!\w+://|#)([^)#\s]+)")


@pytest.fixture(scope="module")
def tree():
    """Every file and folder below the folders of the project, by its path from the root."""
    found = {path.relative_to(ROOT) for name in FOLDERS for path in (ROOT / name).rglob("*")}
    return {f"/{path.as_posix()}" for path in found if "__pycache__" not in path.parts}


def paths_in(text):
    """The words in backticks that can only be paths of this project; `foo` is the reader's own."""
    for code in CODE.findall(prose(text)):
        for word in filter(None, PATH.findall(code)):
            is_path = word.startswith(tuple(f"{name}/" for name in FOLDERS))
            is_ours = is_path or word.endswith((".py", ".sv")) or (word == code and word[-1] == "/")
            if is_ours and not {"foo", "out"} & set(re.split(r"[/.]", word)):
                yield word


def prose(text):
    """The text without its fenced blocks: other tests run those."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def is_in(tree, word):
    """Whether a path ends so: `rtl/sv/` is a folder of `accelsim/`; `*` and `<name>` are any."""
    end = re.escape("/" + word.rstrip("/")).replace(r"\*", "[^/]*")
    pattern = re.compile(re.sub(r"<[\w\\-]+>", "[^/]*", end) + r"(-[\w-]+\.md)?$")
    return any(pattern.search(path) for path in tree)


def modules_in(text):
    return MODULE.findall("\n".join(CODE.findall(prose(text))))


@pytest.mark.parametrize("name", NAMES)
def test_paths_exist(name, tree):
    assert [word for word in paths_in(text_of(name)) if not is_in(tree, word)] == []


@pytest.mark.parametrize("name", NAMES)
def test_modules_exist(name):
    assert [word for word in modules_in(text_of(name)) if not is_importable(word)] == []


def is_importable(name):
    """Whether a dotted name is a module, or something in one that can be imported here."""
    module, _, attribute = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    try:
        return hasattr(pkgutil.resolve_name(module), attribute)
    except AttributeError:
        return False
    except ImportError as error:
        return not (error.name or "").startswith("accelsim")  # an extra that is not installed


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    links = LINK.findall(prose(text_of(name)))
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_every_package_is_on_the_maps():
    """The README lists the packages of `accelsim`, and the page on the code says what each does."""
    parts = (path for path in (ROOT / "accelsim").iterdir() if not path.name.startswith("_"))
    packages = {path.stem for path in parts if (path / "__init__.py").exists()}
    modules = {"precision"}  # what everything else builds on, whether it is a file or a folder
    (listed,) = re.findall(
        r"^\| \[accelsim/\]\(accelsim\) \| `([\w ]+)`", text_of("README.md"), re.M
    )
    assert set(listed.split()) == packages | modules
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text_of("docs/architecture.md"), re.M)
    assert set(rows) == packages | modules


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`hardware/mac_array.py`", ["hardware/mac_array.py"]),
        ("`workload/` and `tok/s`", ["workload/"]),
        ("see `accelsim/tech/data/<library>.yaml`", ["accelsim/tech/data/<library>.yaml"]),
        ("`accelsim/hardware/selectors/foo.py`, `out/sweep/`", []),
        ("```sh run\nls `accelsim/none.py`\n```", []),
    ],
)
def test_what_counts_as_a_path(text, found):
    assert list(paths_in(text)) == found


@pytest.mark.parametrize(
    ("word", "exists"),
    [
        ("hardware/mac_array.py", True),
        ("ware/mac_array.py", False),
        ("accelsim/tech/data/<library>.yaml", True),
        ("rtl/sv/", True),
        ("docs/decisions/0006", True),
        ("docs/decisions/006", False),
        ("workload/mapper.py", False),
        ("workload/", False),
    ],
)
def test_what_exists(word, exists, tree):
    assert is_in(tree, word) is exists


@pytest.mark.parametrize(
    ("name", "exists"),
    [
        ("accelsim.base.files", True),
        ("accelsim.base.compiled.run_loop", True),
        ("accelsim.compiled.run_loop", False),
        ("accelsim.base.compiled.run_loops", False),
    ],
)
def test_what_is_importable(name, exists):
    assert is_importable(name) is exists

"""The install page names the extras that there are, with what they bring, and torch before them."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "install.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def named(requirement):
    return re.match(r"[\w-]+", requirement)[0].lower()


def test_extras_and_what_they_bring():
    rows = re.findall(r"^\| `?([(\w)]+)`? \| ([\w, ]+) \| .* \|$", PAGE, re.MULTILINE)
    table = {name: {word.lower() for word in brings.split(", ")} for name, brings in rows}
    del table["extra"]
    wanted = {
        name: {named(one) for one in needs}
        for name, needs in PROJECT["optional-dependencies"].items()
        if name != "dev"
    }
    assert {name: brings for name, brings in table.items() if name != "(none)"} == wanted
    small = {"typing-extensions"}  # not worth naming
    assert table["(none)"] == {named(one) for one in PROJECT["dependencies"]} - small


def test_the_build_of_torch_for_cpus_comes_before_the_extras():
    first, second = PAGE.index("pip install torch --index-url"), PAGE.index(".[capture,plot,sweep]")
    assert first < second


def test_the_page_asks_for_the_python_that_the_package_asks_for():
    assert PROJECT["requires-python"] == f">={re.search(r'Python ≥ ([0-9.]+)', PAGE)[1]}"


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", PAGE, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target

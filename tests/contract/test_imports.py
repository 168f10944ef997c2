"""Who may import whom, and what a command does not load."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "accelsim"
HEAVY = (
    "distributed",
    "matplotlib",
    "numba",
    "numpy",
    "optuna",
    "pandas",
    "pyarrow",
    "pydantic",
    "simpy",
    "torch",
    "transformers",
    "vcd",
    "yaml",
)


@cache
def imports():
    """Return the packages that each module of ours imports, wherever in the file."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        names = found.setdefault(path.relative_to(PACKAGE).as_posix(), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return found


def modules_importing(name):
    """Return the modules of the package that import `name`."""
    return {module for module, names in imports().items() if name in names}


def loaded_after(code):
    """Run code in a fresh interpreter; return which heavy modules it loaded."""
    script = f"{code}\nimport sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_import_contracts_hold():
    pytest.importorskip("importlinter")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert text.count("[[tool.importlinter.contracts]]") >= 3
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("simpy", "engine/"),
        ("torch", ("capture/", "accuracy/")),
        ("vcd", "report/"),
        ("numba", "base/compiled/"),
        ("matplotlib", "report/"),
        ("pyarrow", "sweeps/"),
        ("optuna", "sweeps/"),
        ("distributed", "sweeps/"),
    ],
)
def test_a_library_is_imported_in_one_package_only(library, home):
    users = modules_importing(library)
    assert users, f"nothing imports {library}: is this test still looking for the right name?"
    assert all(user.startswith(home) for user in users)


def test_the_command_line_loads_nothing_heavy():
    assert loaded_after("import accelsim.cli") == set()


def test_help_loads_nothing_heavy():
    # pydantic: typer converts parameters with it.
    loaded = loaded_after("from accelsim.cli import main; main(['run', '--help'])")
    assert loaded <= {"pydantic"}


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import accelsim; accelsim.__version__") == set()


def test_simulating_needs_neither_torch_nor_plots_nor_pandas():
    code = (
        "from accelsim.cli import main\n"
        "assert main(['run', 'arch_configs/nm816.yaml', '--trace', 'traces/llama.npz']) == 0"
    )
    # The search for tiles runs hundreds of networks, in compiled loops; what it finds is kept. Only
    # the reference engine needs SimPy.
    assert loaded_after(code) - {"numba"} == {"numpy", "pydantic", "yaml"}


def test_the_public_names_exist():
    import accelsim as acs

    assert all(hasattr(acs, name) for name in acs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        acs.nonsense  # noqa: B018

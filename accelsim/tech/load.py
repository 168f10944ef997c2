"""Technologies by name: the tables that come with accelsim, and files of the user."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import read_yaml
from accelsim.tech.source import SOURCES, CostSource

_DEFAULT_KIND = "synthesis"


def load_source(name: str, *, node_nm: float | None = None) -> CostSource:
    """Return the prices of a technology; what class they are of follows from `kind` in its file.

    Args:
        name: of a built-in table, or path of a file.
        node_nm: node to scale to; default: the table's own.

    Raises:
        InputError: no such table, or one that cannot be read or scaled.

    >>> load_source("nangate45", node_nm=16).node_nm
    16
    """
    source = _built_in_source(name) if name in built_in() else _source_in(_users_file(name))
    return source if node_nm is None else source.at_node(node_nm)


def built_in() -> list[str]:
    """Return the names of the tables that come with accelsim."""
    return sorted(f.name.removesuffix(".yaml") for f in _folder().iterdir() if _is_table(f.name))


def _is_table(file: str) -> bool:
    return file.endswith(".yaml") and file != "dram.yaml"


def _folder() -> Path:
    return Path(str(resources.files("accelsim.tech") / "data"))


@cache
def _built_in_source(name: str) -> CostSource:
    return _source_in(_folder() / f"{name}.yaml")


def _users_file(name: str) -> Path:
    """Return a path that there is a file at; raise InputError with the built-in names else."""
    try:
        if Path(name).is_file():
            return Path(name)
    except (OSError, ValueError):  # too long for a name, or with characters that no name has
        pass
    known = built_in()
    near = did_you_mean(name, known)
    raise InputError(f"no file '{shown(name, 200)}'{near}; built in: {', '.join(known)}")


def _source_in(path: Path) -> CostSource:
    file = read_yaml(path)
    try:
        kind = SOURCES[str(file.data.get("kind", _DEFAULT_KIND))]
    except InputError as error:
        raise InputError(f"{file.where(('kind',))}: {error}") from error
    return kind.read(file)

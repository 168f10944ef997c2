"""Name in YAML → class. One registry for each thing that users add by writing one file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Generic, TypeVar

from accelsim.base.errors import InputError, shown

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes of one family by the name that configuration files use.

    >>> colours: Registry[object] = Registry("colour")
    >>> @colours.register("red")
    ... class Red: ...
    >>> colours["red"] is Red, sorted(colours)
    (True, ['red'])
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a decorator that files a class under `name`."""

        def add(cls: type[T]) -> type[T]:
            if name in self._classes:
                raise ValueError(f"{self.noun} '{name}' is registered twice")
            self._classes[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type[T]:
        """Return the class called `name`; raise InputError with the known names otherwise."""
        if name not in self._classes:
            raise InputError(
                f"unknown {self.noun} '{shown(name)}'{did_you_mean(name, self._classes)}; "
                f"allowed: {', '.join(sorted(self._classes))}"
            )
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def values(self) -> list[type[T]]:
        """Return the registered classes, in order of registration."""
        return list(self._classes.values())


def did_you_mean(name: str, known: object) -> str:
    """Return ` (did you mean 'x'?)` for the nearest of the `known` names, or nothing."""
    near = get_close_matches(name, list(known), n=1)  # type: ignore[call-overload]
    return f" (did you mean '{near[0]}'?)" if near else ""


def named(names: Iterable[str], wanted: str) -> list[str]:
    """Return the name that is spelled out, else those that a glob (`*`, `?`, `[…]`) matches.

    >>> named(["blk[0].up", "blk[0].down"], "blk[0].up"), named(["blk.0", "blk.1"], "blk.?")
    (['blk[0].up'], ['blk.0', 'blk.1'])
    """
    known = list(names)
    return [wanted] if wanted in known else [name for name in known if fnmatchcase(name, wanted)]


def import_siblings(package: ModuleType) -> None:
    """Import every module of a package, so that each new file registers itself."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")

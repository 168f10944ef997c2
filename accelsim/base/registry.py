"""Name in YAML → class. One registry for each thing that users add by writing one file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Generic, TypeVar

from accelsim.base.errors import InputError, shown

T = TypeVar("T")
V = TypeVar("V")


class Named(Generic[V]):
    """Values of one family by the name that configuration files use.

    >>> shades: Named[int] = Named("shade")
    >>> shades.add("white", 255)
    255
    >>> shades["white"], "black" in shades
    (255, False)
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._known: dict[str, V] = {}

    def add(self, name: str, value: V) -> V:
        """File a value under `name`, and return it."""
        if name in self._known:
            raise InputError(f"{self.noun} '{name}' is registered twice")
        self._known[name] = value
        return value

    @contextmanager
    def lent(self, name: str, value: V) -> Iterator[V]:
        """Know a value under `name` for a while, in place of what is filed there, if anything.

        >>> shades: Named[int] = Named("shade")
        >>> with shades.lent("grey", 128):
        ...     shades["grey"], "grey" in shades
        (128, True)
        >>> "grey" in shades
        False
        """
        filed = dict(self._known)
        self._known[name] = value
        try:
            yield value
        finally:
            self._known.clear()
            self._known.update(filed)

    def __getitem__(self, name: str) -> V:
        """Return the value called `name`; raise InputError with the known names otherwise."""
        if name not in self._known:
            raise InputError(
                f"unknown {self.noun} '{shown(name)}'{did_you_mean(name, self._known)}; "
                f"allowed: {', '.join(sorted(self._known))}"
            )
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def values(self) -> list[V]:
        """Return the registered values, in order of registration."""
        return list(self._known.values())


class Registry(Named[type[T]], Generic[T]):
    """Classes of one family by the name that configuration files use.

    >>> colours: Registry[object] = Registry("colour")
    >>> @colours.register("red")
    ... class Red: ...
    >>> colours["red"] is Red, sorted(colours)
    (True, ['red'])
    """

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a decorator that files a class under `name`."""

        def add(cls: type[T]) -> type[T]:
            return self.add(name, cls)

        return add


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

"""What was simulated, kept line by line, so that a search that was stopped goes on.

A search asks for the same machines in the same order whenever it is started, so it need not be
kept itself: played again, it finds what it has simulated here, and comes to where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from accelsim.base.files import write_texts

Measured = Mapping[str, Any] | None
"""What a machine came to, by metric; None: a layer has no place on it."""

_TOUCH_NO_CYCLE = frozenset(
    {"cli", "report", "studies", "tuning", "testing", "accuracy", "capture", "rtl"}
)


@dataclass(frozen=True)
class Journal:
    """What was found, in one file that several processes append to, each a line at once.

    A process reads the file when it begins: what others find meanwhile it finds again.

    Attributes:
        path: of the file.
        about: what the numbers depend on besides the machines and the code.
        lines: what is known, by key.
    """

    path: Path
    about: str
    lines: dict[str, Measured]

    @classmethod
    def begun(cls, path: Path) -> Journal:
        """Return a journal whose file holds whole lines, of this code, alone.

        It is written again, so that no other process may use it yet.
        """
        head = json.dumps({"code": code_digest()})
        old = path.read_bytes().splitlines() if path.is_file() else []
        lines = _known(old[1:]) if old[:1] == [head.encode()] else {}
        whole = [head, *(json.dumps(pair) for pair in lines.items())]
        write_texts({path: "".join(f"{line}\n" for line in whole)})
        return cls(path, "", lines)

    @classmethod
    def opened(cls, path: Path) -> Journal:
        """Return a journal that another process has begun."""
        return cls(path, "", _known(path.read_bytes().splitlines()[1:]))

    def on(self, about: str) -> Journal:
        """Return the same journal, of what depends on something else, too."""
        return replace(self, about=about)

    def found(self, asked: Mapping[str, Any], make: Callable[[], Measured]) -> Measured:
        """Return what a machine came to, from the file or found now.

        Args:
            asked: the machine.
            make: finds it.
        """
        text = json.dumps([self.about, asked], sort_keys=True)
        key = sha256(text.encode()).hexdigest()
        if key not in self.lines:
            self.lines[key] = made = make()
            line = json.dumps([key, made]) + "\n"
            with self.path.open("ab", buffering=0) as file:  # one write: lines do not mix
                file.write(line.encode())
        return self.lines[key]


def _known(lines: Iterable[bytes]) -> dict[str, Measured]:
    """Return what lines hold, by key; damaged ones, such as half a line, hold nothing."""
    known: dict[str, Measured] = {}
    for line in lines:
        try:
            key, value = json.loads(line)
        except (ValueError, TypeError):
            continue
        if isinstance(key, str) and (value is None or isinstance(value, dict)):
            known[key] = value
    return known


@cache
def code_digest() -> str:
    """Return a hash of all code and tables that cycles, areas and energies can depend on."""
    package = Path(__file__).parents[1]
    digest = sha256()
    for path in sorted(package.rglob("*")):
        inner = path.relative_to(package)
        if path.suffix not in (".py", ".yaml", ".csv") or inner.parts[0] in _TOUCH_NO_CYCLE:
            continue
        digest.update(f"{inner.as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""Machines that were simulated, kept line by line, so that a search that was stopped goes on.

A search asks for the same machines in the same order whenever it is started, so it need not be
kept itself: played again, it finds what it has simulated here, and comes to where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from accelsim.base.files import write_texts

Measured = Mapping[str, float] | None
"""What a machine came to, by metric; None: a layer has no place on it."""

_TOUCH_NO_CYCLE = frozenset(
    {"cli", "report", "studies", "tuning", "testing", "accuracy", "capture", "rtl"}
)


@dataclass
class Journal:
    """What was measured of machines, in a file to which each is appended at once.

    Attributes:
        path: of the file; its folder is there.
        identity: of what the numbers depend on besides the machines; lines of another one count
            for nothing, and are dropped.
    """

    path: Path
    identity: str
    _known: dict[str, Measured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines = self.path.read_bytes().splitlines() if self.path.is_file() else []
        head = json.dumps({"identity": self.identity})
        kept = [head] if lines[:1] == [head.encode()] else []
        for line in lines[1:] if kept else ():
            entry = _entry(line)
            if entry is None:  # half a line: the process ended while it was written
                break
            self._known[entry[0]] = entry[1]
            kept.append(line.decode())
        write_texts({self.path: "".join(f"{line}\n" for line in kept or [head])})

    def measured(self, machine: Mapping[str, Any], make: Callable[[], Measured]) -> Measured:
        """Return what a machine came to, from the file or measured now."""
        key = sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = made = make()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, made]) + "\n")
        return self._known[key]

    @property
    def simulations(self) -> int:
        """Different machines that are known."""
        return len(self._known)


def _entry(line: bytes) -> tuple[str, Measured] | None:
    """Return the machine of a line and what it came to; None if the line is damaged."""
    try:
        key, measured = json.loads(line)
    except (ValueError, TypeError):
        return None
    is_whole = isinstance(key, str) and (measured is None or isinstance(measured, dict))
    return (key, measured) if is_whole else None


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

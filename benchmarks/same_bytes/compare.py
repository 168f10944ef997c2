"""Compare two records value by value: same bytes, same apart from keys, or different."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

# Keys that got another name, old to new, wherever they stand.
RENAMED: dict[str, str] = {}
# Keys whose values say which code ran, not what it found: its version, and the hash of a sweep's
# point, which is over the version and every key of the machine.
IGNORED = ("accelsim", "task")
MOST_SHOWN = 10  # differences of a run
MOST_CHARACTERS = 60  # of a value that is shown


class Number(str):
    """A number as it is written: 1.0 and 1 differ, and so do digits that no float keeps."""

    __slots__ = ()


@dataclass(slots=True)
class Findings:
    """What differs between two outputs.

    Attributes:
        ignored: keys of `IGNORED` with other values.
        added: paths of keys that only the second has.
        renamed: `old → new`.
        different: one line each: path, value before, value after.
    """

    ignored: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    different: list[str] = field(default_factory=list)

    def verdict(self) -> str:
        """Return what differs, in words.

        >>> Findings(added={"arch.dataflow"}).verdict()
        'same apart from added arch.dataflow'
        """
        if self.different:
            return f"DIFFERENT in {len(self.different)} places"
        parts = [
            f"{word} {', '.join(sorted(keys))}"
            for word, keys in (
                ("added", self.added),
                ("renamed", self.renamed),
                ("ignored", self.ignored),
            )
            if keys
        ]
        return f"same apart from {'; '.join(parts)}" if parts else "same bytes"


def report(before: Path, after: Path, only: str) -> int:
    """Print a line a run and its differences; return 1 if a value differs or a run is missing."""
    names = [sorted(p.name for p in folder.iterdir() if p.is_dir()) for folder in (before, after)]
    old, new = ([name for name in some if fnmatch(name, only)] for some in names)
    counts: dict[str, int] = {}
    for name in old:
        found = compare_runs(before / name, after / name) if name in new else None
        verdict = found.verdict() if found else "MISSING"
        print(f"{name:28s} {verdict}")
        for line in found.different[:MOST_SHOWN] if found else ():
            print(f"    {line}")
        kind = re.sub(r" in [0-9]+ places", "", verdict)
        counts[kind] = counts.get(kind, 0) + 1
    for name in sorted(set(new) - set(old)):
        print(f"{name:28s} new, compared with nothing")
    print(f"\n{len(old)} runs")
    for kind, count in counts.items():
        print(f"{count:5d} {kind}")
    return int(not old or bool({"MISSING", "DIFFERENT"} & counts.keys()))


def compare_runs(before: Path, after: Path) -> Findings:
    """Return what differs between the files of two runs."""
    found = Findings()
    old, new = _files(before), _files(after)
    found.added |= {f"file {name}" for name in new.keys() - old.keys()}
    for name, path in old.items():
        if name not in new:
            found.different.append(f"{name}: file is gone")
        elif path.read_bytes() != new[name].read_bytes():
            _compare_files(name, path, new[name], found)
    return found


def _files(folder: Path) -> dict[str, Path]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): p for p in paths if not p.name.startswith(".")}


def _compare_files(name: str, before: Path, after: Path, found: Findings) -> None:
    """Add what differs between two files whose bytes differ."""
    here = Findings()
    compare_values(_parsed(before), _parsed(after), name, here)
    if here == Findings():
        here.different.append(f"{name}: same values in another layout")
    found.ignored |= here.ignored
    found.added |= here.added
    found.renamed |= here.renamed
    found.different += here.different


def _parsed(path: Path) -> Any:
    """JSON as it is nested, CSV as its rows (also where it is printed), other text as its lines."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text)))
    try:
        return json.loads(text, parse_float=Number, parse_int=Number)
    except ValueError:
        lines = text.splitlines()
        is_table = len(lines) > 1 and len({len(row) for row in csv.reader(lines)}) == 1
        columns = next(csv.reader(lines), [])
        return list(csv.DictReader(lines)) if is_table and len(columns) > 1 else lines


def compare_values(before: Any, after: Any, path: str, found: Findings) -> None:
    """Add what differs between two values, which are at `path` of their output."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _compare_keys(before, after, path, found)
    elif isinstance(before, list) and isinstance(after, list):
        _compare_entries(before, after, path, found)
    elif type(before) is not type(after) or before != after:
        found.different.append(f"{path}: {_shown(before)} → {_shown(after)}")


def _compare_keys(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, found: Findings
) -> None:
    # A key that is still there was not renamed: the new one stands beside it.
    now = {key: key if key in after else RENAMED.get(key, key) for key in before}
    for key, new in now.items():
        if key in IGNORED:
            if before[key] != after.get(new):
                found.ignored.add(key)
        elif new not in after:
            found.different.append(f"{path}.{key}: {_shown(before[key])} → gone")
        else:
            found.renamed |= {f"{key} → {new}"} - {f"{key} → {key}"}
            compare_values(before[key], after[new], f"{path}.{key}", found)
    common = [key for key in after if key in now.values()]
    if common != [new for new in now.values() if new in after]:
        found.different.append(f"{path}: keys in another order")
    # Entries of a list have the same keys: their numbers say nothing.
    place = re.sub(r"\[[0-9]+\]", "[]", path)
    found.added |= {f"{place}.{key}" for key in after if key not in common}


def _compare_entries(
    before: Sequence[Any], after: Sequence[Any], path: str, found: Findings
) -> None:
    if len(before) != len(after):
        found.different.append(f"{path}: {len(before)} entries → {len(after)}")
    for number, (old, new) in enumerate(zip(before, after, strict=False)):
        compare_values(old, new, f"{path}[{number}]", found)


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"

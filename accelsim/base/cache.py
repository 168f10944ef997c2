"""A cache of results on disk: bounded in size, shared by all processes of a user.

One file an entry, named by a hash of everything that the entry depends on. Entries appear whole
(they are renamed into place) and carry a checksum: a damaged one counts as missing and is made
again. When the cache outgrows its bound, the entries unused for longest go. A cache that cannot be
written is no error: results are then computed every time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from accelsim.base.errors import InputError
from accelsim.base.files import replacing

FOLDER_VARIABLE, LIMIT_VARIABLE = "ACCELSIM_CACHE_DIR", "ACCELSIM_CACHE_MIB"
DEFAULT_LIMIT_MIB = 2048
_CHECKSUM_BYTES = 32
# Entries, and what a crash leaves of one; other files in the folder are somebody else's.
_OURS = re.compile(r"\.?[0-9a-f]{64}\.bin(\..*\.tmp)?")


@dataclass(slots=True)
class DiskCache:
    """Bytes by key in a folder of at most about `limit_bytes`.

    A process measures the whole folder at its first write, and again after each sixteenth of the
    limit that it has written. So each process that writes may pass the bound by a sixteenth.

    Attributes:
        folder: where the files are.
        limit_bytes: of all files together.
    """

    folder: Path
    limit_bytes: int = DEFAULT_LIMIT_MIB * 2**20
    _unseen_bytes: int | None = field(default=None, init=False)

    @classmethod
    def of_user(cls) -> Self | None:
        """Return the cache in the user's cache folder, or where `ACCELSIM_CACHE_DIR` says.

        None for a user without a home.

        Raises:
            InputError: `ACCELSIM_CACHE_DIR` names the home of nobody, or `ACCELSIM_CACHE_MIB` is
                not a number of MiB.
        """
        limit = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_MIB)
        if not re.fullmatch(r"[0-9]{1,12}", limit):
            raise InputError(f"{LIMIT_VARIABLE}={limit}: must be a whole number of MiB")
        chosen = os.environ.get(FOLDER_VARIABLE)
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        try:
            folder = Path(chosen or f"{base}/accelsim").expanduser()
        except RuntimeError as error:
            if chosen:
                raise InputError(f"{FOLDER_VARIABLE}={chosen}: {error}") from error
            return None
        return cls(folder, int(limit) * 2**20)

    def get(self, key: str) -> bytes | None:
        """Return an entry, or None if it is missing or damaged."""
        path = self._path(key)
        try:
            if not os.path.isfile(path):  # noqa: PTH113  # a pipe would never answer
                return None
            stored = path.read_bytes()
            os.utime(path)  # the order of eviction
        except OSError:
            return None
        checksum, content = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
        return content if _checksum(content) == checksum else None

    def put(self, key: str, content: bytes) -> None:
        """Store an entry, unless it is larger than the whole cache or cannot be written."""
        size = len(content) + _CHECKSUM_BYTES
        if size > self.limit_bytes:
            return
        with suppress(OSError, InputError):
            path = self._path(key)
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.is_dir():  # not ours, but in the place of an entry
                _remove(path)
            with replacing(path, removes_stale=False) as temporary:
                temporary.write_bytes(_checksum(content) + content)
            is_first = self._unseen_bytes is None
            self._unseen_bytes = (self._unseen_bytes or 0) + size
            if is_first or self._unseen_bytes > self.limit_bytes // 16:
                self._unseen_bytes = 0
                self.evict()

    def evict(self) -> None:
        """Delete the entries unused for longest until the rest fit."""
        entries = sorted(self._entries(), reverse=True)  # newest first
        room = self.limit_bytes
        for _, size, path in entries:
            room -= size
            if room < 0:
                _remove(path)

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Yield (last use, size, path) of everything that is there, leftovers of a crash too."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                with suppress(OSError):
                    if _OURS.fullmatch(path.name):
                        found = path.stat()
                        yield found.st_mtime_ns, found.st_size, path

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.bin"


def _remove(path: Path) -> None:
    """Delete an entry, whatever it is, if it is still there."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()

"""Files of the user: inputs are regular files, outputs appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError

MAX_TEXT_BYTES = 2**28  # of a text, a table of results, a timeline: they are read whole
_UNSAID_BYTES = 2**20  # read of a file whose size the system does not tell
_NONBLOCKING = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a writer


def exists(path: Path) -> bool:
    """Whether there is something at a path; False where the system refuses to say.

    `Path.exists` raises an error instead: for names that are too long, in folders of other users.
    """
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Whether a path is a regular file; False where the system refuses to say."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False where the system refuses to say."""
    return os.path.isdir(path)  # noqa: PTH112


def open_regular(path: Path, failed: str = "cannot read") -> BufferedReader:
    """Open a regular file for reading; a device or a pipe may be endless, or never answer.

    Args:
        path: the file; links to one are followed.
        failed: what went wrong, for the message: `cannot read the text`.

    Raises:
        InputError: there is no such file, it is a folder, a device, a pipe or a socket, or it
            cannot be read.
    """
    try:
        found = path.stat()  # first: to open a device may already do something
        if stat.S_ISREG(found.st_mode):
            return os.fdopen(os.open(path, os.O_RDONLY | _NONBLOCKING), "rb")
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except (OSError, ValueError) as error:  # ValueError: a path that no system can have
        raise _failure(path, failed, _reason(error)) from error
    raise _failure(path, failed, "not a regular file, but a device or a pipe")


def check_regular(path: Path, failed: str = "cannot read") -> None:
    """Raise InputError unless `path` is a regular file that can be opened."""
    open_regular(path, failed).close()


def check_inputs(*paths: Path | None) -> None:
    """Raise InputError unless these files can be read: before the work, not after."""
    for path in paths:
        if path is not None:
            check_regular(path)


def read_bytes(
    path: Path,
    failed: str = "cannot read",
    *,
    limit_bytes: int = MAX_TEXT_BYTES,
    remark: str = "refused",
) -> bytes:
    """Read a regular file whole; the message about one that is too large ends in a remark.

    Raises:
        InputError: as `open_regular`, or it is larger than `limit_bytes`.
    """
    with open_regular(path, failed) as file:
        try:  # files of /proc do not say how long they are, and some never end
            limit_bytes = min(limit_bytes, max(os.fstat(file.fileno()).st_size, _UNSAID_BYTES))
            content = file.read(limit_bytes + 1)
        except OSError as error:
            raise _failure(path, failed, _reason(error)) from error
    if content is None:  # a file of the system that has nothing to say yet
        raise _failure(path, failed, "no contents")
    if len(content) > limit_bytes:
        raise InputError(f"{path}: larger than {limit_bytes} bytes; {remark}")
    return content


def read_text(path: Path, failed: str = "cannot read", **limits: Any) -> str:
    """Read a regular file of UTF-8 text whole, without its byte order mark, if it has one.

    Args:
        path: the file.
        failed: what went wrong, for the message.
        limits: `limit_bytes` and `remark` of `read_bytes`.

    Raises:
        InputError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, failed, **limits).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _failure(path: Path, failed: str, reason: str) -> InputError:
    return InputError(": ".join(part for part in (str(path), failed, reason) if part))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def replacing(
    path: Path, *, is_seekable: bool = False, removes_stale: bool = True
) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` if the block succeeds and vanishes if not.

    Args:
        path: the target; a device or a pipe is written to directly.
        is_seekable: whether it is read again, so that it must be a file.
        removes_stale: whether to remove what killed processes have left of the same target.

    Raises:
        InputError: the target's folder is missing or not writable, or the target is a folder.
    """
    _check_no_folder(path)
    if exists(path) and not is_file(path):  # a device or a pipe is written, not replaced
        if is_seekable:
            raise InputError(f"{path}: cannot write here: a device or a pipe, not a file")
        with _kept_open(path):
            yield path
        return
    try:
        if removes_stale:
            remove_stale(path)
        temporary, handle = _claimed(path, _make_file)
    except (OSError, ValueError) as error:  # ValueError: a path that no system can have
        raise _failure(path, "cannot write here", _reason(error)) from error
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
        os.close(handle)


@contextmanager
def _kept_open(path: Path) -> Iterator[None]:
    """Hold a device or a pipe open; raise InputError where writing would wait for a reader."""
    try:
        handle = os.open(path, os.O_WRONLY | _NONBLOCKING)
    except OSError as error:
        reason = "nobody reads from it" if error.errno == errno.ENXIO else _reason(error)
        raise _failure(path, "cannot write here", reason) from error
    try:
        yield
    except OSError as error:
        raise _failure(path, "cannot write", _reason(error)) from error
    finally:
        os.close(handle)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, on the disk that needs room for the result anyway.

    Raises:
        InputError: the folder cannot be made.
    """
    try:
        remove_stale(path)
        temporary, handle = _claimed(path, tempfile.mkdtemp)
    except (OSError, ValueError) as error:  # ValueError: a path that no system can have
        raise _failure(path, "cannot write here", _reason(error)) from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def _claimed(path: Path, make: Callable[..., Any]) -> tuple[Path, int]:
    """Make something temporary beside `path` that nobody else removes, for it is locked.

    Args:
        path: the target, which the temporary name tells.
        make: makes it and returns its path.

    Returns:
        Its path, and a descriptor that holds the lock.
    """
    while True:
        temporary = make(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        handle = os.open(temporary, os.O_RDONLY)
        with suppress(BlockingIOError):  # just taken for stale by a process about to remove it
            _lock(handle)
            if os.path.exists(temporary):  # noqa: PTH110
                return Path(temporary), handle
        os.close(handle)


def remove_stale(path: Path) -> None:
    """Remove what killed processes have left while they were writing `path`.

    A process that is killed leaves what it has made, but not its lock on it: what can be locked
    belongs to nobody.
    """
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        _remove_unless_claimed(stale)


def _make_file(**place: Any) -> str:
    handle, name = tempfile.mkstemp(**place)
    os.close(handle)
    return str(name)


def _umask() -> int:
    """Return which permissions the user withholds from new files."""
    found = os.umask(0o077)  # can only be read by setting another one
    os.umask(found)
    return found


def _lock(handle: int) -> None:
    """Lock what a descriptor names; raise BlockingIOError if another process has done so."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks: then nothing is ever taken for stale
        return


def _remove_unless_claimed(path: Path) -> None:
    """Remove what a killed process has left; leave what a living one holds."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | _NONBLOCKING | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        finally:
            os.close(handle)


def check_folders(*paths: Path | None) -> None:
    """Raise InputError unless files can be made in these places: before the work, not after."""
    for path in paths:
        if path is None:
            continue
        if not is_folder(path.parent):
            raise InputError(f"{path}: cannot write here: no such folder")
        _check_no_folder(path)
        if not exists(path) and not os.access(path.parent, os.W_OK):
            raise InputError(f"{path}: cannot write here: this folder may not be written to")


def check_apart(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Raise InputError if a file to be written is one of those that are read.

    Args:
        outputs: files to be written; None where nothing is.
        inputs: files, or folders, that are read; what does not exist is told elsewhere.
    """
    read = [path for path in inputs if path is not None and exists(path)]
    for path in outputs:
        if path is not None and exists(path) and any(map(path.samefile, read)):
            raise InputError(f"{path}: is read by this command; choose another file to write")


def _check_no_folder(path: Path) -> None:
    if is_folder(path):
        raise InputError(f"{path}: cannot write the file: a folder of this name exists")


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several text files, all or none."""
    with ExitStack() as pending:
        for path, text in texts.items():
            pending.enter_context(replacing(path)).write_text(text, encoding="utf-8")


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Make an output folder and its parents; those that were made vanish if the block fails.

    Raises:
        InputError: the folder cannot be made.
    """
    try:
        missing = [parent for parent in (path, *path.parents) if not exists(parent)]
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _failure(path, "cannot make this folder", _reason(error)) from error
    try:
        yield path
    except BaseException:
        for made in missing:
            with suppress(OSError):  # not empty: somebody else's by now
                made.rmdir()
        raise


@contextmanager
def filling(path: Path) -> Iterator[Path]:
    """Yield a temporary folder: its contents move to `path`, new or empty, if the block succeeds.

    Raises:
        InputError: the folder is not empty, cannot be made, or the disk is full.
    """
    contents = path / "contents"
    with folder(path):
        try:
            remove_stale(contents)
            if any(path.iterdir()):
                raise InputError(f"{path}: is not empty; choose another folder")
            with folder_beside(contents) as temporary:
                yield temporary
                for part in sorted(temporary.iterdir()):
                    part.rename(path / part.name)
        except OSError as error:
            raise InputError(f"{path}: cannot write here: {error.strerror}") from error

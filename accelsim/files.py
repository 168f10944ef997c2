"""Outputs appear whole or not at all: written to a temporary file, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from accelsim.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` if the block succeeds and vanishes if not.

    Raises:
        InputError: the target's folder is missing or not writable, or the target is a folder.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: cannot write the file: a folder of this name exists")
        if path.exists() and not path.is_file():  # a device or a pipe is written, not replaced
            yield path
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
    except OSError as error:
        raise InputError(f"{path}: cannot write here: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes private files; results are meant to be shared
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_folders(*paths: Path | None) -> None:
    """Raise InputError unless files can be made in these places: before the work, not after."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path}: cannot write here: no such folder")


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
        missing = [parent for parent in (path, *path.parents) if not parent.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot make this folder: {error.strerror}") from error
    try:
        yield path
    except BaseException:
        for made in missing:
            with suppress(OSError):  # not empty: somebody else's by now
                made.rmdir()
        raise

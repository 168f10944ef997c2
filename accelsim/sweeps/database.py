"""Where a search keeps its trials: in memory, or in a database that several folders share."""

from __future__ import annotations

import re
import socket
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from accelsim.base.errors import InputError
from accelsim.base.files import is_file, write_texts
from accelsim.sweeps.folder import DATABASE, OWNER, Tell, has_rows
from accelsim.sweeps.metrics import METRICS
from accelsim.sweeps.passwords import masked, without_passwords
from accelsim.sweeps.plan import Plan, digest_of

_IDENTITY = "accelsim"  # attribute of a study: what may learn from its trials
_CHECK_DIGITS = 16


class Database:
    """The trials of a search, as an Optuna study.

    Without `search.storage`, the study is in memory, and `search.db` in the folder is a copy of its
    finished trials for Optuna's own tools: nothing is read from it.

    Attributes:
        owner: name of the folder among those that share the study.
    """

    def __init__(self, optuna: Any, plan: Plan, folder: Path, tell: Tell) -> None:
        self._optuna, self._plan, self._folder, self._tell = optuna, plan, folder, tell
        storage = plan.file.search.storage
        self._url = "" if storage is None else storage.get_secret_value()
        self._storage: Any = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._close)  # where another search is refused, too
            self._open()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _open(self) -> None:
        if self._url:
            with self._trouble("cannot be used", Exception):
                self._storage = self._optuna.storages.RDBStorage(self._url)
                self._study = self._copy = self._made(self._storage)
                self._check_identity()
                self.owner = self._owner()
        else:
            self._study = self._made(self._optuna.storages.InMemoryStorage())
            with self._trouble("cannot write here", Exception):
                self._storage = _file_storage(self._optuna, self._folder / DATABASE)
                self._copy = self._made(self._storage)
                self.owner = _written_owner(self._folder, self._plan.digest) or self._new_owner()

    def _close(self) -> None:
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def trials(self) -> list[Any]:
        """Return the trials of this folder, in the order in which they were asked for."""
        with self.working() as study:
            trials = study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.user_attrs.get("owner") == self.owner]

    @contextmanager
    def working(self) -> Iterator[Any]:
        """Yield the study; what goes wrong with the database is one message."""
        import sqlalchemy

        lost = (self._optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
        with self._trouble("lost", *lost, remark="; --resume goes on"):
            yield self._study

    def publish(self, numbers: Sequence[int]) -> None:
        """Copy finished trials to where other programs can see them."""
        if self._copy is not self._study:
            trials = self._study.get_trials(deepcopy=False)
            with self._trouble("cannot write here", Exception):
                self._copy.add_trials([trials[number] for number in numbers])

    @contextmanager
    def _trouble(self, what: str, *kinds: type[Exception], remark: str = "") -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except kinds as error:
            where = f"search.storage {masked(self._url)}" if self._url else self._folder / DATABASE
            reason = without_passwords(" ".join(str(error).split()), self._url)
            raise InputError(f"{where}: {what}: {reason}{remark}") from None

    def _made(self, storage: Any) -> Any:
        return self._optuna.create_study(
            study_name=self._name,
            storage=storage,
            directions=[METRICS[name] for name in self._plan.file.objectives],
            load_if_exists=True,
        )

    @property
    def _name(self) -> str:
        return self._plan.file.search.study or self._plan.file.name

    def _check_identity(self) -> None:
        """Raise InputError if the trials of the study are of another search."""
        ours, theirs = self._plan.identity, self._study.user_attrs.get(_IDENTITY)
        directions = [METRICS[name] for name in self._plan.file.objectives]
        is_new = theirs is None and not self._study.get_trials(deepcopy=False)
        if is_new and [way.name.lower() for way in self._study.directions] == directions:
            self._study.set_user_attr(_IDENTITY, ours)
            return
        if theirs == ours:
            return
        known = theirs if isinstance(theirs, dict) else {}
        other = [name for name, value in ours.items() if known.get(name) != value]
        why = f"its {', '.join(other)} differ" if known else "it does not say what it searches"
        raise InputError(
            f"search.storage {masked(self._url)}: the study '{self._name}' is of another search: "
            f"{why}; name another one in search.study"
        )

    def _owner(self) -> str:
        """Return the name of this folder in a database that several share."""
        place = f"{socket.gethostname()}:{self._folder.resolve()}"
        known = self._study.user_attrs
        owner = _written_owner(self._folder, self._plan.digest)
        if owner is None:
            here = [name.split()[1] for name, at in known.items() if at == place and " " in name]
            path = self._folder / OWNER
            if len(here) == 1:
                self._tell(f"{path}: was missing or damaged; the database knows it, written anew")
                owner = _write_owner(self._folder, self._plan.digest, here[0])
            elif has_rows(self._folder):
                raise InputError(
                    f"{path}: is missing or damaged, so nobody knows which trials of the database "
                    f"are those of this folder; choose another folder"
                )
            else:
                owner = self._new_owner()
        if known.get(f"owner {owner}") != place:
            self._study.set_user_attr(f"owner {owner}", place)
        return owner

    def _new_owner(self) -> str:
        return _write_owner(self._folder, self._plan.digest, uuid.uuid4().hex)


def _file_storage(optuna: Any, path: Path) -> Any:
    """Return a new SQLite file as a storage.

    Its path is not part of a URL, where `?`, `#` and `%` would mean something.
    """
    for name in (f"{path}-journal", f"{path}-wal", f"{path}-shm", path):
        Path(name).unlink(missing_ok=True)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        # A copy need not survive a power cut.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")
        return connection

    return optuna.storages.RDBStorage("sqlite:///file", engine_kwargs={"creator": connect})


def _check_of(owner: str, digest: str) -> str:
    return digest_of([owner, digest])[:_CHECK_DIGITS]


def _write_owner(folder: Path, digest: str, owner: str) -> str:
    write_texts({folder / OWNER: owner + _check_of(owner, digest)})
    return owner


def _written_owner(folder: Path, digest: str) -> str | None:
    """Return the name in a folder; None if there is none, or not that of this sweep."""
    path = folder / OWNER
    try:
        text = path.read_text(encoding="ascii") if is_file(path) else ""
    except (OSError, ValueError):
        return None
    owner, check = text[:-_CHECK_DIGITS], text[-_CHECK_DIGITS:]
    is_whole = re.fullmatch("[0-9a-f]{32}", owner) and check == _check_of(owner, digest)
    return owner if is_whole else None

"""
The store that needs nothing set up: one SQLite file in the data directory.

====================  ===================================================================
file                  what it is
====================  ===================================================================
``store.sqlite``      the store; ``-wal`` and ``-shm`` beside it belong to it
``store.lock``        locked while a control service runs here; holds its process id
``store.sqlite.new``  a store that was being made when the process died; made again
====================  ===================================================================

Every call to SQLite is made in one thread of its own. The file can be copied at any time with SQLite's own
``.backup``, which sees one revision.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from pyrsistent import PVector, pmap, pvector
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from flocker_control.store import (
    Commit,
    HistoryGone,
    Loaded,
    RevisionConflict,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreInUse,
    StoreTooNew,
)

STORE_FILE = "store.sqlite"
LOCK_FILE = "store.lock"
HISTORY_COMMITS = 10_000
"""How many commits ``commits_after`` can look back."""

_SCHEMA_VERSION = 1
_APPLICATION_ID = 0x666C6F63
_SCHEMA = """
CREATE TABLE present (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
CREATE TABLE records (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE history (revision INTEGER PRIMARY KEY, puts TEXT NOT NULL, deletes TEXT NOT NULL);
INSERT INTO present VALUES (1, 0);
"""

# Extended result codes end in the primary one (sqlite.org/rescode.html).
_PRIMARY_CODE = 0xFF
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SQLiteStore:
    """
    A ``Store`` in a directory of this host. Made by ``open_store``.
    """

    def __init__(self, reactor: Any, pool: ThreadPool, file: _StoreFile) -> None:
        self._reactor = reactor
        self._pool = pool
        self._file = file

    async def load(self) -> Loaded:
        """
        See ``Store.load``.
        """
        return await self._call(self._file.load)

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        See ``Store.commit``.
        """
        return await self._call(self._file.commit, revision, dict(puts), sorted(deletes))

    async def commits_after(self, revision: int) -> PVector[Commit]:
        """
        See ``Store.commits_after``.
        """
        return await self._call(self._file.commits_after, revision)

    async def close(self) -> None:
        """
        See ``Store.close``. Another control service may start here once this is done.
        """
        try:
            await self._call(self._file.close)
        finally:
            self._pool.stop()

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        result: _T = await deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs)
        return result


async def open_store(reactor: Any, directory: Path, *, history_commits: int = HISTORY_COMMITS) -> SQLiteStore:
    """
    The store in a directory; both are made if they aren't there. It is checked from end to end before anything is read.

    :param reactor: where results arrive; it must be running, or about to.
    :param history_commits: how many commits are remembered for ``commits_after``.
    :raises StoreInUse: another process has it open.
    :raises StoreTooNew: it was written by a later version.
    :raises StoreDamaged: it isn't a store, or not a whole one.
    :raises StoreFull: it could not be made, for lack of room or of the right to write.
    """
    pool = ThreadPool(minthreads=1, maxthreads=1, name="store")
    pool.start()
    try:
        file: _StoreFile = await deferToThreadPool(reactor, pool, _StoreFile, directory, history_commits)
    except BaseException:
        pool.stop()
        raise
    return SQLiteStore(reactor, pool, file)


class _StoreFile:
    """
    The file itself; lives in one thread.
    """

    def __init__(self, directory: Path, history_commits: int) -> None:
        self._path = directory / STORE_FILE
        self._history_commits = history_commits
        with ExitStack() as undo, _translated(self._path):
            # What is in the directory is protected by its own mode; one that somebody else made stays as it is.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(directory / LOCK_FILE)
            undo.callback(os.close, self._lock)
            _make_if_missing(self._path)
            self._connection = _connected(self._path)
            undo.callback(self._connection.close)
            _check(self._connection, self._path)
            # Two writers of one WAL would each need the other's locks; readers such as a backup need nothing.
            self._connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit is on the disk when it returns (sqlite.org/pragma.html#pragma_synchronous).
            self._connection.execute("PRAGMA synchronous = FULL")
            with _transaction(self._connection, "IMMEDIATE"):
                self._revision()
            # The -wal file exists now, and its name has to survive a loss of power as well as its contents.
            _sync_directory(directory)
            undo.pop_all()

    def load(self) -> Loaded:
        with _translated(self._path), _transaction(self._connection):
            values = dict(self._connection.execute("SELECT key, value FROM records"))
            return Loaded(revision=self._revision(), values=pmap(values))

    def commit(self, revision: int, puts: dict[str, str], deletes: list[str]) -> int:
        with _translated(self._path), _transaction(self._connection, "IMMEDIATE"):
            present = self._revision()
            if present != revision:
                raise RevisionConflict(f"The store is at revision {present}, and the change was made for {revision}")
            after = present + 1
            execute = self._connection.execute
            self._connection.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in deletes])
            self._connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?)", puts.items())
            execute("INSERT INTO history VALUES (?, ?, ?)", (after, json.dumps(puts), json.dumps(deletes)))
            execute("DELETE FROM history WHERE revision <= ?", (after - self._history_commits,))
            execute("UPDATE present SET revision = ?", (after,))
        return after

    def commits_after(self, revision: int) -> PVector[Commit]:
        with _translated(self._path), _transaction(self._connection):
            present = self._revision()
            query = "SELECT revision, puts, deletes FROM history WHERE revision > ? ORDER BY revision"
            rows = list(self._connection.execute(query, (revision,)))
            if revision > present or len(rows) != present - revision:
                raise HistoryGone(f"The store is at revision {present}, and not all commits since {revision} are kept")
            return pvector(
                Commit(revision=row, puts=pmap(json.loads(puts)), deletes=pvector(json.loads(deletes)))
                for row, puts, deletes in rows
            )

    def close(self) -> None:
        try:
            with _translated(self._path):
                self._connection.close()
        finally:
            os.close(self._lock)

    def _revision(self) -> int:
        revision: int = self._connection.execute("SELECT revision FROM present").fetchone()[0]
        return revision


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise StoreInUse(f"{path.parent} is in use by the process with id {holder}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        undo.pop_all()
    return descriptor


def _make_if_missing(path: Path) -> None:
    if path.exists():
        return
    remains = path.with_name(path.name + "-wal")
    if remains.exists():
        raise StoreDamaged(f"{path} is missing, but {remains.name}, a part of it, is there")
    # Under another name until it is whole, so that an empty file is never taken for a new store.
    unfinished = path.with_name(path.name + ".new")
    for leftover in path.parent.glob(unfinished.name + "*"):
        leftover.unlink()
    unfinished.touch(mode=0o600)
    connection = _connected(unfinished)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
    finally:
        connection.close()
    unfinished.rename(path)
    _sync_directory(path.parent)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION_ID:
        raise StoreDamaged(f"{path} is not a store of flocker_py")
    if version > _SCHEMA_VERSION:
        raise StoreTooNew(f"{path} has format {version}, and this version knows formats up to {_SCHEMA_VERSION}")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreDamaged(f"{path}: {verdict}")


def _connected(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that has just disappeared is not made anew. No implicit transactions: ours are written out.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: Literal["DEFERRED", "IMMEDIATE"] = "DEFERRED") -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        # Text that isn't UTF-8 is reported by the sqlite3 module itself, without a code.
        if code is None or code & _PRIMARY_CODE in _DAMAGE:
            raise StoreDamaged(f"{path}: {error}") from error
        if code & _PRIMARY_CODE in _NO_ROOM:
            raise StoreFull(f"{path}: {error}") from error
        raise StoreError(f"{path}: {error}") from error
    except json.JSONDecodeError as error:
        raise StoreDamaged(f"{path}: its history is not readable: {error}") from error
    except OSError as error:
        raise StoreFull(f"{error.filename or path}: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""
What the store's modules share in dealing with files: errors, locks, owners, and what has to survive a loss of power.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from flocker_control.store import (
    StoreDamaged,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreInUse,
)

STORE_FILE = "store.sqlite"
MARK_FILE = "store.sqlite-mark"
LOCK_FILE = "store.lock"
PARTS = ("", "-wal", "-journal")
"""What may follow the name of a SQLite file in the names of what belongs to it, and holds data."""

# Extended result codes end in the primary one (sqlite.org/rescode.html).
_PRIMARY_CODE = 0xFF
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# A quota and a limit on the size of files come as errors of input and output, a full disk as SQLITE_FULL.
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """
    Errors of SQLite and of the operating system become ours.

    :param path: the file that it is about.
    :raises StoreDamaged: it can't be read.
    :raises StoreFull: it can't be written.
    :raises StoreForbidden: it may not be read or written.
    :raises StoreError: anything else.
    """
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
    except OSError as error:
        message = f"{error.filename2 or error.filename or path}: {error.strerror}"
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise StoreForbidden(message) from error
        raise StoreFull(message) from error


def connected(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    """
    A connection to a file that is there. Without implicit transactions: ours are written out.
    """
    # Neither mode makes a file: one that has just disappeared is not begun anew.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    # What a damaged file can do is bounded (sqlite.org/security.html).
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["DEFERRED", "IMMEDIATE"] = "DEFERRED") -> Iterator[None]:
    """
    All of it or nothing.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def locked(directory: Path) -> int:
    """
    The descriptor by which this process holds a directory; it is free when that is closed.

    :raises StoreInUse: another process holds it.
    """
    path = directory / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise StoreInUse(f"{directory} is in use by the process with id {holder}") from error
        given_to_owner_of(directory, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        undo.pop_all()
    return descriptor


def kept_aside(directory: Path) -> tuple[Path, ...]:
    """
    What restores and upgrades have put aside in a data directory, by name. It stays until somebody removes it.
    """
    return tuple(sorted([*directory.glob("replaced-*"), *directory.glob(f"{STORE_FILE}.format-*")]))


def given_to_owner_of(directory: Path, *paths: Path) -> None:
    """
    What root makes in the service's directory is the service's: it could not open it otherwise.
    """
    if os.geteuid() == 0:
        owner = directory.stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def write_whole(path: Path, contents: bytes) -> None:
    """
    Write a small file, durably: it has its old contents or its new ones, whatever happens.
    """
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, contents) != len(contents):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    given_to_owner_of(path.parent, unfinished)
    unfinished.rename(path)
    sync_directory(path.parent)


def sync(path: Path) -> None:
    """
    Make a file's contents survive a loss of power.
    """
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """
    Make the names in a directory survive a loss of power.
    """
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""
The store that needs nothing set up: one SQLite file in the data directory.

===============================  ==============================================================================
file                             what it is
===============================  ==============================================================================
``store.sqlite``                 the store; ``-wal`` and ``-shm`` beside it belong to it
``store.sqlite-mark``            what was acknowledged last: a store that doesn't reach so far is refused
``store.lock``                   locked while a control service runs here; holds its process id
``store.sqlite.new``             a store that was being made when the process died; made again
``store.sqlite.format-N-rM``     the store as it was, at revision M, before it was brought up from format N; stays
``restoring``                    a restore that was interrupted; the next start ends it
``replaced-TIME``                what was there before a restore; stays until you remove it
===============================  ==============================================================================

Every call to SQLite is made in one thread of its own. The file can be copied at any time with SQLite's own
``.backup``, which sees one revision.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Set
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from eliot import log_message
from pyrsistent import PVector, pmap, pvector
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from flocker_control.backups import copied
from flocker_control.restoring import end_restore
from flocker_control.store import Commit, HistoryGone, Loaded, RevisionConflict, StoreDamaged
from flocker_control.store_digest import commit_digest, contents_digest, digest_after, digest_text, record_digest
from flocker_control.store_files import (
    MARK_FILE,
    PARTS,
    STORE_FILE,
    connected,
    given_to_owner_of,
    locked,
    sync_directory,
    transaction,
    translated,
    write_whole,
)
from flocker_control.store_format import NO_STORE_ID, STORE_FORMAT, Checked, checked, make_tables, records, upgrade
from flocker_control.store_mark import Mark, new_mark, newest_mark, slot_bytes, slot_offset

HISTORY_COMMITS = 10_000
"""How many commits ``commits_after`` can look back."""

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
    The store in a directory; both are made if they aren't there. It is checked from end to end before anything is
    changed, and one of an older format is brought up, after a copy was put aside.

    :param reactor: where results arrive; it must be running, or about to.
    :param history_commits: how many commits are remembered for ``commits_after``.
    :raises StoreInUse: another process has it open.
    :raises StoreTooNew: it was written by a later version.
    :raises StoreDamaged: it isn't a store, not a whole one, or one that lacks what was acknowledged.
    :raises StoreFull: it could not be made, for lack of room or because the disk is read-only.
    :raises StoreForbidden: it could not be read or written, for lack of the right to.
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
        with ExitStack() as undo, translated(self._path):
            # What is in the directory is protected by its own mode; one that somebody else made stays as it is.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = locked(directory)
            undo.callback(os.close, self._lock)
            end_restore(directory)
            _make_if_missing(self._path)
            for part in PARTS:
                _check_access(self._path.with_name(STORE_FILE + part))
            # Nothing is written before all of it was read: neither SQLite nor we change what is damaged or newer.
            with closing(connected(self._path, "ro")) as reader:
                found = checked(reader, self._path)
            _check_acknowledged(self._path, found)
            self._connection = connected(self._path, "rw")
            undo.callback(self._connection.close)
            # Two writers of one WAL would each need the other's locks; readers such as a backup need nothing.
            self._connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit is on the disk when it returns (sqlite.org/pragma.html#pragma_synchronous).
            self._connection.execute("PRAGMA synchronous = FULL")
            mark = _brought_up(self._connection, self._path, found)
            with transaction(self._connection, "IMMEDIATE"):
                self._revision()
            # The -wal file exists now, and its name has to survive a loss of power as well as its contents.
            sync_directory(directory)
            self._mark_file = os.open(directory / MARK_FILE, os.O_WRONLY | os.O_CLOEXEC)
            undo.callback(os.close, self._mark_file)
            self._mark = mark
            # What was committed; not what the file says at the time, which may have been damaged since.
            self._digests = {key: record_digest(key, text) for key, text in records(self._connection, self._path)}
            undo.pop_all()

    def load(self) -> Loaded:
        with translated(self._path), transaction(self._connection):
            values = dict(records(self._connection, self._path))
            revision = self._revision()
        # Whatever happened to the file since it was opened: what is wrong is not told.
        digests = (record_digest(key, text) for key, text in values.items())
        if (revision, digest_text(contents_digest(revision, digests))) != (self._mark.revision, self._mark.digest):
            raise StoreDamaged(f"{self._path}: its records at revision {revision} are not those that were committed")
        return Loaded(revision=revision, values=pmap(values))

    def commit(self, revision: int, puts: dict[str, str], deletes: list[str]) -> int:
        with translated(self._path), transaction(self._connection, "IMMEDIATE"):
            present = self._revision()
            if present != revision:
                raise RevisionConflict(f"The store is at revision {present}, and the change was made for {revision}")
            after = present + 1
            digests = {key: record_digest(key, text) for key, text in puts.items()}
            digest = digest_after(
                int(self._mark.digest, 16), revision, records=self._digests, puts=digests, deletes=deletes
            )
            mark = self._mark.set(revision=after, digest=digest_text(digest))
            commit = (json.dumps(puts), json.dumps(deletes))
            execute = self._connection.execute
            self._connection.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in deletes])
            self._connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?)", puts.items())
            execute(
                "INSERT INTO history VALUES (?, ?, ?, ?)",
                (after, *commit, digest_text(commit_digest(after, *commit))),
            )
            execute("DELETE FROM history WHERE revision <= ?", (after - self._history_commits,))
            execute("UPDATE present SET revision = ?, digest = ?", (after, mark.digest))
        self._mark = mark
        for key in deletes:
            self._digests.pop(key, None)
        self._digests.update(digests)
        self._write_mark()
        return after

    def commits_after(self, revision: int) -> PVector[Commit]:
        with translated(self._path), transaction(self._connection):
            present = self._revision()
            query = "SELECT revision, puts, deletes, digest FROM history WHERE revision > ? ORDER BY revision"
            rows = list(self._connection.execute(query, (revision,)))
        if revision > present or len(rows) != present - revision:
            raise HistoryGone(f"The store is at revision {present}, and not all commits since {revision} are kept")
        for row, puts, deletes, digest in rows:
            if digest != digest_text(commit_digest(row, puts, deletes)):
                raise StoreDamaged(f"{self._path}: the commit of revision {row} is not what was committed")
        return pvector(
            Commit(revision=row, puts=pmap(json.loads(puts)), deletes=pvector(json.loads(deletes)))
            for row, puts, deletes, _ in rows
        )

    def close(self) -> None:
        try:
            with translated(self._path):
                self._connection.close()
        finally:
            os.close(self._mark_file)
            os.close(self._lock)

    def _revision(self) -> int:
        revision: int = self._connection.execute("SELECT revision FROM present").fetchone()[0]
        return revision

    def _write_mark(self) -> None:
        try:
            os.pwrite(self._mark_file, slot_bytes(self._mark), slot_offset(self._mark.revision))
            os.fdatasync(self._mark_file)
        except OSError as error:
            # The commit is durable. A mark that lags behind notices a little less, and the next one makes it good.
            log_message(message_type="flocker:control:store:mark-not-written", reason=str(error))


def _make_if_missing(path: Path) -> None:
    if path.exists():
        return
    for part in PARTS[1:]:
        if (remains := path.with_name(path.name + part)).exists():
            raise StoreDamaged(f"{path} is missing, but {remains.name}, a part of it, is there")
    mark = _read_mark(path)
    if mark is not None and mark.revision > 0:
        raise StoreDamaged(f"{path} is missing, but was at revision {mark.revision}, as {MARK_FILE} says")
    # Under another name until it is whole, so that an empty file is never taken for a new store.
    unfinished = path.with_name(path.name + ".new")
    for leftover in path.parent.glob(unfinished.name + "*"):
        leftover.unlink()
    unfinished.touch(mode=0o600)
    with closing(connected(unfinished, "rw")) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        mark = make_tables(connection, uuid4().hex)
    given_to_owner_of(path.parent, unfinished)
    write_whole(path.with_name(MARK_FILE), new_mark(mark))
    unfinished.rename(path)
    sync_directory(path.parent)


def _check_access(path: Path) -> None:
    """
    :raises OSError: the file can't be opened, in the words of the operating system. SQLite's say less.
    """
    if path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))


def _read_mark(path: Path) -> Mark | None:
    """
    :returns: None: there is no such file.
    :raises StoreDamaged: it can't be read.
    """
    mark_path = path.with_name(MARK_FILE)
    try:
        contents = mark_path.read_bytes()
    except FileNotFoundError:
        return None
    mark = newest_mark(contents)
    if mark is None:
        raise StoreDamaged(f"{mark_path} can't be read: whether {path.name} has all that was acknowledged is not known")
    return mark


def _check_acknowledged(path: Path, found: Checked) -> None:
    """
    :raises StoreDamaged: the store lacks what was acknowledged.
    """
    if found.store_format == 1:
        # There was no mark then; one that is there already is of an upgrade that was interrupted.
        return
    mark = _read_mark(path)
    if mark is None:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise StoreDamaged(f"{path}: {MARK_FILE} is missing: whether it has all that was acknowledged is not known")
        # A file by itself is a copy that somebody put here.
        return
    if mark.store_id != found.mark.store_id:
        raise StoreDamaged(f"{path} is another store than {MARK_FILE} belongs to")
    if found.mark.revision < mark.revision:
        raise StoreDamaged(
            f"{path} is at revision {found.mark.revision}, but revision {mark.revision} was acknowledged: "
            "the end of its log is damaged, or it is an older copy"
        )
    if found.mark.revision == mark.revision and found.mark.digest != mark.digest:
        raise StoreDamaged(f"{path} is not what was acknowledged as revision {mark.revision}")


def _brought_up(connection: sqlite3.Connection, path: Path, found: Checked) -> Mark:
    """
    Bring a store up to the present format, and see to it that there is a mark.
    """
    mark = found.mark
    if found.store_format < STORE_FORMAT:
        aside = f"{path.name}.format-{found.store_format}-r{mark.revision}"
        copied(path, path.parent, lambda _: aside)
        if mark.store_id == NO_STORE_ID:
            mark = mark.set(store_id=uuid4().hex)
        # Before the store: the other way round, being killed in between would leave a store that lost its mark.
        write_whole(path.with_name(MARK_FILE), new_mark(mark))
        upgrade(connection, found, mark.store_id)
        log_message(
            message_type="flocker:control:store:upgraded",
            from_format=found.store_format,
            to_format=STORE_FORMAT,
            kept=aside,
            remedy="remove it when you will not go back to the version that wrote it",
        )
    if _read_mark(path) != mark:
        write_whole(path.with_name(MARK_FILE), new_mark(mark))
    return mark

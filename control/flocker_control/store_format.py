"""
The tables of a store, as each format had them: how they are made, checked from end to end, and brought up.

======  ======================================================================================
format  what is in it
======  ======================================================================================
1       records, the history of commits, and the present revision
2       the same, with an id of the store, and digests of everything (see ``store_digest``)
======  ======================================================================================

Records and their own formats are another matter: see ``flocker_py.upgrade``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from flocker_control.store import StoreDamaged, StoreTooNew
from flocker_control.store_digest import commit_digest, contents_digest, digest_text, record_digest
from flocker_control.store_files import connected, transaction, translated
from flocker_control.store_mark import Mark
from flocker_py.records import Record, value

STORE_FORMAT = 2
APPLICATION_ID = 0x666C6F63
NO_STORE_ID = "0" * 32

_RECORDS = "CREATE TABLE records (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_TABLES: dict[int, dict[str, str]] = {
    1: {
        "present": "CREATE TABLE present (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL)",
        "records": _RECORDS,
        "history": ("CREATE TABLE history (revision INTEGER PRIMARY KEY, puts TEXT NOT NULL, deletes TEXT NOT NULL)"),
    },
    2: {
        "present": (
            "CREATE TABLE present (one INTEGER PRIMARY KEY CHECK (one = 1), "
            "store_id TEXT NOT NULL, revision INTEGER NOT NULL, digest TEXT NOT NULL)"
        ),
        "records": _RECORDS,
        "history": (
            "CREATE TABLE history (revision INTEGER PRIMARY KEY, "
            "puts TEXT NOT NULL, deletes TEXT NOT NULL, digest TEXT NOT NULL)"
        ),
    },
}

# sqlite.org/fileformat.html: what each file begins with, and where it says how it is written and read: 1 or 2.
_MAGIC = b"SQLite format 3\0"
_WRITTEN_AND_READ = slice(18, 20)
_HEADER_BYTES = 100


class Checked(Record):
    """
    A store that was read from end to end, and is whole.

    :param mark: its id, revision and digest; the id is ``NO_STORE_ID`` in format 1, which had none.
    """

    store_format: int = value(int)
    mark: Mark = value(Mark)


def make_tables(connection: sqlite3.Connection, store_id: str) -> Mark:
    """
    Make an empty store in an empty file.
    """
    mark = Mark(store_id=store_id, revision=0, digest=digest_text(contents_digest(0, ())))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    with transaction(connection, "IMMEDIATE"):
        for sql in _TABLES[STORE_FORMAT].values():
            connection.execute(sql)
        _set_present(connection, mark)
        connection.execute(f"PRAGMA user_version = {STORE_FORMAT}")
    return mark


def checked(connection: sqlite3.Connection, path: Path) -> Checked:
    """
    Read all of a store, and hold it against its digests.

    :raises StoreDamaged: it isn't a store, or not a whole one.
    :raises StoreTooNew: a later version wrote it.
    """
    check_header(path)
    with translated(path), transaction(connection):
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreDamaged(f"{path} is not a store of flocker_py")
        store_format = connection.execute("PRAGMA user_version").fetchone()[0]
        if store_format > STORE_FORMAT:
            raise StoreTooNew(f"{path} has format {store_format}, and this version knows formats up to {STORE_FORMAT}")
        if store_format not in _TABLES:
            raise StoreDamaged(f"{path} has format {store_format}, which no version ever wrote")
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_schema"))
        if tables != _TABLES[store_format]:
            raise StoreDamaged(f"{path}: its tables are not those of format {store_format}")
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreDamaged(f"{path}: {verdict}")
        revision = _whole_revision(connection, path)
        digest = digest_text(contents_digest(revision, _record_digests(connection, path)))
        _check_history(connection, path, store_format, revision)
        store_id = NO_STORE_ID
        if store_format > 1:
            store_id, expected = connection.execute("SELECT store_id, digest FROM present").fetchone()
            if digest != expected:
                raise StoreDamaged(f"{path}: its records at revision {revision} are not those that were committed")
        return Checked(store_format=store_format, mark=Mark(store_id=store_id, revision=revision, digest=digest))


def check_header(path: Path) -> None:
    """
    Look at a file before SQLite does, which takes an empty one for new and removes the log beside it.

    Outside of a transaction: closing a file lets go of the process's locks on it (sqlite.org/howtocorrupt.html).

    :raises StoreDamaged: it is no file of SQLite's.
    """
    with translated(path), path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC) or not set(header[_WRITTEN_AND_READ]) <= {1, 2}:
        raise StoreDamaged(f"{path} is not a store of flocker_py")


def present_mark(path: Path) -> Mark | None:
    """
    What a store, which may be in use, says that it is, without a look at the rest.

    :returns: None: there is none, or it doesn't say.
    :raises StoreError: it can't be read.
    """
    if not path.exists():
        return None
    check_header(path)
    with translated(path), closing(connected(path, "ro")) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] < 2:
            return None
        row = connection.execute("SELECT store_id, revision, digest FROM present").fetchone()
    if row is None or [type(each) for each in row] != [str, int, str]:
        return None
    return Mark(store_id=row[0], revision=row[1], digest=row[2])


def records(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[str, str]]:
    """
    All keys and texts.

    :raises StoreDamaged: one is no text.
    """
    for key, text in connection.execute("SELECT key, value FROM records"):
        if type(key) is not str or type(text) is not str:
            raise StoreDamaged(f"{path}: under {key!r} there is no text")
        yield key, text


def _record_digests(connection: sqlite3.Connection, path: Path) -> Iterator[int]:
    return (record_digest(key, text) for key, text in records(connection, path))


def _whole_revision(connection: sqlite3.Connection, path: Path) -> int:
    rows: list[tuple[Any, ...]] = connection.execute("SELECT revision FROM present").fetchall()
    if len(rows) != 1 or type(rows[0][0]) is not int or rows[0][0] < 0:
        raise StoreDamaged(f"{path} doesn't say at which revision it is")
    revision: int = rows[0][0]
    return revision


def _check_history(connection: sqlite3.Connection, path: Path, store_format: int, present: int) -> None:
    """
    The commits that are kept are the last ones, without a gap, and as they were made.
    """
    digest_column = "digest" if store_format > 1 else "NULL"
    first: int | None = None
    expected = -1
    for revision, puts, deletes, digest in connection.execute(
        f"SELECT revision, puts, deletes, {digest_column} FROM history ORDER BY revision"  # noqa: S608  # a constant
    ):
        if first is None:
            first = expected = revision
        if revision != expected:
            raise StoreDamaged(f"{path}: the commit of revision {expected} is missing in its history")
        expected += 1
        if type(puts) is not str or type(deletes) is not str:
            raise StoreDamaged(f"{path}: the commit of revision {revision} is no text")
        if store_format > 1 and digest != digest_text(commit_digest(revision, puts, deletes)):
            raise StoreDamaged(f"{path}: the commit of revision {revision} is not what was committed")
        try:
            json.loads(puts)
            json.loads(deletes)
        except (ValueError, RecursionError) as error:
            raise StoreDamaged(f"{path}: the commit of revision {revision} is not readable: {error}") from error
    if first is not None and expected != present + 1:
        raise StoreDamaged(f"{path} is at revision {present}, but its history ends at {expected - 1}")


def upgrade(connection: sqlite3.Connection, found: Checked, store_id: str) -> None:
    """
    Bring a store that was checked up to the present format, all at once.
    """
    with transaction(connection, "IMMEDIATE"):
        if found.store_format < 2:
            _upgrade_from_1(connection, found.mark.set(store_id=store_id))
        connection.execute(f"PRAGMA user_version = {STORE_FORMAT}")


def _upgrade_from_1(connection: sqlite3.Connection, mark: Mark) -> None:
    connection.execute("DROP TABLE present")
    connection.execute(_TABLES[2]["present"])
    _set_present(connection, mark)
    commits = connection.execute("SELECT revision, puts, deletes FROM history").fetchall()
    connection.execute("DROP TABLE history")
    connection.execute(_TABLES[2]["history"])
    connection.executemany(
        "INSERT INTO history VALUES (?, ?, ?, ?)",
        ((r, puts, deletes, digest_text(commit_digest(r, puts, deletes))) for r, puts, deletes in commits),
    )


def renumber(connection: sqlite3.Connection, path: Path, revision: int) -> Mark:
    """
    Let a store of the present format go on from another revision. Its history begins anew.
    """
    with transaction(connection, "IMMEDIATE"):
        digest = digest_text(contents_digest(revision, _record_digests(connection, path)))
        store_id = connection.execute("SELECT store_id FROM present").fetchone()[0]
        mark = Mark(store_id=store_id, revision=revision, digest=digest)
        connection.execute("DELETE FROM history")
        _set_present(connection, mark)
    return mark


def _set_present(connection: sqlite3.Connection, mark: Mark) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO present VALUES (1, ?, ?, ?)", (mark.store_id, mark.revision, mark.digest)
    )

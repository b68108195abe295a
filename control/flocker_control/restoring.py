"""
Put a copy in place of a store: whole or not at all, and what was there is kept.

The new store is made ready in a folder, whose renaming to ``restoring`` is the point of no return: whoever finds that,
this process or the next one that opens the store, ends what was begun.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pyrsistent import PVector, pvector

from flocker_control.backups import chosen, copied
from flocker_control.store import StoreError
from flocker_control.store_files import (
    MARK_FILE,
    PARTS,
    STORE_FILE,
    connected,
    given_to_owner_of,
    kept_aside,
    locked,
    sync,
    sync_directory,
    translated,
    write_whole,
)
from flocker_control.store_format import NO_STORE_ID, STORE_FORMAT, present_mark, renumber, upgrade
from flocker_control.store_mark import Mark, new_mark, newest_mark
from flocker_py.records import Record, sequence, value

_READY = "restoring"
_UNREADY = "restoring.new"
_ASIDE = "aside"
"""In the folder: the name of the one that takes what is replaced."""


class Restored(Record):
    """
    What was done.

    :param source: the copy that was taken.
    :param copied_revision: which it was at.
    :param revision: at which the store goes on: one that no earlier state of it had, as far as is known.
    :param replaced: the folder with what was there before; None: there was nothing.
    :param acknowledged_revision: up to which the replaced store had acknowledged changes, if that is known.
    :param kept: what earlier restores and upgrades have put aside, and nobody has removed.
    """

    source: Path = value(Path)
    copied_revision: int = value(int)
    revision: int = value(int)
    replaced: Path | None = value((Path, type(None)), default=None)
    acknowledged_revision: int | None = value((int, type(None)), default=None)
    kept: PVector[Path] = sequence(Path, default=())


def restore(data_path: Path, source: Path, *, now_seconds: float) -> Restored:
    """
    Put a copy in place of the store of a data directory.

    :param source: the copy; or a folder, for the newest backup in it.
    :param now_seconds: since the epoch of Unix.
    :raises StoreInUse: a control service runs on it.
    :raises BackupMissing: there is no such copy.
    :raises BackupAmbiguous: the folder has backups of several stores.
    :raises StoreError: the copy is not whole, or there is no room for it. Nothing was changed.
    """
    path = data_path / STORE_FILE
    with translated(path):
        data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = locked(data_path)
        try:
            end_restore(data_path)
            store_id, acknowledged = _replaced_store(path)
            source = chosen(source, store_id)
            aside = _unused(data_path, now_seconds)
            unready = data_path / _UNREADY
            try:
                unready.mkdir(mode=0o700)
                copied_revision, revision = _make_ready(unready, source, after=acknowledged)
                write_whole(unready / _ASIDE, aside.name.encode("utf-8"))
                given_to_owner_of(data_path, unready, *unready.iterdir())
                sync_directory(unready)
                unready.rename(data_path / _READY)
            except BaseException:
                shutil.rmtree(unready, ignore_errors=True)
                raise
            sync_directory(data_path)
            end_restore(data_path)
        finally:
            os.close(lock)
    return Restored(
        source=source,
        copied_revision=copied_revision,
        revision=revision,
        replaced=aside if aside.exists() else None,
        acknowledged_revision=acknowledged,
        kept=pvector(path for path in kept_aside(data_path) if path != aside),
    )


def end_restore(data_path: Path) -> None:
    """
    End a restore that was interrupted, if there is one. The directory must be locked.
    """
    shutil.rmtree(data_path / _UNREADY, ignore_errors=True)
    ready = data_path / _READY
    if not ready.exists():
        return
    new_store, new_mark_file = ready / STORE_FILE, ready / MARK_FILE
    # The store is moved last. While it is here, what is in the data directory is what it replaces, its mark up to when
    # the new one was moved there.
    if new_store.exists():
        aside = data_path / (ready / _ASIDE).read_text()
        (data_path / f"{STORE_FILE}-shm").unlink(missing_ok=True)
        old = [data_path / f"{STORE_FILE}{part}" for part in PARTS]
        if new_mark_file.exists():
            old.append(data_path / MARK_FILE)
        for each in old:
            if each.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                given_to_owner_of(data_path, aside)
                each.rename(aside / each.name)
        if aside.exists():
            sync_directory(aside)
        sync_directory(data_path)
        if new_mark_file.exists():
            new_mark_file.rename(data_path / MARK_FILE)
        sync_directory(data_path)
        new_store.rename(data_path / STORE_FILE)
        sync_directory(data_path)
    shutil.rmtree(ready)
    sync_directory(data_path)


def _make_ready(folder: Path, source: Path, *, after: int | None) -> tuple[int, int]:
    path = folder / STORE_FILE
    found = copied(source, folder, lambda _: STORE_FILE)
    revision = max(found.mark.revision, -1 if after is None else after) + 1
    with closing(connected(path, "rw")) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        if found.store_format < STORE_FORMAT:
            given = found.mark.store_id
            upgrade(connection, found, uuid4().hex if given == NO_STORE_ID else given)
        mark = renumber(connection, path, revision)
    sync(path)
    write_whole(folder / MARK_FILE, new_mark(mark))
    return found.mark.revision, revision


def _replaced_store(path: Path) -> tuple[str | None, int | None]:
    """
    The id of the store that is to be replaced, and the revision up to which it may have acknowledged changes; as far as
    that can still be read.
    """
    marks: list[Mark] = []
    mark_path = path.with_name(MARK_FILE)
    if mark_path.exists() and (acknowledged := newest_mark(mark_path.read_bytes())) is not None:
        marks.append(acknowledged)
    # If it can't be read, that is why it is replaced.
    with suppress(StoreError):
        if (present := present_mark(path)) is not None:
            marks.append(present)
    newest = max(marks, key=lambda mark: mark.revision, default=None)
    return (None, None) if newest is None else (newest.store_id, newest.revision)


def _unused(data_path: Path, now_seconds: float) -> Path:
    text = datetime.fromtimestamp(int(now_seconds), tz=UTC).strftime("replaced-%Y%m%dT%H%M%SZ")
    number, found = 1, data_path / text
    while found.exists():
        number += 1
        found = data_path / f"{text}-{number}"
    return found

"""
Copies of a store: made while it is in use, checked from end to end before they get their name; old ones removed.

All of this blocks, and belongs into a thread.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil

from flocker_control import backup_names
from flocker_control.backup_names import BackupName, backup_name
from flocker_control.store import StoreError, StoreMissing
from flocker_control.store_files import (
    PARTS,
    STORE_FILE,
    connected,
    given_to_owner_of,
    sync,
    sync_directory,
    translated,
)
from flocker_control.store_format import Checked, check_header, checked, present_mark
from flocker_control.store_mark import Mark
from flocker_py.errors import FlockerError
from flocker_py.records import Record, value


class BackupFailed(FlockerError):
    """
    No backup could be written there. Older backups are as they were; make room, or repair what the message names.
    """


class BackupMissing(FlockerError):
    """
    There is no backup there that can be used. Name another file or folder.
    """

    lasting = True


class BackupAmbiguous(FlockerError):
    """
    The folder has backups of several stores. Name the file that is meant.
    """

    lasting = True


class Backup(Record):
    """
    A backup that is whole.
    """

    path: Path = value(Path)
    name: BackupName = value(BackupName)
    mark: Mark = value(Mark)


def copied(source: Path, directory: Path, name: Callable[[Checked], str]) -> Checked:
    """
    Copy a store that may be in use, durably: under its name there is either a whole copy, for its owner's eyes, or what
    was there before.

    :param name: the copy's, from what is in it.
    :raises StoreDamaged: what arrived is not a whole store.
    :raises StoreError: it could not be written.
    """
    unfinished = directory / f"{_unfinished_prefix()}{os.getpid()}"
    check_header(source)
    with translated(unfinished):
        _remove_unfinished(directory)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with translated(source), closing(connected(source, "ro")) as connection:
                # One snapshot; into a file that is there already, so that its mode is ours from the start.
                connection.execute("VACUUM INTO ?", (str(unfinished),))
            sync(unfinished)
            with closing(connected(unfinished, "ro")) as copy:
                found = checked(copy, unfinished)
            given_to_owner_of(directory, unfinished)
            unfinished.rename(directory / name(found))
        except BaseException:
            _remove(unfinished)
            raise
        sync_directory(directory)
    return found


def back_up(data_path: Path, directory: Path, *, now_seconds: float, keep: int | None = None) -> Backup:
    """
    Copy the store of a data directory, which may be in use, into a folder, and remove the oldest copies of it there.

    :param directory: made if it isn't there.
    :param now_seconds: since the epoch of Unix.
    :param keep: how many stay, at least 1; None: all.
    :raises BackupFailed: it could not be written, or what was written is not whole.
    :raises StoreMissing: there is no store.
    """
    source = data_path / STORE_FILE
    if not source.exists():
        raise StoreMissing(f"there is no {source}")

    def named(found: Checked) -> BackupName:
        return backup_name(taken_at_seconds=now_seconds, revision=found.mark.revision, store_id=found.mark.store_id)

    try:
        with translated(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = copied(source, directory, lambda found: named(found).text())
            if keep is not None:
                for old in backup_names.outlived(_names(directory), named(found), keep):
                    (directory / old.text()).unlink(missing_ok=True)
                sync_directory(directory)
    except StoreError as error:
        raise BackupFailed(f"{source} to {directory}: {error}") from error
    return Backup(path=directory / named(found).text(), name=named(found), mark=found.mark)


def back_up_if_changed(
    data_path: Path, directory: Path, *, now_seconds: float, keep: int | None, newest: Backup | None
) -> Backup:
    """
    The newest backup of a store, made now if there is none of the store as it is.

    :param newest: what this returned before; None: look what there is.
    :raises BackupFailed: see ``back_up``.
    :raises StoreMissing: there is no store.
    """
    try:
        mark = present_mark(data_path / STORE_FILE)
    except StoreError as error:
        raise BackupFailed(str(error)) from error
    if newest is None and mark is not None:
        newest = newest_backup(directory, mark.store_id)
    if newest is not None and newest.mark == mark and newest.path.exists():
        return newest
    return back_up(data_path, directory, now_seconds=now_seconds, keep=keep)


def read_backup(path: Path) -> Checked:
    """
    Read a copy from end to end.

    :raises StoreError: it isn't a whole store, or can't be read.
    """
    with translated(path), closing(connected(path, "ro")) as connection:
        return checked(connection, path)


def newest_backup(directory: Path, store_id: str | None = None) -> Backup | None:
    """
    The newest backup in a folder that is whole; None: there is none, or the folder can't be read.

    :param store_id: of this store alone; None: of any.
    """
    try:
        names = _names(directory)
    except OSError:
        return None
    for name in backup_names.newest_first(names, store_id):
        path = directory / name.text()
        # One that isn't whole is passed over: an older one that is whole is of more use.
        with suppress(StoreError):
            return Backup(path=path, name=name, mark=read_backup(path).mark)
    return None


def chosen(source: Path, store_id: str | None) -> Path:
    """
    The file to restore from.

    :param source: a file; or a folder, for its newest backup that is whole.
    :param store_id: of the store that is to be restored, if that is known.
    :raises BackupMissing: there is none.
    :raises BackupAmbiguous: there are some of several stores, and it isn't known which is to be restored.
    """
    if not source.is_dir():
        if not source.exists():
            raise BackupMissing(f"there is no {source}")
        return source
    try:
        stores = {it.store for it in backup_names.newest_first(_names(source))}
    except OSError as error:
        raise BackupMissing(f"{source}: {error.strerror}") from error
    if store_id is None and len(stores) > 1:
        raise BackupAmbiguous(f"{source} has backups of the stores {', '.join(sorted(stores))}")
    found = newest_backup(source, store_id)
    if found is None:
        which = "" if store_id is None else f" of the store {store_id[:8]}, which is to be replaced,"
        raise BackupMissing(f"{source} has no backup{which} that is whole")
    return found.path


def way_back(data_path: Path, backups: Path | None) -> str:
    """
    What an operator does about a store that can't be used: the command, with the newest backup if one is known.
    """
    found = None if backups is None else newest_backup(backups)
    which = "FILE" if found is None else shlex.quote(str(found.path))
    command = f"flocker-control restore --data-path {shlex.quote(str(data_path))} {which}"
    if found is None:
        return f"No backup is known here. To restore one:\n{command}"
    taken_at = found.name.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    known = f"The newest whole backup is of {taken_at}, revision {found.mark.revision}"
    return f"{known}. To restore it:\n{command}"


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _unfinished_prefix() -> str:
    return f".flocker-copy-{os.uname().nodename}-"


def _remove_unfinished(directory: Path) -> None:
    """
    Remove what processes of this host left that were killed.
    """
    prefix = _unfinished_prefix()
    for name in _names(directory):
        number = name.removeprefix(prefix).partition("-")[0]
        if name.startswith(prefix) and number.isascii() and number.isdigit() and not _lives(int(number)):
            (directory / name).unlink(missing_ok=True)


def _lives(process_id: int) -> bool:
    # One of this process's own id is of an earlier process that had it: it makes one copy at a time.
    return process_id != os.getpid() and psutil.pid_exists(process_id)


def _remove(unfinished: Path) -> None:
    for part in PARTS:
        unfinished.with_name(unfinished.name + part).unlink(missing_ok=True)

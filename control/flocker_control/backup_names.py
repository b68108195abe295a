"""
The names of backups, and which of them are kept.

``store-20261125T100641Z-r42-1b9d6bcd.sqlite``: when it was made, at which revision, of which store. Whatever is called
otherwise, or is of another store, is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from flocker_py.records import Record, value

_NAME = re.compile(r"store-(\d{8}T\d{6}Z)-r(\d{1,19})-([0-9a-f]{8})\.sqlite", re.ASCII)
_TIME = "%Y%m%dT%H%M%SZ"


class BackupName(Record):
    """
    What a backup's name says.

    :param store: the first eight digits of the id of its store.
    """

    taken_at: datetime = value(datetime)
    revision: int = value(int)
    store: str = value(str)

    def text(self) -> str:
        """
        The name itself.
        """
        return f"store-{self.taken_at.strftime(_TIME)}-r{self.revision}-{self.store}.sqlite"


def backup_name(*, taken_at_seconds: float, revision: int, store_id: str) -> BackupName:
    """
    The name of a backup of that time.

    :param taken_at_seconds: since the epoch of Unix.
    """
    taken_at = datetime.fromtimestamp(int(taken_at_seconds), tz=UTC)
    return BackupName(taken_at=taken_at, revision=revision, store=store_id[:8])


def parsed(name: str) -> BackupName | None:
    """
    What a file's name says; None: it is no backup.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        taken_at = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return BackupName(taken_at=taken_at, revision=int(match[2]), store=match[3])


def newest_first(names: Iterable[str], store_id: str | None = None) -> list[BackupName]:
    """
    The backups among these files.

    :param store_id: of this store alone; None: of any.
    """
    found = [it for name in names if (it := parsed(name)) is not None]
    wanted = [it for it in found if store_id is None or it.store == store_id[:8]]
    return sorted(wanted, key=lambda it: (it.taken_at, it.revision), reverse=True)


def outlived(names: Iterable[str], newest: BackupName, keep: int) -> list[BackupName]:
    """
    The backups that may go, now that there is a new one.

    :param newest: the new one. It stays even if the clock was set back and others look newer.
    :param keep: how many stay, at least 1, the new one among them.
    """
    others = [it for it in newest_first(names) if it.store == newest.store and it != newest]
    return others[keep - 1 :]

"""
Reading and writing manifests, and remembering those of late: a move looks at the same ones several times in a second.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from flocker_agent.storage.directory_files import write_durably
from flocker_agent.storage.directory_manifest import Entries, manifest_bytes, parsed_manifest

_Mark = tuple[int, int, int, int]


class Manifests:
    """
    Manifests by path. Nothing is believed of a file that was replaced, so nobody sees that they are remembered.

    :param entry_limit: how many entries are remembered in all; some 500 bytes each.
    """

    def __init__(self, entry_limit: int) -> None:
        self._entry_limit = entry_limit
        self._known: dict[Path, tuple[_Mark, Entries]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> Entries:
        """
        The entries of a manifest, which are not to be changed.

        :raises ManifestUnreadable: it is damaged or newer.
        """
        with path.open("rb") as stream:
            mark = _mark(os.fstat(stream.fileno()))
            with self._lock:
                known = self._known.get(path)
            if known is not None and known[0] == mark:
                return known[1]
            entries = parsed_manifest(stream.read())
        self._remember(path, mark, entries)
        return entries

    def write(self, path: Path, entries: Entries) -> None:
        """
        Write a manifest, durably.

        :param entries: not to be changed afterwards.
        """
        write_durably(path, manifest_bytes(entries.values()))
        self._remember(path, _mark(path.stat()), entries)

    def _remember(self, path: Path, mark: _Mark, entries: Entries) -> None:
        with self._lock:
            self._known.pop(path, None)
            self._known[path] = (mark, entries)
            while sum(len(known) for _, known in self._known.values()) > self._entry_limit:
                del self._known[next(iter(self._known))]


def _mark(status: os.stat_result) -> _Mark:
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size

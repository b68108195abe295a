"""
The output of a container, in files of bounded size.

Loaded by every supervisor: it imports only ``os``.
"""

from __future__ import annotations

import os

KEPT_FILES = 2
"""How many full files are kept beside the present one: NAME.log.1 is the newest of them."""


class BoundedLog:
    """
    A file that is put aside when it is full, together with the two before it.

    Output that cannot be written is dropped: a full disk must neither stop an application nor block it.

    :param path: of the present file.
    :param limit_bytes: when a file is full.
    """

    def __init__(self, path: str, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._file = -1
        self._written_bytes = 0

    def write(self, output: bytes) -> None:
        """
        Append.
        """
        try:
            if self._file < 0:
                self._open()
            if self._written_bytes and self._written_bytes + len(output) > self._limit_bytes:
                self._put_aside()
                self._open()
            self._written_bytes += os.write(self._file, output)
        except OSError:
            self.close()

    def close(self) -> None:
        """
        Close the file; writing opens it again.
        """
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        # Output may tell secrets, so nobody else reads it.
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written_bytes = os.fstat(self._file).st_size

    def _put_aside(self) -> None:
        self.close()
        for number in range(KEPT_FILES, 0, -1):
            older = f"{self._path}.{number - 1}" if number > 1 else self._path
            try:
                os.rename(older, f"{self._path}.{number}")  # noqa: PTH104  # pathlib is slow to load
            except FileNotFoundError:
                pass

"""
The pipes between a storage backend and a connection.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading

# The most that an unprivileged process gets (/proc/sys/fs/pipe-max-size).
_PIPE_BYTES = 1 << 20


class Pipe:
    """
    A pipe whose two ends are closed one by one, each at most once, from any thread.
    """

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._open = {self.reading, self.writing}
        try:
            # Only now, while it is empty: resizing a pipe that holds data has deadlocked kernels (openzfs#13232).
            fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except PermissionError:
            # The user's quota of pipe pages is used up: slower, and otherwise the same.
            pass

    def read_without_blocking(self) -> None:
        """
        Let reads answer with ``BlockingIOError`` where there is nothing to read.
        """
        os.set_blocking(self.reading, False)

    def unread_bytes(self) -> int:
        """
        How much was written and not read.
        """
        return int(struct.unpack("i", fcntl.ioctl(self.reading, termios.FIONREAD, b"\0" * 4))[0])

    def close_reading(self) -> None:
        """
        Close the reading end: whoever writes gets ``BrokenPipeError``.
        """
        self._close(self.reading)

    def close_writing(self) -> None:
        """
        Close the writing end: whoever reads comes to the end.
        """
        self._close(self.writing)

    def close(self) -> None:
        """
        Close both ends.
        """
        self._close(self.writing)
        self._close(self.reading)

    def _close(self, descriptor: int) -> None:
        with self._lock:
            if descriptor in self._open:
                self._open.remove(descriptor)
                os.close(descriptor)

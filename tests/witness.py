"""
A witness of what runs: each application holds a connection to it for as long as it lives, whatever becomes of engines
and agents. So it misses no moment, however short, in which there are two.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Witness:
    """
    Applications that were told where it is wait for a line from it before they begin, and end with their connection.

    :ivar twice: whether one has come while another was alive.
    """

    def __init__(self) -> None:
        self._listening: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._guard = threading.Lock()
        self._held: list[socket.socket] = []
        self.twice = False

    def listen(self, address: str) -> str:
        """
        From now on, it is there: address and port, as applications are told.

        :param address: of the network namespace that this thread is in.
        """
        self._listening = socket.create_server((address, 0))
        self._thread.start()
        return f"{address} {self._listening.getsockname()[1]}"

    def living(self) -> int:
        """
        How many are alive now.
        """
        with self._guard:
            for one in self._held:
                if not _is_open(one):
                    one.close()
            self._held = [one for one in self._held if one.fileno() != -1]
            return len(self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._listening.close()
        for one in self._held:
            one.close()

    def _accept(self) -> None:
        assert self._listening is not None
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            # One that has ended had done so before the next was started, and its end is here already.
            self.twice |= self.living() > 0
            with self._guard:
                self._held.append(one)
            # It may be gone again.
            with suppress(OSError):
                one.sendall(b"begin\n")


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False

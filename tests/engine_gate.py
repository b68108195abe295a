"""
A gate before the socket of a Docker Engine: what is asked goes through, until something is asked that is to be held.

Whoever asks that waits for an answer, so that a program can be killed, or an engine, just before it happens.
"""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_READ_BYTES = 1 << 16
_WAITING_SECONDS = 100.0


class Gate:
    """
    :param path: where it listens. :param engine: the path of the engine's socket.
    :param held: what begins a request that is not passed on, as a pattern.
    """

    def __init__(self, path: Path, engine: Path, held: str) -> None:
        self.address = f"unix://{path}"
        self._engine = engine
        self._held = re.compile(held.encode())
        self._reached = threading.Event()
        self._open: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait(self) -> None:
        """
        Until it was asked what is held.
        """
        assert self._reached.wait(_WAITING_SECONDS), "nobody asked"

    def hang_up(self) -> None:
        """
        End all connections, as when the engine dies.
        """
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.hang_up()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                engine = socket.socket(socket.AF_UNIX)
                self._open += [caller, engine]
                engine.connect(str(self._engine))
                for one, other in ((caller, engine), (engine, caller)):
                    threading.Thread(target=self._pass_on, args=(one, other, one is caller), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := one.recv(_READ_BYTES):
                if asks and self._held.match(data):
                    self._reached.set()
                    return
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

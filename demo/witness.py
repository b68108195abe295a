"""
The witness: listens to the ledger, outside of its volume and of the cluster, and remembers what it said and when.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from pathlib import Path
from typing import Self

from demo.hearing import Hearing

_MOST_LINE_BYTES = 4096
_READ_BYTES = 65536


class _Speaker:
    """
    One connection.

    :ivar writer: which run of the ledger it is; None until it has said hello.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.unread = b""
        self.writer: int | None = None


class Witness(Hearing):
    """
    Listens at a socket in a thread of its own, from ``with`` on to its end.

    :param path: of the socket; who can reach it is trusted, so it belongs in a private folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stopping, self._stop = socket.socketpair()
        self._speakers: list[_Speaker] = []
        self._thread = threading.Thread(target=self._listen, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._listening.bind(str(self._path))
        self._listening.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()
        for each in (self._listening, self._stopping, *(speaker.connection for speaker in self._speakers)):
            each.close()
        self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._stopping, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                # The oldest first, and to its end: a run that has ended is heard out before the next one.
                for speaker in list(self._speakers):
                    if speaker.connection in ready and not self._heard(speaker):
                        selector.unregister(speaker.connection)
                        speaker.connection.close()
                        self._speakers.remove(speaker)
                if self._listening in ready:
                    connection, _ = self._listening.accept()
                    connection.setblocking(False)
                    self._speakers.append(_Speaker(connection))
                    selector.register(connection, selectors.EVENT_READ)
                if self._stopping in ready:
                    return

    def _heard(self, speaker: _Speaker) -> bool:
        """
        Take in all that was said; False: nothing more will be.
        """
        while True:
            try:
                data = speaker.connection.recv(_READ_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            now = time.monotonic()
            *lines, speaker.unread = (speaker.unread + data).split(b"\n")
            with self._changed:
                for line in lines:
                    self._take(speaker, line, now)
                if len(speaker.unread) > _MOST_LINE_BYTES:
                    self._evidence.complaints.append("somebody spoke to the witness without making sense")
                    return False
                self._changed.notify_all()

    def _take(self, speaker: _Speaker, line: bytes, now: float) -> None:
        with contextlib.suppress(ValueError):
            word, *fields = line.decode("ascii").split()
            if word == "hello" and speaker.writer is None:
                _, last, torn_bytes = (int(field) for field in fields)
                speaker.writer = self._evidence.hello(last, torn_bytes)
                return
            if word == "ack" and speaker.writer is not None:
                first, last, checksum = int(fields[0]), int(fields[1]), int(fields[2], 16)
                self._evidence.acknowledge(speaker.writer, first, last, checksum, now)
                return
        self._evidence.complaints.append(f"the witness heard what makes no sense: {line[:80]!r}")

"""
The visitor: a client of the web application, outside of the cluster, that has it count and remembers what it answered.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Self

from demo.hearing import Hearing

_VISITS_PER_SECOND = 50
_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 0.02


class Visitor(Hearing):
    """
    Visits in a thread of its own, one after the other, whether or not somebody answers.

    :param address: and ``port``: where the application is reached, wherever it runs.
    :param rate: how many it has it count in a second.
    """

    def __init__(self, address: str, port: int, rate: int) -> None:
        super().__init__()
        self._address, self._port = address, port
        self._at_once = max(1, rate // _VISITS_PER_SECOND)
        self._every_seconds = self._at_once / rate
        self._runs: list[str] = []
        self._unanswered = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go, name="visitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _go(self) -> None:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=_ANSWER_SECONDS)
        while not self._ending.is_set():
            begun_at = time.monotonic()
            try:
                connection.request("POST", f"/add/{self._at_once}")
                answer = connection.getresponse()
                content = answer.read()
                if answer.status == http.HTTPStatus.OK:
                    self._take(content)
                    wait_seconds = begun_at + self._every_seconds - time.monotonic()
                else:
                    self._complain(f"the application answered {answer.status}: {content[:80]!r}")
                    wait_seconds = _ANSWER_SECONDS
            except (OSError, http.client.HTTPException):
                # It is on its way. Whether what it was asked counts is not known, as always when no answer comes.
                connection.close()
                self._unanswered = True
                wait_seconds = _RETRY_SECONDS
            self._ending.wait(max(0.0, wait_seconds))
        connection.close()

    def _take(self, content: bytes) -> None:
        now = time.monotonic()
        try:
            told = json.loads(content)
            run, found, torn, first, last, checksum = (
                told[key] for key in ("run", "found", "torn", "first", "last", "crc")
            )
        except (ValueError, KeyError, TypeError):
            self._complain(f"the application answered what makes no sense: {content[:80]!r}")
            return
        with self._changed:
            if run not in self._runs:
                self._evidence.hello(found, torn)
                self._runs.append(run)
            writer = self._runs.index(run)
            self._evidence.acknowledge(writer, first, last, checksum, now, unanswered=self._unanswered)
            self._unanswered = False
            self._changed.notify_all()

    def _complain(self, text: str) -> None:
        with self._changed:
            self._evidence.complaints.append(text)
            self._changed.notify_all()

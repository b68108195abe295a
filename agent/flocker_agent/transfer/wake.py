"""
Waking a thread that polls, and calls of a storage backend in threads that wake it when they are through.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Wake:
    """
    A descriptor that becomes readable when any thread sets it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """
        What to poll; -1 once closed.
        """
        descriptor = self._descriptor
        return -1 if descriptor is None else descriptor

    def set(self) -> None:
        """
        Make it readable. From any thread, and harmless at any time.
        """
        # The lock keeps the number from being some other file's by the time it is written to.
        with self._lock:
            if self._descriptor is not None:
                os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """
        Make it unreadable again. What is looked at after this call includes all that was done before the last ``set``.
        """
        try:
            os.eventfd_read(self.fileno())
        except BlockingIOError:
            pass

    def close(self) -> None:
        """
        Give the descriptor back. Doing it twice is harmless.
        """
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class Task(Generic[T]):
    """
    A blocking call under way in a thread of its own.

    :param finally_: done in that thread before the waiting one is woken, whatever came of the call.
    """

    def __init__(
        self, name: str, call: Callable[[], T], wake: Wake, finally_: Callable[[], None] | None = None
    ) -> None:
        self._call = call
        self._wake = wake
        self._finally = finally_
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        # A call that hangs in the kernel must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """
        Whether ``result`` answers at once.
        """
        return self._done.is_set()

    def result(self) -> T:
        """
        What the call answered; waits for it.

        :raises BaseException: what the call raised.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """
        Wait until it is done, and say whether it is. Its error is not raised.
        """
        return self._done.wait(timeout_seconds)

    def _run(self) -> None:
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            self._error = error
        finally:
            try:
                if self._finally is not None:
                    self._finally()
            finally:
                self._done.set()
                self._wake.set()

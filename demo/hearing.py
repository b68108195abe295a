"""
What is heard from the application that is moved about, by a thread that others wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from demo.evidence import Evidence, Pause


class Hearing:
    """
    Evidence that comes in from ``with`` on to its end. Those who know where it comes from extend it.
    """

    def __init__(self) -> None:
        self._evidence = Evidence()
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """
        From here on nothing more is heard.
        """

    @property
    def last(self) -> int:
        """
        The highest number that was ever acknowledged.
        """
        with self._changed:
            return self._evidence.last

    def pauses(self) -> list[Pause]:
        """
        The pauses so far, one for each change from one run of the application to the next.
        """
        with self._changed:
            return self._evidence.pauses

    def wait(self, happened: Callable[[Evidence], bool], *, timeout_seconds: float) -> bool:
        """
        Wait until something has happened.

        :returns: whether it has, in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: happened(self._evidence), timeout_seconds)

    def evidence(self) -> Evidence:
        """
        All of it. The application must have ended.
        """
        return self._evidence

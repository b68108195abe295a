"""
Time as our code asks for it: Twisted's reactor and its ``Clock`` for tests both fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """
    A call that was put off.
    """

    def active(self) -> bool:
        """
        Whether it is still to come.
        """
        ...

    def cancel(self) -> None:
        """
        Call it off.
        """
        ...


class Clock(Protocol):
    """
    The present, and things to do later.
    """

    def seconds(self) -> float:
        """
        Seconds since the epoch of Unix.
        """
        ...

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Timer:  # noqa: N802  # Twisted's names
        """
        Call in so many seconds.
        """
        ...

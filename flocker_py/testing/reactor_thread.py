"""
The reactor in a thread of its own, so that ordinary test functions can wait for what happens in it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from flocker_py.client.reactor_thread import waited_for

_T = TypeVar("_T")


def in_reactor(call: Callable[[], Coroutine[Deferred[Any], Any, _T]], *, timeout_seconds: float = 60.0) -> _T:
    """
    Run a coroutine in the process's reactor, started if need be, and return or raise what it does.

    >>> async def answer() -> int:
    ...     return 42
    >>> in_reactor(answer)
    42

    :param call: makes the coroutine; called in the reactor's thread.
    :param timeout_seconds: after which the coroutine is cancelled.
    :raises twisted.internet.defer.TimeoutError: it was.
    """
    return waited_for(call, timeout_seconds)

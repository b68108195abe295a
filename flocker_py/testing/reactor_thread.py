"""
The reactor in a thread of its own, so that ordinary test functions can wait for what happens in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

_T = TypeVar("_T")
# The module stands for an object whose type only the platform knows.
_reactor: Any = reactor
_starting = threading.Lock()


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
    _start()

    def begun() -> Any:
        result: Deferred[_T] = Deferred.fromCoroutine(call())
        return result.addTimeout(timeout_seconds, _reactor)

    outcome: _T = blockingCallFromThread(_reactor, begun)
    return outcome


def _start() -> None:
    with _starting:
        if _reactor.running:
            return
        running = threading.Event()
        _reactor.callWhenRunning(running.set)
        options = {"installSignalHandlers": False}
        threading.Thread(target=_reactor.run, kwargs=options, name="reactor", daemon=True).start()
        running.wait(10)

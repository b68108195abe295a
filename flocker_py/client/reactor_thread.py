"""
The reactor of this process in a thread of its own, for code that waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

_T = TypeVar("_T")
# The module stands for an object whose type only the platform knows.
REACTOR: Any = reactor
_starting = threading.Lock()


def start_reactor() -> None:
    """
    See that the reactor runs, in a thread that doesn't keep the process from ending.

    :raises RuntimeError: it ran and has been stopped: Twisted can't start one twice.
    """
    with _starting:
        if REACTOR.running:
            return
        running = threading.Event()
        REACTOR.callWhenRunning(running.set)
        options = {"installSignalHandlers": False}
        threading.Thread(target=REACTOR.run, kwargs=options, name="reactor", daemon=True).start()
        if not running.wait(10):
            raise RuntimeError("the reactor does not start; has it been stopped before?")


def waited_for(call: Callable[[], Coroutine[Deferred[Any], Any, _T]], timeout_seconds: float | None = None) -> _T:
    """
    Run a coroutine in the reactor, started if need be, and return or raise what it does.

    :param call: makes the coroutine; called in the reactor's thread.
    :param timeout_seconds: after which the coroutine is cancelled; None: never.
    :raises twisted.internet.defer.TimeoutError: it was.
    :raises KeyboardInterrupt: the thread was interrupted; then the coroutine is cancelled.
    :raises RuntimeError: called by the reactor's own thread, which would wait for itself.
    """
    start_reactor()
    if isInIOThread():  # type: ignore[no-untyped-call]
        raise RuntimeError("this is the reactor's thread, which would wait for itself: await the coroutine instead")

    running: list[Deferred[_T]] = []

    def begun() -> Any:
        result: Deferred[_T] = Deferred.fromCoroutine(call())
        running.append(result)
        return result if timeout_seconds is None else result.addTimeout(timeout_seconds, REACTOR)

    def give_up() -> None:
        # Called after ``begun``, also if that was still to come.
        for each in running:
            each.cancel()

    try:
        outcome: _T = blockingCallFromThread(REACTOR, begun)
    except KeyboardInterrupt:
        REACTOR.callFromThread(give_up)
        raise
    return outcome

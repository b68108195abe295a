"""
The boundary between the reactor and everything that blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Blocking(Protocol):
    """
    Somewhere to block.
    """

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """
        The result of a function that may block.

        :raises Exception: whatever the function raises.
        """
        ...

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        """
        From any thread: call in the reactor's.
        """
        ...


class Threads:
    """
    A pool of threads of our own, so that nothing else that blocks is in our way, nor we in its.

    :param size: as many calls at once.
    """

    def __init__(self, reactor: Any, size: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=1, maxthreads=size, name="flocker-agent")

    def start(self) -> None:
        """
        Begin.
        """
        self._pool.start()

    def stop(self) -> None:
        """
        End, when every call that runs has returned.
        """
        self._pool.stop()

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """
        See ``Blocking``.
        """
        # In a copy of the context, so that what is logged in the thread belongs to the action that waits for it.
        context = copy_context()
        result: Deferred[_T] = deferToThreadPool(
            self._reactor, self._pool, lambda: context.run(function, *args, **kwargs)
        )
        return await result

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        """
        See ``Blocking``.
        """
        self._reactor.callFromThread(function, *args)

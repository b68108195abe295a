"""
The client for scripts, which wait for each answer. The reactor runs in a thread behind it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

from flocker_py.client.addresses import ControlAddress
from flocker_py.client.control import ControlClient
from flocker_py.client.reactor_thread import REACTOR, waited_for
from flocker_py.client.retrying import Patience
from flocker_py.credentials import Credential

T = TypeVar("T")


class BlockingClient:
    """
    One control service, as one user. It may be used by several threads, and in a program with a running reactor by all
    threads but the reactor's.

    :param credential: the user's, from ``flocker_py.credentials.load_credential``.
    :param addresses: as for ``ControlClient``.
    :ivar client: makes the requests, for ``wait`` and ``each``.
    :raises AddressUnreadable: an address is none.
    """

    def __init__(
        self,
        credential: Credential,
        addresses: str | ControlAddress | Iterable[str | ControlAddress],
        *,
        patience: Patience | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self.client = ControlClient(REACTOR, credential, addresses, patience=patience, new_id=new_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Close the connections that are kept open.
        """
        self.wait(self.client.close())

    def wait(self, request: Coroutine[Any, Any, T]) -> T:
        """
        The answer to a request, as in ``control.wait(control.client.nodes())``.

        :raises flocker_py.errors.FlockerError: what the request raises.
        :raises KeyboardInterrupt: then the request is given up; it may have been done all the same.
        :raises RuntimeError: called by the reactor's own thread, which would wait for itself.
        """
        try:
            return waited_for(lambda: request)
        finally:
            if inspect.getcoroutinestate(request) == inspect.CORO_CREATED:
                # It can't be begun any more, and nobody shall be told that it was forgotten.
                request.close()

    def each(self, events: AsyncIterator[T]) -> Generator[T, None, None]:
        """
        What an asynchronous iterator gives, as in ``for event in control.each(control.client.events(7))``.
        """

        async def following() -> tuple[T] | None:
            try:
                return (await anext(events),)
            except StopAsyncIteration:
                return None

        try:
            while (found := self.wait(following())) is not None:
                yield found[0]
        finally:
            self.wait(_closed(events))


async def _closed(events: AsyncIterator[Any]) -> None:
    if isinstance(events, AsyncGenerator):
        await events.aclose()

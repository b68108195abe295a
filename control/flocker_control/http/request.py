"""
Requests and connections, limited in size and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from flocker_control.http.body import BODY_LIMIT_BYTES
from flocker_py.clock import Clock

IDLE_SECONDS = 60.0
"""After which a connection that sends nothing is closed."""
REQUEST_SECONDS = 60.0
"""In which a request has to arrive, however busily it trickles in."""
DISCARDED_BYTES = 64 * BODY_LIMIT_BYTES
"""How much of a body that is too large is read, so that its sender reads the answer, before the line is cut."""


class HttpRequest(Protocol):
    """
    What we use of Twisted's requests.
    """

    method: bytes
    path: bytes
    args: Mapping[bytes, list[bytes]]
    content: IO[bytes]
    requestHeaders: Headers  # noqa: N815  # Twisted's name
    transport: Any

    def setResponseCode(self, code: int) -> None: ...  # noqa: N802  # Twisted's name
    def setHeader(self, name: bytes, value: bytes) -> None: ...  # noqa: N802  # Twisted's name
    def write(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def notifyFinish(self) -> Deferred[None]: ...  # noqa: N802  # Twisted's name
    def registerProducer(self, producer: Any, streaming: bool) -> None: ...  # noqa: N802  # Twisted's name
    def unregisterProducer(self) -> None: ...  # noqa: N802  # Twisted's name


class ApiRequest(Request):
    """
    A request whose body is limited in size, and in the time it may take to arrive.
    """

    def __init__(self, channel: Any, queued: Any = False, **_options: Any) -> None:
        # Bodies are JSON, whatever their sender calls them.
        super().__init__(channel, queued, parsePOSTFormSubmission=False)  # type: ignore[no-untyped-call]
        self._received_bytes = 0
        self._deadline = channel.site.clock.callLater(REQUEST_SECONDS, self._expire)

    @property
    def is_too_large(self) -> bool:
        """
        Whether the body was more than is kept.
        """
        return self._received_bytes > BODY_LIMIT_BYTES

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        # Below 100,000 bytes Twisted keeps a body in memory, else in a file: none is needed for what isn't kept.
        unkept = length is not None and length > BODY_LIMIT_BYTES
        super().gotLength(0 if unkept else length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        self._received_bytes += len(data)
        if not self.is_too_large:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]
        elif self._received_bytes > DISCARDED_BYTES:
            self._expire()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802  # Twisted's name
        self._stop_waiting()
        super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        self._stop_waiting()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _expire(self) -> None:
        self._stop_waiting()
        transport: Any = self.transport
        transport.abortConnection()

    def _stop_waiting(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()


class ApiSite(Site):
    """
    Listens for requests; idle connections are closed.
    """

    noisy = False

    def __init__(self, resource: Resource, clock: Clock) -> None:
        super().__init__(resource, ApiRequest, timeout=IDLE_SECONDS, reactor=clock)  # type: ignore[no-untyped-call]
        self.clock = clock

    def log(self, request: object) -> None:
        """
        Nothing: each request is an eliot action.
        """

"""
Requests to a control service over mutual TLS, at one of several addresses, in limited time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from OpenSSL import SSL
from pyrsistent import PMap, pmap
from treq.client import HTTPClient
from twisted.internet import error as network
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, RequestNotSent
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    PartialDownloadError,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers

from flocker_py import __version__
from flocker_py.client import retrying
from flocker_py.client.addresses import ControlAddress, control_addresses
from flocker_py.client.errors import (
    AnswerUnreadable,
    ControlFailed,
    ControlNotTrusted,
    ControlUnreachable,
    RequestRefused,
    json_of,
    refusal,
)
from flocker_py.client.retrying import Patience, next_try
from flocker_py.client.sse import Event, EventReader
from flocker_py.client.views import view
from flocker_py.credentials import Credential
from flocker_py.identity import CertificateRefused
from flocker_py.records import Record, mapping, value
from flocker_py.tls import user_client_options
from flocker_py.wire import WireError, json_text

R = TypeVar("R", bound=Record)
T = TypeVar("T")

TryFailed: TypeAlias = ControlUnreachable | ControlNotTrusted | ControlFailed | AnswerUnreadable


class Answer(Record):
    """
    A good answer.

    :param value: JSON.
    :param headers: by their names in lower case.
    """

    status: int = value(int)
    value: Any = value(object)
    headers: PMap[str, str] = mapping(str, str, default={})


class Connection:
    """
    A control service at one or several addresses, and a user of it. Connections are kept open and used again.

    :param credential: the user's.
    :param addresses: as ``control_addresses`` takes them.
    :raises AddressUnreadable: one is none.
    """

    def __init__(
        self,
        reactor: Any,
        credential: Credential,
        addresses: str | ControlAddress | Iterable[str | ControlAddress],
        patience: Patience,
    ) -> None:
        self._reactor = reactor
        self._addresses = control_addresses(addresses)
        self._patience = patience
        self._preferred = 0
        self._pool = HTTPConnectionPool(reactor, persistent=True)  # type: ignore[no-untyped-call]
        # A connection that the service has closed meanwhile must not fail a call: the retries are ours.
        self._pool.retryAutomatically = False
        # Typed as a browser's policy, used as any IPolicyForHTTPS.
        policy: Any = user_client_options(credential)
        agent: Any = Agent(  # type: ignore[no-untyped-call]
            reactor,
            contextFactory=policy,
            connectTimeout=patience.connect_seconds,
            pool=self._pool,
        )
        self._http = HTTPClient(agent)

    @property
    def address(self) -> str:
        """
        The address that is tried first.
        """
        return self._addresses[self._preferred].text

    async def close(self) -> None:
        """
        Close the connections that are kept open.
        """
        await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]

    async def read(self, path: str, kind: type[R]) -> R:
        """
        What a path answers, as a record.
        """
        return self.seen(kind, (await self.answer("GET", path, harmless=True)).value)

    async def answer(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        harmless: bool,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """
        A good answer to a request.

        :param body: sent as JSON, unless None.
        :param harmless: doing it twice does no harm, so it is tried again even if it may have arrived.
        :raises RequestRefused: or one of its subclasses; ``doubtful`` says whether an earlier try may have been done.
        :raises ControlUnreachable: in the last try or at every address; and so ControlNotTrusted, ControlFailed,
            AnswerUnreadable.
        """

        async def once(address: ControlAddress) -> tuple[int, bytes, PMap[str, str]]:
            response = await self._requested(address, method, path, body, headers or {})
            found = await self._in_time(address, response.content())
            if response.code >= 500:
                raise refusal(response.code, found)
            return response.code, found, _headers(response)

        (status, found, sent), doubtful = await self._again(once, harmless=harmless)
        if status >= 400:
            error = refusal(status, found)
            if isinstance(error, RequestRefused):
                error.doubtful = doubtful
            raise error
        return Answer(status=status, value=json_of(found), headers=sent)

    async def events(self, path: str) -> AsyncIterator[Event]:
        """
        The events of a stream, until the connection ends, or is silent for too long.
        """

        async def once(address: ControlAddress) -> Any:
            response = await self._requested(address, "GET", path, None, {})
            if response.code >= 400:
                error = refusal(response.code, await self._in_time(address, response.content()))
                if not isinstance(error, RequestRefused):
                    raise error
                return error
            return response

        response, _ = await self._again(once, harmless=True)
        if isinstance(response, RequestRefused):
            raise response
        stream = _EventStream(self._reactor, self._patience.silence_seconds)
        response.deliverBody(stream)
        try:
            while (event := await stream.next()) is not None:
                yield event
        finally:
            stream.stop()

    def seen(self, kind: type[R], data: object) -> R:
        """
        A JSON value as a record.

        :raises AnswerUnreadable: it is none.
        """
        try:
            return view(kind, data)
        except WireError as error:
            raise AnswerUnreadable(f"{self.address}: {error}") from error

    def seen_all(self, kind: type[R], data: object) -> list[R]:
        """
        A JSON array as records.

        :raises AnswerUnreadable: it is none.
        """
        if not isinstance(data, list):
            raise AnswerUnreadable(f"{self.address}: the answer is no list")
        return [self.seen(kind, each) for each in data]

    async def _again(self, call: Callable[[ControlAddress], Awaitable[T]], *, harmless: bool) -> tuple[T, bool]:
        """
        What a request answers in the end, and whether an earlier try of it may have been done.
        """
        failures: list[retrying.Failure] = []
        errors: dict[int, TryFailed] = {}
        begun_seconds = self._reactor.seconds()
        number = self._preferred
        while True:
            try:
                result = await call(self._addresses[number])
            except (ControlUnreachable, ControlNotTrusted, ControlFailed, AnswerUnreadable) as error:
                failures.append(retrying.Failure(address=number, arrived=error.arrived, lasting=error.lasting))
                errors[number] = error
            else:
                self._preferred = number
                return result, any(failure.arrived for failure in failures)
            step = next_try(
                failures,
                len(self._addresses),
                harmless=harmless,
                patience=self._patience,
                elapsed_seconds=self._reactor.seconds() - begun_seconds,
            )
            if step is None:
                raise _summary(list(errors.values()), arrived=any(failure.arrived for failure in failures))
            number = step.address
            if step.pause_seconds:
                await deferLater(self._reactor, step.pause_seconds)

    async def _requested(
        self, address: ControlAddress, method: str, path: str, body: object, more: Mapping[str, str]
    ) -> Any:
        headers = Headers({name: [text] for name, text in {"User-Agent": f"flocker_py/{__version__}", **more}.items()})
        data = None
        if body is not None:
            headers.addRawHeader("Content-Type", "application/json")
            data = json_text(body).encode("ascii")
        url = f"https://{address.text}{path}"
        # unbuffered: the body is read by whoever wants it, as a whole or bit by bit.
        request = self._http.request(
            method, url, headers=headers, data=data, allow_redirects=False, unbuffered=True, reactor=self._reactor
        )
        return await self._in_time(address, request)

    async def _in_time(self, address: ControlAddress, waiting: Deferred[T]) -> T:
        too_late = False

        def give_up() -> None:
            nonlocal too_late
            too_late = True
            waiting.cancel()

        deadline = self._reactor.callLater(self._patience.answer_seconds, give_up)
        try:
            return await waiting
        except Exception as error:
            if too_late:
                text = f"{address.text}: no answer for {self._patience.answer_seconds:g} seconds"
                raise ControlUnreachable(text, arrived=True) from error
            if _was_cancelled(error):
                raise CancelledError from error
            told = _told(address.text, error)
            if told is None:
                raise
            raise told from error
        finally:
            if deadline.active():
                deadline.cancel()


class _EventStream(Protocol):
    """
    The body of an answer, event by event.
    """

    def __init__(self, reactor: Any, silence_seconds: float) -> None:
        self._reader = EventReader()
        self._queue: DeferredQueue[Event | None] = DeferredQueue()
        self._silence_seconds = silence_seconds
        self._deadline = reactor.callLater(silence_seconds, self.stop)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        if self._deadline.active():
            self._deadline.reset(self._silence_seconds)
        for event in self._reader.take(data):
            self._queue.put(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802  # Twisted's name
        self._quit_waiting()
        self._queue.put(None)

    def _quit_waiting(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()

    async def next(self) -> Event | None:
        return await self._queue.get()

    def stop(self) -> None:
        self._quit_waiting()
        transport: Any = self.transport
        if transport is not None:
            # The response's transport proxy has no abortConnection in every release.
            getattr(transport, "abortConnection", transport.loseConnection)()


def _was_cancelled(error: BaseException) -> bool:
    # The HTTP client wraps a cancellation into what it interrupted.
    reasons = getattr(error, "reasons", None) or ()
    return isinstance(error, CancelledError) or any(_was_cancelled(reason.value) for reason in reasons)


def _alert(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [reason[-1] for reason in reasons if reason and reason[-1]]
    return f" ({', '.join(words)})" if words else ""


def _told(address: str, error: BaseException) -> TryFailed | None:
    """
    What a failure of the network means to the user; None: it is none.
    """
    match error:
        case CertificateRefused():
            return ControlNotTrusted(f"the control service at {address}: {error}")
        case SSL.Error():
            # It may be TLS that broke in the middle, though most often nothing was looked at.
            text = f"the control service at {address} refused the connection{_alert(error)}"
            return ControlNotTrusted(text, arrived=True)
        case RequestNotSent() | RequestTransmissionFailed() | ResponseNeverReceived() | ResponseFailed():
            reasons = [reason.value for reason in getattr(error, "reasons", None) or ()]
            told = [_told(address, reason) for reason in reasons]
            worst = next((one for one in told if isinstance(one, ControlNotTrusted | AnswerUnreadable)), None)
            return worst or ControlUnreachable(
                f"{address}: the connection was lost before the answer had arrived",
                arrived=not isinstance(error, RequestNotSent),
            )
        case ParseError():
            return AnswerUnreadable(f"what answers at {address} does not speak HTTP")
        case network.ConnectionRefusedError():
            return ControlUnreachable(f"{address}: nothing is listening there", arrived=False)
        case network.DNSLookupError():
            return ControlUnreachable(f"{address}: there is no host of that name", arrived=False)
        case network.ConnectError():
            return ControlUnreachable(f"{address}: {error.osError or error}", arrived=False)
        case network.ConnectionLost() | network.ConnectionDone() | PartialDownloadError():
            return ControlUnreachable(f"{address}: the connection was lost", arrived=True)
        case _:
            return None


def _summary(errors: Sequence[TryFailed], *, arrived: bool) -> TryFailed:
    """
    What is told when all tries have failed.

    :param errors: the last one of each address that was tried.
    """
    if len(errors) == 1:
        only = errors[0]
        if isinstance(only, ControlUnreachable | ControlNotTrusted):
            only.arrived = arrived
        return only
    failed = [error for error in errors if isinstance(error, ControlFailed)]
    if failed:
        # It did answer: that says most.
        return failed[-1]
    text = "; ".join(str(error) for error in errors)
    if all(isinstance(error, ControlNotTrusted) for error in errors):
        return ControlNotTrusted(text, arrived=arrived)
    return ControlUnreachable(text, arrived=arrived)


def _headers(response: Any) -> PMap[str, str]:
    raw = response.headers.getAllRawHeaders()
    return pmap({name.decode("latin-1").lower(): b", ".join(values).decode("latin-1") for name, values in raw})

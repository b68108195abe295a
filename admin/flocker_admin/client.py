"""
A client of the control service's ``/v2`` over mutual TLS.

Calls that change nothing are tried again when the connection fails; those that change something, only if they
certainly never arrived.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from OpenSSL import SSL
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

from flocker_admin.sse import Event, EventReader
from flocker_admin.views import (
    AppliedView,
    ContainersView,
    CopiesView,
    DatasetsView,
    DatasetView,
    ExplanationView,
    MovesView,
    MoveView,
    NodesView,
    PlanView,
    StashesView,
    StashView,
    UnclaimedView,
    complaints,
    view,
)
from flocker_py.credentials import Credential
from flocker_py.documents import Complaint
from flocker_py.errors import FlockerError
from flocker_py.identity import CertificateRefused
from flocker_py.model import DatasetId, MoveId
from flocker_py.records import Record
from flocker_py.tls import user_client_options
from flocker_py.wire import WireError, json_text, json_value

R = TypeVar("R", bound=Record)
T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10.0
ANSWER_TIMEOUT_SECONDS = 30.0
# One second and a half in all: enough for a control service that is being restarted, not enough to annoy.
RETRY_WAITS_SECONDS = (0.1, 0.4, 1.0)


class ControlUnreachable(FlockerError):
    """
    The control service can't be reached. Look whether it runs, and whether --control and the network are right.
    """

    def __init__(self, message: str, *, arrived: bool) -> None:
        """
        :param arrived: whether the request may have been done all the same.
        """
        super().__init__(message)
        self.arrived = arrived


class ControlNotTrusted(FlockerError):
    """
    The control service and this program don't trust one another. Use certificates of the same cluster, made by
    flocker-ca, that have not expired: flocker-ca show FILE.
    """

    lasting = True


class RequestRefused(FlockerError):
    """
    The control service refused. Nothing was changed.
    """

    lasting = True

    def __init__(self, status: int, code: str, description: str) -> None:
        """
        :param status: of HTTP.
        :param code: stable, machine-readable.
        """
        super().__init__(description.rstrip("."))
        self.status = status
        self.code = code
        self.description = description


class NotFound(RequestRefused):
    """
    There is no such thing in this cluster. flockerctl lists what there is.
    """


class RevisionChanged(RequestRefused):
    """
    The cluster has changed since this was planned. Look at the plan again.
    """

    lasting = False


class DeploymentRefused(RequestRefused):
    """
    The deployment can't be done as it is written. Nothing was changed.
    """

    def __init__(self, status: int, code: str, description: str, found: list[Complaint]) -> None:
        """
        :param found: with pointers into the document.
        """
        super().__init__(status, code, description)
        self.complaints = found


class EventsGone(RequestRefused):
    """
    Events as old as that are no longer kept. Follow from a newer revision, or from now on.
    """


class ControlFailed(FlockerError):
    """
    Something went wrong in the control service. Its log has the whole story under the incident's id.
    """

    def __init__(self, status: int, description: str, incident: str | None) -> None:
        """
        :param incident: None where it didn't say.
        """
        super().__init__(f"{description.rstrip('.')} (status {status}{f', incident {incident}' if incident else ''})")
        self.status = status
        self.incident = incident


class AnswerUnreadable(FlockerError):
    """
    What answers there doesn't speak this API. Compare the versions, and look whether --control names the REST API's
    port, 4523 unless it was changed.
    """

    lasting = True


class ControlClient:
    """
    One control service, as one user.

    :param credential: the user's.
    :param host: DNS name or IP address. Whoever answers must be the control service of the credential's cluster.
    """

    def __init__(self, reactor: Any, credential: Credential, host: str, port: int) -> None:
        self._reactor = reactor
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._pool = HTTPConnectionPool(reactor, persistent=True)  # type: ignore[no-untyped-call]
        # A connection that the service has closed meanwhile must not fail a call: the retries are ours.
        self._pool.retryAutomatically = False
        # Typed as a browser's policy, used as any IPolicyForHTTPS.
        policy: Any = user_client_options(credential)
        agent: Any = Agent(  # type: ignore[no-untyped-call]
            reactor,
            contextFactory=policy,
            connectTimeout=CONNECT_TIMEOUT_SECONDS,
            pool=self._pool,
        )
        self._http = HTTPClient(agent)

    async def close(self) -> None:
        """
        Close the connections that are kept open.
        """
        await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]

    # -- what there is -------------------------------------------------------------------------------------------------

    async def nodes(self) -> NodesView:
        """
        All nodes.
        """
        return await self.read("/v2/nodes", NodesView)

    async def datasets(self) -> DatasetsView:
        """
        All datasets, those that are being deleted too.
        """
        return await self.read("/v2/datasets", DatasetsView)

    async def dataset(self, dataset: str) -> DatasetView:
        """
        One dataset.

        :param dataset: id or name.
        :raises NotFound: there is none.
        """
        return await self.read(f"/v2/datasets/{_quoted(dataset)}", DatasetView)

    async def containers(self) -> ContainersView:
        """
        All containers that are wanted.
        """
        return await self.read("/v2/containers", ContainersView)

    async def moves(self) -> MovesView:
        """
        The moves under way, and of each dataset the last one that ended.
        """
        return await self.read("/v2/moves", MovesView)

    async def move(self, move_id: MoveId) -> MoveView:
        """
        One move.

        :raises NotFound: it is not remembered.
        """
        return await self.read(f"/v2/moves/{move_id}", MoveView)

    async def explanation(self, dataset: str) -> ExplanationView:
        """
        Why a dataset is not yet where it should be, or that it is.

        :raises NotFound: there is none.
        """
        return await self.read(f"/v2/datasets/{_quoted(dataset)}/explain", ExplanationView)

    async def copies(self, dataset: str) -> CopiesView:
        """
        All that is known of a dataset's copies.

        :raises NotFound: there is no such dataset.
        """
        return await self.read(f"/v2/datasets/{_quoted(dataset)}/copies", CopiesView)

    async def unclaimed(self) -> UnclaimedView:
        """
        Datasets that nodes have and the control service has no record of.
        """
        return await self.read("/v2/unclaimed", UnclaimedView)

    async def stashes(self) -> StashesView:
        """
        What nodes have put aside.
        """
        return await self.read("/v2/stashes", StashesView)

    async def stash(self, stash: StashView) -> StashView:
        """
        A stash as it is now.

        :raises NotFound: it is gone, or its node has no connection.
        """
        return await self.read(_stash_path(stash), StashView)

    # -- what shall be -------------------------------------------------------------------------------------------------

    async def plan(self, document: object) -> PlanView:
        """
        What applying a deployment document would change. Changes nothing.

        :raises DeploymentRefused: it can't be done as it is written.
        """
        return self._seen(PlanView, await self.answer("POST", "/v2/plan", {"deployment": document}, harmless=True))

    async def apply(self, document: object, revision: int) -> AppliedView:
        """
        Apply a deployment document, all of it or nothing.

        :param revision: of the plan that was looked at.
        :raises RevisionChanged: the cluster has changed since; nothing was done.
        :raises DeploymentRefused: it can't be done as it is written.
        :raises ControlUnreachable: if ``arrived``, it may have been done.
        """
        return self._seen(
            AppliedView, await self.answer("POST", "/v2/apply", {"deployment": document, "revision": revision})
        )

    async def start_move(
        self, dataset: str, target: str, *, when_released: bool = False, force: bool = False
    ) -> MoveView:
        """
        Move a dataset, with the container that uses it.

        :param dataset: id or name; ``target``: a node's.
        :param when_released: if it is leased, when the lease ends; ``force``: although it is leased. One of them.
        :raises NotFound: there is no such dataset or node.
        """
        body = {"dataset": dataset, "target": target, "when_released": when_released, "force": force}
        # Asking twice is answered with the move that is under way.
        return self._seen(MoveView, await self.answer("POST", "/v2/moves", body, harmless=True))

    async def acquire_lease(self, dataset: str, node: str, seconds: float | None) -> dict[str, Any]:
        """
        Hold a dataset for a node, or go on holding it. Answers with the lease.

        :param dataset: id or name; ``node``: the same.
        :param seconds: from now; None: until it is released.
        :raises RequestRefused: it is held for another node.
        """
        body = {"node": node, "seconds": seconds}
        # Asking twice is answered with the lease that is held by then.
        found: dict[str, Any] = await self.answer("PUT", f"/v2/leases/{_quoted(dataset)}", body, harmless=True)
        return found

    async def release_lease(self, dataset: str) -> dict[str, Any]:
        """
        End the lease on a dataset. Answers with its id.

        :raises NotFound: there is no such dataset, or nobody holds a lease of it.
        """
        found: dict[str, Any] = await self.answer("DELETE", f"/v2/leases/{_quoted(dataset)}")
        return found

    async def fail_over(
        self, dataset: str, target: str, guids: Mapping[DatasetId, str], *, owner_is_dead: bool
    ) -> dict[str, Any]:
        """
        Give a dataset whose owner is gone to a node that has a copy. Answers with the dataset.

        :param guids: the newest snapshot there, per dataset, as it was shown.
        :raises RequestRefused: that can't be, or is not what was shown.
        """
        body = {
            "target": target,
            "guids": {str(dataset_id): guid for dataset_id, guid in guids.items()},
            "owner_is_dead": owner_is_dead,
        }
        return await self._changed(f"/v2/datasets/{_quoted(dataset)}/failover", body)

    async def adopt(self, dataset: str, node: str, epoch: int, *, others_are_dead: bool) -> dict[str, Any]:
        """
        Take what a node has for a dataset. Answers with the dataset.

        :raises RequestRefused: that can't be.
        """
        body = {"node": node, "epoch": epoch, "others_are_dead": others_are_dead}
        return await self._changed(f"/v2/datasets/{_quoted(dataset)}/adopt", body)

    async def change_stash(self, stash: StashView, *, mounted: bool) -> StashView:
        """
        Want a stash readable, or not.
        """
        return self._seen(
            StashView, await self.answer("PATCH", _stash_path(stash), {"mounted": mounted}, harmless=True)
        )

    async def drop_stash(self, stash: StashView, confirmed: str) -> dict[str, Any]:
        """
        Destroy a stash, for good.

        :param confirmed: its name, as the user gave it.
        :raises RequestRefused: that isn't its name.
        """
        return await self._changed(f"{_stash_path(stash)}/drop", {"confirm": confirmed})

    async def restore_stash(self, stash: StashView, epoch: int, *, owner_is_dead: bool) -> dict[str, Any]:
        """
        Make a stash the dataset again. Answers with the dataset.

        :param epoch: of the dataset, as it was shown.
        :raises RequestRefused: that can't be.
        """
        return await self._changed(f"{_stash_path(stash)}/restore", {"epoch": epoch, "owner_is_dead": owner_is_dead})

    async def _changed(self, path: str, body: object) -> dict[str, Any]:
        answer: dict[str, Any] = await self.answer("POST", path, body)
        return answer

    async def cancel_move(self, move_id: MoveId) -> MoveView:
        """
        Let a dataset stay where it is.

        :raises RequestRefused: it is past the commit point, or has ended.
        """
        return self._seen(MoveView, await self.answer("DELETE", f"/v2/moves/{move_id}"))

    # -- nodes ---------------------------------------------------------------------------------------------------------

    async def drain_node(self, node: str, *, dry_run: bool) -> Any:
        """
        Move everything off a node that finds a place elsewhere; the answer as it came.

        :param node: id or name.
        :raises NotFound: there is no such node.
        """
        # Draining what is drained already places what had stayed.
        return await self.answer("POST", f"/v2/nodes/{_quoted(node)}/drain", {"dry_run": dry_run}, harmless=True)

    async def undrain_node(self, node: str) -> Any:
        """
        Let a node be used again; the node as it came.

        :raises NotFound: there is no such node.
        """
        return await self.answer("POST", f"/v2/nodes/{_quoted(node)}/undrain", {}, harmless=True)

    async def remove_node(self, node: str, *, is_dead: bool) -> Any:
        """
        Take a node that has nothing any more out of the cluster; the node as it came.

        :param is_dead: it never comes back, and nothing is waited for that it may still have.
        :raises NotFound: there is no such node.
        :raises RequestRefused: it still has something; the text names everything.
        """
        return await self.answer("DELETE", f"/v2/nodes/{_quoted(node)}{'?is_dead=true' if is_dead else ''}")

    async def readmit_node(self, node: str) -> Any:
        """
        Let a node that was removed in again; the node as it came.

        :param node: its id, or the name that it had.
        :raises NotFound: there is no such node.
        """
        return await self.answer("POST", f"/v2/nodes/{_quoted(node)}/readmit", {}, harmless=True)

    # -- events --------------------------------------------------------------------------------------------------------

    async def events(self, begun_at: int) -> AsyncIterator[Event]:
        """
        What happens in the cluster, one after the other, from a revision on. Ends when the connection does.

        :param begun_at: the last revision that is known already.
        :raises EventsGone: not everything since then is remembered.
        """
        response = await self._again(lambda: self._requested("GET", f"/v2/events?from={begun_at}", None))
        if response.code != 200:
            _raise_refusal(response.code, await self._body(response))
        stream = _EventStream()
        response.deliverBody(stream)
        try:
            while (event := await stream.next()) is not None:
                yield event
        finally:
            stream.stop()

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def read(self, path: str, kind: type[R]) -> R:
        """
        What a path answers, as a record.

        :raises ControlUnreachable: also the last try failed.
        """
        return self._seen(kind, await self.answer("GET", path, harmless=True))

    async def answer(self, method: str, path: str, body: object = None, *, harmless: bool = False) -> Any:
        """
        What the control service answers, as a JSON value.

        :param harmless: doing it twice does no harm, so it is tried again even if it may have arrived.
        :raises ControlUnreachable: it can't be reached, or doesn't answer in time.
        :raises ControlNotTrusted: one of both has the wrong certificate.
        :raises RequestRefused: with an error of the API; one of its subclasses where there is one.
        :raises ControlFailed: something went wrong there.
        :raises AnswerUnreadable: that was no answer of this API.
        """

        async def once() -> tuple[int, bytes]:
            response = await self._requested(method, path, body)
            return response.code, await self._body(response)

        status, found = await self._again(once, harmless=harmless)
        if status >= 400:
            _raise_refusal(status, found)
        return _json(found)

    async def _again(self, call: Callable[[], Awaitable[T]], *, harmless: bool = True) -> T:
        for wait_seconds in RETRY_WAITS_SECONDS:
            try:
                return await call()
            except ControlUnreachable as error:
                if error.arrived and not harmless:
                    raise
            await deferLater(self._reactor, wait_seconds)
        return await call()

    async def _requested(self, method: str, path: str, body: object) -> Any:
        headers = Headers({"User-Agent": ["flocker-admin"]})
        data = None
        if body is not None:
            headers.addRawHeader("Content-Type", "application/json")
            data = json_text(body).encode("ascii")
        url = f"https://{self.address}{path}"
        # unbuffered: the body is read by whoever wants it, as a whole or bit by bit.
        request = self._http.request(
            method, url, headers=headers, data=data, allow_redirects=False, unbuffered=True, reactor=self._reactor
        )
        return await self._in_time(request)

    async def _body(self, response: Any) -> bytes:
        found: bytes = await self._in_time(response.content())
        return found

    async def _in_time(self, waiting: Deferred[T]) -> T:
        too_late = False

        def give_up() -> None:
            nonlocal too_late
            too_late = True
            waiting.cancel()

        deadline = self._reactor.callLater(ANSWER_TIMEOUT_SECONDS, give_up)
        try:
            return await waiting
        except Exception as error:
            if too_late:
                text = f"{self.address}: no answer for {ANSWER_TIMEOUT_SECONDS:.0f} seconds"
                raise ControlUnreachable(text, arrived=True) from error
            if _was_cancelled(error):
                raise CancelledError from error
            told = self._told(error)
            if told is None:
                raise
            raise told from error
        finally:
            if deadline.active():
                deadline.cancel()

    def _told(self, error: BaseException) -> FlockerError | None:
        """
        What a failure of the network means to the user; None: it is none.
        """
        match error:
            case CertificateRefused():
                return ControlNotTrusted(f"the control service at {self.address}: {error}")
            case SSL.Error():
                return ControlNotTrusted(f"the control service at {self.address} refused the connection{_alert(error)}")
            case RequestNotSent() | RequestTransmissionFailed() | ResponseNeverReceived() | ResponseFailed():
                reasons = [reason.value for reason in getattr(error, "reasons", None) or ()]
                told = [self._told(reason) for reason in reasons]
                worst = next((one for one in told if isinstance(one, ControlNotTrusted | AnswerUnreadable)), None)
                return worst or ControlUnreachable(
                    f"{self.address}: the connection was lost before the answer had arrived",
                    arrived=not isinstance(error, RequestNotSent),
                )
            case ParseError():
                return AnswerUnreadable(f"what answers at {self.address} does not speak HTTP")
            case network.ConnectionRefusedError():
                return ControlUnreachable(f"{self.address}: nothing is listening there", arrived=False)
            case network.DNSLookupError():
                return ControlUnreachable(f"{self.address}: there is no host of that name", arrived=False)
            case network.ConnectError():
                return ControlUnreachable(f"{self.address}: {error.osError or error}", arrived=False)
            case network.ConnectionLost() | network.ConnectionDone() | PartialDownloadError():
                return ControlUnreachable(f"{self.address}: the connection was lost", arrived=True)
            case _:
                return None

    def _seen(self, kind: type[R], data: object) -> R:
        try:
            return view(kind, data)
        except WireError as error:
            raise AnswerUnreadable(f"{self.address}: {error}") from error


class _EventStream(Protocol):
    """
    The body of an answer, event by event.
    """

    def __init__(self) -> None:
        self._reader = EventReader()
        self._queue: DeferredQueue[Event | None] = DeferredQueue()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        for event in self._reader.take(data):
            self._queue.put(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002, N802  # Twisted's name
        self._queue.put(None)

    async def next(self) -> Event | None:
        return await self._queue.get()

    def stop(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            # The response's transport proxy has no abortConnection in every release.
            getattr(transport, "abortConnection", transport.loseConnection)()


def _was_cancelled(error: BaseException) -> bool:
    # The HTTP client wraps a cancellation into what it interrupted.
    reasons = getattr(error, "reasons", None) or ()
    return isinstance(error, CancelledError) or any(_was_cancelled(reason.value) for reason in reasons)


def _stash_path(stash: StashView) -> str:
    return f"/v2/stashes/{stash.node_id}/{_quoted(stash.name)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _alert(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [reason[-1] for reason in reasons if reason and reason[-1]]
    return f" ({', '.join(words)})" if words else ""


def _json(body: bytes) -> Any:
    try:
        return json_value(body.decode("utf-8"))
    except (UnicodeDecodeError, WireError) as error:
        raise AnswerUnreadable(f"the answer is not JSON: {error}") from error


def _raise_refusal(status: int, body: bytes) -> None:
    try:
        data = _json(body)
    except AnswerUnreadable:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("description"), str):
        if status >= 500:
            raise ControlFailed(status, "the control service failed without an explanation", None)
        raise AnswerUnreadable(f"status {status} without an explanation")
    description, code = data["description"], str(data.get("code", status))
    if status >= 500:
        incident = data.get("incident")
        raise ControlFailed(status, description, None if incident is None else str(incident))
    found = complaints(data)
    if status == 422:
        raise DeploymentRefused(status, code, description, found)
    if status == 400 and found:
        description = f"{description} {'; '.join(complaint.text for complaint in found)}"
    kinds: Mapping[int, type[RequestRefused]] = {404: NotFound, 410: EventsGone}
    if code == "RevisionConflict":
        raise RevisionChanged(status, code, description)
    raise kinds.get(status, RequestRefused)(status, code, description)

"""
A control service with its real site on loopback TLS, and a client, for the tests of the REST API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pyrsistent import pmap, pvector
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool

from flocker_control.http.site import api_site
from flocker_control.memory_store import MemoryStore
from flocker_control.service import ControlService, opened
from flocker_control.store import Store
from flocker_py.assignment import NodeAssignment
from flocker_py.model import DatasetId, NodeId
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.records import Record, mapping, value
from flocker_py.storage import Role
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from flocker_py.tls import api_server_options, user_client_options

# The module stands for an object whose type only the platform knows.
REACTOR: Any = reactor

A, B, C = (NodeId(UUID(f"{number}aaaaaaa-0000-4000-8000-00000000000{number}")) for number in (1, 2, 3))
ERA = UUID("eeeeeeee-0000-4000-8000-000000000001")
MIB = 1024**2
PROCESS_FIELDS = ("command", "environment", "mounts", "stop_grace_seconds", "labels")


class Reply(Record):
    """
    What came back.

    :param body: parsed, if it is JSON.
    """

    status: int = value(int)
    headers: Mapping[str, list[str]] = mapping(str, list, default={})
    body: Any = value(object, default=None)
    text: str = value(str, default="")


class SilentSession:
    """
    A node that is connected and takes what it is told.
    """

    def __init__(self) -> None:
        self.assigned: NodeAssignment | None = None

    def assign(self, assignment: NodeAssignment) -> None:
        """
        Remember it.
        """
        self.assigned = assignment

    def replaced(self) -> None:
        """
        Nothing to end.
        """


class RestCluster:
    """
    A control service that listens, a user's client of it, and nodes that report what tests say.
    """

    def __init__(self, service: ControlService, port: int, client: HTTPClient) -> None:
        self.service = service
        self.port = port
        self.client = client
        self._sessions: dict[NodeId, SilentSession] = {}

    def url(self, path: str) -> str:
        """
        Where a path is served.
        """
        return f"https://127.0.0.1:{self.port}{path}"

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str | list[str]] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """
        One request.

        :param body: sent as JSON, unless None; ``raw``, as it is.
        """
        data = raw if body is None else json.dumps(body).encode("ascii")

        async def request() -> Reply:
            sent: Any = {name: value if isinstance(value, list) else [value] for name, value in (headers or {}).items()}
            response: Any = await self.client.request(method, self.url(path), data=data, headers=sent)
            content = (await response.content()).decode("utf-8")
            found = {
                name.decode("ascii").lower(): [value.decode("latin-1") for value in values]
                for name, values in response.headers.getAllRawHeaders()
            }
            is_json = found.get("content-type") == ["application/json"] and content
            return Reply(
                status=response.code,
                headers=pmap(found),
                body=json.loads(content) if is_json else None,
                text=content,
            )

        return in_reactor(request)

    def get(self, path: str, **more: Any) -> Reply:
        """
        A GET.
        """
        return self.call("GET", path, **more)

    def post(self, path: str, body: object, **more: Any) -> Reply:
        """
        A POST.
        """
        return self.call("POST", path, body, **more)

    def report(self, node_id: NodeId, *datasets: DatasetObservation, **fields: Any) -> None:
        """
        A node comes, or reports again.
        """
        fields.setdefault("containers", pmap())
        node = NodeObservation(
            node_id=node_id,
            era=fields.pop("era", ERA),
            address=fields.pop("address", f"192.0.2.{node_id.int % 16}"),
            transfer_port=4525,
            version="0.1.0",
            storage="memory",
            runtime="process",
            container_fields=fields.pop("container_fields", pvector(PROCESS_FIELDS)),
            free_bytes=fields.pop("free_bytes", 10**9),
            storage_known=True,
            runtime_known=fields.pop("runtime_known", True),
            datasets=pmap({dataset.dataset_id: dataset for dataset in datasets}),
            **fields,
        )

        async def reported() -> None:
            session = self._sessions.get(node_id)
            if session is None:
                session = self._sessions[node_id] = SilentSession()
                self.service.node_came(session, node)
            else:
                self.service.node_reported(session, node)

        in_reactor(reported)
        self.until(lambda: node_id in self.service.state.nodes)

    def assigned(self, node_id: NodeId) -> NodeAssignment | None:
        """
        What a node was told last.
        """
        return self._sessions[node_id].assigned

    def leave(self, node_id: NodeId) -> None:
        """
        A node's session ends.
        """
        session = self._sessions.pop(node_id)

        async def gone() -> None:
            self.service.node_went(session, node_id)

        in_reactor(gone)

    def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait until the service has got so far.

        :raises twisted.internet.defer.TimeoutError: it hasn't, after a minute.
        """

        async def reached() -> None:
            while not condition():
                await deferLater(REACTOR, 0.01)

        in_reactor(reached)


def owned(dataset_id: DatasetId, *, epoch: int = 1, **fields: Any) -> DatasetObservation:
    """
    A dataset that its owner has mounted.
    """
    fields.setdefault("role", Role.OWNER)
    fields.setdefault("mounted", True)
    return DatasetObservation(dataset_id=dataset_id, epoch=epoch, **fields)


def user_client(certificates: ClusterCertificates) -> HTTPClient:
    """
    An HTTP client with the user's certificate and without persistent connections.
    """
    pool: Any = HTTPConnectionPool(REACTOR, persistent=False)  # type: ignore[no-untyped-call]
    agent: Any = Agent(REACTOR, user_client_options(certificates.user), pool=pool)  # type: ignore[no-untyped-call]
    return HTTPClient(agent)


@contextmanager
def rest_cluster(
    directory: Path,
    *,
    store: Store | None = None,
    certificates: ClusterCertificates | None = None,
    now_seconds: Callable[[], float] | None = None,
    **options: Any,
) -> Iterator[RestCluster]:
    """
    A control service that listens on loopback until the end of the block.

    :param directory: where certificates are made, unless there are some.
    :param now_seconds: the time of day; None: that of the reactor.
    :param options: of the site.
    """
    certificates = make_cluster(directory) if certificates is None else certificates
    known = certificates

    async def begin() -> tuple[RestCluster, Any]:
        service = await opened(
            MemoryStore() if store is None else store, clock=REACTOR, new_id=uuid4, now_seconds=now_seconds
        )
        site = api_site(service, uuid4=uuid4, validate_answers=True, **{"clock": REACTOR, **options})
        port = REACTOR.listenSSL(0, site, api_server_options(known.control), interface="127.0.0.1")
        return RestCluster(service, port.getHost().port, user_client(known)), port

    cluster, port = in_reactor(begin)

    async def end() -> None:
        await port.stopListening()
        await cluster.service.store.close()

    try:
        yield cluster
    finally:
        in_reactor(end)

"""
The REST API under bad clients, a bad store, and bad luck.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eliot import add_destinations, remove_destination
from pyrsistent import PVector
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from flocker_control import codec
from flocker_control.commands import Command, CreateDataset, PutNode
from flocker_control.http.request import DISCARDED_BYTES, REQUEST_SECONDS
from flocker_control.memory_store import MemoryStore
from flocker_control.store import Commit, StoreFull
from flocker_py.credentials import Credential
from flocker_py.identity import UserIdentity
from flocker_py.model import DatasetId
from flocker_py.testing.certificates import ClusterCertificates, install, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import REACTOR, A, B, RestCluster, rest_cluster

CREATE = CreateDataset(dataset_id=DatasetId(UUID(int=7)), primary=A)
DATASETS = "/v1/configuration/datasets"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service.
    """
    with rest_cluster(tmp_path, certificates=certificates) as running:
        yield running


@contextmanager
def connected(cluster: RestCluster, credential: Credential) -> Iterator[ssl.SSLSocket]:
    """
    A connection, for bytes that no client sends.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(credential.ca_path)
    context.load_cert_chain(credential.certificate_path, credential.key_path)
    with (
        socket.create_connection(("127.0.0.1", cluster.port), timeout=30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        yield secured


def answered(connection: ssl.SSLSocket) -> bytes:
    """
    All that comes back until the other side closes.
    """
    received = b""
    while True:
        try:
            part = connection.recv(65536)
        except (ConnectionError, ssl.SSLEOFError):
            return received
        if not part:
            return received
        received += part


class FullStore(MemoryStore):
    """
    A store on a full disk.
    """

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        Refused.
        """
        raise StoreFull("/data/store.sqlite: database or disk is full")


class DoubtfulStore(MemoryStore):
    """
    A store of which one commit is durable, and seems to have failed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.doubtful = False

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        Done; but whoever waits may be told that it isn't.
        """
        after = await super().commit(revision, puts, deletes)
        if self.doubtful:
            self.doubtful = False
            raise StoreFull("/data/store.sqlite: disk I/O error")
        return after


class GatedStore(MemoryStore):
    """
    A store whose commits wait until they are let through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Deferred[None]] = []
        self.gated = False

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        Wait, and commit.
        """
        if self.gated:
            gate: Deferred[None] = Deferred()
            self.waiting.append(gate)
            await gate
        return await super().commit(revision, puts, deletes)

    def let_through(self) -> None:
        """
        Wait no more.
        """
        self.gated = False
        for gate in self.waiting:
            gate.callback(None)


class BrokenStore(MemoryStore):
    """
    A store with a mistake in it.
    """

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        A mistake.
        """
        raise ZeroDivisionError("a mistake")

    async def commits_after(self, revision: int) -> PVector[Commit]:
        """
        Another.
        """
        raise ZeroDivisionError("a mistake")


class TestWhoMayCome:
    """
    Certificates.
    """

    def test_node_is_turned_away(self, cluster: RestCluster, certificates: ClusterCertificates) -> None:
        """
        A node's certificate doesn't open the users' port.
        """
        with pytest.raises((ssl.SSLError, ConnectionError)), connected(cluster, certificates.nodes[0]) as connection:
            connection.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"" == connection.recv(1000)
            raise ConnectionError("closed without a word")

    def test_plain_text_is_turned_away(self, cluster: RestCluster) -> None:
        """
        Without TLS there is no answer, and the service goes on.
        """
        with socket.create_connection(("127.0.0.1", cluster.port), timeout=30) as plain:
            plain.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP" not in plain.recv(1000)
        assert 200 == cluster.get("/v1/version").status

    def test_name_is_logged(self, tmp_path: Path, certificates: ClusterCertificates, cluster: RestCluster) -> None:
        """
        The log says which user asked, as which task, and how it ended.
        """
        messages: list[dict[str, Any]] = []
        add_destinations(messages.append)
        task = "7a6f3f0e-6f4f-4b0e-8f0e-0f0f0f0f0f0f"
        try:
            cluster.get("/v1/version", headers={"X-Eliot-Task-Id": f"{task}@/3"})
        finally:
            remove_destination(messages.append)

        ours = [message for message in messages if message["task_uuid"] == task]
        assert ["testing", None] == [message.get("user") for message in ours]
        assert ([3, 1], 200) == (ours[0]["task_level"], ours[1]["status"])

    def test_any_user_of_the_cluster(
        self, tmp_path: Path, certificates: ClusterCertificates, cluster: RestCluster
    ) -> None:
        """
        Every user that the cluster's authority has signed is let in.
        """
        other = install(tmp_path / "other", certificates.authority, UserIdentity(name="other"))

        with connected(cluster, other) as connection:
            connection.sendall(b"GET /v1/version HTTP/1.0\r\n\r\n")
            assert b'{"flocker":"1.15.0"}' in answered(connection)


class TestRawRequests:
    """
    Requests that no client sends.
    """

    @pytest.mark.parametrize(
        ("request_bytes", "status"),
        [
            (b"GET /v1/version HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", 200),
            (b"GET /v1/version HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
            (b"GET /v1/version HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n", 400),
            (b"GET /v1/version HTTP/1.1\r\nHost: " + b"a" * 70 + b".x\r\nConnection: close\r\n\r\n", 400),
            (b"GET /v1/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
            (b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
            (b"G\xffT /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
            (b"BREW /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
            (b"GET /v1/version?%ff=%ff&x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
            (b"nonsense\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ],
        ids=range(12),
    )
    def test_answered(
        self, cluster: RestCluster, certificates: ClusterCertificates, request_bytes: bytes, status: int
    ) -> None:
        """
        Whatever comes is answered with a status that fits, and never with a 500.
        """
        with connected(cluster, certificates.user) as connection:
            connection.sendall(request_bytes)
            answer = answered(connection)

        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]

    def test_host_that_is_none(self, cluster: RestCluster, certificates: ClusterCertificates) -> None:
        """
        A host name that can't be is refused in JSON.
        """
        with connected(cluster, certificates.user) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: " + b"a" * 70 + b"\xc3\xa9.x\r\nConnection: close\r\n\r\n")
            body = answered(connection).partition(b"\r\n\r\n")[2]

        assert "RequestRefused" == json.loads(body)["code"]

    def test_endless_body(self, cluster: RestCluster, certificates: ClusterCertificates) -> None:
        """
        Who goes on sending a body far beyond what is allowed is cut off.
        """
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with connected(cluster, certificates.user) as connection:
            connection.sendall(b"POST /v1/version HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with pytest.raises((ConnectionError, ssl.SSLError)):
                for _ in range(2 * DISCARDED_BYTES // 0x100000):
                    connection.sendall(chunk)

        assert 200 == cluster.get("/v1/version").status

    def test_many_requests_on_one_connection(self, cluster: RestCluster, certificates: ClusterCertificates) -> None:
        """
        A connection serves one request after the other, also when they all come at once.
        """
        asked = b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n" * 49
        with connected(cluster, certificates.user) as connection:
            connection.sendall(asked + b"GET /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

            assert 50 == answered(connection).count(b'{"flocker":"1.15.0"}')


def due(clock: Clock) -> list[float]:
    """
    When the clock's calls are due.
    """
    return [call.getTime() for call in clock.getDelayedCalls()]


def advance(clock: Clock, seconds: float) -> None:
    """
    Let time go by for the service.
    """

    async def advanced() -> None:
        clock.advance(seconds)

    in_reactor(advanced)


class TestTime:
    """
    Clients that take their time.
    """

    def test_trickle(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        A request that doesn't arrive in a minute is cut off, however busily it trickles in.
        """
        clock = Clock()
        with (
            rest_cluster(tmp_path, certificates=certificates, clock=clock) as cluster,
            connected(cluster, certificates.user) as connection,
        ):
            connection.sendall(b"POST /v1/configuration/datasets HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
            connection.sendall(b"12345")
            cluster.until(lambda: due(clock).count(REQUEST_SECONDS) == 2)
            advance(clock, REQUEST_SECONDS - 1)
            connection.sendall(b"6")
            # A connection that is silent for a minute is closed, too; this one isn't.
            cluster.until(lambda: 2 * REQUEST_SECONDS - 1 in due(clock))
            advance(clock, 1)
            assert b"" == answered(connection)

    def test_client_goes_away(self, cluster: RestCluster, certificates: ClusterCertificates) -> None:
        """
        What a client asked for before it went is done all the same, wholly.
        """
        body = json.dumps({"primary": str(A)}).encode("ascii")
        head = b"POST /v1/configuration/datasets HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with connected(cluster, certificates.user) as connection:
            connection.sendall(head + body)

        cluster.until(lambda: len(cluster.service.state.datasets) == 1)
        assert 201 == cluster.post(DATASETS, {"primary": str(A)}).status


class TestAtOnce:
    """
    Things that happen at the same time.
    """

    @pytest.mark.parametrize("disturbing", [False, True], ids=["unrelated", "related"])
    def test_condition_and_commit(self, tmp_path: Path, certificates: ClusterCertificates, disturbing: bool) -> None:
        """
        A conditional request that overlaps another commit is refused only if that changed what is wanted of datasets.
        """
        store = GatedStore()
        with rest_cluster(tmp_path, store=store, certificates=certificates) as cluster:
            tag = cluster.get(DATASETS).headers["x-configuration-tag"][0]

            async def both() -> int:
                store.gated = True
                command: Command = CREATE if disturbing else PutNode(node_id=A, name="alpha")
                first = Deferred.fromCoroutine(cluster.service.submit(command))
                body = json.dumps({"primary": str(A)}).encode("ascii")
                headers: Any = {"X-If-Configuration-Matches": tag}
                second = cluster.client.post(cluster.url(DATASETS), data=body, headers=headers)
                # The request has arrived once it waits behind the first commit.
                while not cluster.service._lock.waiting:  # nothing else shows it
                    await deferLater(REACTOR, 0.01)
                store.let_through()
                await first
                response: Any = await second
                await response.content()
                return int(response.code)

            assert (412 if disturbing else 201) == in_reactor(both)

    def test_client_goes_during_the_commit(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        A commit that is under way when its client goes is neither lost nor in the way of the next one.
        """
        store = GatedStore()
        with rest_cluster(tmp_path, store=store, certificates=certificates) as cluster:
            store.gated = True
            body = json.dumps({"primary": str(A)}).encode("ascii")
            head = b"POST /v1/configuration/datasets HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            with connected(cluster, certificates.user) as connection:
                connection.sendall(head + body)
                cluster.until(lambda: len(store.waiting) == 1)
            cluster.get("/v1/version")

            async def let_through() -> None:
                store.let_through()

            in_reactor(let_through)
            cluster.until(lambda: len(cluster.service.state.datasets) == 1)
            assert 201 == cluster.post(DATASETS, {"primary": str(A)}).status


class TestStoreTrouble:
    """
    A store that fails.
    """

    def test_full(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        While the store's disk is full nothing is changed, and the answer says what to do.
        """
        with rest_cluster(tmp_path, store=FullStore(), certificates=certificates) as cluster:
            reply = cluster.post(DATASETS, {"primary": str(A)})
            listed = cluster.get(DATASETS).body

        assert (503, "StoreFull", []) == (reply.status, reply.body["code"], listed)
        assert "make room" in reply.body["description"]

    def test_status(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        Why the last change could not be made durable can be asked for.
        """
        with rest_cluster(tmp_path, store=FullStore(), certificates=certificates) as cluster:
            before = cluster.get("/v2/status").body
            cluster.post(DATASETS, {"primary": str(A)})
            after = cluster.get("/v2/status").body

        assert (None, None) == (before["store_error"], before["backups"])
        assert "StoreFull" == after["store_error"]["code"]

    def test_commit_in_doubt(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        What was committed though it seemed to have failed is taken over with the next change, and nodes hear of both.
        """
        store = DoubtfulStore()
        with rest_cluster(tmp_path, store=store, certificates=certificates) as cluster:
            cluster.report(A)
            cluster.until(lambda: A in cluster.service.state.nodes)
            store.doubtful = True
            statuses = [cluster.post(DATASETS, {"primary": str(A)}).status for _ in range(2)]
            cluster.until(lambda: (told := cluster.assigned(A)) is not None and len(told.datasets) == 2)
            stored = codec.loaded_state(in_reactor(store.load))

            assert ([503, 201], stored) == (statuses, cluster.service.state)

    def test_condition_on_a_commit_in_doubt(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        A change that is meant for one revision is refused if there was a later commit, in doubt though it was.
        """
        store = DoubtfulStore()
        with rest_cluster(tmp_path, store=store, certificates=certificates) as cluster:
            cluster.report(A)
            document = {
                "version": 2,
                "cluster": {"name": "test"},
                "nodes": {"alpha": {"uuid": str(A)}},
                "volumes": {"pg": {}},
                "apps": {"db": {"node": "alpha", "command": "serve", "mounts": [{"volume": "pg"}]}},
            }
            asked = {"deployment": document, "revision": cluster.service.state.revision}
            store.doubtful = True
            statuses = [cluster.post(DATASETS, {"primary": str(A)}).status]
            statuses += [cluster.post("/v2/apply", asked).status for _ in range(2)]

            assert [503, 409, 409] == statuses

    def test_news_after_a_commit_in_doubt(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        News from a node, which nobody would send again, is recorded all the same.
        """
        store = DoubtfulStore()
        with rest_cluster(tmp_path, store=store, certificates=certificates) as cluster:
            store.doubtful = True
            cluster.report(A)
            cluster.report(B)
            cluster.until(lambda: {A, B} == set(cluster.service.state.nodes))
            stored = codec.loaded_state(in_reactor(store.load))

            assert stored == cluster.service.state

    def test_mistake(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        What we didn't think of is a 500 with the number of the incident, under which the log has the whole story.
        """
        messages: list[dict[str, Any]] = []
        add_destinations(messages.append)
        try:
            with rest_cluster(tmp_path, store=BrokenStore(), certificates=certificates) as cluster:
                reply = cluster.post(DATASETS, {"primary": str(A)})
        finally:
            remove_destination(messages.append)

        assert (500, "InternalError") == (reply.status, reply.body["code"])
        incident = reply.body["incident"].partition("@")[0]
        story = [message.get("message_type") for message in messages if message["task_uuid"] == incident]
        assert "eliot:traceback" in story

    def test_answer_that_does_not_fit(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        Under test, an answer that breaks its own schema is a mistake.
        """
        with rest_cluster(tmp_path, certificates=certificates, mount_root="/flocker") as cluster:

            async def wrong() -> None:
                dataset = (await cluster.service.submit(CREATE)).datasets
                cluster.service.state = cluster.service.state.set(
                    datasets=dataset.transform([_only(dataset), "metadata"], lambda found: found.set("x", "y" * 300))
                )

            in_reactor(wrong)
            assert 500 == cluster.get(DATASETS).status
            assert 200 == cluster.get("/v1/version").status


def _only(found: Mapping[Any, Any]) -> Any:
    return next(iter(found))

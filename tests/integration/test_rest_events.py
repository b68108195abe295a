"""
The feed of events.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import pytest
from twisted.internet.task import Clock

from flocker_control.commands import ApplyAll, ChangeMetadata, CreateDataset, PutContainer, PutNode, RemoveContainer
from flocker_control.http.events import HEARTBEAT_SECONDS, WAITING_EVENTS
from flocker_control.memory_store import MemoryStore
from flocker_control.service import Committed, Observed
from flocker_control.state import Changes
from flocker_py.model import Container, ContainerName, DatasetId, Node
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import A, B, RestCluster, owned, rest_cluster

D = DatasetId(UUID(int=7))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service with node A.
    """
    with rest_cluster(tmp_path, certificates=certificates) as running:
        running.report(A)
        yield running


class Feed:
    """
    A reader of the feed.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.status = int(stream.readline().split()[1])
        self.headers = dict(self._header_lines())

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._stream.readline().decode("ascii").strip():
            name, _, text = line.partition(": ")
            yield name.lower(), text

    def _lines(self) -> Iterator[str]:
        """
        The lines of a chunked body.
        """
        rest = ""
        while size := int(self._stream.readline() or b"0", 16):
            rest += self._stream.read(size).decode("ascii")
            self._stream.readline()
            *whole, rest = rest.split("\n")
            yield from whole

    def events(self) -> Iterator[dict[str, Any]]:
        """
        Each event with ``id``, ``event`` and ``data``; comments as ``comment``. Ends where the feed ends.
        """
        event: dict[str, Any] = {}
        for line in self._lines():
            name, _, text = line.partition(": ")
            match name:
                case "":
                    if text:
                        yield {"comment": text}
                    elif event:
                        yield event
                        event = {}
                case "data":
                    event["data"] = json.loads(text)
                case _:
                    event[name] = text


@contextmanager
def feed(
    cluster: RestCluster, certificates: ClusterCertificates, query: str = "", *headers: str, method: str = "GET"
) -> Iterator[Feed]:
    """
    A reader who has read the feed's beginning.
    """
    user = certificates.user
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(user.ca_path)
    context.load_cert_chain(user.certificate_path, user.key_path)
    lines = [f"{method} /v2/events{query} HTTP/1.1", "Host: x", *headers, "", ""]
    with ExitStack() as end:
        plain = end.enter_context(socket.create_connection(("127.0.0.1", cluster.port), timeout=30))
        secured = end.enter_context(context.wrap_socket(plain))
        secured.sendall("\r\n".join(lines).encode("ascii"))
        yield Feed(end.enter_context(secured.makefile("rb")))


def commits(events: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """
    The next commits.
    """
    found: list[dict[str, Any]] = []
    while len(found) < count:
        event = next(events)
        if event.get("event") == "committed":
            found.append(event)
    return found


def submit(cluster: RestCluster, *commands: Any) -> int:
    """
    Carry out commands, one commit each; the revision after.
    """

    async def submitted() -> int:
        for command in commands:
            await cluster.service.submit(command)
        return cluster.service.state.revision

    return in_reactor(submitted)


CREATE = CreateDataset(dataset_id=D, primary=A, name="pg")


def test_form(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    The feed is a stream of events that nobody keeps.
    """
    with feed(cluster, certificates) as reader:
        assert (200, "text/event-stream", "no-store") == (
            reader.status,
            reader.headers["content-type"],
            reader.headers["cache-control"],
        )


def test_what_happens_from_now_on(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    Without a revision the feed begins with the next thing that happens.
    """
    with feed(cluster, certificates) as reader:
        events = reader.events()
        next(events)
        revision = submit(cluster, CREATE)

        [event] = commits(events, 1)
    assert (str(revision), revision) == (event["id"], event["data"]["revision"])


def test_change_in_words(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    A commit says of each change what it is about, and what it is in words.
    """
    submit(cluster, PutNode(node_id=A, name="alpha"))
    revision = submit(cluster, CREATE)

    with feed(cluster, certificates, f"?from={revision - 1}") as reader:
        [event] = commits(reader.events(), 1)
    expected = [
        {
            "kind": "dataset",
            "id": str(D),
            "name": "pg",
            "deleted": False,
            "text": "dataset pg: wanted on node alpha",
        },
        {
            "kind": "ownership",
            "id": str(D),
            "name": "pg",
            "deleted": False,
            "text": "dataset pg: owned by node alpha under epoch 1, not made yet",
        },
    ]
    assert expected == event["data"]["changes"]


def test_story_of_a_dataset(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    Moves, cancellations, containers and deletions each are told in a sentence.
    """
    begun = submit(cluster, PutNode(node_id=A, name="alpha"))
    cluster.report(B)
    submit(cluster, PutNode(node_id=B, name="beta"), CREATE)
    cluster.report(A, owned(D))
    cluster.until(lambda: cluster.service.state.ownerships[D].created)
    cluster.post("/v2/moves", {"dataset": "pg", "target": "beta"})
    move_id = cluster.get("/v2/datasets/pg").body["move"]["move_id"]
    cluster.call("DELETE", f"/v2/moves/{move_id}")
    container = Container(name=ContainerName("web"), node_id=A, image="x")
    in_reactor(lambda: cluster.service.submit(ApplyAll()))
    cluster.leave(A)
    submit(cluster, PutContainer(container=container), RemoveContainer(name=container.name))
    cluster.call("DELETE", "/v2/datasets/pg")
    cluster.report(A)
    cluster.until(lambda: cluster.service.state.ownerships[D].destroyed)
    revision = cluster.service.state.revision

    with feed(cluster, certificates, f"?from={begun}") as reader:
        told = [
            change["text"]
            for event in commits(reader.events(), revision - begun)
            for change in event["data"]["changes"]
        ]
    for sentence in (
        "node beta: at 192.0.2.2",
        "dataset pg: owned by node alpha under epoch 1",
        "dataset pg: owned by node alpha under epoch 1, moving to node beta: copying",
        "dataset pg: owned by node alpha under epoch 2, last move cancelled",
        "container web: wanted on node alpha",
        "container web was removed",
        "dataset pg: to be deleted",
        "dataset pg: deleted, and no copy is left",
    ):
        assert sentence in told


def test_nothing_is_lost_or_told_twice(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    From a revision on, every commit is told once and in order, those of the past and those to come.
    """
    submit(cluster, CREATE)
    for number in range(20):
        submit(cluster, ChangeMetadata(dataset_id=D).set(metadata={"n": str(number)}))

    with feed(cluster, certificates, "?from=0") as reader:
        events = reader.events()
        for number in range(20, 40):
            submit(cluster, ChangeMetadata(dataset_id=D).set(metadata={"n": str(number)}))
        revision = cluster.service.state.revision

        found = [int(event["id"]) for event in commits(events, revision)]
    assert list(range(1, revision + 1)) == found


def test_reading_on(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    A reader that was cut off goes on after the last event that it has.
    """
    revision = submit(cluster, CREATE)

    with feed(cluster, certificates, "?from=0", f"Last-Event-ID: {revision - 1}") as reader:
        [event] = commits(reader.events(), 1)
    assert str(revision) == event["id"]


def test_observations(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    What nodes report, and that they come and go, is told without a revision.
    """
    with feed(cluster, certificates) as reader:
        events = reader.events()
        next(events)
        cluster.leave(A)

        event = next(event for event in events if event.get("event") == "observed")
    assert ({"node_id": str(A), "connected": False}, True) == (event["data"], "id" not in event)


@pytest.mark.parametrize("query", ["?from=1000000", "?from=0"])
def test_forgotten(tmp_path: Path, certificates: ClusterCertificates, query: str) -> None:
    """
    A revision that is not remembered, or was never reached, is gone.
    """
    with rest_cluster(tmp_path, store=MemoryStore(history_commits=1), certificates=certificates) as cluster:
        submit(cluster, CREATE, PutNode(node_id=A, name="alpha"))

        reply = cluster.get(f"/v2/events{query}")
    assert (410, "HistoryGone") == (reply.status, reply.body["code"])


@pytest.mark.parametrize("query", ["?from=-1", "?from=x", "?from=", "?from=9999999999999999999", "?from=%C2%B2"])
def test_no_revision(cluster: RestCluster, query: str) -> None:
    """
    What is no revision is refused.
    """
    reply = cluster.get(f"/v2/events{query}")

    assert (400, "RevisionRefused") == (reply.status, reply.body["code"])


def test_head(cluster: RestCluster) -> None:
    """
    HEAD is answered at once.
    """
    assert (200, "") == (cluster.call("HEAD", "/v2/events").status, cluster.call("HEAD", "/v2/events").text)


def test_heartbeat(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    A comment every 15 seconds says that the feed is alive.
    """
    clock = Clock()
    with (
        rest_cluster(tmp_path, certificates=certificates, clock=clock) as cluster,
        feed(cluster, certificates) as reader,
    ):
        events = reader.events()
        assert ["events of the cluster", "heartbeat"] == [next(events)["comment"] for _ in range(2)]

        async def later() -> None:
            clock.advance(HEARTBEAT_SECONDS)

        in_reactor(later)
        assert {"comment": "heartbeat"} == next(events)


def watchers(cluster: RestCluster) -> int:
    """
    How many are told by the service.
    """
    return len(cluster.service._watchers)  # there is no other way to see that nothing is left behind


def test_reader_goes(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    Nothing is kept for a reader that has gone.
    """
    with feed(cluster, certificates) as reader:
        next(reader.events())
        assert 1 == watchers(cluster)

    cluster.until(lambda: watchers(cluster) == 0)


def test_refused_reader(cluster: RestCluster) -> None:
    """
    Nothing is kept for a reader that was refused.
    """
    cluster.get("/v2/events?from=1000000")

    assert 0 == watchers(cluster)


def test_slow_reader(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    A reader that takes nothing is cut off in the end, and what it was sent has no gap.
    """
    submit(cluster, CREATE)
    state = cluster.service.state
    node = Node(node_id=B, name="x" * 30_000)

    async def burst() -> None:
        for number in range(5000):
            cluster.service._tell(  # as many commits as this would take too long
                Committed(revision=state.revision + 1 + number, changes=Changes().put(node))
            )

    with feed(cluster, certificates) as reader:
        events = reader.events()
        next(events)
        in_reactor(burst)
        found = []
        try:
            for event in events:
                if event.get("event") == "committed":
                    found.append(int(event["id"]))
        except (ValueError, OSError, ssl.SSLError):
            pass

    assert list(range(state.revision + 1, state.revision + 1 + len(found))) == found
    assert len(found) < 5000
    cluster.until(lambda: watchers(cluster) == 0)


def test_slow_reader_catches_up(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    A reader that falls behind, but not too far, gets every commit, and of each node only the newest report.
    """
    submit(cluster, CREATE)
    state = cluster.service.state
    node = Node(node_id=B, name="x" * 30_000)

    async def burst() -> None:
        for number in range(WAITING_EVENTS):
            revision = state.revision + 1 + number
            cluster.service._tell(Committed(revision=revision, changes=Changes().put(node)))
            cluster.service._tell(Observed(node_id=B))

    with feed(cluster, certificates) as reader:
        events = reader.events()
        next(events)
        in_reactor(burst)
        reports = 0
        revisions: list[int] = []
        while len(revisions) < WAITING_EVENTS or not reports:
            event = next(events)
            reports += event.get("event") == "observed"
            revisions += [int(event["id"])] if "id" in event else []

    assert list(range(state.revision + 1, state.revision + 1 + WAITING_EVENTS)) == revisions
    assert reports < WAITING_EVENTS / 2

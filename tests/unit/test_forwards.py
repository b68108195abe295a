"""
Published ports: where they lead from nodes that forward, and who is told of it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from flocker_control.commands import PutContainer, PutNode, RemoveContainer
from flocker_control.forwards import PublishedPorts, serving_node
from flocker_control.memory_store import MemoryStore
from flocker_control.service import ControlService, opened
from flocker_py.assignment import Forward, NodeAssignment
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Mount,
    Node,
    NodeId,
    Ownership,
    Port,
)
from flocker_py.observed import ContainerObservation, ContainerPhase, NodeObservation

A, B, C = (NodeId(UUID(int=number)) for number in (0xA, 0xB, 0xC))
D1, D2 = (DatasetId(UUID(int=number)) for number in (0xD1, 0xD2))
NODES = {
    node_id: Node(node_id=node_id, address=address)
    for node_id, address in ((A, "192.0.2.1"), (B, "192.0.2.2"), (C, "192.0.2.3"))
}
DB, WEB = ContainerName("db"), ContainerName("web")


def container(name: str = "db", node: NodeId = A, *ports: int | Port, mounts: tuple[DatasetId, ...] = ()) -> Container:
    """
    A container that publishes TCP ports.
    """
    return Container(
        name=ContainerName(name),
        node_id=node,
        command=pvector(["/bin/serve"]),
        mounts=pvector(Mount(dataset_id=dataset_id) for dataset_id in mounts),
        ports=pvector(port if isinstance(port, Port) else Port(internal=1, external=port) for port in ports),
    )


def tcp(port: int, address: str | None, *names: str) -> Forward:
    """
    A TCP port that leads to an address.
    """
    return Forward(protocol="tcp", port=port, address=address, containers=pvector(map(ContainerName, names)))


class TestServingNode:
    """
    Where clients find a container.
    """

    def owned(self, *owners: NodeId, deleted: bool = False) -> tuple[Any, Any]:
        ids = (D1, D2)[: len(owners)]
        return (
            {d: Dataset(dataset_id=d, primary=B, deleted=deleted) for d in ids},
            {d: Ownership(dataset_id=d, owner=owner) for d, owner in zip(ids, owners, strict=True)},
        )

    def test_placed(self) -> None:
        """
        Where it is asked to run.
        """
        assert serving_node(container(mounts=(D1,)), B, {}, {}) == B

    def test_without_data(self) -> None:
        """
        One without data is where it is wanted, while it is asked to run nowhere.
        """
        assert serving_node(container(), None, {}, {}) == A

    def test_data_on_its_way(self) -> None:
        """
        One whose data is being moved is where its owner is.
        """
        assert serving_node(container("db", B, mounts=(D1, D2)), None, *self.owned(A, A)) == A

    @pytest.mark.parametrize("case", ["apart", "deleted", "unknown", "without owner"])
    def test_nowhere(self, case: str) -> None:
        """
        One whose data is in several places, or in none, is found nowhere.
        """
        known = {
            "apart": self.owned(A, B),
            "deleted": self.owned(A, A, deleted=True),
            "unknown": ({}, {}),
            "without owner": (self.owned(A, A)[0], {}),
        }[case]

        assert serving_node(container(mounts=(D1, D2)), None, *known) is None


class TestPublishedPorts:
    """
    What the ports of all containers come to.
    """

    def test_from_other_nodes(self) -> None:
        """
        A port leads to the node of its container, from every other one; there it is served already.
        """
        ports = PublishedPorts()
        ports.changed(DB, container("db", A, 80), A)

        assert (ports.forwards(A, NODES), ports.forwards(B, NODES)) == (
            pmap(),
            pmap({"tcp/80": tcp(80, "192.0.2.1", "db")}),
        )

    def test_changed(self) -> None:
        """
        What may lead elsewhere than before is told: ports of then and of now.
        """
        ports = PublishedPorts()
        ports.changed(DB, container("db", A, 80, 81), A)

        assert ports.changed(DB, container("db", B, 81, 82), B) == {"tcp/80", "tcp/81", "tcp/82"}

    def test_moved(self) -> None:
        """
        It leads where the container is now, and only what is asked about is answered.
        """
        ports = PublishedPorts()
        ports.changed(DB, container("db", A, 80, 81), A)
        ports.changed(DB, container("db", A, 80, 81), B)

        assert ports.forwards(C, NODES, ["tcp/81", "tcp/7"]) == pmap({"tcp/81": tcp(81, "192.0.2.2", "db")})

    def test_gone(self) -> None:
        """
        A port that nobody publishes any more leads nowhere.
        """
        ports = PublishedPorts()
        ports.changed(DB, container("db", A, 80), A)
        gone = ports.changed(DB, None, None)

        assert (gone, ports.forwards(C, NODES), ports.on(A)) == ({"tcp/80"}, pmap(), frozenset())

    def test_published_by_several_nodes(self) -> None:
        """
        A port that containers on several nodes publish leads nowhere from a third one, which is told who they are; what
        is on one of those nodes is served by it.
        """
        ports = PublishedPorts()
        ports.changed(WEB, container("web", A, 80), A)
        ports.changed(DB, container("db", B, 80), B)

        assert (ports.forwards(A, NODES), ports.forwards(C, NODES)) == (
            pmap(),
            pmap({"tcp/80": tcp(80, None, "db", "web")}),
        )

    @pytest.mark.parametrize("nodes", [{}, {A: Node(node_id=A)}])
    def test_address_not_known(self, nodes: dict[NodeId, Node]) -> None:
        """
        What is on a node whose address nobody knows leads nowhere yet.
        """
        ports = PublishedPorts()
        ports.changed(DB, container("db", A, 80), A)

        assert ports.forwards(B, nodes) == pmap()

    def test_port_of_one_address(self) -> None:
        """
        What is published at one address of its node is meant for nobody else.
        """
        ports = PublishedPorts()
        ports.changed(DB, container("db", A, Port(internal=1, external=80, host_address="127.0.0.1")), A)

        assert ports.forwards(B, NODES) == pmap()


class Session:
    """
    A session that remembers what the node was asked last, and how often.
    """

    def __init__(self) -> None:
        self.assigned: list[NodeAssignment] = []

    def assign(self, assignment: NodeAssignment) -> None:
        self.assigned.append(assignment)

    def replaced(self) -> None: ...

    @property
    def forwards(self) -> dict[str, str | None]:
        return {key: forward.address for key, forward in self.assigned[-1].forwards.items()}


def done(work: Coroutine[Any, Any, Any]) -> Any:
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def report(node_id: NodeId, *fields: str, address: str | None = None, runs: tuple[str, ...] = ()) -> NodeObservation:
    """
    What a node says of itself.
    """
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address=address or str(NODES[node_id].address),
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
        container_fields=pvector(["command", "ports", *fields]),
        storage_known=True,
        runtime_known=True,
        containers=pmap(
            {
                ContainerName(name): ContainerObservation(name=ContainerName(name), phase=ContainerPhase.RUNNING)
                for name in runs
            }
        ),
    )


class Served:
    """
    A control service with the nodes A, which runs what publishes ports, B, which forwards them, and C, which doesn't.
    """

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.service = self.opened()
        self.a, self.b, self.c = (self.came(report(A)), self.came(report(B, "ports.forwarded")), self.came(report(C)))

    def opened(self) -> ControlService:
        service: ControlService = done(opened(self.store, clock=Clock(), new_id=lambda: UUID(int=7)))
        return service

    def came(self, node: NodeObservation) -> Session:
        session = Session()
        self.service.node_came(session, node)
        return session

    def put(self, wanted: Container) -> None:
        done(self.service.submit(PutContainer(container=wanted)))


class TestWhoIsTold:
    """
    Nodes that forward hear of ports, and only of what is news.
    """

    def test_only_nodes_that_forward(self) -> None:
        """
        A new port is told to a node that forwards, and to no other.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))

        assert (cluster.a.forwards, cluster.b.forwards, cluster.c.forwards) == ({}, {"tcp/80": "192.0.2.1"}, {})

    def test_nothing_new(self) -> None:
        """
        A change of a container that has no ports is not told to others.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))
        before = len(cluster.b.assigned)
        cluster.put(container("web", A))

        assert len(cluster.b.assigned) == before

    def test_removed(self) -> None:
        """
        A port that is no more is taken back.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))
        done(cluster.service.submit(RemoveContainer(name=DB)))

        assert cluster.b.forwards == {}

    def test_moved_to_a_node_that_forwards(self) -> None:
        """
        Where the container runs itself, its port isn't forwarded.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))
        cluster.put(container("db", B, 80))

        assert cluster.b.forwards == {}

    def test_node_comes_later(self) -> None:
        """
        A node that begins a session is told at once where ports lead.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))
        again = cluster.came(report(B, "ports.forwarded"))

        assert again.assigned[0].forwards == pmap({"tcp/80": tcp(80, "192.0.2.1", "db")})

    def test_control_service_restarts(self) -> None:
        """
        A control service that was restarted asks for the same from its first word on.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))
        cluster.service = cluster.opened()
        again = cluster.came(report(B, "ports.forwarded"))

        assert again.assigned[0].forwards == pmap({"tcp/80": tcp(80, "192.0.2.1", "db")})

    def test_node_forwards_no_more(self) -> None:
        """
        A node that comes back without forwarding is told of no ports any more.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))

        assert cluster.came(report(B)).forwards == {}

    def test_address_changes(self) -> None:
        """
        A node that is reached at another address takes its ports along.
        """
        cluster = Served()
        cluster.put(container("db", A, 80))
        cluster.came(report(A, address="192.0.2.77"))

        assert cluster.b.forwards == {"tcp/80": "192.0.2.77"}

    def test_unused(self) -> None:
        """
        News of a node without ports is no news for those that forward.
        """
        cluster = Served()
        before = len(cluster.b.assigned)
        done(cluster.service.submit(PutNode(node_id=A, name="alpha")))

        assert len(cluster.b.assigned) == before

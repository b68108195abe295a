"""
Links that lead nowhere, as far as the control service can know.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control.dead_links import all_link_warnings, link_warnings
from flocker_control.forwards import PublishedPorts
from flocker_control.state import Changes, State, changed
from flocker_py.model import Container, ContainerName, Link, Node, NodeId, Port
from flocker_py.observed import NodeObservation
from flocker_py.runtime import FORWARDS_FIELD

A, B = (NodeId(UUID(int=n)) for n in (1, 2))
STATE = changed(State(), Changes().put(Node(node_id=A, name="n1"), Node(node_id=B, name="n2")), revision=1)
LINK = Link(alias="db", local_port=5432, remote_port=15432)
PORT = Port(internal=5432, external=15432)


def container(name: str, node_id: NodeId, **fields: Any) -> Container:
    """
    A container.
    """
    return Container(name=ContainerName(name), node_id=node_id, image="app:1", **fields)


WEB = container("web", A, links=pvector([LINK]))


def node(node_id: NodeId, *, forwards: bool = False) -> NodeObservation:
    """
    A node with a session.
    """
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="docker",
        container_fields=pvector(["links", "ports", *([FORWARDS_FIELD] if forwards else [])]),
    )


def published(*containers: Container) -> PublishedPorts:
    """
    The ports of containers, where they are wanted.
    """
    ports = PublishedPorts()
    for each in containers:
        ports.changed(each.name, each, each.node_id)
    return ports


class TestLink:
    """
    What is said of one container.
    """

    def test_published_elsewhere(self) -> None:
        """
        A link to a port that is published on other nodes alone, where its own doesn't lead ports on, is told.
        """
        ports = published(*(container(name, B, ports=pvector([PORT])) for name in ("db", "other")))
        [warning] = link_warnings(WEB, A, ports, STATE, pmap({A: node(A), B: node(B, forwards=True)}))

        assert warning == (
            "links: db leads nowhere: port 15432 is published by containers db and other on node n2, and node n1"
            " doesn't lead ports to other nodes. Set forwarding to enabled: true in its agent.yml, or put both on one"
            " node; only a program of that node itself may serve the port"
        )

    @pytest.mark.parametrize(
        ("there", "port", "observed"),
        [
            pytest.param(A, PORT, [node(A)], id="on its node"),
            pytest.param(B, PORT, [node(A, forwards=True)], id="led there"),
            pytest.param(B, PORT, [node(B)], id="its node has no session"),
            pytest.param(B, PORT.set(protocol="udp"), [node(A)], id="not by TCP"),
            pytest.param(B, PORT.set(external=5432), [node(A)], id="nobody's port"),
        ],
    )
    def test_nothing_to_say(self, there: NodeId, port: Port, observed: list[NodeObservation]) -> None:
        """
        Of what leads somewhere, or may do so, nothing.
        """
        ports = published(container("db", there, ports=pvector([port])))

        assert [] == list(link_warnings(WEB, A, ports, STATE, pmap({each.node_id: each for each in observed})))


@pytest.mark.parametrize(
    ("there", "port", "warned"),
    [
        (A, PORT.set(host_address="0.0.0.0"), 0),  # noqa: S104  # compared with
        (A, PORT.set(host_address="::"), 0),
        (A, PORT.set(host_address="127.0.0.1"), 1),
        (A, PORT.set(host_address="::", protocol="udp"), 1),
        (A, PORT.set(host_address="::", external=1), 1),
        (B, PORT.set(host_address="::"), 1),
    ],
)
def test_served_for_its_node_alone(there: NodeId, port: Port, warned: int) -> None:
    """
    A port that a container publishes at all addresses of one version of IP is led to by no other node, and there.
    """
    apps = [container("db", B, ports=pvector([PORT])), container("local", there, ports=pvector([port])), WEB]
    found = all_link_warnings({each.name: each for each in apps}, STATE, pmap({A: node(A)}))

    assert warned == len(list(found))


def test_all() -> None:
    """
    Of many containers, those are named whose links lead nowhere once all are where they are wanted.
    """
    apps = [
        container("db", B, ports=pvector([PORT])),
        WEB,
        container("neighbour", B, links=pvector([LINK])),
    ]
    found = all_link_warnings({each.name: each for each in apps}, STATE, pmap({A: node(A), B: node(B)}))

    assert ["web"] == [name for name, _ in found]

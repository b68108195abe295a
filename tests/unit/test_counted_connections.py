"""
How many connections a port takes.
"""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from flocker_control.connections import CountedConnection, CountedConnections
from flocker_control.main import AGENTS_LIMIT, AGENTS_LIMIT_PER_ADDRESS, USERS_LIMIT, USERS_LIMIT_PER_ADDRESS


def counted(limit: int, limit_per_address: int, clock: Clock | None = None) -> CountedConnections:
    factory = Factory.forProtocol(Protocol)
    return CountedConnections(factory, limit=limit, limit_per_address=limit_per_address, clock=clock or Clock())


def connected(connections: CountedConnections, host: str) -> CountedConnection | None:
    """
    A connection that was taken; None: it was turned away.
    """
    return connections.buildProtocol(IPv4Address("TCP", host, 40000))


def taken(connections: CountedConnections, hosts: list[str]) -> list[bool]:
    return [connected(connections, host) is not None for host in hosts]


@pytest.mark.parametrize(
    ("limit", "limit_per_address"),
    [(USERS_LIMIT, USERS_LIMIT_PER_ADDRESS), (AGENTS_LIMIT, AGENTS_LIMIT_PER_ADDRESS)],
)
def test_limit_in_all(limit: int, limit_per_address: int) -> None:
    """
    As many are taken as the limit is, from however many addresses; one more is not, from an address that has none.
    """
    hosts = [f"192.0.2.{number // limit_per_address}" for number in range(limit)]

    assert taken(counted(limit, limit_per_address), [*hosts, "198.51.100.1"]) == [True] * limit + [False]


def test_limit_per_address() -> None:
    """
    Who has as many as one address may have gets no more, and takes nothing from others by asking.
    """
    hosts = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"]

    assert taken(counted(3, 2), hosts) == [True, True, False, False, True]


def test_slot_given_back() -> None:
    """
    A connection that ends gives its slot back, in all and of its address; one that was turned away gives none.
    """
    connections = counted(2, 1)
    first = connected(connections, "192.0.2.1")
    assert first is not None
    before = taken(connections, ["192.0.2.2", "192.0.2.3"])
    first.makeConnection(StringTransport())
    first.connectionLost()

    assert (before, taken(connections, ["192.0.2.2", "192.0.2.3", "192.0.2.1"])) == (
        [True, False],
        [False, True, False],
    )

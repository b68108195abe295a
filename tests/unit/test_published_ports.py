"""
Ports under which containers are reached.
"""

from __future__ import annotations

import pytest

from flocker_py.model import Port
from flocker_py.published_ports import (
    AddressUnreadable,
    PortsUnreadable,
    clashing,
    excluded,
    excludes,
    host_address,
    port_text,
    published_ports,
)


def port(external: int = 80, address: str | None = None, protocol: str = "tcp") -> Port:
    return Port(internal=8080, external=external, protocol=protocol, host_address=address)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("80:8080", [port()]),
        ("80:8080/udp", [port(protocol="udp")]),
        ("127.0.0.1:80:8080/tcp", [port(address="127.0.0.1")]),
        ("[2001:DB8:0::1]:80:8080", [port(address="2001:db8::1")]),
        ("[::]:80:8080", [port(address="::")]),
        ("90-91:80-81", [Port(internal=80, external=90), Port(internal=81, external=91)]),
        ("65535:8080", [port(65535)]),
    ],
)
def test_read(written: str, expected: list[Port]) -> None:
    """
    Addresses, protocols and ranges are read; those of a range are as many ports.
    """
    assert published_ports(written) == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("80", "must be 'external:internal'"),
        ("80:80/sctp", "must be 'external:internal'"),
        ("80:80\n", "must be 'external:internal'"),
        ("0:80", "0 is not a port"),
        ("80:65536", "65536 is not a port"),
        ("81-80:80-81", "the range 81-80 ends before it begins"),
        ("80-82:80-81", "there are 3 external ports for 2 internal ones"),
        ("1-1025:1-1025", "a range of 1025 ports is too long"),
        ("::1:80:80", "stands in brackets"),
        (":80:80", "'' is not an IP address"),
        ("host:80:80", "'host' is not an IP address"),
        ("[::1%eth0]:80:80", "names an interface"),
        ("224.0.0.1:80:80", "address of a group"),
    ],
)
def test_refused(written: str, reason: str) -> None:
    """
    What is no port is refused, with the reason.
    """
    with pytest.raises(PortsUnreadable, match=reason):
        published_ports(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8::0:1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
def test_address(written: str, expected: str) -> None:
    """
    An address has one spelling; one of IPv4 that is mapped into IPv6 is one of IPv4.
    """
    assert host_address(written) == expected


def test_no_address() -> None:
    """
    What is no address is refused.
    """
    with pytest.raises(AddressUnreadable, match="is not an IP address"):
        host_address("192.0.2")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (port(), port(), True),
        (port(), port(81), False),
        (port(), port(protocol="udp"), False),
        (port(), port(address="127.0.0.1"), True),
        (port(address="127.0.0.1"), port(address="127.0.0.1"), True),
        (port(address="127.0.0.1"), port(address="127.0.0.2"), False),
        (port(address="0.0.0.0"), port(address="127.0.0.1"), True),  # noqa: S104
        (port(address="::"), port(address="127.0.0.1"), True),
        (port(address="::1"), port(address="127.0.0.1"), False),
    ],
)
def test_exclude(one: Port, other: Port, expected: bool) -> None:
    """
    Ports exclude one another at one address, and if one of them is at all addresses.
    """
    assert (excludes(one, other), excludes(other, one)) == (expected, expected)


def test_clashing() -> None:
    """
    Of some ports, those that another container's exclude are told.
    """
    ports = [port(), port(81), port(82, "127.0.0.1")]

    assert clashing(ports, [port(82, "127.0.0.2"), port(80, "127.0.0.1"), port(83)]) == [port()]


def test_excluded() -> None:
    """
    Each port that an earlier one excludes is told once, with both owners.
    """
    ports = [(port(address="127.0.0.1"), "a"), (port(address="192.0.2.1"), "b"), (port(), "c"), (port(81), "d")]

    assert list(excluded(ports)) == [(port(), "c", "a")]


@pytest.mark.parametrize(
    ("address", "expected"), [(None, "80/tcp"), ("127.0.0.1", "127.0.0.1:80/tcp"), ("::1", "[::1]:80/tcp")]
)
def test_text(address: str | None, expected: str) -> None:
    """
    A port is called by number and protocol, behind its address if it has one.
    """
    assert port_text(port(address=address)) == expected

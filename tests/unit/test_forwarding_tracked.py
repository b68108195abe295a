"""
The kernel's messages about connections that it tracks.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest

from flocker_agent.forwarding.tracked import Tracked, answers, astray, ending_request, listing_request

MARK = 0x02000000
NEW, ERROR, DONE = 0x100, 2, 3


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + b"\0" * (-len(content) % 4)


def nested(kind: int, *contents: bytes) -> bytes:
    return attribute(kind | 0x8000, b"".join(contents))


def tuple_of(kind: int, source: str, target: str, protocol: int, ports: tuple[int, int]) -> bytes:
    first = 3 if ":" in source else 1
    return nested(
        kind,
        nested(
            1,
            attribute(first, ipaddress.ip_address(source).packed),
            attribute(first + 1, ipaddress.ip_address(target).packed),
        ),
        nested(
            2,
            attribute(1, bytes([protocol])),
            attribute(2, struct.pack("!H", ports[0])),
            attribute(3, struct.pack("!H", ports[1])),
        ),
    )


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def connection(
    *,
    source: str = "192.0.2.9",
    node: str = "192.0.2.3",
    target: str = "192.0.2.1",
    protocol: int = 6,
    mark: int | None = MARK,
    name: bytes = attribute(12, b"\0\0\0\7"),
) -> bytes:
    """
    A client's connection to port 80 of a node, that is led to a target.
    """
    family = 10 if ":" in source else 2
    marked = b"" if mark is None else attribute(8, struct.pack("!I", mark))
    return message(
        NEW,
        struct.pack("!BBH", family, 0, 0)
        + tuple_of(1, source, node, protocol, (40000, 80))
        + tuple_of(2, target, node, protocol, (80, 40000))
        + marked
        + name,
    )


def found(*messages: bytes) -> list[tuple[str, str, int]]:
    return [(each.key, each.address, each.family) for each in answers(b"".join(messages), mark=MARK).tracked]


def test_listing_request() -> None:
    """
    Only connections with our mark are asked for.
    """
    wanted = struct.pack("=IHHII", 36, 0x101, 0x301, 5, 0) + bytes(4)
    wanted += attribute(8, b"\2\0\0\0") + attribute(21, b"\2\0\0\0")

    assert listing_request(mark=MARK, sequence=5) == wanted


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({}, ("tcp/80", "192.0.2.1", 2)),
        ({"protocol": 17}, ("udp/80", "192.0.2.1", 2)),
        (
            {"source": "2001:db8::9", "node": "2001:db8::3", "target": "2001:db8::1"},
            ("tcp/80", "2001:db8::1", 10),
        ),
        ({"mark": MARK | 1}, ("tcp/80", "192.0.2.1", 2)),
    ],
)
def test_connections(fields: dict[str, Any], read: tuple[str, str, int]) -> None:
    """
    Read are the port that the client knows, and who answers in fact.
    """
    assert found(connection(**fields)) == [read]


@pytest.mark.parametrize("fields", [{"mark": None}, {"mark": 1}, {"protocol": 1}])
def test_others_connections(fields: dict[str, Any]) -> None:
    """
    What has not our mark, or no ports, is nothing of ours.
    """
    assert found(connection(**fields), connection()) == [("tcp/80", "192.0.2.1", 2)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        tuple_of(1, "192.0.2.9", "192.0.2.3", 6, (40000, 80)),
        nested(1, nested(2, attribute(1, b"\6"))) + tuple_of(2, "192.0.2.1", "192.0.2.3", 6, (80, 40000)),
    ],
)
def test_incomplete(body: bytes) -> None:
    """
    What lacks a part is passed over.
    """
    assert found(message(NEW, bytes(4) + body), connection()) == [("tcp/80", "192.0.2.1", 2)]


def test_ends() -> None:
    """
    A list goes on until the kernel says that it is complete; an error has its number, and so has success.
    """
    assert answers(connection(), mark=MARK)[1:] == (0, False)
    assert answers(connection() + message(DONE, bytes(4)), mark=MARK)[1:] == (0, True)
    assert answers(message(ERROR, struct.pack("=i", -1) + bytes(16)), mark=MARK) == ((), 1, True)
    assert answers(message(ERROR, bytes(20)), mark=MARK) == ((), 0, True)
    assert answers(message(7, bytes(4)), mark=MARK) == ((), 0, False)


def test_ending_request() -> None:
    """
    A connection is named by what the kernel itself said of it: what the client sent, the zone and the number.
    """
    zone, number = attribute(18, b"\0\1"), attribute(12, b"\0\0\0\7")
    (tracked,) = answers(connection(name=number + zone), mark=MARK).tracked
    body = struct.pack("!BBH", 2, 0, 0) + tuple_of(1, "192.0.2.9", "192.0.2.3", 6, (40000, 80)) + zone + number

    assert ending_request(tracked, sequence=6) == struct.pack("=IHHII", 16 + len(body), 0x102, 5, 6, 0) + body


def test_astray() -> None:
    """
    A connection that leads where its port doesn't lead any more is astray, and one of a port that leads nowhere.
    """
    right, moved, gone = (
        Tracked(key=key, address="192.0.2.1", family=2, mark=MARK, name=b"") for key in ("tcp/80", "udp/53", "tcp/81")
    )
    wanted = {"tcp/80": ("192.0.2.1",), "udp/53": ("192.0.2.2",)}

    assert astray([right, moved, gone], wanted) == (moved, gone)

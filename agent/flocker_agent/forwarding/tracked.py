"""
Messages of the kernel about connections that it tracks (ctnetlink), as far as we need them: list those with our mark,
and end one.

What the kernel has once translated it translates for as long as packets come, whatever the rules say by then: so a
client that goes on sending UDP would never reach the place that a service moved to. The form is in
linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_HEADER, _FAMILY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("!BBH"), struct.Struct("=HH")
_ERROR, _DONE = 2, 3  # linux/netlink.h
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_OF_CONNTRACK = 1 << 8
_NEW, _GET, _DELETE = _OF_CONNTRACK, _OF_CONNTRACK | 1, _OF_CONNTRACK | 2
_ORIGINAL, _REPLY, _MARK, _ID, _ZONE, _MARK_MASK = 1, 2, 8, 12, 18, 21
_TYPE_BITS = 0x3FFF
_PROTOCOLS = {6: "tcp", 17: "udp"}


class Tracked(NamedTuple):
    """
    A connection that the kernel tracks.

    :param key: protocol and port that the client connected to, as in ``tcp/5432``.
    :param address: of who answers.
    :param name: the attributes that say which one it is, as the kernel wrote them, and ``family`` of the message.
    """

    key: str
    address: str
    family: int
    mark: int
    name: bytes


def listing_request(*, mark: int, sequence: int) -> bytes:
    """
    List the connections that have these bits in their mark.
    """
    attributes = _attribute(_MARK, struct.pack("!I", mark)) + _attribute(_MARK_MASK, struct.pack("!I", mark))
    return _message(_GET, _REQUEST | _DUMP, sequence, 0, attributes)


def ending_request(tracked: Tracked, *, sequence: int) -> bytes:
    """
    End one. The next packet of it begins a new one.
    """
    return _message(_DELETE, _REQUEST | _ACKNOWLEDGE, sequence, tracked.family, tracked.name)


def _message(kind: int, flags: int, sequence: int, family: int, attributes: bytes) -> bytes:
    body = _FAMILY.pack(family, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _attribute(kind: int, content: bytes) -> bytes:
    padding = b"\0" * (-len(content) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + padding


class Answers(NamedTuple):
    """
    What came in one go.

    :param error: an errno of the kernel; 0: none. A request to end something is acknowledged by 0.
    :param ended: nothing more comes.
    """

    tracked: tuple[Tracked, ...]
    error: int
    ended: bool


def answers(data: bytes, *, mark: int) -> Answers:
    """
    What the kernel says. Connections without the mark, which older kernels list too, are left out.
    """
    found, error, ended = [], 0, False
    for kind, body in _messages(data):
        if kind == _ERROR:
            error, ended = -struct.unpack("=i", body[:4])[0], True
        elif kind == _DONE:
            ended = True
        elif kind == _NEW:
            tracked = _tracked(body)
            if tracked is not None and tracked.mark & mark == mark:
                found.append(tracked)
    return Answers(tuple(found), error, ended)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    result = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        result[kind & _TYPE_BITS] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return result


def _tracked(body: bytes) -> Tracked | None:
    family, _, _ = _FAMILY.unpack_from(body)
    attributes = _attributes(body[_FAMILY.size :])
    original, reply = (_attributes(attributes.get(kind, b"")) for kind in (_ORIGINAL, _REPLY))
    protocol = _attributes(original.get(2, b""))
    addresses = _attributes(reply.get(1, b""))
    number, port = protocol.get(1), protocol.get(3)
    # Of the reply's source: the address of IPv4, or of IPv6.
    source = addresses.get(1) or addresses.get(3)
    if number is None or number[0] not in _PROTOCOLS or port is None or source is None:
        return None
    return Tracked(
        key=f"{_PROTOCOLS[number[0]]}/{struct.unpack('!H', port)[0]}",
        address=str(ipaddress.ip_address(source)),
        family=family,
        mark=struct.unpack("!I", attributes.get(_MARK, bytes(4)))[0],
        name=b"".join(_attribute(kind | _nested(kind), attributes[kind]) for kind in _NAMING if kind in attributes),
    )


_NAMING = (_ORIGINAL, _ZONE, _ID)


def _nested(kind: int) -> int:
    return 0x8000 if kind == _ORIGINAL else 0


def astray(tracked: Iterable[Tracked], wanted: dict[str, tuple[str, ...]]) -> tuple[Tracked, ...]:
    """
    Those that lead where their port leads no more.

    :param wanted: where each port leads, by its key.
    """
    return tuple(each for each in tracked if each.address not in wanted.get(each.key, ()))

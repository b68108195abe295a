"""
Ports under which containers are reached at their node: how they are written, and which exclude one another.

>>> published_ports("127.0.0.1:8080:80/udp")
[Port(internal=80, external=8080, protocol='udp', host_address='127.0.0.1')]
>>> len(published_ports("9000-9010:9000-9010"))
11
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from flocker_py.errors import FlockerError
from flocker_py.model import Port

T = TypeVar("T")

HIGHEST_PORT = 65535
MOST_PORTS = 1024
"""Ports that one container can publish, those of ranges counted one by one."""
_RANGE = "[0-9]{1,5}(-[0-9]{1,5})?"
PORTS_PATTERN = rf"(\[[0-9a-fA-F:.]{{2,45}}\]:|[0-9.]{{7,15}}:)?{_RANGE}:{_RANGE}(/(tcp|udp))?"
"""What has another form is no port; what has this one can still be none."""

_EVERYWHERE = (None, "0.0.0.0", "::")  # noqa: S104  # compared with, never bound
_WRITTEN = re.compile(
    r"((?P<address>\[[^\[\]]*\]|[^:\[\]]*):)?"
    rf"(?P<external>{_RANGE}):(?P<internal>{_RANGE})(/(?P<protocol>tcp|udp))?",
    re.ASCII,
)
_BARE_IPV6 = re.compile(r"[0-9a-fA-F:]*::?[0-9a-fA-F:.]*:[0-9]+:[0-9]+(/\w+)?", re.ASCII)


class PortsUnreadable(FlockerError):
    """
    Ports are written [address:]external:internal[/udp], with ranges of equal length in place of both numbers:
    8080:80, 127.0.0.1:8080:80/tcp, [2001:db8::1]:53:53/udp, 9000-9010:9000-9010.
    """

    lasting = True


class AddressUnreadable(FlockerError):
    """
    A port is published at an IPv4 or IPv6 address of its node: 127.0.0.1, 2001:db8::1.
    """

    lasting = True


def published_ports(written: str) -> list[Port]:
    """
    The ports that somebody wrote, those of ranges one by one.

    :raises PortsUnreadable: they are none; it says why.
    """
    match = _WRITTEN.fullmatch(written)
    if match is None and _BARE_IPV6.fullmatch(written):
        raise PortsUnreadable("an IPv6 address stands in brackets")
    if match is None:
        raise PortsUnreadable("must be 'external:internal' or 'external:internal/udp', perhaps behind an address")
    external, internal = _range(match["external"]), _range(match["internal"])
    if len(external) != len(internal):
        raise PortsUnreadable(f"there are {len(external)} external ports for {len(internal)} internal ones")
    if len(external) > MOST_PORTS:
        raise PortsUnreadable(f"a range of {len(external)} ports is too long: a container has at most {MOST_PORTS}")
    address = None
    if match["address"] is not None:
        try:
            address = host_address(match["address"].removeprefix("[").removesuffix("]"))
        except AddressUnreadable as error:
            raise PortsUnreadable(str(error)) from error
    return [
        Port(internal=inner, external=outer, protocol=match["protocol"] or "tcp", host_address=address)
        for outer, inner in zip(external, internal, strict=True)
    ]


def _range(written: str) -> range:
    first, dash, last = written.partition("-")
    low, high = int(first), int(last if dash else first)
    for number in (low, high):
        if not 1 <= number <= HIGHEST_PORT:
            raise PortsUnreadable(f"{number} is not a port: ports are 1 to {HIGHEST_PORT}")
    if high < low:
        raise PortsUnreadable(f"the range {written} ends before it begins")
    return range(low, high + 1)


def host_address(written: str) -> str:
    """
    An address at which a port is published, in its usual spelling. An IPv4 address mapped into IPv6 is that of IPv4.

    :raises AddressUnreadable: it is none that a host can have.
    """
    try:
        address = ipaddress.ip_address(written)
    except ValueError as error:
        raise AddressUnreadable(f"{written!r} is not an IP address") from error
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise AddressUnreadable(f"{written!r} names an interface: leave out what begins with '%'")
        address = address.ipv4_mapped or address
    if address.is_multicast:
        raise AddressUnreadable(f"{written!r} is the address of a group, and no host's")
    return str(address)


def port_text(port: Port) -> str:
    """
    What a port is called where it is reached: ``8080/tcp``, ``127.0.0.1:8080/tcp``, ``[::1]:8080/tcp``.
    """
    where = f"{port.external}/{port.protocol}"
    if port.host_address is None:
        return where
    return f"[{port.host_address}]:{where}" if ":" in port.host_address else f"{port.host_address}:{where}"


def excludes(one: Port, other: Port) -> bool:
    """
    Whether two ports can't be published on one node: they are of one number and protocol, and at the same address, or
    one of them at all. An unspecified address, such as 0.0.0.0, is all, of either version of IP: Linux lets a socket at
    ``::`` take IPv4's connections too (ipv6(7), IPV6_V6ONLY).
    """
    if (one.external, one.protocol) != (other.external, other.protocol):
        return False
    return one.host_address == other.host_address or is_everywhere(one) or is_everywhere(other)


def is_everywhere(port: Port) -> bool:
    """
    Whether a port is published at all addresses of its node, of one version of IP at least.
    """
    return port.host_address in _EVERYWHERE


def clashing(ports: Iterable[Port], others: Iterable[Port]) -> list[Port]:
    """
    Those of the ports that one of the others excludes.
    """
    same: dict[tuple[int, str], list[Port]] = defaultdict(list)
    for other in others:
        same[other.external, other.protocol].append(other)
    return [port for port in ports if any(excludes(port, other) for other in same[port.external, port.protocol])]


def excluded(ports: Iterable[tuple[Port, T]]) -> Iterator[tuple[Port, T, T]]:
    """
    Each of the ports of one node that an earlier one excludes, with its owner and that of the earlier one.

    :param ports: each with its owner, whatever that is.
    """
    earlier: dict[tuple[int, str], list[tuple[Port, T]]] = defaultdict(list)
    for port, owner in ports:
        same = earlier[port.external, port.protocol]
        for other, others_owner in same:
            if excludes(port, other):
                yield port, owner, others_owner
                break
        same.append((port, owner))

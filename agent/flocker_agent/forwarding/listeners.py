"""
The ports that programs of a host listen on, from the tables of sockets in /proc/net (proc(5)).
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Mapping

TABLES: Mapping[str, str] = {"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"}
"""The files, and the protocol of each."""
# include/net/tcp_states.h; a UDP socket that isn't connected is shown as closed.
_WAITING = {"tcp": "0A", "udp": "07"}


def listeners(
    tables: Mapping[str, str], keys: frozenset[str], *, short_lived: range = range(0)
) -> tuple[frozenset[str], frozenset[str]]:
    """
    The ports, of those asked about, that programs listen on; and those that they listen on at loopback addresses alone.

    :param tables: the text of each file.
    :param keys: protocol and port, as in ``tcp/5432``.
    :param short_lived: ports that the kernel gives to clients: a UDP socket there may be one of those, and says
        nothing.
    """
    reached: set[str] = set()
    on_loopback: set[str] = set()
    for name, text in tables.items():
        for address, port in _waiting(TABLES[name], text):
            key = f"{TABLES[name]}/{port}"
            if key not in keys or (TABLES[name] == "udp" and port in short_lived):
                continue
            (on_loopback if _is_loopback(address) else reached).add(key)
    return frozenset(reached), frozenset(on_loopback - reached)


def _waiting(protocol: str, text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines()[1:]:
        fields = line.split(maxsplit=4)
        if len(fields) > 3 and fields[3] == _WAITING[protocol]:
            address, _, port = fields[1].partition(":")
            yield address, int(port, 16)


def _is_loopback(address: str) -> bool:
    # Each 32 bits in the order of this host's bytes.
    words = (int(address[start : start + 8], 16) for start in range(0, len(address), 8))
    parsed = ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words))
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback

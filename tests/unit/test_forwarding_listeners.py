"""
Who listens on this host, as the kernel prints it.
"""

from __future__ import annotations

import ipaddress
import sys

import pytest

from flocker_agent.forwarding.listeners import listeners

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"


def printed(address: str, port: int, state: str) -> str:
    """
    A line of such a table.
    """
    data = ipaddress.ip_address(address).packed
    words = (int.from_bytes(data[start : start + 4], sys.byteorder) for start in range(0, len(data), 4))
    local = "".join(f"{word:08X}" for word in words)
    return f"   0: {local}:{port:04X} {'0' * len(local)}:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 1 1"


def listening(
    table: str, *lines: str, ports: range = range(1, 100), short_lived: range = range(0)
) -> tuple[set[str], set[str]]:
    keys = frozenset(f"{protocol}/{port}" for protocol in ("tcp", "udp") for port in ports)
    reached, on_loopback = listeners({table: "\n".join([HEADER, *lines])}, keys, short_lived=short_lived)
    return set(reached), set(on_loopback)


@pytest.mark.parametrize(
    ("table", "address", "reached"),
    [
        ("tcp", "0.0.0.0", True),  # noqa: S104
        ("tcp", "192.0.2.127", True),
        ("tcp", "127.0.0.1", False),
        ("tcp", "127.8.8.8", False),
        ("tcp6", "::", True),
        ("tcp6", "2001:db8::1", True),
        ("tcp6", "::1", False),
        ("tcp6", "::ffff:127.0.0.1", False),
        ("tcp6", "::ffff:192.0.2.1", True),
    ],
)
def test_addresses(table: str, address: str, reached: bool) -> None:
    """
    What listens at a loopback address alone is told apart.
    """
    assert listening(table, printed(address, 80, "0A")) == (({"tcp/80"}, set()) if reached else (set(), {"tcp/80"}))


def test_reached_and_on_loopback() -> None:
    """
    What listens there and elsewhere is reached from elsewhere.
    """
    assert listening("tcp", printed("127.0.0.1", 80, "0A"), printed("192.0.2.1", 80, "0A")) == ({"tcp/80"}, set())


@pytest.mark.parametrize(
    ("table", "state", "found"), [("tcp", "01", set()), ("udp", "01", set()), ("udp", "07", {"udp/80"})]
)
def test_states(table: str, state: str, found: set[str]) -> None:
    """
    A connection is no listener; a UDP socket that isn't connected is.
    """
    assert listening(table, printed("0.0.0.0", 80, state)) == (found, set())  # noqa: S104


def test_others() -> None:
    """
    Ports that nobody asks about, and lines that end early, are left out.
    """
    assert listening("tcp", printed("192.0.2.1", 8080, "0A"), "   0: ") == (set(), set())


@pytest.mark.parametrize(("table", "state", "found"), [("udp", "07", set()), ("tcp", "0A", {"tcp/80"})])
def test_clients_ports(table: str, state: str, found: set[str]) -> None:
    """
    A UDP socket at a port that clients are given may be a client's.
    """
    assert listening(table, printed("192.0.2.1", 80, state), short_lived=range(50, 90)) == (found, set())

"""
Loopback addresses for clusters that run side by side on this host, and ports where nothing listens.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster import CONTROL

_HOSTS = iter(range(10, 250))


def addresses(*nodes: str) -> dict[str, str]:
    """
    Loopback addresses that no other test uses, in this or in any other process.
    """
    process = os.getpid()
    network = f"127.{100 + process // 256 % 128}.{process % 256}"
    return {name: f"{network}.{next(_HOSTS)}" for name in (CONTROL, *nodes)}


@contextmanager
def dead_port() -> Iterator[int]:
    """
    A port of 127.0.0.1 where nothing listens, and nobody else begins to.
    """
    with socket.socket() as taken:
        # Who is bound and doesn't listen refuses connections.
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        yield port

"""
Loopback addresses for clusters that run side by side on this host.
"""

from __future__ import annotations

import os

from tests.cluster import CONTROL

_HOSTS = iter(range(10, 250))


def addresses(*nodes: str) -> dict[str, str]:
    """
    Loopback addresses that no other test uses, in this or in any other process.
    """
    process = os.getpid()
    network = f"127.{100 + process // 256 % 128}.{process % 256}"
    return {name: f"{network}.{next(_HOSTS)}" for name in (CONTROL, *nodes)}

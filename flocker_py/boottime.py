"""
The clock that only goes forward, at its own rate, while the host is suspended too: ``CLOCK_BOOTTIME``.

Whoever sets the time of day doesn't change it. It begins anew when the host boots.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import UUID


def boottime_seconds() -> float:
    """
    Seconds since the host booted.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> UUID:
    """
    Names the run of the host, from its boot to the next (random(4)).
    """
    return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def keep_time_by_boottime(reactor: Any) -> None:
    """
    Let a reactor of Twisted time its calls by this clock instead of by the time of day. To be called before it runs.
    """
    reactor.seconds = boottime_seconds

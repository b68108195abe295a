"""
A bandwidth limit that all transfers of a node share, kept smoothly.

Time is given out like appointments: every piece books the time that it takes at the permitted rate, after the last
piece booked, and is sent when its time comes. Pieces are no longer than ``QUANTUM_SECONDS``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from flocker_py.records import Record, value

QUANTUM_SECONDS = 0.01
# Timers are late; what they lose is made up for, up to this much, and no more.
_CATCH_UP_SECONDS = QUANTUM_SECONDS
_NUMBER = (int, float)


class Booking(Record):
    """
    Up to when the link is booked, in seconds of a clock that never goes back.
    """

    booked_until_seconds: float = value(_NUMBER)


def piece_bytes(rate_bytes_per_second: float, wanted_bytes: int) -> int:
    """
    How much of what is wanted may be sent in one piece. At least one byte.
    """
    return min(wanted_bytes, max(1, int(rate_bytes_per_second * QUANTUM_SECONDS)))


def booked(
    booking: Booking, rate_bytes_per_second: float, size_bytes: int, now_seconds: float
) -> tuple[Booking, float]:
    """
    A piece booked after all that came before it.

    :returns: the bookings with it, and for how many seconds it must wait.
    """
    begin_seconds = max(booking.booked_until_seconds, now_seconds - _CATCH_UP_SECONDS)
    end_seconds = begin_seconds + size_bytes / rate_bytes_per_second
    return Booking(booked_until_seconds=end_seconds), max(0.0, begin_seconds - now_seconds)


class Pacer:
    """
    The bandwidth limit of a node, for all its senders. All methods may be called from any thread.

    :param rate_bytes_per_second: over all transfers; None: no limit.
    :param clock: seconds; never goes back.
    """

    def __init__(self, rate_bytes_per_second: float | None, clock: Callable[[], float]) -> None:
        if rate_bytes_per_second is not None and rate_bytes_per_second <= 0:
            raise ValueError(f"a rate must be greater than zero, not {rate_bytes_per_second}")
        self._rate = rate_bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._booking = Booking(booked_until_seconds=clock())

    def piece_bytes(self, wanted_bytes: int) -> int:
        """
        How much of what is wanted may be sent in one piece.
        """
        return wanted_bytes if self._rate is None else piece_bytes(self._rate, wanted_bytes)

    def book(self, size_bytes: int) -> float:
        """
        Book the time of one piece, and say how many seconds to wait before sending it.
        """
        if self._rate is None:
            return 0.0
        with self._lock:
            self._booking, wait_seconds = booked(self._booking, self._rate, size_bytes, self._clock())
        return wait_seconds

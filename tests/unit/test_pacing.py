"""
The bandwidth limit of a node.
"""

from __future__ import annotations

import itertools

import pytest

from flocker_agent.pacing import QUANTUM_SECONDS, Booking, Pacer, booked, piece_bytes

MIB = 1 << 20


class FakeClock:
    """
    A clock that goes when it is told to.
    """

    def __init__(self) -> None:
        self.now_seconds = 1000.0

    def __call__(self) -> float:
        return self.now_seconds


def test_pieces_are_short() -> None:
    """
    No piece takes longer than a hundredth of a second.
    """
    assert piece_bytes(10_000_000, 1 << 20) == 100_000


def test_small_pieces_stay_whole() -> None:
    """
    What takes less than that is sent in one piece.
    """
    assert piece_bytes(10_000_000, 5_000) == 5_000


def test_slowest_link_sends_something() -> None:
    """
    Even at a few bytes a second there is something to send.
    """
    assert piece_bytes(3, 1 << 20) == 1


def test_first_piece_goes_at_once() -> None:
    """
    On an idle link nothing waits.
    """
    _, wait_seconds = booked(Booking(booked_until_seconds=50.0), 1000, 10, 60.0)

    assert wait_seconds == 0.0


def test_next_piece_waits_for_the_first() -> None:
    """
    A piece is sent once the link is through with those before it.
    """
    first, _ = booked(Booking(booked_until_seconds=60.0), 1000, 500, 60.0)

    assert booked(first, 1000, 10, 60.0) == (Booking(booked_until_seconds=60.51), 0.5)


def test_late_timers_are_made_up_for() -> None:
    """
    A sender that wakes a little late does not lose bandwidth by it.
    """
    booking, _ = booked(Booking(booked_until_seconds=60.0), 1000, 10, 60.005)

    assert booking.booked_until_seconds == pytest.approx(60.01)


def test_idle_time_is_not_saved_up() -> None:
    """
    After a long pause there is no burst beyond one piece.
    """
    booking, _ = booked(Booking(booked_until_seconds=0.0), 1000, 10, 60.0)

    assert booking.booked_until_seconds == pytest.approx(60.0 - QUANTUM_SECONDS + 0.01)


def test_all_senders_share_one_limit() -> None:
    """
    However many senders there are, no second carries more than the limit and one piece.
    """
    clock = FakeClock()
    rate = 10 * MIB
    pacer = Pacer(rate, clock)
    due = [clock()] * 5
    sent: list[tuple[float, int]] = []
    while clock.now_seconds < 1003.0:
        sender = due.index(min(due))
        clock.now_seconds = max(clock.now_seconds, due[sender])
        size = pacer.piece_bytes(MIB)
        due[sender] = clock.now_seconds + pacer.book(size)
        sent.append((due[sender], size))

    fullest = max(
        sum(size for at, size in sent if begin <= at < begin + 1.0) for begin in (at for at, _ in sent if at < 1002.0)
    )

    assert fullest <= rate * (1 + 3 * QUANTUM_SECONDS)


def test_limit_is_used_up() -> None:
    """
    Senders that always have something to send get all of the limit.
    """
    clock = FakeClock()
    pacer = Pacer(10 * MIB, clock)
    sent_bytes = 0
    while clock.now_seconds < 1010.0:
        size = pacer.piece_bytes(MIB)
        # Timers are always a little late.
        clock.now_seconds += pacer.book(size) + 0.001
        sent_bytes += size

    assert sent_bytes >= 0.99 * 10 * 10 * MIB


def test_without_a_limit_nothing_waits() -> None:
    """
    No limit means whole pieces, at once.
    """
    pacer = Pacer(None, FakeClock())

    assert [pacer.piece_bytes(MIB), *(pacer.book(MIB) for _ in itertools.repeat(None, 3))] == [MIB, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("rate", [0, -1.0])
def test_rate_must_be_positive(rate: float) -> None:
    """
    A limit of nothing would never end.
    """
    with pytest.raises(ValueError, match="greater than zero"):
        Pacer(rate, FakeClock())

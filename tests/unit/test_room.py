"""
Room for streams that come in.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from flocker_agent.transfer.room import Room
from flocker_py.model import DatasetId
from flocker_py.storage import PoolFull

D1, D2 = DatasetId(UUID(int=1)), DatasetId(UUID(int=2))
KIB = 1024


def test_needed_and_reserved() -> None:
    """
    A stream gets room if what it needs is free, and the reserve with it; if not, every size is named.
    """
    room = Room(2 * KIB)
    room.promise(D1, "round-1", 8 * KIB, 10 * KIB)

    with pytest.raises(PoolFull) as refused:
        Room(2 * KIB).promise(D1, "round-1", 8 * KIB, 10 * KIB - 1)
    assert str(refused.value).endswith("needs about 8 KiB, and 2 KiB must stay free; the pool has 10 KiB")


def test_two_streams_do_not_count_on_the_same() -> None:
    """
    What was promised to another stream, and has not come yet, is not free.
    """
    room = Room(0)
    room.promise(D1, "round-1", 8 * KIB, 10 * KIB)

    with pytest.raises(PoolFull, match="needs about 3 KiB, 8 KiB are for other transfers, and 0 B must"):
        room.promise(D2, "round-1", 3 * KIB, 10 * KIB)
    room.arrived(D1, 6 * KIB)
    room.promise(D2, "round-1", 2 * KIB, 4 * KIB)


def test_more_than_was_estimated() -> None:
    """
    A stream that is larger than it was said to be takes nothing from what others were promised.
    """
    room = Room(0)
    room.promise(D1, "round-1", KIB, 10 * KIB)
    room.arrived(D1, 5 * KIB)

    room.promise(D2, "round-1", 5 * KIB, 5 * KIB)


def test_given_back() -> None:
    """
    A stream that is over needs no room; giving back twice is harmless.
    """
    room = Room(0)
    room.promise(D1, "round-1", 10 * KIB, 10 * KIB)
    room.give_back(D1)
    room.give_back(D1)

    room.promise(D2, "round-1", 10 * KIB, 10 * KIB)


def test_next_round() -> None:
    """
    A dataset's next stream takes the place of the one before.
    """
    room = Room(0)
    room.promise(D1, "round-1", 10 * KIB, 10 * KIB)

    room.promise(D1, "round-2", 10 * KIB, 10 * KIB)

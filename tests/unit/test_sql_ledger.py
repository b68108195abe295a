"""
What the tests with databases take for a loss is one.
"""

from __future__ import annotations

from tests.sql_ledger import (
    Acknowledged,
    content,
    ledger_complaints,
    longest_pause_seconds,
    sums_complaints,
)


def rows(*numbers: int) -> list[tuple[int, str]]:
    return [(number, content(number)) for number in numbers]


class TestLedger:
    """
    The records that a client wrote.
    """

    def test_all_is_well(self) -> None:
        """
        Every acknowledged record is there; one that nobody has answered may be there or not.
        """
        assert ledger_complaints([1, 2, 4], 5, rows(4, 2, 1, 5)) == []

    def test_lost(self) -> None:
        """
        A record that was acknowledged, and is not there, is told.
        """
        assert ledger_complaints([1, 2, 3], 3, rows(1, 3)) == ["record 2 was acknowledged, and is not there"]

    def test_doubled(self) -> None:
        """
        A record that is there twice is told, as where an index is damaged.
        """
        assert ledger_complaints([1], 1, rows(1, 1)) == ["record 1 is there more than once"]

    def test_changed(self) -> None:
        """
        A record with another content is told.
        """
        assert ledger_complaints([1], 1, [(1, "x")]) == ["record 1 says 'x'"]

    def test_never_written(self) -> None:
        """
        A record that nobody has sent is told.
        """
        assert ledger_complaints([1], 1, rows(1, 2)) == ["record 2 was never written"]

    def test_many(self) -> None:
        """
        Of many complaints, the first are told, and how many more there are.
        """
        complaints = ledger_complaints(range(1, 31), 30, [])

        assert (len(complaints), complaints[-1]) == (21, "and 10 more")


class TestSums:
    """
    The tables of pgbench.
    """

    def test_all_is_well(self) -> None:
        """
        The sums are the same, and there are at least as many transactions as were acknowledged.
        """
        assert sums_complaints({"accounts": -5, "history": -5}, 8, 7) == []

    def test_in_part(self) -> None:
        """
        A transaction of which a part is there is told.
        """
        told = "a transaction is there in part: the sums of the tables differ: accounts -5, history 3"

        assert sums_complaints({"accounts": -5, "history": 3}, 8, 7) == [told]

    def test_lost(self) -> None:
        """
        Fewer transactions than were acknowledged are told.
        """
        assert sums_complaints({"accounts": 0}, 6, 7) == ["7 transactions were acknowledged, and 6 are there"]


def test_pause() -> None:
    """
    The longest pause is the one between two records, and one that had ended before the moment is none.
    """
    acknowledged = [Acknowledged(number, at) for number, at in ((1, 0.0), (2, 9.0), (3, 10.0), (4, 13.0), (5, 14.0))]

    assert longest_pause_seconds(acknowledged, 10.0) == 3.0

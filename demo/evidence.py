"""
What the ledger acknowledged, as it came in, and what is wrong with that. Pure: times come in as values.
"""

from __future__ import annotations

from typing import NamedTuple


class Group(NamedTuple):
    """
    Records that were acknowledged together.

    :ivar writer: which run of the ledger, counted from 0.
    :ivar checksum: CRC-32 of all their bytes.
    :ivar at_seconds: when the witness heard of it, by its monotonic clock.
    """

    writer: int
    first: int
    last: int
    checksum: int
    at_seconds: float


class Pause(NamedTuple):
    """
    The time between the last record of one run of the ledger and the first of the next: the application's downtime.
    """

    last_before: int
    first_after: int
    began_at_seconds: float
    seconds: float


class Evidence:
    """
    Everything that the ledger acknowledged, in the order in which the witness heard of it.
    """

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.complaints: list[str] = []
        self.writers = 0
        self.torn_bytes = 0

    @property
    def last(self) -> int:
        """
        The highest number that was ever acknowledged; 0: none was.
        """
        return max((group.last for group in self.groups[-1:]), default=0)

    @property
    def pauses(self) -> list[Pause]:
        """
        One for each change from one run of the ledger to the next.
        """
        found: list[Pause] = []
        for before, after in zip(self.groups, self.groups[1:], strict=False):
            if before.writer != after.writer:
                found.append(
                    Pause(
                        last_before=before.last,
                        first_after=after.first,
                        began_at_seconds=before.at_seconds,
                        seconds=after.at_seconds - before.at_seconds,
                    )
                )
        return found

    def hello(self, found_last: int, torn_bytes: int) -> int:
        """
        A run of the ledger has begun.

        :param found_last: the number of the last record in its volume.
        :param torn_bytes: how much of a record that was never acknowledged it cut off.
        :returns: which run it is, for ``acknowledge``.
        """
        if found_last < self.last:
            self.complaints.append(
                f"run {self.writers + 1} of the ledger found {found_last} records in its volume, "
                f"but {self.last} had been acknowledged"
            )
        self.torn_bytes += torn_bytes
        self.writers += 1
        return self.writers - 1

    def acknowledge(
        self, writer: int, first: int, last: int, checksum: int, at_seconds: float, *, unanswered: bool = False
    ) -> None:
        """
        Records are safe, says a run of the ledger.

        :param unanswered: it was asked for records before these, and nobody heard its answer: they may be there.
        """
        if writer != self.writers - 1:
            self.complaints.append(
                f"run {writer + 1} of the ledger wrote record {first} when run {self.writers} had begun: two writers"
            )
        if self.groups and first <= self.groups[-1].last:
            self.complaints.append(f"record {first} was acknowledged again, after record {self.groups[-1].last}")
        elif self.groups and writer == self.groups[-1].writer and first != self.groups[-1].last + 1 and not unanswered:
            self.complaints.append(f"record {first} was acknowledged right after record {self.groups[-1].last}")
        self.groups.append(Group(writer=writer, first=first, last=last, checksum=checksum, at_seconds=at_seconds))

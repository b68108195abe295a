"""
Digests, marks and names of backups: what a store is held against, and what its copies are called.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from flocker_control.backup_names import BackupName, backup_name, newest_first, outlived, parsed
from flocker_control.store_digest import (
    commit_digest,
    contents_digest,
    digest_after,
    digest_text,
    record_digest,
    revision_digest,
)
from flocker_control.store_mark import SLOT_BYTES, Mark, new_mark, newest_mark, slot_bytes, slot_offset

STORE = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"


def digests(values: dict[str, str]) -> dict[str, int]:
    return {key: record_digest(key, text) for key, text in values.items()}


class TestDigests:
    """
    One number that says whether all is as it was committed.
    """

    def test_kept_up(self) -> None:
        """
        The digest that is kept up from commit to commit is that of the contents.
        """
        chance = random.Random(1)
        values: dict[str, str] = {}
        kept_up = contents_digest(0, ())
        for revision in range(50):
            puts = {f"k{chance.randrange(8)}": str(chance.random()) for _ in range(chance.randrange(4))}
            deletes = {f"k{chance.randrange(10)}" for _ in range(chance.randrange(3))}
            kept_up = digest_after(kept_up, revision, records=digests(values), puts=digests(puts), deletes=deletes)
            values = {**{key: text for key, text in values.items() if key not in deletes}, **puts}

        assert kept_up == contents_digest(50, digests(values).values())

    @pytest.mark.parametrize(
        ("revision", "values"),
        [
            (2, {"a": "1", "b": "2"}),
            (1, {"a": "1"}),
            (1, {"a": "1", "b": "3"}),
            (1, {"a": "2", "b": "1"}),
            (1, {"a": "1", "b": "2", "c": ""}),
            (1, {"a1": "", "b": "2"}),
        ],
    )
    def test_differs(self, revision: int, values: dict[str, str]) -> None:
        """
        Another revision, a record less, more or otherwise: another digest.
        """
        assert contents_digest(1, digests({"a": "1", "b": "2"}).values()) != contents_digest(
            revision, digests(values).values()
        )

    def test_kinds_differ(self) -> None:
        """
        The same texts as something else have another digest.
        """
        assert 3 == len({record_digest("1", ""), revision_digest(1), commit_digest(1, "", "")})

    def test_any_text(self) -> None:
        """
        Text that can't be written has a digest all the same: damage must not make the check fail.
        """
        assert record_digest("a", "\ud800") != record_digest("a", "?")

    def test_written(self) -> None:
        """
        A digest is written with all its digits.
        """
        assert "0" * 63 + "a" == digest_text(10)


def mark(revision: int) -> Mark:
    return Mark(store_id=STORE, revision=revision, digest=digest_text(revision))


class TestMark:
    """
    A note of what was acknowledged last.
    """

    def test_read(self) -> None:
        """
        What was written is read.
        """
        assert mark(7) == newest_mark(new_mark(mark(7)))

    def test_newest_counts(self) -> None:
        """
        Of two slots the newer counts, and each overwrites the older.
        """
        contents = bytearray(new_mark(mark(1)))
        for revision in (2, 3, 4):
            contents[slot_offset(revision) : slot_offset(revision) + SLOT_BYTES] = slot_bytes(mark(revision))

            assert mark(revision) == newest_mark(bytes(contents))
        assert 2 * SLOT_BYTES == len(contents)

    @pytest.mark.parametrize("bit", range(0, SLOT_BYTES * 8, 41))
    def test_flipped_bit(self, bit: int) -> None:
        """
        A slot with a flipped bit doesn't count, and never as another mark; the one before it does.
        """
        contents = bytearray(slot_bytes(mark(8)) + slot_bytes(mark(9)))
        contents[SLOT_BYTES + bit // 8] ^= 1 << bit % 8

        assert newest_mark(bytes(contents)) in (mark(8), mark(9))

    @pytest.mark.parametrize(
        "contents",
        [b"", b"\0" * 1024, slot_bytes(mark(1))[:-1], slot_bytes(mark(1)).replace(b"revision=1", b"revision=2")],
    )
    def test_unreadable(self, contents: bytes) -> None:
        """
        A file without a whole slot says nothing.
        """
        assert newest_mark(contents) is None


class TestBackupNames:
    """
    Which file is a backup, of what, and which may go.
    """

    def test_name(self) -> None:
        """
        A name says when, at which revision, of which store; and is read back.
        """
        made = backup_name(taken_at_seconds=1_795_600_001.9, revision=42, store_id=STORE)

        assert "store-20261125T094641Z-r42-01234567.sqlite" == made.text()
        assert made == parsed(made.text())

    @pytest.mark.parametrize(
        "name",
        [
            "store.sqlite",
            "store-20261125T094641Z-r42-01234567.sqlite.new",
            "store-20261125T094641Z-r42-01234567",
            "my-store-20261125T094641Z-r42-01234567.sqlite",
            "store-20261325T094641Z-r42-01234567.sqlite",
            "store-20261125T094641Z-r-01234567.sqlite",
            "store-20261125T094641Z-r42-0123456G.sqlite",
        ],
    )
    def test_other_files(self, name: str) -> None:
        """
        Whatever is called otherwise is no backup.
        """
        assert parsed(name) is None

    def test_newest_first(self) -> None:
        """
        The newest backup is the one that was made last, whatever its revision: after a restore that may be lower.
        """
        names = [at(hour, 10 - hour, store).text() for hour, store in ((1, STORE), (3, STORE), (2, STORE), (4, OTHER))]

        assert [at(3, 7), at(2, 8), at(1, 9)] == newest_first([*names, "notes.txt"], STORE)
        assert at(4, 6, OTHER) == newest_first(names)[0]

    def test_outlived(self) -> None:
        """
        The oldest backups of the store go; other stores' and strangers' files stay.
        """
        names = [*(at(hour, hour).text() for hour in range(6)), at(0, 0, OTHER).text(), "notes.txt"]

        assert [at(2, 2), at(1, 1), at(0, 0)] == outlived(names, at(5, 5), keep=3)

    def test_the_new_one_stays(self) -> None:
        """
        After the clock was set back, the new backup looks older than the others, and stays.
        """
        names = [at(hour, hour).text() for hour in (1, 5, 6)]

        assert [at(6, 6), at(5, 5)] == outlived(names, at(1, 1), keep=1)

    def test_few(self) -> None:
        """
        As long as there are no more than are kept, none goes.
        """
        assert [] == outlived([at(1, 1).text(), at(2, 2).text()], at(2, 2), keep=2)


def at(hour: int, revision: int, store_id: str = STORE) -> BackupName:
    return BackupName(taken_at=datetime(2026, 11, 25, hour, tzinfo=UTC), revision=revision, store=store_id[:8])

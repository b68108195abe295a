"""
What became of the ledger: every record that was acknowledged must be in the volume, once, in order, and unchanged.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from demo.evidence import Group
from demo.ledger import (
    BALLAST_FOLDER,
    BALLAST_SUMS_FILE,
    FIRST_RECORD,
    LEDGER_FILE,
    RECORD_BYTES,
    LedgerDamaged,
    record_number,
)

_MOST_COMPLAINTS = 20


class Finding(NamedTuple):
    """
    What was found in the volume.

    :ivar records: how many are there.
    :ivar complaints: what is wrong; none: nothing is.
    """

    records: int
    complaints: list[str]


def check_volume(folder: Path, acknowledged: Iterable[Group]) -> Finding:
    """
    Compare a volume with what was acknowledged. The ledger must not be running.
    """
    try:
        data = (folder / LEDGER_FILE).read_bytes()
    except OSError as error:
        return Finding(records=0, complaints=[f"the ledger can't be read: {error}"])
    complaints = [*ledger_complaints(data, acknowledged), *ballast_complaints(folder / BALLAST_FOLDER)]
    return Finding(records=len(data) // RECORD_BYTES, complaints=complaints)


def ledger_complaints(data: bytes, acknowledged: Iterable[Group]) -> list[str]:
    """
    What is wrong with the bytes of a ledger, at most so much as somebody reads.

    :param acknowledged: in any order.
    """
    complaints: list[str] = []
    for complaint in (*_record_complaints(data), *_group_complaints(data, acknowledged)):
        if len(complaints) == _MOST_COMPLAINTS:
            return [*complaints, "and more"]
        complaints.append(complaint)
    return complaints


def ballast_complaints(folder: Path) -> list[str]:
    """
    What is wrong with the files beside the ledger, by their SHA-256 sums.
    """
    if not folder.exists():
        return []
    complaints = []
    try:
        for line in (folder / BALLAST_SUMS_FILE).read_text().splitlines():
            expected, _, name = line.partition("  ")
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                complaints.append(f"the content of {BALLAST_FOLDER}/{name} has changed")
    except OSError as error:
        complaints.append(f"the ballast can't be read: {error}")
    return complaints


def _record_complaints(data: bytes) -> Iterator[str]:
    for number, start in enumerate(range(0, len(data) - len(data) % RECORD_BYTES, RECORD_BYTES), FIRST_RECORD):
        try:
            found = record_number(data[start : start + RECORD_BYTES])
        except LedgerDamaged as damaged:
            yield f"where record {number} belongs there is {damaged}"
        else:
            if found != number:
                yield f"where record {number} belongs there is record {found}"


def _group_complaints(data: bytes, acknowledged: Iterable[Group]) -> Iterator[str]:
    for group in acknowledged:
        start, end = (group.first - FIRST_RECORD) * RECORD_BYTES, (group.last - FIRST_RECORD + 1) * RECORD_BYTES
        name = f"record {group.first}" if group.first == group.last else f"records {group.first} to {group.last}"
        if end > len(data):
            yield f"{name}: acknowledged, and not in the volume"
        elif zlib.crc32(data[start:end]) != group.checksum:
            yield f"{name}: not what was acknowledged"

"""
Digests by which a store notices that its contents are not what was committed.

SQLite's own pages have no checksums: a flipped bit in the middle of a value is a value to it. So the store keeps one
digest of everything beside everything. It is the XOR of a digest per record and one of the revision, so that a commit
costs what it touches, and a record that is missing is noticed as well as one that is wrong.

This is against accidents, not against somebody who may write to the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

_DIGEST_BYTES = 32


def _digest(kind: str, *texts: str) -> int:
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in (kind, *texts):
        # Text that no store wrote may hold what UTF-8 can't; it has a digest all the same, of nobody's record.
        encoded = text.encode("utf-8", "surrogatepass")
        hashed.update(len(encoded).to_bytes(8, "big"))
        hashed.update(encoded)
    return int.from_bytes(hashed.digest(), "big")


def record_digest(key: str, text: str) -> int:
    """
    The digest of one record.
    """
    return _digest("record", key, text)


def revision_digest(revision: int) -> int:
    """
    The digest of a revision's number.
    """
    return _digest("revision", str(revision))


def contents_digest(revision: int, records: Iterable[int]) -> int:
    """
    The digest of everything in a store.

    :param records: the digests of all records; their order doesn't matter.
    """
    digest = revision_digest(revision)
    for each in records:
        digest ^= each
    return digest


def digest_after(
    digest: int, revision: int, *, records: Mapping[str, int], puts: Mapping[str, int], deletes: Iterable[str]
) -> int:
    """
    The digest after a commit, from the one at ``revision``.

    :param records: the digests of what was there, by key.
    :param puts: those of what is put.
    :param deletes: keys; one that is put as well has what is put.
    """
    digest ^= revision_digest(revision) ^ revision_digest(revision + 1)
    for key in {*puts, *deletes}:
        digest ^= records.get(key, 0)
    for each in puts.values():
        digest ^= each
    return digest


def commit_digest(revision: int, puts: str, deletes: str) -> int:
    """
    The digest of a commit of the past, as it is kept.
    """
    return _digest("commit", str(revision), puts, deletes)


def digest_text(digest: int) -> str:
    """
    A digest as it is written.
    """
    return f"{digest:0{2 * _DIGEST_BYTES}x}"

"""
The mark: a note beside the store of what was acknowledged last.

The log of SQLite ends, when it is read again, at the first frame that is damaged: what was committed after it is
forgotten without a word. The mark says how far the store has to reach. It is two slots of fixed size, written in
turn, so that one is whole whenever a write is interrupted; each has a checksum of its own.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from flocker_py.records import Record, value

SLOT_BYTES = 512
"""Of each of the two slots. Disks write so much whole or not at all."""

_SLOT = re.compile(
    r"(?P<body>flocker_py-store-mark 1 store=(?P<store>\w+) revision=(?P<revision>[0-9]{1,19}) digest=(?P<digest>\w+)) "
    r"check=(?P<check>\w+) *\n",
    re.ASCII,
)


class Mark(Record):
    """
    What was acknowledged last.

    :param store_id: which store it was, in hexadecimal.
    :param digest: of everything in it, see ``store_digest``.
    """

    store_id: str = value(str)
    revision: int = value(int)
    digest: str = value(str)


def slot_offset(revision: int) -> int:
    """
    Where the slot of a revision is: never where its predecessor's is.
    """
    return revision % 2 * SLOT_BYTES


def slot_bytes(mark: Mark) -> bytes:
    """
    A slot with this mark.
    """
    body = f"flocker_py-store-mark 1 store={mark.store_id} revision={mark.revision} digest={mark.digest}"
    text = f"{body} check={_check(body)}"
    return text.encode("ascii").ljust(SLOT_BYTES - 1) + b"\n"


def new_mark(mark: Mark) -> bytes:
    """
    The contents of a file that has nothing but this mark.
    """
    return slot_bytes(mark) * 2


def newest_mark(contents: bytes) -> Mark | None:
    """
    The newest mark in a file; None if none of it is whole.
    """
    found = [_mark(contents[offset : offset + SLOT_BYTES]) for offset in (0, SLOT_BYTES)]
    return max((mark for mark in found if mark is not None), key=lambda mark: mark.revision, default=None)


def _mark(slot: bytes) -> Mark | None:
    match = _SLOT.fullmatch(slot.decode("ascii", "replace"))
    if match is None or match["check"] != _check(match["body"]):
        return None
    return Mark(store_id=match["store"], revision=int(match["revision"]), digest=match["digest"])


def _check(body: str) -> str:
    return blake2b(body.encode("ascii"), digest_size=16).hexdigest()

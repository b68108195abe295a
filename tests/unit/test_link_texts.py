"""
Long texts on the link: how they are cut and packed, and what becomes of those that aren't as they should be.
"""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_py.link import MESSAGE_LIMIT_BYTES, PART_BYTES, LongText, MessageTooLong, Refused, Unreadable, decoded
from flocker_py.messages import NodeReport

LONG_TEXT: Any = LongText  # AMP's arguments have no types


def packed(text: str) -> dict[bytes, bytes]:
    strings: dict[bytes, bytes] = {}
    LONG_TEXT().toBox(b"report", strings, {"report": text}, None)
    return strings


def unpacked(strings: dict[bytes, bytes]) -> str | Unreadable:
    objects: dict[str, str | Unreadable] = {}
    LONG_TEXT().fromBox(b"report", dict(strings), objects, None)
    return objects["report"]


@given(st.text())
def test_as_it_was_sent(text: str) -> None:
    """
    A text arrives as it was sent.
    """
    assert unpacked(packed(text)) == text


def test_parts_fit() -> None:
    """
    A text that doesn't fit into one value of a box is cut into parts that do, and is put together again.
    """
    text = random.Random(7).randbytes(5 * PART_BYTES).hex()
    parts = packed(text)

    assert len(parts) > 3
    assert max(map(len, parts.values())) <= 0xFFFF
    assert unpacked(parts) == text


def test_longest() -> None:
    """
    A text as long as the limit can be sent; a longer one is refused where it comes from.
    """
    assert unpacked(packed("x" * MESSAGE_LIMIT_BYTES)) == "x" * MESSAGE_LIMIT_BYTES
    with pytest.raises(MessageTooLong, match=f"{MESSAGE_LIMIT_BYTES + 2} bytes"):
        packed("é" * (MESSAGE_LIMIT_BYTES // 2 + 1))


@pytest.mark.parametrize(
    ("strings", "reason"),
    [
        ({}, "cut short"),
        ({b"report.0": b"plain"}, "can't be unpacked"),
        ({b"report.0": zlib.compress(b"\xff")}, "can't be unpacked"),
        ({b"report.0": zlib.compress(b"x" * 99)[:-1]}, "cut short"),
        ({b"report.1": zlib.compress(b"x")}, "cut short"),
        ({b"report.0": zlib.compress(b"x" * (MESSAGE_LIMIT_BYTES + 1))}, "unpacks to more than"),
    ],
)
def test_not_as_it_should_be(strings: dict[bytes, bytes], reason: str) -> None:
    """
    What was cut, mangled, or made to fill the memory is refused with its reason when somebody reads it.
    """
    with pytest.raises(Refused, match=reason):
        decoded(NodeReport, unpacked(strings))


def test_not_what_is_expected() -> None:
    """
    A text that is not the record that is expected is refused.
    """
    with pytest.raises(Refused, match="expected"):
        decoded(NodeReport, "7")

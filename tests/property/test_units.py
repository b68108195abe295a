"""
Sizes and durations, whatever is written.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flocker_py.units import (
    MAXIMUM_SIZE_BYTES,
    DurationUnreadable,
    SizeUnreadable,
    bytes_text,
    duration_seconds,
    size_bytes,
)


@given(number=st.integers(0, MAXIMUM_SIZE_BYTES))
def test_plain_number_is_itself(number: int) -> None:
    """
    A size without a unit is bytes, as a number or as text.
    """
    assert size_bytes(str(number)) == size_bytes(number) == number


@given(number=st.integers(0, MAXIMUM_SIZE_BYTES * 7 // 8))
def test_shown_size_can_be_written(number: int) -> None:
    """
    What is shown is a size too, and within a twentieth of a unit of what it shows.
    """
    assert abs(size_bytes(bytes_text(number)) - number) <= max(1, number * 0.051)


@given(text=st.text(alphabet="0123456789.KMGTiBb ms hd-+eE") | st.text())
def test_any_text_is_a_size_or_refused(text: str) -> None:
    """
    No text fails in another way, and no size is out of range.
    """
    try:
        size = size_bytes(text)
    except SizeUnreadable:
        size = 0

    assert 0 <= size <= MAXIMUM_SIZE_BYTES


@given(text=st.text(alphabet="0123456789. mshdin-+e") | st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """
    No text fails in another way, and no duration is negative.
    """
    try:
        seconds = duration_seconds(text)
    except DurationUnreadable:
        seconds = 0.0

    assert seconds >= 0.0

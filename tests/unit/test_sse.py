"""
How a stream of events is read.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_py.client.sse import LINE_LIMIT_BYTES, Event, EventReader, StreamTooLong

STREAM = (
    b": hello\n\n"
    b"id: 7\nevent: committed\ndata: {\"a\":1}\n\n"
    b"event: observed\r\ndata: one\r\ndata:two\r\n\r\n"
    b"retry: 5\nid: 8\n\n"
    b"data: last\n\n"
    b"data: unfinished\n"
)  # fmt: skip
EVENTS = [
    Event(name="committed", data='{"a":1}', event_id="7"),
    Event(name="observed", data="one\ntwo", event_id="7"),
    Event(name="message", data="last", event_id="8"),
]


def test_stream_is_events() -> None:
    """
    Events end with an empty line; comments, unknown fields and unfinished events are none.
    """
    assert EventReader().take(STREAM) == EVENTS


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_however_it_is_cut(cuts: list[int]) -> None:
    """
    In whatever pieces a stream arrives, it is the same events.
    """
    reader = EventReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in itertools.pairwise(edges)]

    assert [event for piece in pieces for event in reader.take(piece)] == EVENTS


def test_line_without_end_is_refused() -> None:
    """
    A stream without ends of lines isn't kept for ever.
    """
    reader = EventReader()

    with pytest.raises(StreamTooLong):
        reader.take(b"x" * (LINE_LIMIT_BYTES + 1))


def test_what_is_not_utf8_is_shown_as_such() -> None:
    """
    Bytes that aren't text don't end the stream.
    """
    assert EventReader().take(b"data: \xff\n\n") == [Event(data="\ufffd")]

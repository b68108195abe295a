"""
How long a peer on the link may be silent.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from flocker_control.agents import GREETING_SECONDS, AgentSession
from flocker_py.link import MESSAGE_LIMIT_BYTES, PING_SECONDS, SILENCE_SECONDS, Link

PING = b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x04Ping\x00\x00"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport() -> Any:
    made: Any = StringTransport  # it has no types
    return made()


def begun(session: Any, transport: Any) -> Any:
    session.makeConnection(transport)
    return session


def test_pings(clock: Clock, transport: Any) -> None:
    """
    The other side is pinged every few seconds.
    """
    begun(Link(clock), transport)
    clock.pump([PING_SECONDS] * 3)

    assert transport.value().count(b"Ping") == 3


def test_silence_ends_a_session(clock: Clock, transport: Any) -> None:
    """
    A peer that has been silent for too long is taken for gone, soon after.
    """
    begun(Link(clock), transport)
    clock.pump([1.0] * int(SILENCE_SECONDS))
    before = transport.disconnecting
    clock.pump([1.0] * int(PING_SECONDS + 1))

    assert (before, transport.disconnecting) == (False, True)


def test_any_word_keeps_a_session(clock: Clock, transport: Any) -> None:
    """
    Whatever is heard is a sign of life.
    """
    session = begun(Link(clock), transport)
    for _ in range(10):
        clock.advance(SILENCE_SECONDS / 2)
        session.dataReceived(PING)

    assert not transport.disconnecting


def test_nothing_is_left_of_a_session(clock: Clock, transport: Any) -> None:
    """
    A session that was lost leaves no timer behind.
    """
    service: Any = None
    failure: Any = Failure
    begun(AgentSession(clock, service), transport).connectionLost(failure(ConnectionDone()))

    assert clock.getDelayedCalls() == []


def test_who_never_greets_is_hung_up_on(clock: Clock, transport: Any) -> None:
    """
    Pings alone don't keep a session of which nobody knows whose it is.
    """
    service: Any = None
    session = begun(AgentSession(clock, service), transport)
    for _ in range(int(GREETING_SECONDS)):
        clock.advance(1.0)
        session.dataReceived(PING)

    assert transport.disconnecting


def test_box_without_end_is_hung_up_on(clock: Clock, transport: Any) -> None:
    """
    A box that grows beyond all messages ends the session.
    """
    session = begun(Link(clock), transport)
    part = b"\x00\x02%02d\xff\xff" + b"x" * 0xFFFF
    for number in range(2 * MESSAGE_LIMIT_BYTES // len(part) + 1):
        session.dataReceived(part.replace(b"%02d", b"%02d" % (number % 100)))

    assert transport.disconnecting

"""
How many connections a port takes: in all, and from one address.

Counted before TLS, so that whoever shows no certificate costs no more than a slot, until the time for the handshake is
over. One address can't take the slots of all the others.
"""

from __future__ import annotations

import resource
from collections import Counter

from eliot import log_message
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from flocker_py.clock import Clock

_LOST = Failure(ConnectionDone())
TELL_SECONDS = 10.0
"""At most so often it is logged that connections are turned away."""


def raise_descriptor_limit() -> None:
    """
    Let this process have as many files and connections open as the system allows: 1,024 is what it gets unasked.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class CountedConnection(ProtocolWrapper):
    """
    One connection, which gives its slot back when it ends.
    """

    factory: CountedConnections
    host: str

    def connectionLost(self, reason: Failure = _LOST) -> None:  # noqa: N802  # Twisted's name
        super().connectionLost(reason)
        self.factory.ended(self.host)


class CountedConnections(WrappingFactory):
    """
    Takes connections up to a number; more are closed as soon as they are made.

    :param limit: in all.
    :param limit_per_address: from one IP address.
    :param clock: of how often that is logged.
    """

    protocol = CountedConnection
    noisy = False

    def __init__(self, factory: IProtocolFactory, *, limit: int, limit_per_address: int, clock: Clock) -> None:
        super().__init__(factory)
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._told_at: float | None = None
        self._turned_away = 0

    def buildProtocol(self, addr: IAddress | None) -> CountedConnection | None:  # type: ignore[override]  # noqa: N802  # Twisted's name
        """
        A connection, or none if there are too many.
        """
        host = str(getattr(addr, "host", addr))
        if self._counts.total() >= self._limit or self._counts[host] >= self._limit_per_address:
            self._turn_away(host)
            return None
        protocol = super().buildProtocol(addr)
        assert isinstance(protocol, CountedConnection)  # noqa: S101  # tells type checkers what ``protocol`` makes
        protocol.host = host
        self._counts[host] += 1
        return protocol

    def ended(self, host: str) -> None:
        """
        A connection from there is over.
        """
        self._counts[host] -= 1
        if not self._counts[host]:
            del self._counts[host]

    def _turn_away(self, host: str) -> None:
        self._turned_away += 1
        now = self._clock.seconds()
        # A flood must not fill the log as well.
        if self._told_at is None or not 0 <= now - self._told_at < TELL_SECONDS:
            log_message(
                message_type="flocker:control:connections-turned-away",
                count=self._turned_away,
                last_from=host,
                connections=self._counts.total(),
            )
            self._told_at, self._turned_away = now, 0

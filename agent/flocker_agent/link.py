"""
The agent's end of the session with the control service.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from eliot import log_message
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from flocker_py import messages, wire
from flocker_py.assignment import NodeAssignment
from flocker_py.boottime import boottime_seconds
from flocker_py.clock import Clock, Timer
from flocker_py.handshake import tls_failure_text
from flocker_py.leases import ends_at_seconds, renewal_seconds
from flocker_py.link import Assign, Greet, Link, Refused, Renew, Report, Unreadable, call, continued, decoded
from flocker_py.messages import LINK_VERSION, AssignmentUpdate
from flocker_py.observed import NodeObservation

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 15.0
CONNECT_SECONDS = 10.0
"""
How long to wait for a connection. Where packets are dropped nothing says that none will come, and an application may be
standing still until the control service is reached again.
"""
_LOST = Failure(ConnectionDone())


class Reported(Protocol):
    """
    What a session needs of the agent.
    """

    @property
    def node(self) -> NodeObservation:
        """
        The node as it is seen now.
        """
        ...

    def assign(self, assignment: NodeAssignment) -> None:
        """
        From now on, this is what is asked.
        """
        ...

    def renewed(self, ends_at_seconds: float) -> None:
        """
        The lease of this node ends then, by the boot-time clock of the host.
        """
        ...


class ControlSession(Link):
    """
    One session. Reports go out one after the other; what changes while one is on its way goes out with the next.

    Once the first was taken, the lease of the node is renewed for as long as the session lasts.

    :param greeted: called once the control service has taken the first report.
    :param boottime_seconds: the clock that the lease is counted by.
    """

    def __init__(
        self,
        reactor: Clock,
        agent: Reported,
        greeted: Callable[[], None],
        *,
        boottime_seconds: Callable[[], float] = boottime_seconds,
    ) -> None:
        super().__init__(reactor)
        self._boottime_seconds = boottime_seconds
        self._next_renewal: Timer | None = None
        self._agent = agent
        self._greeted = greeted
        self._told: NodeObservation | None = None
        self._telling = False
        self._assignment: NodeAssignment | None = None

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        super().connectionMade()
        self.tell()

    def _node(self) -> NodeObservation:
        node = self._agent.node
        transport: Any = self.transport
        if node.address or transport is None:
            return node
        # Like the ancestor: whatever local address leads to the control service is the node's.
        return node.set(address=transport.getHost().host)

    def tell(self) -> None:
        """
        Report what is new, unless a report is on its way already.
        """
        if self._telling or self.transport is None:
            return
        node = self._node()
        report = messages.report_of(self._told, node)
        if report is None:
            return
        self._telling = True
        text = wire.to_text(report)
        told: Deferred[Any]
        if self._told is None:
            told = call(self, Greet, version=LINK_VERSION, report=text)
        else:
            told = call(self, Report, report=text)
        told.addCallbacks(self._was_told, self._was_not_told, callbackArgs=(node,))

    def _was_told(self, _: object, node: NodeObservation) -> None:
        if self._told is None:
            log_message(message_type="flocker:agent:session", node_id=str(node.node_id))
            self._greeted()
            self._renew()
        self._telling = False
        self._told = node
        self.tell()

    def _was_not_told(self, reason: Failure) -> None:
        log_message(message_type="flocker:agent:report-not-taken", reason=_told_reason(reason))
        self.abort()

    def _renew(self) -> None:
        # Before it is sent: however long it or its answer is on its way, control begins to count later than we do.
        sent_at_seconds = self._boottime_seconds()
        asked = call(self, Renew)
        asked.addCallbacks(self._was_renewed, self._was_not_told, callbackArgs=(sent_at_seconds,))

    def _was_renewed(self, answer: dict[str, Any], sent_at_seconds: float) -> None:
        lease_seconds: float = answer["lease_seconds"]
        if lease_seconds > 0:
            self._agent.renewed(ends_at_seconds(sent_at_seconds, lease_seconds))
        wait_seconds = sent_at_seconds + renewal_seconds(lease_seconds) - self._boottime_seconds()
        self._next_renewal = self._reactor.callLater(max(0.0, wait_seconds), self._renew)

    def connectionLost(self, reason: Failure = _LOST) -> None:  # noqa: N802  # Twisted's name
        if self._next_renewal is not None and self._next_renewal.active():
            self._next_renewal.cancel()
        super().connectionLost(reason)

    @Assign.responder
    def assigned(self, update: str | Unreadable, task: str) -> dict[str, Any]:
        """
        Something new is asked.
        """
        with continued(task, "flocker:agent:assigned"):
            news = decoded(AssignmentUpdate, update)
            if news.node_id != self._agent.node.node_id:
                raise Refused(f"this is node {self._agent.node.node_id}, not {news.node_id}")
            self._assignment = messages.updated(self._assignment, news)
            if self._assignment is None:
                raise Refused("the first assignment of a session must be whole")
            self._agent.assign(self._assignment)
        return {}


def _told_reason(reason: Failure) -> str:
    error: Any = reason.value
    return tls_failure_text(error) or reason.getErrorMessage() or type(error).__name__


@implementer(IStreamClientEndpoint)
class _Telling:
    """
    An endpoint whose failures can be read in the log.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, where: str) -> None:
        self._endpoint: Any = endpoint  # pyright doesn't follow zope's interfaces
        self._where = where

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # Twisted's name
        result: Deferred[IProtocol] = self._endpoint.connect(protocolFactory).addErrback(self._tell)
        return result

    def _tell(self, reason: Failure) -> Failure:
        log_message(
            message_type="flocker:agent:control-unreachable",
            control_service=self._where,
            reason=_told_reason(reason),
            remedy="it is tried again for ever; if this is not where it listens, correct control-service in agent.yml",
        )
        return reason


class ControlLink(Factory):
    """
    Keeps a session with the control service: reconnects with growing, randomly varied delays. They begin anew once the
    control service has taken a report: a connection alone is nothing, it may be refused in the next moment.

    :param agent: who reports and is assigned.
    :param where: the control service's host and port, for the log.
    """

    noisy = False

    def __init__(self, reactor: Clock, endpoint: IStreamClientEndpoint, agent: Reported, *, where: str = "") -> None:
        self._reactor = reactor
        self._agent = agent
        self._session: ControlSession | None = None
        self._attempts = 0
        self._delay_seconds = backoffPolicy(
            initialDelay=FIRST_DELAY_SECONDS,
            maxDelay=LONGEST_DELAY_SECONDS,
            factor=1.5,
            # Hundreds of agents must not come back in step after the control service was restarted.
            jitter=lambda: random.uniform(0, FIRST_DELAY_SECONDS),  # noqa: S311
        )
        factory: Any = self
        clock: Any = reactor
        telling: Any = _Telling(endpoint, where)
        self._service = ClientService(telling, factory, retryPolicy=self._next_delay_seconds, clock=clock)

    def _next_delay_seconds(self, _: int) -> float:
        self._attempts += 1
        return self._delay_seconds(self._attempts)

    def _greeted(self) -> None:
        self._attempts = 0

    def start(self) -> None:
        """
        Connect, and stay connected.
        """
        self._service.startService()

    async def stop(self) -> None:
        """
        Disconnect.
        """
        if self._session is not None:
            self._session.abort()
        stopped: Deferred[None] | None = self._service.stopService()
        if stopped is not None:
            await stopped

    def buildProtocol(self, addr: IAddress | None) -> ControlSession:  # noqa: N802, ARG002  # Twisted's name
        self._session = ControlSession(self._reactor, self._agent, self._greeted)
        return self._session

    def tell(self) -> None:
        """
        There is something new to report.
        """
        if self._session is not None and self._session.transport is not None:
            self._session.tell()

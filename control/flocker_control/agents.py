"""
The control service's end of the sessions with agents, on port 4524.

Who a node is, is what its certificate says; every message that speaks for a node is held against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eliot import log_message
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from flocker_control.membership import removed_text
from flocker_control.service import ControlService, Session
from flocker_py import __version__, messages, wire
from flocker_py.assignment import NodeAssignment
from flocker_py.clock import Clock, Timer
from flocker_py.identity import NodeIdentity
from flocker_py.link import (
    PING_SECONDS,
    SILENCE_SECONDS,
    Assign,
    Greet,
    Link,
    Refused,
    Renew,
    Report,
    Unreadable,
    call,
    continued,
    decoded,
)
from flocker_py.messages import LINK_VERSION, NodeReport
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation
from flocker_py.tls import peer_identity

GREETING_SECONDS = 30.0
_LOST = Failure(ConnectionDone())


class AgentSession(Link):
    """
    One session with one agent.

    Assignments are sent one after the other; what changes while one is on its way goes out together with the next.
    """

    def __init__(self, reactor: Clock, service: ControlService) -> None:
        super().__init__(reactor)
        self._service = service
        self._node_id: NodeId | None = None
        self._node: NodeObservation | None = None
        self._told: NodeAssignment | None = None
        self._wanted: NodeAssignment | None = None
        self._telling = False
        self._too_late: Timer | None = None

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        super().connectionMade()
        self._too_late = self._reactor.callLater(GREETING_SECONDS, self._expect_greeting)

    def _expect_greeting(self) -> None:
        if self._node_id is None:
            self.abort()

    @Greet.responder
    def greet(self, version: int, report: str | Unreadable, task: str) -> dict[str, Any]:
        """
        A session begins.
        """
        with self._ending_if_refused(), continued(task, "flocker:control:greet"):
            if version != LINK_VERSION:
                raise Refused(
                    f"this control service (flocker_py {__version__}) speaks version {LINK_VERSION} of the link, the"
                    f" agent version {version}: install the same release of flocker_py on both"
                )
            transport: Any = self.transport
            speaker = peer_identity(transport)
            if not isinstance(speaker, NodeIdentity):
                raise Refused("this port is for agents, with certificates of nodes")
            self._node_id = speaker.node_id
            removed = removed_text(self._service.state, speaker.node_id)
            if removed is not None:
                raise Refused(removed)
            node = self._heard(report)
            self._refuse_second_host(node)
            log_message(message_type="flocker:control:node-came", node_id=str(self._node_id), era=str(node.era))
            self._service.node_came(self, node)
        return {"control_version": __version__}

    def _refuse_second_host(self, node: NodeObservation) -> None:
        # An agent that was started again takes the place of its earlier session. A host that was cloned with its
        # certificate must not: both would own the same datasets, and run the same containers.
        present = self._service.nodes.get(node.node_id)
        if present is not None and present.era != node.era:
            raise Refused(
                f"node {node.node_id} has a session already, of another host or of an earlier boot (its address was"
                f" {present.address}, this one's is {node.address}). If this host was just started again, the earlier"
                f" session ends within {SILENCE_SECONDS + PING_SECONDS:g} s; if two hosts have the same node.crt, make"
                " each a certificate of its own with flocker-ca create-node-certificate"
            )

    @Report.responder
    def report(self, report: str | Unreadable, task: str) -> dict[str, Any]:
        """
        The node has news.
        """
        with self._ending_if_refused(), continued(task, "flocker:control:report"):
            self._service.node_reported(self, self._heard(report))
        return {}

    @Renew.responder
    def renew(self, task: str) -> dict[str, Any]:  # noqa: ARG002  # renewing is no part of any move
        """
        The node asks for its next lease.
        """
        with self._ending_if_refused():
            if self._node_id is None:
                raise Refused("the first message of a session must be a greeting")
            # What was granted elsewhere while its lease was expired, it must have heard of before it goes on serving.
            heard = self._told is not None
            up_to_date = self._wanted is not None and messages.update_of(self._told, self._wanted) is None
            return {"lease_seconds": self._service.renew(self, self._node_id, heard=heard, up_to_date=up_to_date)}

    @contextmanager
    def _ending_if_refused(self) -> Iterator[None]:
        try:
            yield
        except Refused as refusal:
            log_message(message_type="flocker:control:refused", node_id=str(self._node_id), reason=str(refusal))
            # After the answer has gone out. A new session begins with everything.
            self._reactor.callLater(0, self._hang_up)
            raise

    def _hang_up(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def _heard(self, text: str | Unreadable) -> NodeObservation:
        if self._node_id is None:
            raise Refused("the first message of a session must be a greeting")
        report = decoded(NodeReport, text)
        speaks_for = {report.node_id}
        if report.whole is not None:
            speaks_for.add(report.whole.node_id)
        if speaks_for != {self._node_id}:
            log_message(
                message_type="flocker:control:impostor",
                certificate_of=str(self._node_id),
                speaks_for=sorted(map(str, speaks_for)),
            )
            raise Refused(
                f"the certificate of node {self._node_id} doesn't speak for node {report.node_id}:"
                " each node needs a certificate of its own"
            )
        node = messages.reported(self._node, report)
        if node is None:
            raise Refused("the first report of a session must be whole")
        self._node = node
        return node

    def assign(self, assignment: NodeAssignment) -> None:
        """
        Tell the node what is asked of it, as soon as it has taken in what it was told before.
        """
        self._wanted = assignment
        self._tell()

    def _tell(self) -> None:
        if self._telling or self._wanted is None or self.transport is None:
            return
        wanted = self._wanted
        update = messages.update_of(self._told, wanted)
        if update is None:
            return
        self._telling = True
        told: Deferred[Any] = call(self, Assign, update=wire.to_text(update))
        told.addCallbacks(self._was_told, self._was_not_told, callbackArgs=(wanted,))

    def _was_told(self, _: object, assignment: NodeAssignment) -> None:
        self._telling = False
        self._told = assignment
        self._tell()

    def _was_not_told(self, reason: Failure) -> None:
        # Whatever it is, a new session begins with everything.
        log_message(
            message_type="flocker:control:assignment-not-taken",
            node_id=str(self._node_id),
            reason=reason.getErrorMessage(),
        )
        self.abort()

    def replaced(self) -> None:
        """
        The same node has opened another session.
        """
        self.abort()

    def connectionLost(self, reason: Failure = _LOST) -> None:  # noqa: N802  # Twisted's name
        super().connectionLost(reason)
        if self._too_late is not None and self._too_late.active():
            self._too_late.cancel()
        if self._node_id is not None:
            log_message(
                message_type="flocker:control:node-went",
                node_id=str(self._node_id),
                reason=reason.getErrorMessage(),
            )
            self._service.node_went(self, self._node_id)


class AgentSessions(Factory):
    """
    Makes a session for every connection.
    """

    noisy = False

    def __init__(self, reactor: Clock, service: ControlService) -> None:
        self._reactor = reactor
        self._service = service

    def buildProtocol(self, addr: IAddress | None) -> AgentSession:  # noqa: N802, ARG002  # Twisted's name
        return AgentSession(self._reactor, self._service)


_: type[Session] = AgentSession

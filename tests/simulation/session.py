"""
A session between an agent and the control service: one message at a time in each direction, and each is answered. In
some schedules what is said is written out as on the real link; in most, to save time, it is not.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from flocker_control.agents import AgentSession
from flocker_py import messages, wire
from flocker_py.assignment import NodeAssignment
from flocker_py.leases import ends_at_seconds, renewal_seconds
from flocker_py.link import SILENCE_SECONDS, Refused
from flocker_py.messages import AssignmentUpdate, NodeReport
from flocker_py.observed import NodeObservation
from tests.simulation.network import Connection

if TYPE_CHECKING:
    from tests.simulation.control import SimulatedControl
    from tests.simulation.node import SimulatedNode


class SimulatedSession:
    """
    Both ends of a session.
    """

    def __init__(self, node: SimulatedNode, control: SimulatedControl) -> None:
        world = node.world
        connection = Connection(world, f"{node.name} link", silence_seconds=SILENCE_SECONDS)
        self._world = world
        self._node = node
        self._control = control
        self.agents_end = connection.add(node.name, node.life, self._agent_lost)
        self.controls_end = connection.add("control", control.life, self._control_lost)
        self._reporting = False
        self._told: NodeObservation | None = None
        self._heard: NodeObservation | None = None
        self._assigning = False
        self._wanted: NodeAssignment | None = None
        self._assigned: NodeAssignment | None = None
        self._taken: NodeAssignment | None = None

    # -- the agent's end -------------------------------------------------------------------------------------------

    def report(self) -> None:
        """
        The agent has news, which go out once the news before were taken.
        """
        agent = self._node.agent
        if agent is None or self._reporting or not self.agents_end.open:
            return
        node = agent.node
        report = messages.report_of(self._told, node)
        if report is None:
            return
        self._reporting = True
        said = wire.to_text(report) if self._world.spelled_out else report
        self.agents_end.send("report", lambda: self._hear(said, node))

    @property
    def told_all(self) -> bool:
        """
        Whether the control service has heard all that the agent knows.
        """
        return self._node.agent is not None and self._told is self._node.agent.node

    def _reported(self, node: NodeObservation) -> None:
        self._reporting = False
        first, self._told = self._told is None, node
        if first:
            self._node.attempts = 0
            if self._world.fencing:
                self._renew()
        self.report()

    def _renew(self) -> None:
        sent_at_seconds = self._node.boottime_seconds()
        self.agents_end.send("renew", lambda: self._grant(sent_at_seconds))

    def _renewed(self, sent_at_seconds: float, lease_seconds: float) -> None:
        agent, world = self._node.agent, self._world
        if agent is None:
            return
        if lease_seconds > 0:
            agent.renewed(ends_at_seconds(sent_at_seconds, lease_seconds))
        wait_seconds = sent_at_seconds + renewal_seconds(lease_seconds) - self._node.boottime_seconds()

        def again() -> None:
            if self.agents_end.open:
                self._renew()

        label = f"{self._node.name} renews its lease"
        world.scheduler.put(max(0.001, wait_seconds), label, self._node.life, again, timer=True)

    def _take(self, said: str | AssignmentUpdate, wanted: NodeAssignment) -> None:
        update = wire.from_text(AssignmentUpdate, said) if isinstance(said, str) else said
        self._taken = messages.updated(self._taken, update)
        assert self._taken is not None
        self._node.assign(self._taken)
        self.agents_end.send("taken", lambda: self._was_taken(wanted))

    def _agent_lost(self) -> None:
        self._node.session_lost(self)

    # -- the control service's end ---------------------------------------------------------------------------------

    def _hear(self, said: str | NodeReport, told: NodeObservation) -> None:
        service = self._control.service
        if service is None:
            return
        first = self._heard is None
        report = wire.from_text(NodeReport, said) if isinstance(said, str) else said
        self._heard = messages.reported(self._heard, report)
        assert self._heard is not None
        if first:
            listening: Any = SimpleNamespace(_service=service)
            try:
                AgentSession._refuse_second_host(listening, self._heard)
            except Refused:
                self._world.tell(f"control refuses a second host as {self._node.name}")
                self.controls_end.close()
                return
            service.node_came(self, self._heard)
        else:
            service.node_reported(self, self._heard)
        self.controls_end.send("heard", lambda: self._reported(told))

    def _grant(self, sent_at_seconds: float) -> None:
        # As ``AgentSession.renew`` does.
        service = self._control.service
        if service is None:
            return
        up_to_date = self._wanted is not None and messages.update_of(self._assigned, self._wanted) is None
        lease_seconds = service.renew(self, self._node.node_id, heard=self._assigned is not None, up_to_date=up_to_date)
        self.controls_end.send("lease", lambda: self._renewed(sent_at_seconds, lease_seconds))

    def assign(self, assignment: NodeAssignment) -> None:
        """
        See ``flocker_control.service.Session``.
        """
        self._world.checker.announced(self._node, assignment)
        self._wanted = assignment
        self._tell()

    def _tell(self) -> None:
        if self._assigning or self._wanted is None or not self.controls_end.open:
            return
        wanted = self._wanted
        update = messages.update_of(self._assigned, wanted)
        if update is None:
            return
        self._assigning = True
        said = wire.to_text(update) if self._world.spelled_out else update
        self.controls_end.send("assign", lambda: self._take(said, wanted))

    def _was_taken(self, wanted: NodeAssignment) -> None:
        self._assigning = False
        self._assigned = wanted
        self._tell()

    def replaced(self) -> None:
        """
        See ``flocker_control.service.Session``.
        """
        self.controls_end.close()

    def _control_lost(self) -> None:
        service = self._control.service
        if service is not None:
            service.node_went(self, self._node.node_id)

"""
The agent's memory of what was asked of its node.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from eliot import log_message
from twisted.internet.defer import Deferred

from flocker_agent.remembered import remember, remembered
from flocker_agent.threads import Blocking
from flocker_py.assignment import NodeAssignment
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation


class Asked(Protocol):
    """
    Whoever does what is asked of a node: ``flocker_agent.loop.Agent``.
    """

    @property
    def node(self) -> NodeObservation: ...

    def renewed(self, ends_at_seconds: float) -> None: ...

    def assign(self, assignment: NodeAssignment) -> None: ...


class Memory:
    """
    The agent, with a memory of what it was asked last, for the time when the control service is away.
    """

    def __init__(self, path: Path, node_id: NodeId, agent: Asked, blocking: Blocking) -> None:
        self._path = path
        self._node_id = node_id
        self._agent = agent
        self._blocking = blocking
        self._latest: NodeAssignment | None = None
        self._writing = False

    @property
    def node(self) -> NodeObservation:
        """
        The node as it is seen now.
        """
        return self._agent.node

    def renewed(self, ends_at_seconds: float) -> None:
        """
        See ``Agent.renewed``.
        """
        self._agent.renewed(ends_at_seconds)

    def recall(self) -> None:
        """
        Go by what was asked last, until something new is.
        """
        assignment = remembered(self._path, self._node_id, self.node.era)
        if assignment is not None:
            self._agent.assign(assignment)

    def assign(self, assignment: NodeAssignment) -> None:
        """
        From now on, this is what is asked; and it is remembered, soon.
        """
        self._latest = assignment
        self._agent.assign(assignment)
        if not self._writing:
            self._writing = True
            Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        try:
            while self._latest is not None:
                assignment, self._latest = self._latest, None
                try:
                    await self._blocking.run(remember, self._path, assignment, self.node.era)
                except OSError as error:
                    log_message(message_type="flocker:agent:not-remembered", path=str(self._path), reason=str(error))
        finally:
            # Whatever it was that went wrong, the next assignment is written.
            self._writing = False

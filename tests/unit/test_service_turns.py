"""
Whose turn it is when both users and nodes have something for the control service.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Set
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from flocker_control.commands import PutNode
from flocker_control.memory_store import MemoryStore
from flocker_control.service import ControlService, opened
from flocker_py.assignment import NodeAssignment
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation

A, B, C = (NodeId(UUID(int=number)) for number in (1, 2, 3))


class Session:
    """
    A session that takes everything in.
    """

    def assign(self, assignment: NodeAssignment) -> None: ...

    def replaced(self) -> None: ...


class GatedStore(MemoryStore):
    """
    A store that makes one commit each time the gate is opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Deferred[None]] = []
        self.committed: list[str] = []

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        gate: Deferred[None] = Deferred()
        self.waiting.append(gate)
        await gate
        self.committed += sorted(puts)
        return await super().commit(revision, puts, deletes)

    def open_gate(self) -> None:
        self.waiting.pop(0).callback(None)


def begun(work: Coroutine[Any, Any, Any]) -> list[Any]:
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    return results


def came(service: ControlService, node_id: NodeId) -> None:
    node = NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address="10.0.0.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
    )
    service.node_came(Session(), node)


def test_users_are_served_between_any_two_reports() -> None:
    """
    A user who waits is served after the commit that is being made, not when no node has any more news.
    """
    store = GatedStore()
    [service] = begun(opened(store, clock=Clock(), new_id=lambda: UUID(int=7)))
    came(service, A)
    begun(service.submit(PutNode(node_id=B, name="b")))
    came(service, C)
    while store.waiting:
        store.open_gate()

    assert store.committed == [f"node/{A}", f"node/{B}", f"node/{C}"]

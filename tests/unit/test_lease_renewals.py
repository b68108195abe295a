"""
When the control service renews the lease of a node, and when not.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Set
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from flocker_control.commands import PutNode
from flocker_control.memory_store import MemoryStore
from flocker_control.service import ControlService, opened
from flocker_py.assignment import NodeAssignment
from flocker_py.leases import expires_at_seconds
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation

A = NodeId(UUID(int=1))
LEASE_SECONDS = 6.0
EXPIRY_SECONDS = expires_at_seconds(0.0, LEASE_SECONDS)


class Session:
    """
    A session that takes everything in.
    """

    def assign(self, assignment: NodeAssignment) -> None: ...

    def replaced(self) -> None: ...


class SlowStore(MemoryStore):
    """
    A store whose commits can be held up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: Deferred[None] | None = None

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        if self.held is not None:
            await self.held
        return await super().commit(revision, puts, deletes)


def done(work: Coroutine[Any, Any, Any]) -> Any:
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    return results[0] if results else None


def report(node_id: NodeId = A) -> NodeObservation:
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def service(clock: Clock, store: SlowStore) -> ControlService:
    return started(clock, store)


def started(clock: Clock, store: MemoryStore, lease_seconds: float = LEASE_SECONDS) -> ControlService:
    made: ControlService = done(opened(store, clock=clock, new_id=lambda: UUID(int=7), lease_seconds=lease_seconds))
    return made


def renewed(service: ControlService, session: Session, *, heard: bool = True, up_to_date: bool = True) -> float:
    return service.renew(session, A, heard=heard, up_to_date=up_to_date)


@pytest.fixture
def session(service: ControlService) -> Session:
    session = Session()
    service.node_came(session, report())
    return session


def test_granted(service: ControlService, session: Session) -> None:
    """
    A node that is connected and has heard what is asked of it gets a lease, at once.
    """
    assert renewed(service, session) == LEASE_SECONDS
    assert not service.lease_has_expired(A)


def test_not_before_it_has_heard(service: ControlService, session: Session) -> None:
    """
    A node that has come back goes on serving only when it has heard what was asked meanwhile.
    """
    assert renewed(service, session, heard=False) == 0.0


def test_not_in_a_session_that_is_over(service: ControlService, session: Session) -> None:
    """
    Whoever was replaced by another session gets nothing.
    """
    service.node_came(Session(), report())

    assert renewed(service, session) == 0.0


def test_unknown_node(service: ControlService) -> None:
    """
    A node that isn't recorded has no lease, and none that could expire.
    """
    assert renewed(service, Session()) == 0.0
    assert not service.lease_has_expired(A)
    assert service.lease_left_seconds(A) is None


def test_expires_by_controls_clock(clock: Clock, service: ControlService, session: Session) -> None:
    """
    Without a renewal it expires after its length and the margin, connected or not.
    """
    renewed(service, session)
    clock.advance(EXPIRY_SECONDS - 0.1)
    before = service.lease_has_expired(A)
    clock.advance(0.2)

    assert (before, service.lease_has_expired(A)) == (False, True)


def test_busy_node_keeps_its_lease(service: ControlService, session: Session) -> None:
    """
    While a lease goes on, it is renewed whatever the node has not heard yet.
    """
    renewed(service, session)

    assert renewed(service, session, up_to_date=False) == LEASE_SECONDS


def test_expired_lease_needs_a_node_that_knows_all(clock: Clock, service: ControlService, session: Session) -> None:
    """
    After it has expired, what it allowed may be allowed elsewhere: it begins anew when the node has heard of all that.
    """
    renewed(service, session)
    clock.advance(EXPIRY_SECONDS + 1)

    assert renewed(service, session, up_to_date=False) == 0.0
    assert renewed(service, session) == LEASE_SECONDS


def test_expired_lease_waits_for_what_is_being_committed(
    clock: Clock, store: SlowStore, service: ControlService, session: Session
) -> None:
    """
    At this moment somebody else may be granted what the expired lease allowed.
    """
    renewed(service, session)
    clock.advance(EXPIRY_SECONDS + 1)
    store.held = Deferred()
    Deferred.fromCoroutine(service.submit(PutNode(node_id=A, name="alpha")))
    while_committing = renewed(service, session)
    store.held.callback(None)

    assert (while_committing, renewed(service, session)) == (0.0, LEASE_SECONDS)


def test_started_anew(clock: Clock, store: SlowStore, service: ControlService, session: Session) -> None:
    """
    A control service that was started again knows of no renewals, and waits for the longest that may have been.
    """
    renewed(service, session)
    clock.advance(100.0)
    again = started(clock, store)
    clock.advance(EXPIRY_SECONDS - 0.1)
    before = again.lease_has_expired(A)
    clock.advance(0.2)

    assert (before, again.lease_has_expired(A)) == (False, True)


def test_longer_leases_are_recorded_first(clock: Clock, store: SlowStore, service: ControlService) -> None:
    """
    Who starts with longer leases records that before it grants one.
    """
    service.node_came(Session(), report())
    again = started(clock, store, lease_seconds=60.0)
    session = Session()
    again.node_came(session, report())

    assert [renewed(again, session), again.state.nodes[A].lease_seconds] == [LEASE_SECONDS, 60.0]
    assert renewed(again, session) == 60.0

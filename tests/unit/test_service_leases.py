"""
Leases of datasets over time, in the control service.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Set
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from flocker_control.commands import CreateDataset, StartMove, UnderLease
from flocker_control.dataset_leases import AcquireLease, LeaseRule, ReleaseLease, left_seconds
from flocker_control.memory_store import MemoryStore
from flocker_control.service import RETRY_SECONDS, ControlService, opened
from flocker_control.store import StoreFull
from flocker_py.assignment import NodeAssignment
from flocker_py.model import DatasetId, NodeId
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.storage import Role

A, B = NodeId(UUID(int=1)), NodeId(UUID(int=2))
D = DatasetId(UUID(int=11))
BOOT, NEXT_BOOT = UUID(int=31), UUID(int=32)


class Session:
    """
    A session that takes everything in.
    """

    def assign(self, assignment: NodeAssignment) -> None: ...

    def replaced(self) -> None: ...


class FillingStore(MemoryStore):
    """
    A store that has no room for a while.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        if self.is_full:
            raise StoreFull("there is no room")
        return await super().commit(revision, puts, deletes)


def done(work: Coroutine[Any, Any, Any]) -> Any:
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    [result] = results
    return result


class World:
    """
    A host with a clock that only goes forward, and a time of day that anybody may set.
    """

    def __init__(self) -> None:
        self.store = FillingStore()
        self.clock = Clock()
        self.day_seconds = 1e9
        self.boot_id = BOOT
        self.service = self.started()

    def started(self) -> ControlService:
        """
        The control service, started anew.
        """
        service: ControlService = done(
            opened(
                self.store,
                clock=self.clock,
                new_id=lambda: UUID(int=7),
                now_seconds=lambda: self.day_seconds,
                boot_id=self.boot_id,
            )
        )
        self.service = service
        return service

    def acquire(self, seconds: float | None) -> None:
        """
        Let node A hold the dataset.
        """
        now = self.service.moment()
        done(self.service.submit(AcquireLease(dataset_id=D, node_id=A, seconds=seconds, now=now)))

    def is_held(self) -> bool:
        """
        Whether anybody holds it.
        """
        return D in self.service.state.dataset_leases

    def left_seconds(self) -> float | None:
        """
        How much is left.
        """
        return left_seconds(self.service.state.dataset_leases[D], self.service.moment())


@pytest.fixture
def world() -> World:
    return World()


def test_ends_to_the_moment(world: World) -> None:
    """
    A lease is held until it ends, and then no more, though nobody asks.
    """
    world.acquire(10)
    world.clock.advance(9.75)
    before = world.is_held()
    world.clock.advance(0.25)

    assert (True, False) == (before, world.is_held())


@pytest.mark.parametrize("jump_seconds", [1e6, -1e6])
def test_time_of_day_that_is_set(world: World, jump_seconds: float) -> None:
    """
    Whoever sets the time of day ends no lease, and lengthens none.
    """
    world.acquire(10)
    world.day_seconds += jump_seconds
    world.clock.advance(9)
    before = world.is_held()
    world.clock.advance(1)

    assert (True, False) == (before, world.is_held())


def test_renewed(world: World) -> None:
    """
    A lease that was renewed ends when the later one does.
    """
    world.acquire(10)
    world.clock.advance(5)
    world.acquire(10)
    world.clock.advance(9)
    before = world.is_held()
    world.clock.advance(1)

    assert (True, False) == (before, world.is_held())


def test_shortened(world: World) -> None:
    """
    And earlier, if it was shortened.
    """
    world.acquire(1000)
    world.acquire(1)
    world.clock.advance(1)

    assert not world.is_held()


def test_restart(world: World) -> None:
    """
    The time in which the service didn't run counts.
    """
    world.acquire(10)
    world.clock.advance(4)
    world.started()
    left = world.left_seconds()
    world.clock.advance(6)

    assert (6.0, False) == (left, world.is_held())


def test_ended_while_the_service_was_away(world: World) -> None:
    """
    A lease that ended meanwhile is held no more.
    """
    world.acquire(10)
    world.clock.advance(11)
    world.started()
    world.clock.advance(0)

    assert not world.is_held()


def test_boot(world: World) -> None:
    """
    After a boot a lease goes on with what was left when that was written down; for how long the host was down nobody
    knows.
    """
    world.acquire(10)
    world.clock, world.boot_id = Clock(), NEXT_BOOT
    # It may well show more than the clock of before did.
    world.clock.advance(5000)
    world.started()
    world.clock.advance(0)
    world.clock.advance(9)
    before = world.is_held()
    world.clock.advance(1)

    assert (True, False) == (before, world.is_held())


def test_boot_in_a_long_lease(world: World) -> None:
    """
    Of a long one that is at most twice what was really left.
    """
    world.acquire(1000)
    world.clock.advance(500)
    world.clock.advance(200)
    world.clock, world.boot_id = Clock(), NEXT_BOOT
    world.started()

    assert 500.0 == world.left_seconds()


def test_longer_than_a_reactor_waits(world: World) -> None:
    """
    A lease may last for ever and a day.
    """
    world.acquire(1e300)
    world.clock.advance(10_000)

    assert world.is_held()


@pytest.mark.parametrize("seconds", [0, -5.5])
def test_that_never_was(world: World, seconds: float) -> None:
    """
    A lease of no time, or less, has ended at once.
    """
    world.acquire(seconds)
    world.clock.advance(0)

    assert not world.is_held()


def test_store_without_room(world: World) -> None:
    """
    A lease whose end can't be made durable ends as soon as it can be.
    """
    world.acquire(10)
    world.store.is_full = True
    world.clock.advance(11)
    world.store.is_full = False
    world.clock.advance(RETRY_SECONDS)

    assert not world.is_held()


@pytest.mark.parametrize("by", ["release", "expiry"])
def test_move_that_waited_begins(world: World, by: str) -> None:
    """
    What waited for the end of a lease begins by itself.
    """
    service = world.service
    for node_id in (A, B):
        seen = DatasetObservation(dataset_id=D, role=Role.OWNER, epoch=1, mounted=True)
        service.node_came(
            Session(),
            NodeObservation(
                node_id=node_id,
                era=UUID(int=9),
                address="192.0.2.1",
                transfer_port=4525,
                version="1",
                storage="memory",
                runtime="memory",
                storage_known=True,
            ),
        )
        if node_id == A:
            done(service.submit(CreateDataset(dataset_id=D, primary=A)))
            service.node_reported(
                service._sessions[A], service.nodes[A].set(datasets=service.nodes[A].datasets.set(D, seen))
            )
    world.acquire(10)
    done(service.submit(UnderLease(command=StartMove(dataset_id=D, target=B), rule=LeaseRule.WAIT)))
    before = service.state.ownerships[D].move
    if by == "release":
        done(service.submit(ReleaseLease(dataset_id=D, now=service.moment())))
    else:
        world.clock.advance(10)
    move = service.state.ownerships[D].move

    assert (None, B) == (before, None if move is None else move.target)

"""
The control service as a process: killed and started again, on a store that outlives it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Set
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pyrsistent import PVector
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from flocker_control.commands import Command
from flocker_control.memory_store import MemoryStore
from flocker_control.service import CommandRefused, ControlService, opened
from flocker_control.store import Commit, Loaded, StoreError, StoreFull
from tests.simulation.scheduler import Life, SkewedClock, clock_rate

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.session import SimulatedSession
    from tests.simulation.world import World

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    The result of a coroutine that waits for nothing.
    """
    results: list[T] = []
    Deferred.fromCoroutine(coroutine).addCallback(results.append)
    return results[0]


class SimulatedControl:
    """
    The host of the control service.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryStore()
        self.life = Life("control")
        self.service: ControlService | None = None
        self.sessions: set[SimulatedSession] = set()
        self._clock_rate = clock_rate(world.chance, "control", wrong=world.fencing)
        self._clock_offset_seconds = world.chance.pick("control offset", (0.0, 0.0, -3600.0, 86400.0))
        self._ids = 0

    def start(self) -> None:
        """
        Start it, with what its store has.
        """
        if self.service is not None:
            return
        self.life = Life("control")
        self.clock = SkewedClock(
            self.world.scheduler, self.life, offset_seconds=self._clock_offset_seconds, rate=self._clock_rate
        )
        self.service = at_once(
            opened(
                SimulatedStore(self, self.life),
                clock=self.clock,
                new_id=self._new_id,
            )
        )

    def _new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=(7 << 64) + self._ids, version=4)

    def crash(self) -> None:
        """
        kill -9. What was not committed is lost.
        """
        if self.service is None:
            return
        world = self.world
        world.tell("control dies")
        world.buried.append(self.service)
        self.service = None
        self.life.alive = False
        for session in sorted(self.sessions, key=lambda s: s.agents_end.connection.number):
            session.controls_end.close()
        self.sessions.clear()
        name = world.chance.numbered("control is away")
        world.scheduler.put(world.chance.seconds(name, 0.1, 20.0), "control starts", world.always, self.start)

    def submit(self, command: Command) -> None:
        """
        A user asks for something.
        """
        if self.service is None:
            return
        world = self.world
        world.tell_of("user asks", command)
        world.commands += 1

        def failed(failure: Failure) -> None:
            failure.trap(CommandRefused, StoreError)  # type: ignore[no-untyped-call]
            world.tell(f"refused: {failure.getErrorMessage()}")

        Deferred.fromCoroutine(self.service.submit(command)).addErrback(failed).addErrback(world.unexpected)

    def connected(self, node: SimulatedNode) -> SimulatedSession:
        """
        A session that begins with a node.
        """
        from tests.simulation.session import SimulatedSession

        session = SimulatedSession(node, self)
        self.sessions.add(session)
        return session


class SimulatedStore:
    """
    The store as one life of the control service uses it: each commit takes its time, and the service may be killed
    before it, and between it and whatever would follow.
    """

    def __init__(self, control: SimulatedControl, life: Life) -> None:
        self._control = control
        self._life = life

    async def load(self) -> Loaded:
        """
        See ``Store``.
        """
        return await self._control.store.load()

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        See ``Store``.
        """
        control, world, chance = self._control, self._control.world, self._control.world.chance
        done: Deferred[int] = Deferred()

        def commit() -> None:
            if chance.happens("kill-before-persist", "control"):
                world.tell(f"control is killed before commit {revision + 1}")
                control.crash()
                return
            if chance.happens("store-full", "control"):
                world.tell(f"the store is full at commit {revision + 1}")
                done.errback(StoreFull("no space left on device"))
                return
            try:
                result = at_once(control.store.commit(revision, puts, deletes))
            except StoreError as error:
                done.errback(error)
                return
            world.checker.committed(puts, deletes)
            if chance.happens("kill-before-announce", "control"):
                world.tell(f"control is killed after commit {revision + 1}")
                control.crash()
                return
            done.callback(result)

        if self._life.alive:
            seconds = chance.seconds(chance.numbered("commit takes"), 0.001, 0.02)
            if late := chance.happens("slow-call", "control commit"):
                seconds += chance.pick(late, (0.5, 5.0))
            world.scheduler.put(seconds, f"commit {revision + 1}", self._life, commit)
        world.buried.append(done)
        return await done

    async def commits_after(self, revision: int) -> PVector[Commit]:
        """
        See ``Store``.
        """
        return await self._control.store.commits_after(revision)

    async def close(self) -> None:
        """
        See ``Store``.
        """

"""
What runs the containers of a simulated host. Where leases are counted, it has supervisors that end what is bound to
them. Elsewhere it is an engine, a program of its own, and can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pyrsistent import PMap

from flocker_agent.runtime.memory import MemoryHost, MemoryRuntime
from flocker_py.leases import FENCING_SECONDS
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.observed import ContainerObservation, Health
from flocker_py.runtime import ContainerNotPrepared, ContainerRuntimeError

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

T = TypeVar("T")
_KILLED = 137


class SimulatedHost(MemoryHost):
    """
    Containers under an engine that can be killed, as Docker's: what runs goes on without it, and nobody starts it again
    should it end. When the engine is back, it ends what it finds, and starts again by its policy what has not been
    stopped.
    """

    def __init__(self, node: SimulatedNode) -> None:
        super().__init__(node.program, boottime_seconds=node.boottime_seconds, first_health=Health.STARTING)
        self._node = node
        self._ended_without: dict[ContainerName, int] = {}
        self.is_away = False
        self.not_to_start: set[ContainerName] = set()
        """
        Somebody began to stop them when the engine was killed.
        """

    def end(self, name: ContainerName, *, exit_status: int) -> None:
        """
        See ``MemoryHost``. Without the engine, nobody is told, and nobody acts by its policy.
        """
        life = self._lives.get(name)
        if not self.is_away or life is None or life.program is None:
            super().end(name, exit_status=exit_status)
            return
        life.program.killed()
        self._ended(life, exit_status)
        self._ended_without[name] = exit_status

    def engine_dies(self, seconds: float) -> None:
        """
        kill -9 of the engine, which is back after so long.
        """
        self._node.world.tell(f"{self._node.name}: the engine dies")
        self.is_away = True
        label = f"{self._node.name}: the engine is back"
        self._node.world.scheduler.put(seconds, label, self._node.world.always, self._back, timer=True)

    def _back(self) -> None:
        if not self.is_away:
            return
        self._node.world.tell(f"{self._node.name}: the engine is back")
        for name, life in sorted(self._lives.items()):
            if life.program is not None:
                self.end(name, exit_status=_KILLED)
        ended, self._ended_without = self._ended_without, {}
        not_to_start, self.not_to_start = self.not_to_start, set()
        self.is_away = False
        for name, exit_status in sorted(ended.items()):
            life = self._lives[name]
            if name in not_to_start:
                life.stopped = True
            else:
                self._goes_on(life, exit_status)
            self._tell(name)

    def loses_power(self) -> None:
        """
        Nothing runs any more, and nothing starts again by itself.
        """
        self.is_away = False
        self._ended_without.clear()
        self.not_to_start.clear()
        self.lease_ends_at_seconds = 0.0
        for life in self._lives.values():
            if life.program is not None:
                life.program.killed()
                life.program, life.exit_status = None, None


class SimulatedRuntime(MemoryRuntime):
    """
    Supervisors end what is bound to the lease by themselves, some time after it has ended: a look each second, the
    grace period, and a busy host. The agent can but wait for them. What containers need it fetches from elsewhere,
    which may fail, once or for a while.
    """

    def __init__(self, node: SimulatedNode) -> None:
        super().__init__(node.host)
        self._node = node

    def containers(self) -> PMap[ContainerName, ContainerObservation]:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        return self._engine("containers", super().containers)

    def definition(self, name: ContainerName) -> Container:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        return self._engine("definition", lambda: super(SimulatedRuntime, self).definition(name))

    def start(self, container: Container, paths: Mapping[DatasetId, Path], *, leased: bool = False) -> None:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        self._engine("start", lambda: super(SimulatedRuntime, self).start(container, paths, leased=leased))

    def stop(self, name: ContainerName, *, grace_seconds: float) -> None:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        self._engine("stop", lambda: super(SimulatedRuntime, self).stop(name, grace_seconds=grace_seconds), stops=name)

    def remove(self, name: ContainerName) -> None:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        self._engine("remove", lambda: super(SimulatedRuntime, self).remove(name))

    def prepare(self, container: Container) -> None:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        node, world = self._node, self._node.world
        self._engine("prepare", lambda: super(SimulatedRuntime, self).prepare(container))
        if fault := world.chance.happens("fetch-fails", f"{node.name} {container.name}"):
            node.nothing_fetched_until_seconds = world.scheduler.now + world.chance.pick(fault, (0.0, 20.0, 60.0))
        elif world.scheduler.now >= node.nothing_fetched_until_seconds:
            world.checker.prepared(node, container)
            return
        raise ContainerNotPrepared(f"container {container.name}: its image can't be fetched")

    def _engine(self, what: str, call: Callable[[], T], *, stops: ContainerName | None = None) -> T:
        node, world = self._node, self._node.world
        if node.host.is_away:
            error = ContainerRuntimeError("the engine can't be reached")
            error.nothing_begun = True
            raise error
        kind = "engine-dies-at-work" if what in ("start", "stop") else "engine-dies"
        fault = None if world.fencing else world.chance.happens(kind, f"{node.name} {what}")
        if fault is None:
            return call()
        when = world.chance.pick(f"{fault} when", ("before", "within", "after"))
        if when == "after":
            call()
        elif when == "within" and stops is not None:
            node.host.not_to_start.add(stops)
        node.host.engine_dies(world.chance.pick(fault, (0.3, 3.0, 12.0, 40.0)))
        raise ContainerRuntimeError(f"the engine was killed {when} {what}")

    def renew_lease(self, ends_at_seconds: float) -> None:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        super().renew_lease(ends_at_seconds)
        self._look_later()

    def bind_to_lease(self, name: ContainerName, *, leased: bool) -> None:
        """
        See ``flocker_py.runtime.Runtime``.
        """
        super().bind_to_lease(name, leased=leased)
        self._look_later()

    def _look_later(self) -> None:
        node, world = self._node, self._node.world
        name = world.chance.numbered(f"{node.name} supervisors")
        late_seconds = world.chance.seconds(name, 0.1, FENCING_SECONDS)
        if world.chance.draw(f"{name} at the last moment") < 0.5:
            late_seconds = FENCING_SECONDS
        seconds = node.seconds_until(node.host.lease_ends_at_seconds + late_seconds)
        if node.supervisors is not None:
            node.supervisors.cancel()
        label = f"{node.name} supervisors look at the lease"
        node.supervisors = world.scheduler.put(seconds, label, world.always, node.host.look_at_lease, timer=True)
        node.fenced_at_seconds = world.scheduler.now + seconds

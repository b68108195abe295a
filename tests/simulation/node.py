"""
A host: its disk and containers outlive its agent, and its disk outlives its own restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from twisted.internet.defer import Deferred

from flocker_agent.changes import StartSending
from flocker_agent.dataset_work import Sender
from flocker_agent.locks import Locks
from flocker_agent.loop import Agent
from flocker_agent.remembered import trusted
from flocker_agent.runtime.memory import MemoryProgram, MemoryRuntime
from flocker_agent.storage.memory import MemoryPool, MemoryStorage
from flocker_py.assignment import NodeAssignment
from flocker_py.model import Container, ContainerName, DatasetId, NodeId
from flocker_py.observed import Health, NodeObservation, SendProgress
from tests.simulation.application import Application, Trouble
from tests.simulation.disk import AgentsDisk
from tests.simulation.network import End
from tests.simulation.runtime import SimulatedHost, SimulatedRuntime
from tests.simulation.scheduler import Event, Life, SkewedClock, clock_rate
from tests.simulation.transfer import SimulatedReception, SimulatedSender

if TYPE_CHECKING:
    from tests.simulation.session import SimulatedSession
    from tests.simulation.world import World

STUBBORN_SECONDS = 2.0
SECONDS = (0.001, 0.01)
"""What a call of the storage or the runtime takes, usually."""


class SimulatedNode:
    """
    One host.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"n{number}"
        self.node_id = NodeId(UUID(int=number))
        self.life = Life(self.name)
        self.life.alive = False
        self.agent: Agent | None = None
        self.session: SimulatedSession | None = None
        self.attempts = 0
        self.ends: list[End] = []
        self.receiving: dict[DatasetId, SimulatedReception] = {}
        self.remembered: NodeAssignment | None = None
        self.boots = 1
        self.pool = MemoryPool()
        self.disk = MemoryStorage(self.pool, new_guid=world.new_guid, now_seconds=lambda: world.scheduler.now)
        self._clock_rate = clock_rate(world.chance, self.name, wrong=world.fencing)
        self._boottime_offset_seconds = world.chance.pick(f"{self.name} boottime", (30.0, 1e5, 1e7))
        self._clock_offset_seconds = world.chance.pick(f"{self.name} offset", (0.0, 0.0, -600.0, 7200.0))
        self.host = SimulatedHost(self)
        self.troubles: dict[ContainerName, tuple[Trouble, float]] = {}
        self.shells: dict[DatasetId, float] = {}
        self.busy_until: dict[DatasetId, float] = {}
        self.unwell: dict[ContainerName, tuple[Health, float]] = {}
        self.bad_links: set[DatasetId] = set()
        self.stubborn: set[ContainerName] = set()
        self.supervisors: Event | None = None
        self.fenced_at_seconds = 0.0
        self.nothing_fetched_until_seconds = 0.0
        self._to_remember: NodeAssignment | None = None
        self._remembering = False
        self._remembered_boot = 0
        self._forgetful = False

    def boottime_seconds(self) -> float:
        """
        The clock that leases are counted by.
        """
        return self._clock_rate * self.world.scheduler.now + self._boottime_offset_seconds

    def seconds_until(self, boottime_seconds: float) -> float:
        """
        How long it takes until its clock shows that.
        """
        return max(0.0, boottime_seconds - self.boottime_seconds()) / self._clock_rate

    def program(self, container: Container, paths: Mapping[DatasetId, Path]) -> MemoryProgram:
        """
        An application starts, or can't.
        """
        return Application(self, container, paths)

    def start(self) -> None:
        """
        Start the agent.
        """
        if self.agent is not None:
            return
        self.life = life = Life(self.name)
        self._to_remember, self._remembering = None, False
        self.agent = Agent(
            node=NodeObservation(
                node_id=self.node_id,
                era=UUID(int=self.boots),
                address=f"192.0.2.{self.node_id.int}",
                transfer_port=4525,
                version="1",
                storage="memory",
                runtime="memory",
                container_fields=MemoryRuntime(self.host).capabilities.reported_fields(),
            ),
            storage=cast(Any, AgentsDisk(self)),
            runtime=SimulatedRuntime(self),
            transfers=self,
            clock=SkewedClock(
                self.world.scheduler, life, offset_seconds=self._clock_offset_seconds, rate=self._clock_rate
            ),
            blocking=SimulatedBlocking(self),
            locks=Locks(),
            publish=lambda _: self._publish(life),
            boottime_seconds=self.boottime_seconds,
        )
        if self.remembered is not None and self._remembered_boot == self.boots:
            self.agent.assign(trusted(self.remembered))
        self.agent.start()
        self.attempts = 0
        self._connect_soon()

    def crash(self, *, power: bool = False, away_seconds: tuple[float, float] = (0.1, 8.0)) -> None:
        """
        kill -9 of the agent; containers go on.

        :param power: the host loses its power, so that nobody is told.
        :param away_seconds: it is started again after so many, at least and at most.
        """
        if self.agent is None:
            return
        world = self.world
        world.tell(f"{self.name} {'loses power' if power else 'dies'}")
        world.buried.append(self.agent)
        self.agent = None
        self.life.alive = False
        self.host._watchers.clear()
        self.receiving.clear()
        ends, self.ends = self.ends, []
        for end in ends:
            if power:
                end.vanish()
            else:
                end.close()
        self.session = None
        name = world.chance.numbered(f"{self.name} is away")
        seconds = world.chance.seconds(name, *away_seconds)
        world.scheduler.put(seconds, f"{self.name} starts", world.always, self.start)

    def reboot(self, away_seconds: tuple[float, float] = (5.0, 30.0)) -> None:
        """
        The host loses its power, and comes back.
        """
        self.crash(power=True, away_seconds=away_seconds)
        if self.agent is None:
            self.world.tell(f"{self.name} is switched off")
        self.boots += 1
        self.shells.clear()
        self.busy_until.clear()
        self.host.loses_power()
        self.pool.reboot()
        self.world.checker.look_at(self)

    # -- the session with the control service ----------------------------------------------------------------------

    def _connect_soon(self) -> None:
        world = self.world
        least = min(0.2 * 1.5**self.attempts, 15.0)
        self.attempts += 1
        seconds = world.chance.seconds(world.chance.numbered(f"{self.name} connects"), least, least + 0.2)
        world.scheduler.put(seconds, f"{self.name} connects", self.life, self._connect)

    def _connect(self) -> None:
        control, network = self.world.control, self.world.network
        blocked = max(network.blocked_seconds(self.name, "control"), network.blocked_seconds("control", self.name))
        if self.session is not None:
            return
        if control.service is None or blocked:
            self._connect_soon()
            return
        self.session = control.connected(self)
        self.ends.append(self.session.agents_end)
        self.session.report()

    def session_lost(self, session: SimulatedSession) -> None:
        """
        The agent learns that a session is over.
        """
        if self.session is session:
            self.ends.remove(session.agents_end)
            self.session = None
            self._connect_soon()

    def _publish(self, life: Life) -> None:
        if life.alive and self.session is not None:
            self.session.report()

    def assign(self, assignment: NodeAssignment) -> None:
        """
        As the agent's memory does: go by it at once, and remember it soon.
        """
        assert self.agent is not None
        self._to_remember = assignment
        self.agent.assign(assignment)
        if not self._remembering:
            self._remembering = True
            self._remember_soon()

    def _remember_soon(self) -> None:
        world = self.world
        seconds = world.chance.seconds(world.chance.numbered(f"{self.name} remembers"), *SECONDS)
        world.scheduler.put(seconds, f"{self.name} remembers", self.life, self._remember)

    def _remember(self) -> None:
        assignment, self._to_remember = self._to_remember, None
        if fault := self.world.chance.happens("not-remembered", self.name):
            self.world.tell(f"{self.name} can't write down what is asked of it any more")
            self._forgetful = True
            # That is noticed, and the agent restarted; but not by somebody who makes room.
            seconds = self.world.chance.pick(fault, (3.0, 12.0, 40.0))
            self.world.scheduler.put(seconds, f"{self.name} is restarted", self.life, self._restarted, timer=True)
        if not self._forgetful or not self.world.chance.faults_on:
            self.remembered, self._remembered_boot = assignment, self.boots
        if self._to_remember is None:
            self._remembering = False
        else:
            self._remember_soon()

    def _restarted(self) -> None:
        if self.world.chance.faults_on:
            self.crash()

    # -- transfers -------------------------------------------------------------------------------------------------

    def send(
        self,
        change: StartSending,
        progressed: Callable[[SendProgress], None],
        ended: Callable[[Exception | None], None],
    ) -> Sender:
        """
        See ``flocker_agent.dataset_work.Transfers``.
        """
        return SimulatedSender(self, change, progressed, ended)

    def stop_receiving(self, dataset_id: DatasetId) -> None:
        """
        See ``flocker_agent.dataset_work.Transfers``.
        """
        reception = self.receiving.get(dataset_id)
        if reception is not None:
            reception.cancel()

    def soon(self, label: str, act: Callable[[], None], least: float = SECONDS[0], most: float = SECONDS[1]) -> None:
        """
        A thread of the agent does something, when its time has come.
        """
        world = self.world
        label = f"{self.name} {label}"
        seconds = world.chance.seconds(world.chance.numbered(label), least, most)
        if late := world.chance.happens("slow-call", label):
            seconds += world.chance.pick(late, (0.5, 3.0, 8.0, 20.0))
        world.scheduler.put(seconds, label, self.life, act)


class SimulatedBlocking:
    """
    What would run in a thread of a node happens as an event; if the agent dies first, it never does. What it answers
    may come late.
    """

    def __init__(self, node: SimulatedNode) -> None:
        self._node = node

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """
        See ``flocker_agent.threads.Blocking``.
        """
        node, world = self._node, self._node.world
        result: Deferred[Any] = Deferred()
        label = world.call_label(function, args)

        def happen() -> None:
            outcome: Callable[[Any], None]
            answer: Any
            try:
                answer = function(*args, **kwargs)
                outcome = result.callback
            except Exception as error:  # noqa: BLE001  # as a thread would
                outcome, answer = result.errback, error
            late = world.chance.happens("late-answer", f"{node.name} {label}")
            if late:
                seconds = world.chance.pick(late, (0.01, 0.5, 8.0))
                world.scheduler.put(seconds, f"{node.name} {label}: answer", node.life, lambda: outcome(answer))
            else:
                outcome(answer)

        least, most = SECONDS
        if label.startswith("stop") and (slow := world.chance.happens("slow-stop", f"{node.name} {label}")):
            least = most = world.chance.pick(slow, (1.0, 9.0, 30.0))
        if label.startswith("prepare") and (slow := world.chance.happens("slow-fetch", f"{node.name} {label}")):
            least = most = world.chance.pick(slow, (1.0, 9.0, 30.0))
        if label.startswith("stop-container") and label.partition(" ")[2] in node.stubborn:
            least = most = STUBBORN_SECONDS
        if label.startswith("fence"):
            # The runtime waits for the supervisors.
            least = most = max(least, node.fenced_at_seconds - world.scheduler.now)
        node.soon(label, happen, least, most)
        world.buried.append(result)
        return await result

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        """
        See ``flocker_agent.threads.Blocking``.
        """
        node = self._node
        node.world.scheduler.put(0.0005, f"{node.name} hears of it", node.life, lambda: function(*args))

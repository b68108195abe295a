"""
A whole cluster in one process, under virtual time, from one seed.

The real control service and the real agents' loops run on memory storage, memory runtimes and a memory store. What
they would do in threads or over the network becomes an *event*; a seeded choice says which event is next, which
process is killed before or after one, and which connection is cut. After every event the invariants are checked.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from pyrsistent import pmap
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from flocker_agent.changes import StartSending
from flocker_agent.dataset_work import Sender
from flocker_agent.locks import Locks
from flocker_agent.loop import Agent
from flocker_agent.perform import MOVE_TAG
from flocker_agent.remembered import trusted
from flocker_agent.runtime.memory import MemoryHost, MemoryProgram, MemoryRuntime
from flocker_agent.storage.memory import MemoryPool, MemoryStorage
from flocker_agent.transfer.admission import Refused
from flocker_control.memory_store import MemoryStore
from flocker_control.service import ControlService, opened
from flocker_py import messages, wire
from flocker_py.assignment import NodeAssignment
from flocker_py.messages import AssignmentUpdate, NodeReport
from flocker_py.model import Container, ContainerName, DatasetId, Guid, MoveId, NodeId
from flocker_py.observed import NodeObservation, SendProgress, SendVerdict
from flocker_py.snapshots import (
    Diverged,
    NothingInCommon,
    NothingToSend,
    PartialReceive,
    SendFull,
    SendIncremental,
    SendResumed,
    path_to_send,
)
from flocker_py.storage import DatasetMissing, Role, SendPlan, StorageError, StreamCut

LEDGER = b"ledger"


class InvariantBroken(AssertionError):
    """
    What must never be, is. The message says what; the world's ``story`` says how it came.
    """


class TransferFailed(Exception):
    """
    A simulated transfer did not succeed.
    """


class Events:
    """
    What may happen next. Events of one queue happen in order; which queue is next is chosen.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._queues: dict[str, list[tuple[str, Callable[[], None]]]] = {}

    def put(self, queue: str, label: str, happen: Callable[[], None]) -> None:
        """
        Something may happen after all that is in its queue.
        """
        self._queues.setdefault(queue, []).append((label, happen))

    def drop(self, queue: str) -> None:
        """
        What is in a queue never happens.
        """
        self._queues.pop(queue, None)

    def drop_all(self, prefix: str) -> None:
        """
        What is in the queues whose names begin so never happens.
        """
        for queue in [q for q in self._queues if q.startswith(prefix)]:
            self.drop(queue)

    def next(self) -> tuple[str, Callable[[], None]] | None:
        """
        Take one.
        """
        queues = sorted(q for q, events in self._queues.items() if events)
        if not queues:
            return None
        queue = self._chance.choice(queues)
        label, happen = self._queues[queue].pop(0)
        if not self._queues[queue]:
            del self._queues[queue]
        return f"{queue}: {label}", happen


class Application:
    """
    A ledger: writes numbered records into its volume, and the world remembers which of them were acknowledged.
    """

    def __init__(
        self, world: World, host: SimulatedNode, container: Container, paths: Mapping[DatasetId, Path]
    ) -> None:
        self._world = world
        self._host = host
        self._container = container
        if set(paths) != {m.dataset_id for m in container.mounts}:
            raise InvariantBroken(f"{container.name} started on {host.name} without all of its datasets")
        world.started(container.name, host)

    def write(self) -> None:
        for mount in self._container.mounts:
            dataset_id = mount.dataset_id
            acknowledged = self._world.acknowledged.get(dataset_id, 0)
            found = self._count(dataset_id)
            if found != acknowledged:
                raise InvariantBroken(
                    f"{self._container.name} on {self._host.name} finds {found} records,"
                    f" and {acknowledged} were acknowledged"
                )
            self._host.disk.write(dataset_id, LEDGER, b"x" * (found + 1))
            self._world.acknowledged[dataset_id] = found + 1

    def _count(self, dataset_id: DatasetId) -> int:
        try:
            return len(self._host.disk.read(dataset_id, LEDGER))
        except FileNotFoundError:
            if self._host.disk.dataset(dataset_id).mounted_at is None:
                raise InvariantBroken(
                    f"{self._container.name} runs on {self._host.name}, where its dataset is not mounted"
                ) from None
            return 0

    def ask_to_end(self) -> int | None:
        self._world.ended(self._container.name, self._host)
        return 0

    def killed(self) -> None:
        self._world.ended(self._container.name, self._host)


class SimulatedBlocking:
    """
    What would run in a thread of a node happens as an event; if the agent dies first, it never does.
    """

    def __init__(self, world: World, node: SimulatedNode) -> None:
        self._world = world
        self._node = node
        self._life = node.life

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result: Deferred[Any] = Deferred()

        def happen() -> None:
            try:
                answer = function(*args, **kwargs)
            except InvariantBroken:
                raise
            except Exception as error:  # noqa: BLE001  # as a thread would
                outcome, value = result.errback, error
            else:
                outcome, value = result.callback, answer
            if self._world.dies("after a blocking call"):
                self._node.crash()
                return
            outcome(value)

        self._world.call_number += 1
        self._world.events.put(
            f"{self._node.name} call {self._world.call_number}", getattr(function, "__qualname__", "?"), happen
        )
        return await result

    def report(self, function: Callable[..., Any], *args: Any) -> None:
        self._world.events.put(f"{self._node.name} report", function.__name__, lambda: function(*args))


class SimulatedSender:
    """
    A session that sends: each of its steps is an event of its own.
    """

    def __init__(
        self,
        world: World,
        source: SimulatedNode,
        change: StartSending,
        progressed: Callable[[SendProgress], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        self._world = world
        self._source = source
        self._life = source.life
        self._change = change
        self._progressed = progressed
        self._ended = ended
        self._target = world.nodes[change.send_to.target]
        self._target_life = self._target.life
        self._final = change.final_guid
        self._cancelled = False
        self._over = False
        self._round = 0
        self._sent_bytes = 0
        self._admitted = False
        self._step("hello", self._hello)

    def finish(self, final_guid: Guid) -> None:
        self._final = final_guid

    def cancel(self) -> None:
        self._cancelled = True

    def _step(self, label: str, action: Callable[[], None]) -> None:
        def happen() -> None:
            if self._source.life != self._life or self._over:
                return
            try:
                if self._cancelled:
                    self._end(None)
                    return
                self._reach()
                action()
            except InvariantBroken:
                raise
            except (TransferFailed, StorageError) as error:
                self._end(error)

        self._world.events.put(f"{self._source.name} send {self._change.dataset_id}", label, happen)

    def _reach(self) -> None:
        if self._target.agent is None or self._target.life != self._target_life:
            raise TransferFailed("the target is gone")
        if self._world.fails("connection between agents"):
            raise TransferFailed("the connection was cut")
        if self._admitted and self not in self._target.receiving.values():
            raise TransferFailed("the target has hung up")

    def _hello(self) -> None:
        agent = self._target.agent
        assert agent is not None
        dataset_id = self._change.dataset_id
        earlier = self._target.receiving.get(dataset_id)
        if earlier is not None:
            earlier.cut()
        answer = agent.datasets.admit(
            dataset_id, self._change.epoch, self._change.send_to.move_id, self._source.node_id
        )
        if isinstance(answer, Refused):
            raise TransferFailed(answer.text)
        self._admitted = True
        self._target.receiving[dataset_id] = self
        self._step("round", self._send_round)

    def _send_round(self) -> None:
        dataset_id, disk = self._change.dataset_id, self._source.disk
        self._round += 1
        to_guid = self._final
        if to_guid is None:
            stored = disk.dataset(dataset_id)
            if stored.role is not Role.OWNER:
                self._round -= 1
                self._step("wait", self._send_round)
                return
            number = self._world.random.getrandbits(32)
            snapshot = disk.snapshot(dataset_id, f"move-{self._change.send_to.move_id}-{self._round}-{number}")
            disk.hold(dataset_id, [snapshot.guid], MOVE_TAG)
            to_guid = snapshot.guid
        self._deliver(dataset_id, to_guid)
        ready = self._round >= 2
        self._progressed_with(to_guid, SendVerdict.READY if ready else SendVerdict.CATCHING_UP)
        if to_guid == self._final:
            self._end(None)
        else:
            self._step("round", self._send_round)

    def _deliver(self, dataset_id: DatasetId, to_guid: Guid) -> None:
        source, target = self._source.disk, self._target.disk
        try:
            there = target.dataset(dataset_id)
        except DatasetMissing:
            there = None
        guids = [] if there is None or there.partial else [s.guid for s in there.snapshots]
        here = [s.guid for s in source.dataset(dataset_id).snapshots]
        partial = None
        if there is not None and there.resume_token is not None:
            partial = PartialReceive(resume_token=there.resume_token)
        path = path_to_send(here, guids, to_guid, partial=partial)
        match path:
            case NothingToSend():
                return
            case SendFull() | SendIncremental():
                if path.abort_partial:
                    target.abort_receive(dataset_id)
                plan = SendPlan(to_guid=to_guid, from_guid=getattr(path, "from_guid", None))
            case SendResumed():
                target.abort_receive(dataset_id)
                self._deliver(dataset_id, to_guid)
                return
            case NothingInCommon() | Diverged() if there is not None and there.role is Role.REPLICA and not there.epoch:
                target.destroy(dataset_id)
                self._deliver(dataset_id, to_guid)
                return
            case _:
                raise TransferFailed(str(path))
        stream = streamed(source, dataset_id, plan)
        if self._world.fails("stream"):
            stream = stream[: self._world.random.randrange(len(stream))]
        self._sent_bytes += len(stream)
        try:
            received(target, dataset_id, stream)
        except StreamCut:
            raise TransferFailed("the stream was cut") from None
        self._target.agent_received(dataset_id, ongoing=True)
        if self._world.dies("target between receiving and telling"):
            self._target.crash()

    def _progressed_with(self, guid: Guid, verdict: SendVerdict) -> None:
        progress = SendProgress(
            move_id=self._change.send_to.move_id,
            round=max(1, self._round),
            round_bytes=0,
            total_bytes=0,
            sent_bytes=self._sent_bytes,
            rate_bytes_per_second=1.0,
            acknowledged_guid=guid,
            verdict=verdict,
        )
        self._report(lambda: self._progressed(progress))

    def _report(self, tell: Callable[[], None]) -> None:
        def happen() -> None:
            if self._source.life == self._life:
                tell()

        self._world.events.put(f"{self._source.name} report", "sender", happen)

    def cut(self) -> None:
        """
        The target hangs up.
        """
        self._target.receiving.pop(self._change.dataset_id, None)
        self._target.agent_received(self._change.dataset_id, ongoing=False)

    def _end(self, error: Exception | None) -> None:
        if error is not None:
            self._world.tell(f"{self._source.name} fails to send: {type(error).__name__}: {error}")
        self._over = True
        if self._target.receiving.get(self._change.dataset_id) is self:
            self.cut()
        self._report(lambda: self._ended(error))


def streamed(disk: MemoryStorage, dataset_id: DatasetId, plan: SendPlan) -> bytes:
    """
    A whole stream.
    """
    reading, writing = os.pipe()
    try:
        disk.send(dataset_id, plan, writing)
        os.set_blocking(reading, False)
        return os.read(reading, 1 << 20)
    finally:
        os.close(reading)
        os.close(writing)


def received(disk: MemoryStorage, dataset_id: DatasetId, stream: bytes) -> None:
    """
    A stream taken in, and the end of the pipe after it.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, stream)
        os.close(writing)
        disk.receive(dataset_id, reading)
    finally:
        os.close(reading)


class SimulatedNode:
    """
    One host: its disk and containers outlive its agent.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"n{number}"
        self.node_id = NodeId(UUID(int=number))
        self.life = 0
        self.agent: Agent | None = None
        self.receiving: dict[DatasetId, SimulatedSender] = {}
        self.session: SimulatedSession | None = None
        self.remembered: NodeAssignment | None = None
        self.pool = MemoryPool()
        self.disk = MemoryStorage(
            self.pool, new_guid=lambda: world.random.getrandbits(63) + 1, now_seconds=world.clock.seconds
        )
        self.host = MemoryHost(self._program)

    def _program(self, container: Container, paths: Mapping[DatasetId, Path]) -> MemoryProgram:
        return Application(self.world, self, container, paths)

    def start(self) -> None:
        """
        Start the agent.
        """
        self.life += 1
        life = self.life
        self.agent = Agent(
            node=NodeObservation(
                node_id=self.node_id,
                era=UUID(int=7),
                address=f"192.0.2.{self.node_id.int}",
                transfer_port=4525,
                version="1",
                storage="memory",
                runtime="memory",
                container_fields=MemoryRuntime(self.host).capabilities.reported_fields(),
            ),
            storage=self.disk,
            runtime=MemoryRuntime(self.host),
            transfers=self,
            clock=LivingClock(self, life),
            blocking=SimulatedBlocking(self.world, self),
            locks=Locks(),
            publish=lambda _: self._publish(life),
        )
        if self.remembered is not None:
            self.agent.assign(trusted(self.remembered))
        self.agent.start()
        self.world.events.put(f"{self.name} connect", "connect", lambda: self.connect(life))

    def crash(self) -> None:
        """
        kill -9 of the agent. Containers go on.
        """
        if self.agent is None:
            return
        self.world.tell(f"{self.name} dies")
        self.agent = None
        self.life += 1
        for sender in tuple(self.receiving.values()):
            self.receiving.clear()
            sender.cancel()
        for prefix in (f"{self.name} call", f"{self.name} report", f"{self.name} send"):
            self.world.events.drop_all(prefix)
        if self.session is not None:
            self.session.cut()
        life = self.life
        self.world.events.put(f"{self.name} start", "start", lambda: self.start() if self.life == life else None)

    def connect(self, life: int) -> None:
        """
        Open a session with the control service, if there is one.
        """
        if life != self.life or self.agent is None or self.session is not None:
            return
        if self.world.control is None:
            self.world.events.put(f"{self.name} connect", "again", lambda: self.connect(life))
            return
        self.session = SimulatedSession(self.world, self)

    def _publish(self, life: int) -> None:
        if life == self.life and self.session is not None:
            self.session.report()

    def agent_received(self, dataset_id: DatasetId, *, ongoing: bool) -> None:
        """
        As the receive service tells the loop.
        """
        agent = self.agent
        if agent is not None:
            self.world.events.put(
                f"{self.name} report",
                "received",
                lambda: agent.datasets.received(dataset_id, ongoing=ongoing),
            )

    # -- Transfers

    def send(
        self,
        change: StartSending,
        progressed: Callable[[SendProgress], None],
        ended: Callable[[Exception | None], None],
    ) -> Sender:
        return SimulatedSender(
            self.world,
            self,
            change,
            progressed,
            ended,
        )

    def stop_receiving(self, dataset_id: DatasetId) -> None:
        sender = self.receiving.get(dataset_id)
        if sender is not None:
            sender.cut()
        else:
            self.agent_received(dataset_id, ongoing=False)


class LivingClock:
    """
    The world's time, for as long as the agent lives.
    """

    def __init__(self, node: SimulatedNode, life: int) -> None:
        self._node = node
        self._life = life

    def seconds(self) -> float:
        return self._node.world.clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Any:
        def call() -> None:
            if self._node.life == self._life:
                callable(*args)

        return self._node.world.clock.callLater(delay, call)


class SimulatedSession:
    """
    Both ends of a session, and the two directions between them. What is said is written out as on the real link.
    """

    def __init__(self, world: World, node: SimulatedNode) -> None:
        self.world = world
        self.node = node
        self.alive = True
        world.session_number += 1
        self.number = world.session_number
        self._told: NodeObservation | None = None
        self._heard: NodeObservation | None = None
        self._assigned: NodeAssignment | None = None
        self._taken: NodeAssignment | None = None
        self.report()

    def report(self) -> None:
        agent = self.node.agent
        if agent is None or not self.alive:
            return
        report = messages.report_of(self._told, agent.node)
        if report is None:
            return
        self._told = agent.node
        text = wire.to_text(report)
        self._put("up", "report", lambda: self._hear(text))

    def _hear(self, text: str) -> None:
        control = self.world.control
        if control is None:
            return
        first = self._heard is None
        self._heard = messages.reported(self._heard, wire.from_text(NodeReport, text))
        assert self._heard is not None
        if first:
            control.node_came(self, self._heard)
        else:
            control.node_reported(self, self._heard)

    def assign(self, assignment: NodeAssignment) -> None:
        update = messages.update_of(self._assigned, assignment)
        if update is None:
            return
        self._assigned = assignment
        text = wire.to_text(update)
        self._put("down", "assign", lambda: self._take(text))

    def _take(self, text: str) -> None:
        agent = self.node.agent
        if agent is None:
            return
        self._taken = messages.updated(self._taken, wire.from_text(AssignmentUpdate, text))
        assert self._taken is not None
        taken = self._taken
        agent.assign(taken)
        if not self.world.fails("remembering"):
            self.node.remembered = taken

    def _put(self, direction: str, label: str, happen: Callable[[], None]) -> None:
        def deliver() -> None:
            if self.alive:
                happen()

        self.world.events.put(f"{self.node.name} session {self.number} {direction}", label, deliver)

    def replaced(self) -> None:
        self.cut()

    def cut(self) -> None:
        """
        The connection is gone; both ends will notice.
        """
        if not self.alive:
            return
        self.alive = False
        self.node.session = None
        control, life = self.world.control, self.node.life
        self.world.events.put(
            f"control notices {self.number}",
            "session lost",
            lambda: (
                control.node_went(self, self.node.node_id)
                if control is not None and control is self.world.control
                else None
            ),
        )
        self.world.events.put(f"{self.node.name} connect", "connect", lambda: self.node.connect(life))


class SlowStore:
    """
    The durable store; each of its calls is an event, so that control can die before, between and after.
    """

    def __init__(self, world: World, store: MemoryStore) -> None:
        self._world = world
        self._store = store
        self._life = world.control_life

    async def load(self) -> Any:
        return await self._store.load()

    async def commit(self, revision: int, puts: Any, deletes: Any) -> int:
        if self._life != self._world.control_life:
            await Deferred()
        done: Deferred[None] = Deferred()
        self._world.events.put("control store", f"commit {revision + 1}", lambda: done.callback(None))
        await done
        result = await self._store.commit(revision, puts, deletes)
        if self._world.dies("control between persist and announce"):
            self._world.crash_control()
            await Deferred()
        return result

    async def commits_after(self, revision: int) -> Any:
        return await self._store.commits_after(revision)

    async def close(self) -> None:
        return None


class World:
    """
    The cluster.

    :param seed: decides everything.
    :param faults: how many things go wrong, at most.
    """

    def __init__(self, seed: int, *, nodes: int = 3, faults: int = 30) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.clock = Clock()
        self.events = Events(self.random)
        self.story: list[str] = []
        self.faults_left = faults
        self.store = MemoryStore()
        self.control: ControlService | None = None
        self.control_life = 0
        self.session_number = 0
        self.call_number = 0
        self.busy_at_seconds = 0.0
        self.writing = True
        self.acknowledged: dict[DatasetId, int] = {}
        self.running: dict[ContainerName, SimulatedNode] = {}
        self.nodes = {NodeId(UUID(int=n)): SimulatedNode(self, n) for n in range(1, nodes + 1)}
        self.start_control()
        for node in self.nodes.values():
            node.start()

    # -- chance

    def fails(self, what: str) -> bool:
        """
        Whether something goes wrong here.
        """
        if self.faults_left <= 0 or self.random.random() > 0.03:
            return False
        self.faults_left -= 1
        self.tell(f"fault: {what}")
        return True

    def dies(self, what: str) -> bool:
        """
        Whether a process is killed here.
        """
        return self.fails(f"kill: {what}")

    def tell(self, what: str) -> None:
        """
        Remember what happened.
        """
        self.story.append(f"{len(self.story):5d} {self.clock.seconds():9.2f}s {what}")

    # -- control

    def start_control(self) -> None:
        """
        Start the control service with what its store has.
        """
        self.control_life += 1
        service: list[ControlService] = []
        counter = self.random
        coroutine: Coroutine[Any, Any, ControlService] = opened(
            SlowStore(self, self.store),
            clock=self.clock,
            new_id=lambda: UUID(int=counter.getrandbits(122), version=4),
        )
        Deferred.fromCoroutine(coroutine).addCallback(service.append)
        self.control = service[0]
        for node in self.nodes.values():
            life = node.life
            self.events.put(f"{node.name} connect", "connect", lambda node=node, life=life: node.connect(life))

    def crash_control(self) -> None:
        """
        kill -9 of the control service; what was not committed is lost.
        """
        self.tell("control dies")
        self.control = None
        self.control_life += 1
        self.events.drop("control store")
        for node in self.nodes.values():
            if node.session is not None:
                node.session.cut()
        self.events.put("control start", "start", lambda: None if self.control is not None else self.start_control())

    def submit(self, command: Any) -> None:
        """
        A user asks for something.
        """
        if self.control is None:
            return
        self.tell(f"user: {command!r}")
        Deferred.fromCoroutine(self.control.submit(command)).addErrback(
            lambda failure: self.tell(f"refused: {failure.getErrorMessage()}")
        )

    # -- applications

    def started(self, name: ContainerName, node: SimulatedNode) -> None:
        if name in self.running:
            raise InvariantBroken(f"{name} starts on {node.name} while it runs on {self.running[name].name}")
        self.running[name] = node
        self.tell(f"{name} starts on {node.name}")

    def ended(self, name: ContainerName, node: SimulatedNode) -> None:
        self.running.pop(name, None)
        self.tell(f"{name} ends on {node.name}")

    def applications_write(self) -> None:
        """
        Every application that runs writes a record to each of its volumes.
        """
        for name, node in sorted(self.running.items()):
            program = node.host.program(name)
            if isinstance(program, Application):
                program.write()

    # -- steps

    def step(self) -> bool:
        """
        One event, or, when there is none, some time. Answers whether there was an event.
        """
        if self.writing and self.random.random() < 0.2:
            self.applications_write()
        if self.control is not None and self.random.random() < 0.05 and self.dies("control"):
            self.crash_control()
        for node in self.nodes.values():
            if node.agent is not None and self.random.random() < 0.05 and self.dies(node.name):
                node.crash()
            elif node.session is not None and self.random.random() < 0.05 and self.fails(f"{node.name}'s session"):
                node.session.cut()
        event = self.events.next()
        if event is None:
            self.clock.advance(0.25)
        else:
            label, happen = event
            if ".at_pool" not in label and ".at_containers" not in label:
                self.busy_at_seconds = self.clock.seconds()
            self.tell(label)
            happen()
            if self.random.random() < 0.1:
                self.clock.advance(0.1)
        self.check()
        return event is not None

    def check(self) -> None:
        """
        The invariants.
        """
        writable: dict[DatasetId, list[str]] = {}
        for node in self.nodes.values():
            for dataset_id, stored in node.disk.datasets().items():
                if stored.mounted_at is not None and stored.role is Role.OWNER:
                    writable.setdefault(dataset_id, []).append(node.name)
        for dataset_id, names in writable.items():
            if len(names) > 1:
                raise InvariantBroken(f"{dataset_id} can be written on {' and '.join(names)}")
        for dataset_id, count in self.acknowledged.items():
            if count and not self._deleted(dataset_id) and not self._somewhere(dataset_id):
                raise InvariantBroken(f"{count} acknowledged records of {dataset_id} are on no node any more")

    def _deleted(self, dataset_id: DatasetId) -> bool:
        text = self.store._values.get(f"dataset/{dataset_id}")
        return text is None or '"deleted":true' in text

    def _somewhere(self, dataset_id: DatasetId) -> bool:
        wanted = self.acknowledged[dataset_id]
        for node in self.nodes.values():
            kept = node.pool.state.datasets.get(dataset_id)
            if kept is not None and len(kept.content.get(LEDGER, b"")) == wanted:
                return True
        return False


def container(name: str, node: NodeId, *datasets: DatasetId) -> Container:
    """
    An application that writes to the datasets.
    """
    from pyrsistent import pvector

    from flocker_py.model import Mount

    return Container(
        name=ContainerName(name),
        node_id=node,
        image="ledger",
        mounts=pvector(Mount(dataset_id=d, path=f"/{i}") for i, d in enumerate(datasets)),
    )


__all__ = ["InvariantBroken", "MoveId", "World", "container", "pmap"]

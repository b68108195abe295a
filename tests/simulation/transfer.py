"""
Transfers between agents: the conversation of the real sessions, step by step, over a simulated connection. Whatever in
them decides about data is the real code; what is simulated is who waits for whom.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from flocker_agent.changes import StartSending
from flocker_agent.storage import memory
from flocker_agent.transfer.admission import Refused
from flocker_agent.transfer.errors import (
    NotAdmitted,
    PeerLost,
    PeerReplaced,
    PeerUnreachable,
    TransferCancelled,
    TransferConflict,
    TransferMismatch,
    refusal,
    refused,
)
from flocker_agent.transfer.reception import Reception
from flocker_agent.transfer.send import SendSession
from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, Guid
from flocker_py.observed import SendProgress, SendVerdict
from flocker_py.snapshots import (
    Diverged,
    NothingInCommon,
    NothingToSend,
    SendFull,
    SendIncremental,
    explain,
    history,
    path_to_send,
)
from flocker_py.storage import DatasetBusy, ResumeRefused, Role, SendPlan, StorageError, StreamCorrupt, StreamCut
from tests.simulation.network import Connection, End

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

# So that what is cut is often there in part.
memory.__dict__["PAYLOAD_LIMIT_BYTES"] = 64
SILENCE_SECONDS = 30.0
NEEDLESS_BATCH = 4


class SimulatedSender:
    """
    A session that sends one dataset. Each of its steps is an event of its own.
    """

    _take_snapshot: Any = SendSession._take_snapshot
    _look: Any = SendSession._look
    _destroy_needless: Any = SendSession._destroy_needless
    _destroy: Any = SendSession._destroy
    _kept: Any = SendSession._kept

    def __init__(
        self,
        node: SimulatedNode,
        change: StartSending,
        progressed: Callable[[SendProgress], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        self._node = node
        self._world = node.world
        self._storage: Any = node.agent and node.agent.datasets._storage
        self._dataset_id = change.dataset_id
        self._change = change
        self._send_to = change.send_to
        self._exclusive: AbstractContextManager[object] = nullcontext()
        self._final_guid = change.final_guid
        self._told_progress = progressed
        self._told_end = ended
        self._target_node = node.world.nodes[change.send_to.target]
        self._called = node.world.called(change.dataset_id)
        self._progress = Acknowledged()
        self._cancelled = False
        self._over = False
        self._end: End | None = None
        self._reception: SimulatedReception | None = None
        self._target: list[Guid] = []
        self._pause: Any = None
        self._rounds = 0
        self._sent_bytes = 0
        self._may_discard = True
        name = node.world.chance.numbered(f"rounds of {self._called}")
        self._enough_rounds = 2 + int(node.world.chance.draw(name) * 2)
        self._step("calls", self._call)

    # -- what the agent asks ---------------------------------------------------------------------------------------

    def finish(self, final_guid: Guid) -> None:
        """
        See ``flocker_agent.dataset_work.Sender``.
        """
        self._final_guid = final_guid
        self._wake()

    def cancel(self) -> None:
        """
        See ``flocker_agent.dataset_work.Sender``.
        """
        self._cancelled = True
        self._step("is cancelled", lambda: None)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _step(self, label: str, action: Callable[[], None], least: float = 0.001, most: float = 0.01) -> None:
        self._node.soon(f"send {self._called}: {label}", lambda: self._do(action), least, most)

    def _do(self, action: Callable[[], None]) -> None:
        if self._over:
            return
        try:
            if self._cancelled:
                raise TransferCancelled("cancelled")
            action()
        except TransferCancelled:
            self._ends(None)
        except FlockerError as error:
            self._ends(error)

    def _wake(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None and pause.active():
            pause.cancel()
            self._step("goes on", self._next_round)

    def _call(self) -> None:
        world, node, target = self._world, self._node, self._target_node
        network = world.network
        blocked = max(network.blocked_seconds(node.name, target.name), network.blocked_seconds(target.name, node.name))
        if target.agent is None or blocked:
            raise PeerUnreachable(f"{target.name} can't be connected to")
        connection = Connection(world, f"{node.name}-{target.name} {self._called}", silence_seconds=SILENCE_SECONDS)
        self._end = connection.add(node.name, node.life, self._lost)
        self._reception = SimulatedReception(target, self._dataset_id, self)
        self._reception.end = connection.add(target.name, target.life, self._reception.lost)
        node.ends.append(self._end)
        target.ends.append(self._reception.end)
        reception = self._reception
        self._say("hello", lambda: reception.hello(self._change, node.node_id))

    def _say(self, label: str, deliver: Callable[[], None]) -> None:
        if self._end is not None:
            self._end.send(label, deliver)

    def refused(self, error: FlockerError) -> None:
        """
        The target says no.
        """
        self._do(lambda: self._raise(refused(refusal(error))))

    @staticmethod
    def _raise(error: Exception) -> None:
        raise error

    def state(self, guids: list[Guid], resume_token: str | None) -> None:
        """
        The target says what it has.
        """
        self._target = guids
        if resume_token is None:
            self._step("begins", self._next_round)
        else:
            self._step("resumes", lambda: self._resume(resume_token))

    def _resume(self, token: str) -> None:
        # As the real session does: only the backend can say which snapshot a token is of.
        stored, _ = self._look()
        source = list(history(stored))
        base = self._target[-1] if self._target else None
        if base is None or base in source:
            newer = source[0 if base is None else source.index(base) + 1 :]
            if self._final_guid is not None and self._final_guid in newer:
                newer = newer[: newer.index(self._final_guid) + 1]
            for to_guid in reversed(newer):
                try:
                    self._stream(SendPlan(to_guid=to_guid, from_guid=base, resume_token=token))
                except ResumeRefused:
                    continue
                self._world.figures.counts["streams gone on with"] += 1
                return
        self._world.figures.counts["streams begun anew, since nobody has their snapshot"] += 1
        assert self._reception is not None
        self._say("abort partial", self._reception.abort_partial)

    def _next_round(self) -> None:
        if self._final_guid is not None:
            self._send_up_to(self._final_guid)
            return
        taken = self._take_snapshot()
        if taken is None:
            self._round_is_through(0)
        else:
            self._send_up_to(taken.guid)

    def _send_up_to(self, to_guid: Guid) -> None:
        stored, bookmarks = self._look()
        assert self._reception is not None
        match path := path_to_send(history(stored), self._target, to_guid, bookmarks):
            case SendFull():
                self._stream(SendPlan(to_guid=to_guid))
            case SendIncremental():
                self._stream(SendPlan(to_guid=to_guid, from_guid=path.from_guid))
            case NothingToSend() if self._target[-1] == to_guid:
                self._acknowledged(to_guid, 0)
            case NothingInCommon() | Diverged() if self._may_discard:
                self._may_discard = False
                self._say("discard replica", self._reception.discard)
            case _:
                raise TransferConflict(explain(path))

    def _stream(self, plan: SendPlan) -> None:
        stream = streamed(self._storage, self._dataset_id, plan)
        assert self._reception is not None and self._end is not None
        reception, connection = self._reception, self._end.connection
        self._sent_bytes += len(stream)
        needless_before = None if plan.to_guid == self._final_guid else plan.from_guid
        cut = self._world.chance.happens("cut-stream", f"{connection.name}")
        if self._dataset_id in self._node.bad_links and plan.to_guid != self._final_guid and self._is_ready():
            cut = cut or self._world.chance.numbered(f"bad link {connection.name}")
        if cut:
            stream = stream[: int(self._world.chance.draw(f"{cut} at") * len(stream))]
            self._world.tell(f"the stream of {self._called} is cut after {len(stream)} bytes")
            self._say("part of a stream", lambda: reception.stream(stream, None))
            self._say("then nothing", connection.cut)
        else:
            self._say("stream", lambda: reception.stream(stream, needless_before))

    def _is_ready(self) -> bool:
        return self._rounds >= self._enough_rounds

    def result(self, guid: Guid, newest_guid: Guid) -> None:
        """
        The target says what it has taken in.
        """
        self._step("hears the result", lambda: self._hear_result(guid, newest_guid))

    def _hear_result(self, guid: Guid, newest_guid: Guid) -> None:
        if guid != newest_guid:
            raise TransferMismatch("the target took in another snapshot")
        self._target.append(guid)
        self._acknowledged(guid, 1)

    def _acknowledged(self, guid: Guid, size: int) -> None:
        self._progress.acknowledged_guid = guid
        if guid == self._final_guid:
            self._progressed(SendVerdict.READY)
            self._ends(None)
            return
        self._destroy_needless(guid, NEEDLESS_BATCH)
        self._round_is_through(size)

    def _round_is_through(self, size: int) -> None:
        self._rounds += 1
        world = self._world
        verdict = SendVerdict.CATCHING_UP
        if self._rounds >= self._enough_rounds:
            verdict = SendVerdict.READY
            if world.chance.happens("outrun", f"{self._node.name} {self._called}"):
                verdict = SendVerdict.OUTRUN
        if self._rounds <= self._enough_rounds or verdict is SendVerdict.OUTRUN:
            self._progressed(verdict)
        if self._final_guid is not None:
            self._step("round", self._next_round)
            return
        seconds = 0.1 if self._rounds < self._enough_rounds else 1.0
        self._pause = world.scheduler.put(
            seconds,
            f"{self._node.name} send {self._called}: round",
            self._node.life,
            lambda: self._do(self._next_round),
            timer=size == 0 and self._rounds > self._enough_rounds,
        )

    def _progressed(self, verdict: SendVerdict) -> None:
        progress = SendProgress(
            move_id=self._send_to.move_id,
            round=max(1, self._rounds),
            round_bytes=0,
            total_bytes=0,
            sent_bytes=self._sent_bytes,
            rate_bytes_per_second=1.0,
            acknowledged_guid=self._progress.acknowledged_guid,
            verdict=verdict,
        )
        self._soon(lambda: self._told_progress(progress))

    def _soon(self, tell: Callable[[], None]) -> None:
        self._world.scheduler.put(0.0005, f"{self._node.name} hears of sending", self._node.life, tell)

    def _lost(self) -> None:
        self._do(lambda: self._raise(PeerLost("the connection broke")))

    def _ends(self, error: FlockerError | None) -> None:
        self._over = True
        if error is not None:
            self._world.tell(f"{self._node.name} fails to send {self._called}: {type(error).__name__}: {error}")
        if self._end is not None:
            self._end.close()
            if self._end in self._node.ends:
                self._node.ends.remove(self._end)
        if error is None and not self._cancelled and self._progress.acknowledged_guid is not None:
            self._destroy_needless(self._progress.acknowledged_guid, 1)
        self._soon(lambda: self._told_end(error))


class Acknowledged:
    """
    What the real session's progress knows of the target.
    """

    def __init__(self) -> None:
        self.acknowledged_guid: Guid | None = None


class SimulatedReception:
    """
    The other side of a session.
    """

    _look: Any = Reception._look
    _abort_partial: Any = Reception._abort_partial
    _discard: Any = Reception._discard
    _destroy_needless: Any = Reception._destroy_needless

    def __init__(self, node: SimulatedNode, dataset_id: DatasetId, sender: SimulatedSender) -> None:
        self._node = node
        self._world = node.world
        self._storage: Any = node.agent and node.agent.datasets._storage
        self._dataset_id = dataset_id
        self._called = node.world.called(dataset_id)
        self._sender = sender
        self._admitted = False
        self._busy = False
        self._over = False
        self._ending: FlockerError | None = None
        self._successors: list[Callable[[], None]] = []
        self.end: End | None = None

    def hello(self, change: StartSending, peer: Any) -> None:
        """
        Somebody calls. The agent is asked in its turn: after all that it was told before.
        """
        self._world.scheduler.put(
            0.0005, f"{self._node.name} is called", self._node.life, lambda: self._greet(change, peer)
        )

    def _greet(self, change: StartSending, peer: Any) -> None:
        if self.end is None or not self.end.open:
            return
        present = self._node.receiving.get(self._dataset_id)
        try:
            self._admit(change, peer, claimed=present is None)
        except FlockerError as error:
            self._refuse(error)
            return
        if present is not None:
            # A sender that comes again knows that its last connection is dead.
            present.give_way(lambda: self._greet(change, peer))
            return
        self._node.receiving[self._dataset_id] = self
        self._step("says what is here", self._say_state)

    def _admit(self, change: StartSending, peer: Any, *, claimed: bool) -> None:
        agent = self._node.agent
        assert agent is not None
        answer = agent.datasets.admit(self._dataset_id, change.epoch, change.send_to.move_id, peer)
        if isinstance(answer, Refused):
            raise NotAdmitted(answer)
        self._admitted = claimed

    def _step(self, label: str, action: Callable[[], None]) -> None:
        self._busy = True
        self._node.soon(f"receive {self._called}: {label}", lambda: self._do(action))

    def _do(self, action: Callable[[], None]) -> None:
        self._busy = False
        try:
            if self._ending is not None:
                raise self._ending
            action()
        except (PeerLost, TransferCancelled) as error:
            self._ends(error)
        except FlockerError as error:
            self._refuse(error)

    def _say(self, label: str, deliver: Callable[[], None]) -> None:
        if self.end is not None:
            self.end.send(label, deliver)

    def _refuse(self, error: FlockerError) -> None:
        self._say("refused", lambda: self._sender.refused(error))
        self._ends(error)

    def _say_state(self) -> None:
        stored = self._look()
        if stored is not None and stored.role is Role.OWNER:
            raise DatasetBusy(f"{self._called} belongs to this node")
        guids = [] if stored is None or stored.partial else list(history(stored))
        token = None if stored is None else stored.resume_token
        self._say("state", lambda: self._sender.state(guids, token))

    def abort_partial(self) -> None:
        """
        The sender can't use what is here in part.
        """
        self._step("aborts what came in part", self._without_partial)

    def discard(self) -> None:
        """
        The sender can't use what is here.
        """
        self._step("discards its replica", self._without_replica)

    def _without_partial(self) -> None:
        self._abort_partial()
        self._say_state()

    def _without_replica(self) -> None:
        self._discard()
        self._tell(ongoing=True)
        self._say_state()

    def stream(self, stream: bytes, needless_before: Guid | None) -> None:
        """
        A stream comes in, whole or in part.
        """
        self._step("takes it in", lambda: self._receive(stream, needless_before))

    def _receive(self, stream: bytes, needless_before: Guid | None) -> None:
        try:
            received = taken_in(self._storage, self._dataset_id, stream)
        except StreamCut:
            raise PeerLost("the stream was cut") from None
        except (StreamCorrupt, ResumeRefused):
            self._abort_partial()
            raise
        newest_guid = self._storage.dataset(self._dataset_id).snapshots[-1].guid
        self._say("result", lambda: self._sender.result(received.guid, newest_guid))
        self._tell(ongoing=True)
        if needless_before is not None:
            try:
                self._destroy_needless(needless_before)
            except StorageError as error:
                self._world.tell(f"{self._node.name} keeps needless snapshots: {error}")

    def _tell(self, *, ongoing: bool) -> None:
        node, dataset_id = self._node, self._dataset_id

        def tell() -> None:
            if node.agent is not None:
                node.agent.datasets.received(dataset_id, ongoing=ongoing)

        self._world.scheduler.put(0.0005, f"{node.name} hears of receiving", node.life, tell)

    def give_way(self, then: Callable[[], None]) -> None:
        """
        The sender has come again.
        """
        self._successors.append(then)
        self._end_with(PeerReplaced("the sender has come again"))

    def cancel(self) -> None:
        """
        The agent wants it to end.
        """
        self._end_with(TransferCancelled("cancelled"))

    def lost(self) -> None:
        """
        The connection is gone.
        """
        self._end_with(PeerLost("the connection broke"))

    def _end_with(self, error: FlockerError) -> None:
        if self._over or self._ending is not None:
            return
        self._ending = error
        if not self._busy:
            self._step("ends", lambda: None)

    def _ends(self, error: FlockerError) -> None:
        if self._over:
            return
        self._over = True
        node = self._node
        if self.end is not None:
            if isinstance(error, TransferCancelled):
                self._say("cancelled", lambda: self._sender.refused(error))
            self.end.close()
            if self.end in node.ends:
                node.ends.remove(self.end)
        if node.receiving.get(self._dataset_id) is self:
            if self._admitted:
                self._tell(ongoing=False)
            del node.receiving[self._dataset_id]
        for then in self._successors:
            self._world.scheduler.put(0.0005, f"{node.name} answers the next", node.life, then)


def streamed(disk: Any, dataset_id: DatasetId, plan: SendPlan) -> bytes:
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


def taken_in(disk: Any, dataset_id: DatasetId, stream: bytes) -> Any:
    """
    A stream taken in, and the end of the pipe after it.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, stream)
        os.close(writing)
        return disk.receive(dataset_id, reading)
    finally:
        os.close(reading)

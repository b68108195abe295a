"""
One transfer on its way in: from a connection through a buffer and a pipe to the storage backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from eliot import log_message, start_action
from pyrsistent import pvector

from flocker_agent.rounds import needless
from flocker_agent.transfer.channel import Channel, Piece
from flocker_agent.transfer.errors import ConversationBroken, PeerLost, PeerSilent
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.pipes import Pipe
from flocker_agent.transfer.room import Room
from flocker_agent.transfer.spool import Pieces, Spool
from flocker_agent.transfer.wake import Task, Wake
from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, Guid
from flocker_py.records import Record, value
from flocker_py.snapshots import history
from flocker_py.storage import (
    DatasetBusy,
    DatasetDiverged,
    DatasetMissing,
    ResumeRefused,
    Role,
    Storage,
    StoredDataset,
    StoredSnapshot,
    StreamCorrupt,
)
from flocker_py.streams import (
    AbortPartial,
    Accept,
    Cancel,
    DiscardReplica,
    End,
    Message,
    Offer,
    Result,
    State,
)

_NONE = type(None)
T = TypeVar("T")
_LOOK_SECONDS = 1.0
# Each batch costs the pool a forced transaction group.
_NEEDLESS_BATCH = 4


class SnapshotReceived(Record):
    """
    A snapshot has arrived whole, and was re-read from the pool.
    """

    dataset_id: DatasetId = value(UUID)
    guid: Guid = value(int)


class ReplicaDiscarded(Record):
    """
    What was here has nothing in common with what the sender has, and was destroyed to make room for it.
    """

    dataset_id: DatasetId = value(UUID)


class ReceiveEnded(Record):
    """
    A transfer to this node is over; the dataset is not touched by it any more.

    :param error: why it ended in the middle of something; None: it didn't.
    """

    dataset_id: DatasetId = value(UUID)
    error: Exception | None = value((Exception, _NONE), default=None)


ReceiveNews = SnapshotReceived | ReplicaDiscarded | ReceiveEnded


class Reception:
    """
    A conversation with a sender that was admitted. For the thread of its connection.

    :param on_change: told of every snapshot that has arrived, and of a replica that is gone.
    """

    def __init__(
        self,
        storage: Storage,
        dataset_id: DatasetId,
        *,
        channel: Channel,
        wake: Wake,
        pieces: Pieces,
        limits: TransferLimits,
        room: Room,
        on_change: Callable[[SnapshotReceived | ReplicaDiscarded], None],
    ) -> None:
        self._storage = storage
        self._dataset_id = dataset_id
        self._channel = channel
        self._wake = wake
        self._pieces = pieces
        self._limits = limits
        self._room = room
        self._on_change = on_change
        self._tidying: Task[None] | None = None

    def run(self) -> None:
        """
        Take in what the sender offers, until it has no more.

        :raises TransferCancelled: the sender, or this node, called it off.
        :raises PeerLost: the connection broke in the middle of something.
        :raises FlockerError: something was refused, and the sender was told why.
        """
        try:
            self._say_state()
            while True:
                match self._next():
                    case None | Cancel():
                        return
                    case AbortPartial():
                        self._call("abort", self._abort_partial)
                        self._say_state()
                    case DiscardReplica():
                        self._call("discard", self._discard)
                        # Sending all of it can take hours, in which nobody must count on the copy that was here.
                        self._on_change(ReplicaDiscarded(dataset_id=self._dataset_id))
                        self._say_state()
                    case Offer() as offer:
                        self._take(offer)
                    case other:
                        raise ConversationBroken(f"The sender said {type(other).__name__} instead of an offer")
        finally:
            if self._tidying is not None:
                self._tidying.wait()

    def _say_state(self) -> None:
        stored = self._call("look", self._look)
        if stored is not None and stored.role is Role.OWNER:
            raise DatasetBusy(
                f"Dataset {self._dataset_id} belongs to this node under epoch {stored.epoch}, so nothing is received "
                "into it before it is released"
            )
        self._channel.send(
            State(
                guids=pvector() if stored is None or stored.partial else history(stored),
                resume_token=None if stored is None else stored.resume_token,
                free_bytes=self._call("room", self._storage.free_bytes),
            )
        )

    def _look(self) -> StoredDataset | None:
        try:
            return self._storage.dataset(self._dataset_id)
        except DatasetMissing:
            return None

    def _abort_partial(self) -> None:
        try:
            self._storage.abort_receive(self._dataset_id)
        except DatasetMissing:
            # It was nothing but that partial receive.
            pass

    def _discard(self) -> None:
        stored = self._look()
        if stored is None:
            return
        # Epoch 0 is what came in and was never owned here, so all of it came from owners; what was owned here once is
        # left for the operator to look at.
        if stored.role is not Role.REPLICA or stored.epoch != 0:
            raise DatasetDiverged(
                f"Dataset {self._dataset_id} was owned by this node under epoch {stored.epoch}, and has no snapshot in"
                " common with the source; it was kept"
            )
        self._storage.destroy(self._dataset_id)

    def _next(self) -> Message | None:
        while True:
            try:
                found = self._channel.incoming()
            except PeerLost:
                if self._channel.between_frames:
                    return None
                raise
            if isinstance(found, Piece):
                raise ConversationBroken("The sender sent data that it had not offered")
            if found is not None:
                return found
            self._channel.wait(_LOOK_SECONDS)
            self._channel.say_alive()

    def _take(self, offer: Offer) -> None:
        with start_action(
            action_type="flocker:transfer:receive-stream",
            to_guid=offer.to_guid,
            from_guid=offer.from_guid,
            resumed=offer.resumed,
        ) as action:
            free_bytes = self._call("room", self._storage.free_bytes)
            self._room.promise(self._dataset_id, offer.name, offer.estimate_bytes, free_bytes)
            try:
                received = self._accept()
            finally:
                self._room.give_back(self._dataset_id)
            stored = self._call("look", lambda: self._storage.dataset(self._dataset_id))
            action.add_success_fields(guid=received.guid)
        self._channel.send(Result(guid=received.guid, newest_guid=stored.snapshots[-1].guid))
        self._on_change(SnapshotReceived(dataset_id=self._dataset_id, guid=received.guid))
        if offer.needless_before_guid is not None:
            before_guid = offer.needless_before_guid
            self._tidying = Task(
                f"receive-{self._dataset_id}-tidy", lambda: self._destroy_needless(before_guid), self._wake
            )

    def _accept(self) -> StoredSnapshot:
        if self._tidying is not None:
            self._await(self._tidying)
        self._channel.send(Accept())
        try:
            return self._receive()
        except (StreamCorrupt, ResumeRefused):
            # Kept, it would be gone on with, and refused, for ever.
            self._call("abort", self._abort_partial)
            raise

    def _receive(self) -> StoredSnapshot:
        pipe = Pipe()
        trailing_bytes = [0]

        def through() -> None:
            trailing_bytes[0] = pipe.unread_bytes()
            pipe.close_reading()

        spool = Spool(
            f"receive-{self._dataset_id}-spool",
            pipe,
            self._pieces,
            limit_bytes=self._limits.receive_buffer_bytes,
            wake=self._wake,
        )
        task = Task(
            f"receive-{self._dataset_id}-stream",
            lambda: self._storage.receive(self._dataset_id, pipe.reading),
            self._wake,
            finally_=through,
        )
        try:
            announced_bytes, came_bytes = self._fill(spool, task)
        except (PeerLost, PeerSilent):
            # What has come is kept, to go on from there.
            broken_off = self._channel.broken_off()
            if broken_off is not None:
                spool.put(broken_off)
            spool.end()
            raise
        except BaseException:
            spool.end(discard=True)
            raise
        finally:
            spool.wait_until_written()
            task.wait()
        received = task.result()
        superfluous_bytes = trailing_bytes[0] + spool.refused_bytes
        if superfluous_bytes or announced_bytes != came_bytes:
            raise StreamCorrupt(
                f"Dataset {self._dataset_id}: the stream ended {superfluous_bytes} bytes before the sender's end "
                f"marker, which counts {announced_bytes} bytes where {came_bytes} came"
            )
        return received

    def _fill(self, spool: Spool, task: Task[StoredSnapshot]) -> tuple[int, int]:
        """
        Move data from the connection into the spool until the end marker has come and the backend is through.

        :returns: how much there should have been, and how much there was.
        """
        came_bytes = 0
        while True:
            while listening := spool.has_room():
                match found := self._channel.incoming():
                    case Piece():
                        spool.put(found)
                        came_bytes += found.size_bytes
                        self._room.arrived(self._dataset_id, found.size_bytes)
                    case None:
                        break
                    case End():
                        spool.end()
                        self._await(task)
                        return found.size_bytes, came_bytes
                    case Cancel():
                        raise PeerLost("The sender stopped in the middle of a stream")
                    case _:
                        raise ConversationBroken(f"The sender said {type(found).__name__} in the middle of a stream")
            if task.done:
                # Most likely an error; if not, the end marker is still to come.
                task.result()
            self._channel.wait(_LOOK_SECONDS, listen=listening)
            self._channel.say_alive(came_bytes)

    def _call(self, name: str, blocking: Callable[[], T]) -> T:
        task = Task(f"receive-{self._dataset_id}-{name}", blocking, self._wake)
        try:
            self._await(task)
        finally:
            task.wait()
        return task.result()

    def _await(self, task: Task[T]) -> None:
        # The sender has nothing to say now but that it is there.
        while not task.done:
            self._channel.wait(_LOOK_SECONDS, listen=False)
            self._channel.say_alive()
        self._channel.listening_again()

    def _destroy_needless(self, before_guid: Guid) -> None:
        try:
            stored = self._storage.dataset(self._dataset_id)
            guids = needless(stored.snapshots, before_guid)
            if len(guids) >= _NEEDLESS_BATCH and stored.role is not Role.OWNER:
                self._storage.destroy_snapshots(self._dataset_id, guids)
        except FlockerError as error:
            # They are looked for again after the next round, and by whoever owns the dataset then.
            log_message("flocker:transfer:needless_snapshots_kept", dataset_id=str(self._dataset_id), reason=str(error))

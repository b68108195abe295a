"""
One stream on its way out: from the storage backend through a pipe to the connection.
"""

from __future__ import annotations

import os

from flocker_agent.pacing import Pacer
from flocker_agent.transfer.conversation import Conversation
from flocker_agent.transfer.pipes import Pipe
from flocker_agent.transfer.progress import Progress
from flocker_agent.transfer.wake import Task, Wake
from flocker_py.model import DatasetId, Guid
from flocker_py.storage import SendPlan, Storage
from flocker_py.streams import DATA_LIMIT_BYTES, HEADER_BYTES, Accept, End, Offer, write_data_header

# Larger pieces cost less: of both ends together, 3.9 s of processor time per GiB at 128 KiB, 3.4 at 256 KiB, 3.1 at
# 512 KiB, 3.0 at 1 MiB (benchmarks/transfer.py on two busy cores, November 2026).
_PIECE_BYTES = DATA_LIMIT_BYTES
# What is less waits a moment for more.
_SMALL_BYTES = 256 << 10
_MOMENT_SECONDS = 0.01


class OutgoingStream:
    """
    One stream, from the call that makes it to its end marker.

    :param name: of the snapshot, for people.
    :param needless_before_guid: as in ``Offer``.
    """

    def __init__(
        self,
        storage: Storage,
        dataset_id: DatasetId,
        plan: SendPlan,
        *,
        name: str,
        needless_before_guid: Guid | None,
        conversation: Conversation,
        wake: Wake,
        pacer: Pacer,
        progress: Progress,
    ) -> None:
        self._storage = storage
        self._dataset_id = dataset_id
        self._plan = plan
        self._name = name
        self._needless_before_guid = needless_before_guid
        self._conversation = conversation
        self._wake = wake
        self._pacer = pacer
        self._progress = progress

    def send(self) -> int:
        """
        Offer the stream and send it whole, and say how many bytes it had. The target's result is still to come.

        :raises ResumeRefused: the token is not of this snapshot; the target was told nothing.
        :raises StorageError: the backend could not send.
        :raises FlockerError: the target refused.
        """
        pipe = Pipe()
        os.set_blocking(pipe.reading, False)
        task = Task(
            f"send-{self._dataset_id}-stream",
            lambda: self._storage.send(self._dataset_id, self._plan, pipe.writing),
            self._wake,
            finally_=pipe.close_writing,
        )
        try:
            estimate_bytes = self._conversation.call(
                f"send-{self._dataset_id}-estimate",
                lambda: self._storage.send_estimate_bytes(self._dataset_id, self._plan),
            )
            # A backend that refuses does so before it writes: nothing is offered that can't be had.
            while not pipe.unread_bytes() and not task.done:
                self._conversation.wait(1.0, pipe.reading)
            if not pipe.unread_bytes():
                task.result()
            self._progress.began_round(estimate_bytes)
            self._offer(estimate_bytes)
            sent_bytes = self._pump(pipe)
            task.result()
        finally:
            # The backend notices at its next write; the dataset is in use until then.
            pipe.close_reading()
            task.wait()
        self._conversation.channel.send(End(size_bytes=sent_bytes))
        return sent_bytes

    def _offer(self, estimate_bytes: int) -> None:
        self._conversation.channel.send(
            Offer(
                to_guid=self._plan.to_guid,
                from_guid=self._plan.from_guid,
                name=self._name,
                estimate_bytes=estimate_bytes,
                resumed=self._plan.resume_token is not None,
                needless_before_guid=self._needless_before_guid,
            )
        )
        self._conversation.reply(Accept)

    def _pump(self, pipe: Pipe) -> int:
        conversation, pacer = self._conversation, self._pacer
        buffer = memoryview(bytearray(HEADER_BYTES + _PIECE_BYTES))
        sent_bytes = 0
        while True:
            most_bytes = pacer.piece_bytes(_PIECE_BYTES)
            size_bytes = self._gather(pipe, buffer[HEADER_BYTES : HEADER_BYTES + most_bytes])
            if size_bytes == 0:
                return sent_bytes
            write_data_header(buffer, size_bytes)
            if wait_seconds := pacer.book(HEADER_BYTES + size_bytes):
                conversation.pause(wait_seconds)
            conversation.channel.write(buffer[: HEADER_BYTES + size_bytes])
            sent_bytes += size_bytes
            self._progress.sent(size_bytes)
            conversation.listen()

    def _gather(self, pipe: Pipe, view: memoryview) -> int:
        filled_bytes = 0
        waited = False
        while filled_bytes < len(view):
            try:
                read_bytes = os.readv(pipe.reading, [view[filled_bytes:]])
            except BlockingIOError:
                if filled_bytes >= _SMALL_BYTES or (filled_bytes and waited):
                    break
                self._conversation.wait(_MOMENT_SECONDS if filled_bytes else 1.0, pipe.reading)
                waited = bool(filled_bytes)
                continue
            if read_bytes == 0:
                break
            filled_bytes += read_bytes
        return filled_bytes

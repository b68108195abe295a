"""
Sending a dataset that moves to another node, round after round, until the last snapshot is there.

A session has two threads: its own, which owns the connection, and one at a time in which the storage backend does what
blocks. It speaks to the rest of the agent through ``on_change`` alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from eliot import log_message, start_action

from flocker_agent.pacing import Pacer
from flocker_agent.rounds import HOLD_TAG, SNAPSHOT_PREFIX, Outlook, Round, needless, outlook, snapshot_name, superseded
from flocker_agent.transfer.causes import continued, log_failure, task_id
from flocker_agent.transfer.channel import Channel
from flocker_agent.transfer.connecting import Patience, called
from flocker_agent.transfer.conversation import Conversation
from flocker_agent.transfer.errors import TransferCancelled, TransferConflict, TransferMismatch
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.outgoing import OutgoingStream
from flocker_agent.transfer.progress import Progress
from flocker_agent.transfer.wake import Task, Wake
from flocker_py.assignment import SendTo
from flocker_py.credentials import Credential
from flocker_py.errors import FlockerError
from flocker_py.model import DatasetId, Guid, MoveId, NodeId
from flocker_py.observed import SendProgress, SendVerdict
from flocker_py.records import Record, value
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
from flocker_py.storage import ResumeRefused, Role, SendPlan, Storage, StoredDataset, StoredSnapshot
from flocker_py.streams import AbortPartial, Cancel, DiscardReplica, Hello, Result, State

_NONE = type(None)
# Small enough to be off the pool soon, large enough that a forced transaction group is paid for many.
_NEEDLESS_BATCH = 4
_ROUNDS_REMEMBERED = 3
_TELLING_SECONDS = 0.25


class SessionEnded(Record):
    """
    A session is over; nothing of it touches the dataset any more.

    :param acknowledged_guid: the newest snapshot that the target re-read from its own pool; None: none.
    :param error: why it ended before the final snapshot was there; None: it didn't, or was cancelled.
    """

    dataset_id: DatasetId = value(UUID)
    move_id: MoveId = value(UUID)
    acknowledged_guid: Guid | None = value((int, _NONE), default=None)
    error: Exception | None = value((Exception, _NONE), default=None)
    cancelled: bool = value(bool, default=False)


class SendSession:
    """
    One move of one dataset, at its source. Methods may be called from any thread, and none but ``join`` blocks.

    While it lasts the session takes snapshots of the dataset, holds them and destroys those that are needless. Whoever
    else changes the dataset meanwhile does so under ``exclusive``; once the role is RELEASED no snapshot is taken.

    :param storage: of this node.
    :param epoch: under which this node owns the dataset, or released it.
    :param node_id: of this node.
    :param on_change: told how it goes, once a second and at every turn, and last of all that it ended. Called from the
        session's own thread, which waits for it; what it raises is logged.
    :param pacer: the node's bandwidth limit.
    :param exclusive: held around every call that changes the dataset.
    :param final_guid: send up to this snapshot, and take none; as if ``finish`` had been called.
    :param clock: seconds; never goes back.
    """

    def __init__(
        self,
        storage: Storage,
        dataset_id: DatasetId,
        *,
        send_to: SendTo,
        epoch: int,
        node_id: NodeId,
        credential: Credential,
        on_change: Callable[[SendProgress | SessionEnded], None],
        limits: TransferLimits | None = None,
        pacer: Pacer | None = None,
        exclusive: AbstractContextManager[object] | None = None,
        final_guid: Guid | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._dataset_id = dataset_id
        self._send_to = send_to
        self._epoch = epoch
        self._node_id = node_id
        self._credential = credential
        self._on_change = on_change
        self._limits = TransferLimits() if limits is None else limits
        self._pacer = Pacer(None, clock) if pacer is None else pacer
        self._exclusive: AbstractContextManager[object] = threading.Lock() if exclusive is None else exclusive
        self._clock = clock
        self._wake = Wake()
        self._final_guid = final_guid
        self._cancelled = False
        self._rounds: list[Round] = []
        self._ready_rounds = 0
        self._taken_seconds: float | None = None
        self._target: list[Guid] = []
        self._tidying: Task[None] | None = None
        self._progress = Progress(send_to.move_id, clock, self._tell)
        self._task_id = task_id()
        self._thread = threading.Thread(target=self._run, name=f"send-{dataset_id}", daemon=True)

    def start(self) -> None:
        """
        Begin. Only once.
        """
        self._thread.start()

    def finish(self, final_guid: Guid) -> None:
        """
        Send up to this snapshot at once, on the open connection, and end. The dataset must be released by now.
        """
        self._final_guid = final_guid
        self._wake.set()

    def cancel(self) -> None:
        """
        End soon, whatever it is doing. What the target has is kept there.
        """
        self._cancelled = True
        self._wake.set()

    def join(self, timeout_seconds: float | None = None) -> bool:
        """
        Wait until it has ended, and say whether it has.
        """
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            with continued(
                self._task_id,
                "flocker:transfer:send",
                dataset_id=str(self._dataset_id),
                move_id=str(self._send_to.move_id),
                target=str(self._send_to.target),
            ):
                self._converse()
        except TransferCancelled:
            pass
        except FlockerError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001  # a thread has nobody else to tell
            error = raised
            log_failure(raised)
        finally:
            self._wake.close()
        self._progress.ended()
        self._tell(
            SessionEnded(
                dataset_id=self._dataset_id,
                move_id=self._send_to.move_id,
                acknowledged_guid=self._progress.acknowledged_guid,
                error=error,
                cancelled=self._cancelled,
            )
        )

    def _tell(self, news: SendProgress | SessionEnded) -> None:
        try:
            self._on_change(news)
        except Exception as error:  # noqa: BLE001  # a listener's mistake must not end a transfer
            log_failure(error)

    def _check(self) -> None:
        if self._cancelled:
            raise TransferCancelled(f"Sending dataset {self._dataset_id} to {self._send_to.address} was cancelled")

    def _converse(self) -> None:
        limits = self._limits
        self._check()
        patience = Patience(limits.handshake_seconds, wake=self._wake, check=self._check, clock=self._clock)
        send_to = self._send_to
        channel = Channel(
            called(send_to.address, send_to.port, send_to.target, self._credential, patience),
            wake=self._wake,
            check=self._check,
            silence_seconds=limits.silence_seconds,
            clock=self._clock,
        )
        conversation = Conversation(channel, self._wake, self._clock, self._progress.tell_if_due)
        try:
            self._greet(conversation)
            self._send_rounds(conversation)
        except Exception:
            channel.say_last(Cancel())
            raise
        finally:
            channel.close()
            self._await_tidying()
        self._tidy(1)
        self._await_tidying()

    def _greet(self, conversation: Conversation) -> None:
        conversation.channel.send(
            Hello(
                dataset_id=self._dataset_id,
                epoch=self._epoch,
                move_id=self._send_to.move_id,
                sender=self._node_id,
                task_id=task_id(),
            )
        )
        state = conversation.reply(State)
        self._target = list(state.guids)
        if state.resume_token is not None and not self._resume(conversation, state.resume_token):
            log_message("flocker:transfer:partial_is_useless", dataset_id=str(self._dataset_id))
            conversation.channel.send(AbortPartial())
            self._target = list(conversation.reply(State).guids)

    def _send_rounds(self, conversation: Conversation) -> None:
        while (final_guid := self._final_guid) is None:
            pause_seconds = self._outlook().pause_seconds
            conversation.pause(pause_seconds, self._is_final)
            if self._final_guid is None:
                self._catch_up(conversation)
        self._send_up_to(conversation, final_guid)

    def _is_final(self) -> bool:
        return self._final_guid is not None

    def _catch_up(self, conversation: Conversation) -> None:
        began_seconds = self._clock()
        gathered_seconds = None if self._taken_seconds is None else began_seconds - self._taken_seconds
        taken = conversation.call(f"send-{self._dataset_id}-snapshot", self._take_snapshot)
        taken_seconds = self._clock()
        if taken is None:
            if gathered_seconds is None or gathered_seconds < _TELLING_SECONDS:
                # That nothing was written in a moment tells nothing of the writer. Where all there is came with a
                # stream that was resumed, it is watched from here on.
                self._taken_seconds = began_seconds if self._taken_seconds is None else self._taken_seconds
                conversation.pause(_TELLING_SECONDS, self._is_final)
                return
            # Nothing was written, so nothing need be sent: that is a round too, and the best there is.
            sent_bytes = 0
        else:
            sent_bytes = self._send_up_to(conversation, taken.guid)
            self._tidy(_NEEDLESS_BATCH)
        self._taken_seconds = began_seconds
        done = Round(
            size_bytes=sent_bytes,
            snapshot_seconds=taken_seconds - began_seconds,
            transfer_seconds=self._clock() - taken_seconds,
            gathered_seconds=gathered_seconds,
        )
        self._rounds.append(done)
        seen = self._outlook()
        self._ready_rounds = self._ready_rounds + 1 if seen.verdict is SendVerdict.READY else 0
        if seen.verdict is SendVerdict.READY:
            # From here on only a writer that changes its mind counts.
            self._rounds = self._rounds[-_ROUNDS_REMEMBERED:]
        self._progress.judged(seen)

    def _outlook(self) -> Outlook:
        return outlook(self._rounds, self._send_to.max_downtime_seconds, ready_rounds=self._ready_rounds)

    def _take_snapshot(self) -> StoredSnapshot | None:
        with self._exclusive:
            stored = self._storage.dataset(self._dataset_id)
            if self._final_guid is not None or stored.role is not Role.OWNER:
                return None
            newest = stored.snapshots[-1] if stored.snapshots else None
            if newest is not None and _is_ours(newest) and not self._storage.written_since_snapshot(self._dataset_id):
                if newest.guid == self._progress.acknowledged_guid:
                    return None
                taken = newest
            else:
                name = snapshot_name(self._send_to.move_id, stored.snapshots)
                taken = self._storage.snapshot(self._dataset_id, name)
            self._storage.hold(self._dataset_id, [taken.guid], HOLD_TAG)
            # Or each attempt to send, such as to a pool that has no room for it, would leave a snapshot.
            self._destroy(superseded(stored.snapshots, self._send_to.move_id, self._target, taken.guid))
            return taken

    def _send_up_to(self, conversation: Conversation, to_guid: Guid, *, may_discard: bool = True) -> int:
        stored, bookmarks = conversation.call(f"send-{self._dataset_id}-look", self._look)
        match path := path_to_send(history(stored), self._target, to_guid, bookmarks):
            case SendFull():
                return self._send(conversation, stored, SendPlan(to_guid=to_guid))
            case SendIncremental():
                return self._send(conversation, stored, SendPlan(to_guid=to_guid, from_guid=path.from_guid))
            case NothingToSend() if self._target[-1] == to_guid:
                self._progress.acknowledged(to_guid)
                return 0
            case NothingInCommon() | Diverged() if may_discard:
                log_message(
                    "flocker:transfer:replica_is_useless", dataset_id=str(self._dataset_id), reason=explain(path)
                )
                conversation.channel.send(DiscardReplica())
                self._target = list(conversation.reply(State).guids)
                return self._send_up_to(conversation, to_guid, may_discard=False)
            case _:
                raise TransferConflict(
                    f"Dataset {self._dataset_id} can't be sent to node {self._send_to.target}: {explain(path)}"
                )

    def _look(self) -> tuple[StoredDataset, Mapping[str, Guid]]:
        return self._storage.dataset(self._dataset_id), self._storage.bookmarks(self._dataset_id)

    def _resume(self, conversation: Conversation, token: str) -> bool:
        stored, _ = conversation.call(f"send-{self._dataset_id}-look", self._look)
        source = list(history(stored))
        base = self._target[-1] if self._target else None
        if base is not None and base not in source:
            return False
        newer = source[0 if base is None else source.index(base) + 1 :]
        final_guid = self._final_guid
        if final_guid is not None and final_guid in newer:
            newer = newer[: newer.index(final_guid) + 1]
        # Only the backend can say which snapshot a token is of; the newest is the likeliest.
        for to_guid in reversed(newer):
            try:
                self._send(conversation, stored, SendPlan(to_guid=to_guid, from_guid=base, resume_token=token))
            except ResumeRefused:
                continue
            return True
        return False

    def _send(self, conversation: Conversation, stored: StoredDataset, plan: SendPlan) -> int:
        final = plan.to_guid == self._final_guid
        with start_action(
            action_type="flocker:transfer:send-stream",
            to_guid=plan.to_guid,
            from_guid=plan.from_guid,
            resumed=plan.resume_token is not None,
            final=final,
        ) as action:
            stream = OutgoingStream(
                self._storage,
                self._dataset_id,
                plan,
                name=next(one.name for one in stored.snapshots if one.guid == plan.to_guid),
                # While an application stands still nothing else is done.
                needless_before_guid=None if final else plan.from_guid,
                conversation=conversation,
                wake=self._wake,
                pacer=self._pacer,
                progress=self._progress,
            )
            sent_bytes = stream.send()
            result = conversation.reply(Result)
            if result.guid != plan.to_guid or result.newest_guid != plan.to_guid:
                raise TransferMismatch(
                    f"Dataset {self._dataset_id}: snapshot {plan.to_guid} was sent, but node {self._send_to.target} "
                    f"took in {result.guid}, and its newest snapshot is {result.newest_guid}"
                )
            action.add_success_fields(sent_bytes=sent_bytes)
        self._target.append(plan.to_guid)
        self._progress.acknowledged(plan.to_guid)
        return sent_bytes

    def _tidy(self, at_least: int) -> None:
        # Off the way of the next round, and of the last one above all.
        if self._tidying is not None and not self._tidying.done:
            return
        keep_guid = self._progress.acknowledged_guid
        if keep_guid is not None:
            self._tidying = Task(
                f"send-{self._dataset_id}-tidy", lambda: self._destroy_needless(keep_guid, at_least), self._wake
            )

    def _await_tidying(self) -> None:
        if self._tidying is not None:
            self._tidying.wait()

    def _destroy_needless(self, keep_guid: Guid, at_least: int) -> None:
        try:
            with self._exclusive:
                guids = needless(self._storage.dataset(self._dataset_id).snapshots, keep_guid)
                if len(guids) >= at_least:
                    self._destroy(guids)
        except FlockerError as error:
            self._kept(error)

    def _destroy(self, guids: Sequence[Guid]) -> None:
        if not guids:
            return
        try:
            self._storage.release(self._dataset_id, guids, HOLD_TAG)
            self._storage.destroy_snapshots(self._dataset_id, guids)
        except FlockerError as error:
            self._kept(error)

    def _kept(self, error: FlockerError) -> None:
        # They are looked for again after the next round, and by the next session.
        log_message("flocker:transfer:needless_snapshots_kept", dataset_id=str(self._dataset_id), reason=str(error))


def _is_ours(snapshot: StoredSnapshot) -> bool:
    return snapshot.ours and snapshot.name.startswith(SNAPSHOT_PREFIX)

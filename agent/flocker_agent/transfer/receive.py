"""
The transfer port of a node: who may send to it, and how many at a time.

One thread listens; each connection has one of its own, and two more while a stream comes in.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from uuid import UUID

from eliot import log_message

from flocker_agent.transfer.admission import Admission, Admitted, Refused
from flocker_agent.transfer.causes import continued, log_failure
from flocker_agent.transfer.channel import Channel
from flocker_agent.transfer.connecting import Patience, answered
from flocker_agent.transfer.errors import (
    ConversationBroken,
    NotAdmitted,
    PeerLost,
    PeerReplaced,
    PeerSilent,
    ProtocolUnknown,
    TooManyTransfers,
    TransferCancelled,
    refusal,
)
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.reception import Reception, SnapshotReceived
from flocker_agent.transfer.spool import Pieces
from flocker_agent.transfer.wake import Wake
from flocker_py.credentials import Credential
from flocker_py.errors import FlockerError, code, explanation
from flocker_py.model import DatasetId, NodeId
from flocker_py.records import Record, value
from flocker_py.storage import Storage
from flocker_py.streams import PROTOCOL, Hello

_NONE = type(None)
_BACKLOG = 64
# Where file descriptors run out accept fails at once, again and again.
_ACCEPT_PAUSE_SECONDS = 0.2
_LAST_WORD_SECONDS = 5.0
# For a transfer that was cut to be through: its pool may be committing what had come.
_SUCCESSION_SECONDS = 60.0


class ReceiveEnded(Record):
    """
    A transfer to this node is over; the dataset is not touched by it any more.

    :param error: why it ended in the middle of something; None: it didn't.
    """

    dataset_id: DatasetId = value(UUID)
    error: Exception | None = value((Exception, _NONE), default=None)


class ReceiveService:
    """
    The transfer port of a node. Methods may be called from any thread.

    :param storage: of this node.
    :param admission: whether a transfer is wanted; called from the threads of connections, which wait for it. Between
        its ``Admitted`` and the ``ReceiveEnded`` that follows, nobody else changes the dataset.
    :param on_change: told of every snapshot that has arrived and of every admitted transfer's end. Called from the
        threads of connections, which wait for it; what it raises is logged.
    :param clock: seconds; never goes back.
    """

    def __init__(
        self,
        storage: Storage,
        credential: Credential,
        *,
        admission: Admission,
        on_change: Callable[[SnapshotReceived | ReceiveEnded], None],
        limits: TransferLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._credential = credential
        self._admission = admission
        self._on_change = on_change
        self._limits = TransferLimits() if limits is None else limits
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: set[_Call] = set()
        self._receiving: dict[DatasetId, _Call] = {}
        self._stopped = False
        self._wake = Wake()
        self._thread: threading.Thread | None = None

    def start(self, address: str, port: int) -> int:
        """
        Listen, and say at which port. Only once.

        :param address: IP address; ``0.0.0.0`` or ``::`` for all.
        :param port: 0: any that is free.
        :raises OSError: the port is taken, or the address isn't one of this host.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        listener.setblocking(False)
        self._thread = threading.Thread(target=self._listen, args=(listener,), name="receive-listener", daemon=True)
        self._thread.start()
        return int(listener.getsockname()[1])

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """
        Close the port, cut all transfers, wait until they have ended, and say whether they have.
        """
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()
        return all(call.join(timeout_seconds) for call in calls)

    def cancel(self, dataset_id: DatasetId) -> bool:
        """
        Cut the transfer of a dataset, and say whether there is one. It is over when its ``ReceiveEnded`` was told.
        """
        with self._lock:
            call = self._receiving.get(dataset_id)
        if call is None:
            return False
        call.cancel()
        return True

    def active(self) -> frozenset[DatasetId]:
        """
        The datasets that are being received, or may be at any moment.
        """
        with self._lock:
            return frozenset(self._receiving)

    def _listen(self, listener: socket.socket) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        with listener:
            while not self._stopped:
                poll.poll()
                try:
                    connection, address = listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    log_message("flocker:transfer:accept_failed", reason=str(error))
                    time.sleep(_ACCEPT_PAUSE_SECONDS)
                    continue
                self._take_call(connection, f"{address[0]}, port {address[1]}")
        self._wake.close()

    def _take_call(self, connection: socket.socket, caller: str) -> None:
        call = _Call(
            self,
            connection,
            caller=caller,
            storage=self._storage,
            credential=self._credential,
            admission=self._admission,
            limits=self._limits,
            clock=self._clock,
        )
        with self._lock:
            strangers = len(self._calls) - len(self._receiving)
            welcome = strangers < self._limits.strangers and not self._stopped
            if welcome:
                self._calls.add(call)
        if not welcome:
            log_message("flocker:transfer:caller_not_heard", caller=caller, strangers=strangers)
            connection.close()
            return
        try:
            call.start()
        except RuntimeError as error:  # no more threads
            log_message("flocker:transfer:caller_not_heard", caller=caller, reason=str(error))
            connection.close()
            self.forget(call)

    def claim(self, dataset_id: DatasetId, call: _Call) -> _Call | None:
        """
        Make one call the only one that receives a dataset, and answer None; or answer with the one that does.

        :raises TooManyTransfers: as many as may be are under way.
        """
        with self._lock:
            present = self._receiving.get(dataset_id)
            if present is not None:
                return present
            if len(self._receiving) >= self._limits.receiving:
                raise TooManyTransfers(
                    f"{len(self._receiving)} transfers to this node are under way, which is as many as may be"
                )
            self._receiving[dataset_id] = call
            return None

    def give_up(self, dataset_id: DatasetId) -> None:
        """
        Let another call receive a dataset.
        """
        with self._lock:
            del self._receiving[dataset_id]

    def forget(self, call: _Call) -> None:
        """
        A call is over.
        """
        with self._lock:
            self._calls.discard(call)

    def tell(self, news: SnapshotReceived | ReceiveEnded) -> None:
        """
        Tell the agent.
        """
        try:
            self._on_change(news)
        except Exception as error:  # noqa: BLE001  # a listener's mistake must not end a transfer
            log_failure(error)


class _Call:
    """
    One connection to the transfer port, from its first byte to its last.
    """

    def __init__(
        self,
        service: ReceiveService,
        connection: socket.socket,
        *,
        caller: str,
        storage: Storage,
        credential: Credential,
        admission: Admission,
        limits: TransferLimits,
        clock: Callable[[], float],
    ) -> None:
        self._service = service
        self._connection = connection
        self._caller = caller
        self._storage = storage
        self._credential = credential
        self._admission = admission
        self._limits = limits
        self._clock = clock
        self._wake = Wake()
        self._pieces = Pieces()
        self._cancelled = False
        self._successors: list[Wake] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receive-from-{caller}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        self._cancelled = True
        self._wake.set()

    def join(self, timeout_seconds: float | None) -> bool:
        return self._over.wait(timeout_seconds)

    def _check(self) -> None:
        if self._successors:
            raise PeerReplaced(f"The sender at {self._caller} has come again by another connection")
        if self._cancelled:
            raise TransferCancelled(f"The transfer from {self._caller} was cancelled")

    def _run(self) -> None:
        try:
            self._answer()
        except TransferCancelled:
            pass
        except FlockerError as error:
            log_message(
                "flocker:transfer:caller_turned_away", caller=self._caller, code=code(error), reason=explanation(error)
            )
        except Exception as error:  # noqa: BLE001  # a thread has nobody else to tell
            log_failure(error)
        finally:
            self._service.forget(self)
            self._over.set()
            for successor in self._successors:
                successor.set()
            self._wake.close()

    def _answer(self) -> None:
        patience = Patience(self._limits.handshake_seconds, wake=self._wake, check=self._check, clock=self._clock)
        connection, peer = answered(self._connection, self._credential, patience)
        channel = Channel(
            connection,
            wake=self._wake,
            check=self._check,
            silence_seconds=self._limits.silence_seconds,
            clock=self._clock,
            new_piece=self._pieces.take,
        )
        try:
            hello = self._hello(channel, patience)
            with continued(
                hello.task_id,
                "flocker:transfer:receive",
                dataset_id=str(hello.dataset_id),
                move_id=str(hello.move_id),
                source=str(peer),
            ):
                self._receive(channel, hello, peer)
        except (PeerLost, PeerSilent):
            raise
        except TransferCancelled as error:
            # Who stops a service waits for it.
            channel.say_last(refusal(error))
            raise
        except Exception as error:
            channel.send_off(refusal(error), _LAST_WORD_SECONDS)
            raise
        finally:
            channel.close()

    def _hello(self, channel: Channel, patience: Patience) -> Hello:
        while True:
            found = channel.incoming()
            if isinstance(found, Hello):
                return found
            if found is not None:
                raise ConversationBroken(f"The caller said {type(found).__name__} before Hello")
            left_seconds = patience.left_seconds()
            if left_seconds <= 0:
                raise PeerSilent(f"The caller did not say what it wants within {patience.timeout_seconds:g} s")
            channel.wait(left_seconds)

    def _receive(self, channel: Channel, hello: Hello, peer: NodeId) -> None:
        if hello.protocol != PROTOCOL:
            raise ProtocolUnknown(f"The sender speaks protocol {hello.protocol}, and this node speaks {PROTOCOL}")
        if hello.sender != peer:
            raise ConversationBroken(f"The sender says it is node {hello.sender}, but its certificate says {peer}")
        self._claim(channel, hello, peer)
        error: Exception | None = None
        admitted = False
        try:
            self._admit(hello, peer)
            admitted = True
            Reception(
                self._storage,
                hello.dataset_id,
                channel=channel,
                wake=self._wake,
                pieces=self._pieces,
                limits=self._limits,
                on_snapshot=self._service.tell,
            ).run()
        except TransferCancelled:
            raise
        except Exception as raised:
            error = raised
            raise
        finally:
            if admitted:
                self._service.tell(ReceiveEnded(dataset_id=hello.dataset_id, error=error))
            self._service.give_up(hello.dataset_id)

    def _admit(self, hello: Hello, peer: NodeId) -> None:
        match self._admission(hello.dataset_id, hello.epoch, hello.move_id, peer):
            case Admitted():
                return
            case Refused() as refused:
                raise NotAdmitted(refused)

    def _claim(self, channel: Channel, hello: Hello, peer: NodeId) -> None:
        patience = Patience(_SUCCESSION_SECONDS, wake=self._wake, check=self._check, clock=self._clock)
        while (present := self._service.claim(hello.dataset_id, self)) is not None:
            # A sender that comes again knows that its last connection is dead; this side may not have noticed.
            self._admit(hello, peer)
            present.give_way(self._wake)
            if patience.left_seconds() <= 0:
                raise TooManyTransfers(
                    f"Dataset {hello.dataset_id} is still being taken in from an earlier connection, "
                    f"{_SUCCESSION_SECONDS:g} s after that was cut"
                )
            channel.wait(patience.left_seconds(), listen=False)
            channel.say_alive()

    def give_way(self, successor: Wake) -> None:
        if successor not in self._successors:
            self._successors.append(successor)
        self._wake.set()
        if self._over.is_set():
            successor.set()

"""
Calls at the transfer port: who is calling, what for, and whether there is a place.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

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
from flocker_agent.transfer.reception import ReceiveEnded, ReceiveNews, Reception
from flocker_agent.transfer.room import Room
from flocker_agent.transfer.spool import Pieces
from flocker_agent.transfer.wake import Wake
from flocker_py.credentials import Credential
from flocker_py.errors import FlockerError, code, explanation
from flocker_py.model import DatasetId, NodeId
from flocker_py.storage import Storage
from flocker_py.streams import PROTOCOL, Hello

_LAST_WORD_SECONDS = 5.0
# For a transfer that was cut to be through: its pool may be committing what had come.
_SUCCESSION_SECONDS = 60.0


class Places:
    """
    The calls under way at one port, and the room that they take. Methods may be called from any thread.
    """

    def __init__(self, limits: TransferLimits) -> None:
        self._limits = limits
        self.room = Room(limits.reserve_bytes)
        self._lock = threading.Lock()
        self._calls: set[IncomingCall] = set()
        self._receiving: dict[DatasetId, IncomingCall] = {}

    def has_room(self) -> bool:
        """
        Whether another stranger may call.
        """
        with self._lock:
            return len(self._calls) - len(self._receiving) < self._limits.strangers

    def add(self, call: IncomingCall) -> None:
        """
        A call begins.
        """
        with self._lock:
            self._calls.add(call)

    def forget(self, call: IncomingCall) -> None:
        """
        A call is over.
        """
        with self._lock:
            self._calls.discard(call)

    def calls(self) -> list[IncomingCall]:
        """
        All that are under way.
        """
        with self._lock:
            return list(self._calls)

    def receiving(self) -> dict[DatasetId, IncomingCall]:
        """
        Those that receive a dataset, or are about to.
        """
        with self._lock:
            return dict(self._receiving)

    def claim(self, dataset_id: DatasetId, call: IncomingCall) -> IncomingCall | None:
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


class IncomingCall:
    """
    One connection to the transfer port, from its first byte to its last, in a thread of its own.

    :param connection: not the caller's any more.
    :param caller: where it comes from, for people.
    :param tell: gets the news of an admitted transfer, its end among them; from the call's own thread.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        places: Places,
        tell: Callable[[ReceiveNews], None],
        caller: str,
        storage: Storage,
        credential: Credential,
        admission: Admission,
        limits: TransferLimits,
        clock: Callable[[], float],
    ) -> None:
        self._places = places
        self._tell = tell
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
        """
        Begin. Only once.

        :raises RuntimeError: there are no more threads; the connection is closed.
        """
        try:
            self._thread.start()
        except RuntimeError:
            self._connection.close()
            self._wake.close()
            raise

    def cancel(self) -> None:
        """
        Hang up soon.
        """
        self._cancelled = True
        self._wake.set()

    def join(self, timeout_seconds: float | None) -> bool:
        """
        Wait until it is over, and say whether it is.
        """
        return self._over.wait(timeout_seconds)

    def give_way(self, successor: Wake) -> None:
        """
        Hang up soon, since the same sender has called again.

        :param successor: set once this call is over.
        """
        if successor not in self._successors:
            self._successors.append(successor)
        self._wake.set()
        if self._over.is_set():
            successor.set()

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
            self._places.forget(self)
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
                room=self._places.room,
                on_change=self._tell,
            ).run()
        except TransferCancelled:
            raise
        except Exception as raised:
            error = raised
            raise
        finally:
            if admitted:
                self._tell(ReceiveEnded(dataset_id=hello.dataset_id, error=error))
            self._places.give_up(hello.dataset_id)

    def _admit(self, hello: Hello, peer: NodeId) -> None:
        match self._admission(hello.dataset_id, hello.epoch, hello.move_id, peer):
            case Admitted():
                return
            case Refused() as refused:
                raise NotAdmitted(refused)

    def _claim(self, channel: Channel, hello: Hello, peer: NodeId) -> None:
        patience = Patience(_SUCCESSION_SECONDS, wake=self._wake, check=self._check, clock=self._clock)
        while (present := self._places.claim(hello.dataset_id, self)) is not None:
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

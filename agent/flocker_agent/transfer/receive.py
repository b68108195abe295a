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

from eliot import log_message

from flocker_agent.transfer.admission import Admission
from flocker_agent.transfer.causes import log_failure
from flocker_agent.transfer.incoming import IncomingCall, Places
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.reception import ReceiveNews
from flocker_agent.transfer.wake import Wake
from flocker_py.credentials import Credential
from flocker_py.model import DatasetId
from flocker_py.storage import Storage

_BACKLOG = 64
# Where file descriptors run out accept fails at once, again and again.
_ACCEPT_PAUSE_SECONDS = 0.2


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
        on_change: Callable[[ReceiveNews], None],
        limits: TransferLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._credential = credential
        self._admission = admission
        self._on_change = on_change
        self._limits = TransferLimits() if limits is None else limits
        self._clock = clock
        self._places = Places(self._limits)
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
        calls = self._places.calls()
        for call in calls:
            call.cancel()
        return all(call.join(timeout_seconds) for call in calls)

    def cancel(self, dataset_id: DatasetId) -> bool:
        """
        Cut the transfer of a dataset, and say whether there is one. It is over when its ``ReceiveEnded`` was told.
        """
        call = self._places.receiving().get(dataset_id)
        if call is None:
            return False
        call.cancel()
        return True

    def active(self) -> frozenset[DatasetId]:
        """
        The datasets that are being received, or may be at any moment.
        """
        return frozenset(self._places.receiving())

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
        if not self._places.has_room():
            log_message("flocker:transfer:caller_not_heard", caller=caller, reason="too many others are calling")
            connection.close()
            return
        call = IncomingCall(
            connection,
            places=self._places,
            tell=self._tell,
            caller=caller,
            storage=self._storage,
            credential=self._credential,
            admission=self._admission,
            limits=self._limits,
            clock=self._clock,
        )
        self._places.add(call)
        try:
            call.start()
        except RuntimeError as error:
            log_message("flocker:transfer:caller_not_heard", caller=caller, reason=str(error))
            self._places.forget(call)

    def _tell(self, news: ReceiveNews) -> None:
        try:
            self._on_change(news)
        except Exception as error:  # noqa: BLE001  # a listener's mistake must not end a transfer
            log_failure(error)

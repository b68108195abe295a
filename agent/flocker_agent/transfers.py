"""
The data plane, as the agent's loop uses it: sessions that send, and the port that receives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.threads import blockingCallFromThread

from flocker_agent.changes import StartSending
from flocker_agent.dataset_work import DatasetWork, Sender
from flocker_agent.locks import Locks
from flocker_agent.pacing import Pacer
from flocker_agent.transfer.admission import Admitted, Refused
from flocker_agent.transfer.limits import TransferLimits
from flocker_agent.transfer.receive import ReceiveService
from flocker_agent.transfer.reception import ReceiveEnded, ReceiveNews
from flocker_agent.transfer.send import SendSession, SessionEnded
from flocker_py.credentials import Credential
from flocker_py.model import DatasetId, MoveId, NodeId
from flocker_py.observed import SendProgress
from flocker_py.storage import Storage


class Transfers:
    """
    :param reactor: in whose thread the loop runs; what sessions tell is passed on there.
    :param maximum_transfers: as many streams come in at once.
    :param maximum_bytes_per_second: for all that is sent together; None: no limit.
    """

    def __init__(
        self,
        reactor: Any,
        storage: Storage,
        node_id: NodeId,
        credential: Credential,
        *,
        locks: Locks,
        maximum_transfers: int,
        maximum_bytes_per_second: int | None,
    ) -> None:
        self._reactor = reactor
        self._storage = storage
        self._node_id = node_id
        self._credential = credential
        self._locks = locks
        self._limits = TransferLimits(receiving=maximum_transfers)
        self._pacer = Pacer(maximum_bytes_per_second, time.monotonic)
        self._receiver = ReceiveService(
            storage, credential, admission=self._admission, on_change=self._received, limits=self._limits
        )
        self._datasets: DatasetWork | None = None

    def attach(self, datasets: DatasetWork) -> None:
        """
        Whom to ask whether a stream is wanted, and to tell what has come in.
        """
        self._datasets = datasets

    def listen(self, address: str, port: int) -> int:
        """
        Open the transfer port. Answers with its number.

        :raises OSError: it can't be opened.
        """
        return self._receiver.start(address, port)

    def stop(self) -> None:
        """
        Close the transfer port, and end what comes in. Blocking.
        """
        self._receiver.stop()

    def send(
        self,
        change: StartSending,
        progressed: Callable[[SendProgress], None],
        ended: Callable[[Exception | None], None],
    ) -> Sender:
        """
        See ``flocker_agent.dataset_work.Transfers``.
        """

        def tell(news: SendProgress | SessionEnded) -> None:
            match news:
                case SendProgress():
                    self._reactor.callFromThread(progressed, news)
                case SessionEnded():
                    self._reactor.callFromThread(ended, news.error)

        session = SendSession(
            self._storage,
            change.dataset_id,
            send_to=change.send_to,
            epoch=change.epoch,
            node_id=self._node_id,
            credential=self._credential,
            on_change=tell,
            limits=self._limits,
            pacer=self._pacer,
            exclusive=self._locks.of(change.dataset_id),
            final_guid=change.final_guid,
        )
        session.start()
        return session

    def stop_receiving(self, dataset_id: DatasetId) -> None:
        """
        See ``flocker_agent.dataset_work.Transfers``.
        """
        self._receiver.cancel(dataset_id)

    def _admission(self, dataset_id: DatasetId, epoch: int, move_id: MoveId, peer: NodeId) -> Admitted | Refused:
        if self._datasets is None:
            return Refused(code="AgentStarting", text="the agent has only just been started")
        answer: Admitted | Refused = blockingCallFromThread(
            self._reactor, self._datasets.admit, dataset_id, epoch, move_id, peer
        )
        return answer

    def _received(self, news: ReceiveNews) -> None:
        if self._datasets is not None:
            ongoing = not isinstance(news, ReceiveEnded)
            self._reactor.callFromThread(self._datasets.received, news.dataset_id, ongoing=ongoing)

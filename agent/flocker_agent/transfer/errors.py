"""
What can go wrong between two agents, by what there is to do about it.
"""

from __future__ import annotations

from flocker_agent.transfer.admission import Refused
from flocker_py.errors import FlockerError, code, explanation
from flocker_py.storage import DatasetDiverged, PoolFull, StreamCorrupt, WrongBase
from flocker_py.streams import Refusal


class TransferError(FlockerError):
    """
    A transfer between two nodes failed; it is tried again, from where it was cut.
    """


class PeerUnreachable(TransferError):
    """
    The other agent can't be connected to. See that it runs, and that this node may reach its transfer port.
    """


class PeerLost(TransferError):
    """
    The connection to the other agent broke. The transfer goes on from where it was cut, once the other agent is back.
    """


class PeerReplaced(PeerLost):
    """
    The sender has come again by another connection, so this one is given up. The transfer goes on over the new one.
    """


class PeerSilent(TransferError):
    """
    The other agent has stopped talking, so it is taken for dead. The transfer goes on from where it was cut, once the
    other agent is back.
    """


class PeerWrong(TransferError):
    """
    Who answered is not the node that the transfer is for. Compare the addresses that the nodes report.
    """


class PeerTrustless(TransferError):
    """
    The TLS handshake with the other node failed. Look at both nodes' certificates with flocker-ca show, and at both
    clocks.
    """


class TransferCancelled(TransferError):
    """
    The transfer was cancelled. What arrived is kept.
    """


class TransferMismatch(TransferError):
    """
    The target answered with another snapshot than it was sent; nothing was committed. Look at both nodes' logs.
    """


class TransferConflict(TransferError):
    """
    The target holds something that the source doesn't, so no stream fits it. It is never overwritten by force.
    """

    lasting = True


class ConversationBroken(TransferError):
    """
    The other agent said something out of turn, so the connection was closed. Look at both nodes' logs.
    """


class TooManyTransfers(TransferError):
    """
    The target takes no more transfers now. It is tried again.
    """


class ProtocolUnknown(TransferError):
    """
    The two nodes run versions of flocker_py that can't transfer data to each other. Bring both to the same version.
    """

    lasting = True


class NotAdmitted(TransferError):
    """
    The transfer is not what the control service asked this node to receive.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


class TransferRefused(TransferError):
    """
    The target does not take the transfer now; it is tried again.
    """


class TransferRefusedLastingly(TransferError):
    """
    The target does not take the transfer, and trying again can't help before somebody changes something.
    """

    lasting = True


# What the caller tells apart although it happened on the other side.
_KNOWN: dict[str, type[FlockerError]] = {
    kind.__name__: kind for kind in (PoolFull, DatasetDiverged, WrongBase, StreamCorrupt)
}


def refusal(error: BaseException) -> Refusal:
    """
    How an error on this side is told to the other.
    """
    if isinstance(error, NotAdmitted):
        return Refusal(code=error.refused.code, text=str(error), lasting=error.refused.lasting)
    if isinstance(error, FlockerError):
        return Refusal(code=code(error), text=str(error), lasting=error.lasting)
    return Refusal(code=code(error), text=explanation(error))


def refused(refusal: Refusal) -> FlockerError:
    """
    The error on this side that a refusal by the other one amounts to.
    """
    known = _KNOWN.get(refusal.code)
    if known is not None:
        return known(f"On the target: {refusal.text}")
    kind = TransferRefusedLastingly if refusal.lasting else TransferRefused
    return kind(f"On the target: {refusal.code}: {refusal.text}")

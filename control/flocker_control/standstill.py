"""
When an application that stands still for a move is to go on where it was, since the move gets no further.

Nothing is lost by it: before the commit only the source may ever write. If it is for the network or for room, the move
begins again, and catches up while the application runs. If something on the source uses the dataset, such as a shell in
it, the move has failed: it would stop the application again, for the same reason, until somebody ends that.
"""

from __future__ import annotations

from flocker_control.situation import Situation, node_name
from flocker_py.model import Move, MovePhase
from flocker_py.observed import ReportedError
from flocker_py.storage import DatasetBusy, PoolFull
from flocker_py.streams import NETWORK_CODES

LONGEST_SECONDS = 30.0
"""
How long an application stands still for a network, if its volume allows no more. As long as it takes to notice that a
connection is dead: what comes back sooner need not be begun again.
"""
# Enough to tell a full pool from one that is about to give room back, and few seconds of standstill.
_SHORT_OF_ROOM_ATTEMPTS = 3
# It waits 0.1 s after the first, and twice as long after each, up to 5 s: 11.3 s in all. What has just been stopped,
# after however long, has let go of everything by then.
_BUSY_ATTEMPTS = 8


def _standing_still(s: Situation) -> Move | None:
    """
    The present move, if its application stands still and could go on at the source, which is there.
    """
    move = s.ownership.move
    if move is None or move.phase not in (MovePhase.RELEASING, MovePhase.FINAL) or move.returns:
        return None
    return move if move.source in s.nodes else None


def _failure(s: Situation, move: Move) -> ReportedError | None:
    return s.nodes[move.source].failures.get(str(s.dataset.dataset_id))


def left_seconds(s: Situation) -> float:
    """
    How long the application may stand still yet before anything is done about it; 0: no longer, or it doesn't.
    """
    move = _standing_still(s)
    if move is None or move.released_at_seconds is None:
        return 0.0
    longest_seconds = max(LONGEST_SECONDS, s.dataset.max_downtime_seconds)
    left_seconds = move.released_at_seconds + longest_seconds - s.now_seconds
    # A clock that was set back is no reason to stand still for long.
    return left_seconds if 0 < left_seconds <= longest_seconds else 0.0


def reason(s: Situation) -> str | None:
    """
    Why the application should go on at the source, for people; None: it should not, or does.
    """
    move = _standing_still(s)
    if move is None:
        return None
    failure = _failure(s, move)
    if failure is not None and failure.code == PoolFull.__name__ and failure.attempts >= _SHORT_OF_ROOM_ATTEMPTS:
        return "there was no room for the last changes"
    if move.released_at_seconds is None or left_seconds(s) > 0:
        return None
    if move.target not in s.nodes:
        return "the target had no connection to the control service while the application stood still"
    if failure is not None and failure.code in NETWORK_CODES:
        return "the source did not reach the target while the application stood still"
    return None


def must_end(s: Situation) -> bool:
    """
    Whether the application should go on at the source.
    """
    return reason(s) is not None


def held_up_by(s: Situation) -> str | None:
    """
    What has used the dataset on the source for too long, so that it could not be laid down, for people; None: nothing.
    """
    move = _standing_still(s)
    if move is None or move.phase is not MovePhase.RELEASING or move.released_at_seconds is None or left_seconds(s) > 0:
        return None
    failure = _failure(s, move)
    if failure is None or failure.code != DatasetBusy.__name__ or failure.attempts < _BUSY_ATTEMPTS:
        return None
    return (
        f"something on node {node_name(s, move.source)} used it for too long while the application stood still:"
        f" {failure.text.rstrip('.')}. The application goes on there"
    )


def is_held_up(s: Situation) -> bool:
    """
    Whether the move should be given up because of that.
    """
    return held_up_by(s) is not None

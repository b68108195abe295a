"""
When an application that stands still for a move is to go on where it was, since the move gets no further.

Nothing is lost by it: before the commit only the source may ever write. The move begins again, and catches up while the
application runs.
"""

from __future__ import annotations

from flocker_control.situation import Situation
from flocker_py.model import Move, MovePhase
from flocker_py.observed import ReportedError
from flocker_py.storage import PoolFull
from flocker_py.streams import NETWORK_CODES

LONGEST_SECONDS = 30.0
"""
How long an application stands still for a network, if its volume allows no more. As long as it takes to notice that a
connection is dead: what comes back sooner need not be begun again.
"""
# Enough to tell a full pool from one that is about to give room back, and few seconds of standstill.
_SHORT_OF_ROOM_ATTEMPTS = 3


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

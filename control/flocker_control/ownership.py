"""
Who may write a dataset, and how that changes: the one table that decides it.

``advanced`` looks at the whole situation of one dataset (what is wanted, who owns it, what the nodes report) and
answers with the next ownership, or the same. Whoever calls it makes the answer durable, and only then tells anybody.
A node that has no session is *unknown*: it is neither taken to hold a dataset nor to lack it.

===========  ==========  ====================================================================  ====================
from         transition  when                                                                  to
===========  ==========  ====================================================================  ====================
new          born        the owner reports it as its own                                       steady
new          reassigned  another primary is wanted, and no such node as the owner ever was      new
steady       begun       another primary is wanted, and was not given up before                copying
copying      released    source and target are there, the cut-over fits; so for companions     releasing
copying      given up    the writer outruns the link, and the policy says so                   steady, epoch + 1
releasing    final       the source reports its final snapshot                                 final
releasing,   put off     a pool is too full for the final snapshot                             copying, epoch + 1
final
copying ..   aborted     the target is no longer wanted                                        steady, epoch + 1
final
final        committed   the target re-read the final snapshot from its pool                   taking, epoch + 1
taking       started     the target writes, and its containers are seen to run                 the same
taking       taken       .. and have done so for a while, or nothing could go back             steady
taking       went back   a container doesn't start, and the source still has its copy          releasing, back
any          settled     a former owner reports that its copy is gone                          the same
any          leased      the owner says that it serves no longer than its lease lasts            the same
deleted      destroyed   no node that had it may still have it                                 gone
deleted      withdrawn   it never was made, and what a node has under its id is another's       gone
===========  ==========  ====================================================================  ====================

The commit point is ``committed``: before it only the source, after it only the target may ever write. A move can be
aborted in every row above that one, and in none below. ``went back`` begins another move, from where the dataset is to
where it came from: nothing is written on its way, so there are no rounds, and it is committed like any other.
"""

from __future__ import annotations

from collections.abc import Callable

from pyrsistent import pmap

from flocker_control import situation as facts
from flocker_control import starting
from flocker_control.situation import Situation
from flocker_py.model import FinishedMove, Move, MoveOutcome, MovePhase, Ownership

Guard = Callable[[Situation], bool]
Effect = Callable[[Situation], Ownership]


def _born(s: Situation) -> Ownership:
    return s.ownership.set(created=True)


def _reassigned(s: Situation) -> Ownership:
    return s.ownership.set(owner=s.dataset.primary, epoch=s.ownership.epoch + 1)


def _fresh(s: Situation) -> Move:
    return Move(
        move_id=s.next_move_id,
        source=s.ownership.owner,
        target=s.dataset.primary,
        phase=MovePhase.COPYING,
        started_at_seconds=s.now_seconds,
    )


def _begun(s: Situation) -> Ownership:
    return s.ownership.set(move=_fresh(s), refused_primary=None)


def _final(s: Situation) -> Ownership:
    move = facts.move_under_way(s)
    return s.ownership.set(move=move.set(phase=MovePhase.FINAL, final_guid=facts.released_guid(s)))


def _committed(s: Situation) -> Ownership:
    move = facts.move_under_way(s)
    handed_over = s.ownership.handed_over.discard(move.target).set(move.source, facts.final_guid(s))
    return s.ownership.set(
        owner=move.target,
        epoch=s.ownership.epoch + 1,
        move=move.set(phase=MovePhase.TAKING),
        handed_over=handed_over,
    )


def _standstill_seconds(s: Situation) -> float | None:
    move = facts.move_under_way(s)
    if move.released_at_seconds is None:
        return None
    until_seconds = s.now_seconds if move.running_since_seconds is None else move.running_since_seconds
    return until_seconds - move.released_at_seconds


def _finished(s: Situation, outcome: MoveOutcome, reason: str) -> FinishedMove:
    move = facts.move_under_way(s)
    progress = facts.sending(s)
    return FinishedMove(
        move_id=move.move_id,
        source=move.source,
        target=move.target,
        outcome=outcome,
        reason=reason,
        started_at_seconds=move.started_at_seconds,
        ended_at_seconds=s.now_seconds,
        rounds=move.rounds if progress is None else progress.round,
        sent_bytes=move.sent_bytes if progress is None else progress.sent_bytes,
        downtime_seconds=_standstill_seconds(s),
    )


def _ended(s: Situation, outcome: MoveOutcome, reason: str) -> Ownership:
    # The higher epoch is what makes this final: whatever the source had laid down it may take up again, and no
    # other node can be granted the old epoch any more.
    return s.ownership.set(epoch=s.ownership.epoch + 1, move=None, last_move=_finished(s, outcome, reason))


def _aborted(s: Situation) -> Ownership:
    reason = "the dataset was deleted" if s.dataset.deleted else "another primary was asked for"
    if s.dataset.primary == s.ownership.owner and not s.dataset.deleted:
        reason = "cancelled"
    return _ended(s, MoveOutcome.CANCELLED, reason)


def _given_up(s: Situation) -> Ownership:
    progress = facts.sending(s)
    predicted = None if progress is None else progress.predicted_downtime_seconds
    reason = (
        "the application writes as fast as the link carries, so another round would not help"
        f" (predicted downtime {'unknown' if predicted is None else f'{predicted:.1f} s'},"
        f" wanted at most {s.dataset.max_downtime_seconds:g} s); allow a longer max_downtime,"
        " or set on_overrun to cut-over, and move again"
    )
    return _ended(s, MoveOutcome.FAILED, reason).set(refused_primary=s.dataset.primary)


def _put_off(s: Situation) -> Ownership:
    # Another move, since what is reported of this one says that the application may be stopped.
    ended = _ended(s, MoveOutcome.FAILED, "there was no room for the last changes; it has begun again")
    return ended.set(move=_fresh(s))


def _started(s: Situation) -> Ownership:
    move = facts.move_under_way(s)
    return s.ownership.set(move=move.set(running_since_seconds=s.now_seconds, restarts=starting.restarts(s)))


def _went_back(s: Situation) -> Ownership:
    move = facts.move_under_way(s)
    source = facts.node_name(s, move.source)
    back = Move(
        move_id=s.next_move_id,
        source=move.target,
        target=move.source,
        phase=MovePhase.RELEASING,
        started_at_seconds=s.now_seconds,
        # The application has not run since then.
        released_at_seconds=move.released_at_seconds,
        returns=True,
    )
    failed = _finished(s, MoveOutcome.FAILED, starting.reason(s) + f"; went back to node {source}")
    return s.ownership.set(move=back, last_move=failed, refused_primary=s.dataset.primary)


def _taken(s: Situation) -> Ownership:
    last = s.ownership.last_move
    if facts.move_under_way(s).returns and last is not None:
        # What users asked for is the move that failed. It has ended only now.
        last = last.set(ended_at_seconds=s.now_seconds, downtime_seconds=_standstill_seconds(s))
        return s.ownership.set(move=None, last_move=last)
    return s.ownership.set(move=None, last_move=_finished(s, MoveOutcome.DONE, ""))


def _settled(s: Situation) -> Ownership:
    handed_over = s.ownership.handed_over
    for node_id in facts.settled_nodes(s):
        handed_over = handed_over.discard(node_id)
    return s.ownership.set(handed_over=handed_over)


def _leased(s: Situation) -> Ownership:
    return s.ownership.set(leased_epoch=s.ownership.epoch)


def _destroyed(s: Situation) -> Ownership:
    return s.ownership.set(destroyed=True, handed_over=pmap())


def _releasing(s: Situation) -> Ownership:
    move = facts.move_under_way(s)
    progress = facts.sending(s)
    return s.ownership.set(
        move=move.set(
            phase=MovePhase.RELEASING,
            released_at_seconds=s.now_seconds,
            sent_bytes=0 if progress is None else progress.sent_bytes,
            rounds=0 if progress is None else progress.round,
        )
    )


# The first row whose guard holds is taken. Aborting comes before everything that leads to the commit: what is no
# longer wanted goes no further, whatever else has become possible at the same moment.
TABLE: tuple[tuple[str, Guard, Effect], ...] = (
    ("aborted", facts.target_is_unwanted, _aborted),
    ("reassigned", facts.was_never_told, _reassigned),
    ("born", facts.is_born, _born),
    ("given up", facts.is_outrun, _given_up),
    ("released", facts.cut_over_fits, _releasing),
    ("final", facts.is_final, _final),
    ("committed", facts.target_holds_the_final_snapshot, _committed),
    ("put off", facts.is_short_of_room, _put_off),
    ("went back", starting.goes_back, _went_back),
    ("started", starting.has_started, _started),
    ("taken", starting.is_taken, _taken),
    ("begun", facts.other_primary_is_wanted, _begun),
    ("destroyed", facts.is_destroyed, _destroyed),
    ("settled", facts.is_settled, _settled),
    ("leased", facts.owner_goes_by_its_lease, _leased),
)


def transition(s: Situation) -> tuple[str, Ownership] | None:
    """
    The next row of the table that applies: its name, and the ownership after it. None: nothing changes.
    """
    if facts.record_is_older(s) is not None or s.ownership.destroyed:
        return None
    if facts.exists_already(s) is not None:
        return ("withdrawn", s.ownership.set(destroyed=True)) if s.dataset.deleted else None
    for name, guard, effect in TABLE:
        if guard(s):
            return name, effect(s)
    return None


def advanced(s: Situation) -> Ownership:
    """
    The ownership that the situation leads to, one row of the table further, or the same.
    """
    found = transition(s)
    return s.ownership if found is None else found[1]

"""
Who may write a dataset, and how that changes: the one table that decides it.

``advanced`` looks at the whole situation of one dataset (what is wanted, who owns it, what the nodes report) and
answers with the next ownership, or the same. Whoever calls it makes the answer durable, and only then tells anybody.
A node that has no session is *unknown*: it is neither taken to hold a dataset nor to lack it.

===========  ==========  ====================================================================  ====================
from         transition  when                                                                  to
===========  ==========  ====================================================================  ====================
new          born        the owner reports it as its own                                       steady
new          reassigned  another primary is wanted, and no such node as the owner ever was      new, epoch + 1
steady       begun       another primary is wanted, and was not given up before                copying
copying      released    source and target are there, the cut-over fits; so for companions;    releasing
                         and the target has prepared the containers
copying      given up    a container's writes outrun the link, and the policy says so          steady, epoch + 1
copying ..   stranded    a companion's move was given up: they go together or not at all       steady, epoch + 1
final
releasing    final       the source reports its final snapshot                                 final
releasing    held up     something on the source has used the dataset for too long             steady, epoch + 1
releasing,   put off     a pool is too full for the final snapshot, or target and network      copying, epoch + 1
final                    have been away for too long
copying ..   aborted     the target is no longer wanted                                        steady, epoch + 1
final
final        committed   the target re-read the final snapshot from its pool, and companions   taking, epoch + 1
                         are as far
taking       started     the target writes, and its containers are seen to run                 the same
taking       taken       .. for a while, or nothing could go back; and are well if checked     steady
taking       went back   a container doesn't start or isn't well; the source has its copy yet  releasing, back
taking       caught up   a failover's target took in more than was promoted, before it began   taking, from there
taking       unstashed   a failover's target had just put aside what was promoted              taking, from there
any          put aside   a deposed node reports that nothing is left under the dataset's name  the same
any          unbased     the stash that a base was kept for is gone                            the same
steady       settled     a former owner reports that its copy is gone                          the same
any          leased      the owner says that it serves no longer than its lease lasts            the same
deleted      destroyed   no node that had it may still have it                                 gone
deleted      withdrawn   it never was made, and what a node has under its id is another's       gone
===========  ==========  ====================================================================  ====================

The commit point is ``committed``: before it only the source, after it only the target may ever write. A move can be
aborted in every row above that one, and in none below. ``went back`` begins another move, from where the dataset is to
where it came from: nothing is written on its way, so there are no rounds, and it is committed like any other.

Beside the table there are two changes that an operator makes, ``failed_over`` and ``adopted``: they give the dataset to
a node under a higher epoch without the word of the one that had it, on the operator's. What that one has is put aside.
"""

from __future__ import annotations

from collections.abc import Callable

from pyrsistent import pmap

from flocker_control import preparing, standstill, starting
from flocker_control import situation as facts
from flocker_control.situation import Situation
from flocker_py.model import FinishedMove, Guid, Move, MoveOutcome, MovePhase, NodeId, Ownership
from flocker_py.storage import Role

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
        # What the new owner has of the history is what was sent to it.
        bases=pmap({n: guid for n, guid in s.ownership.bases.items() if guid == facts.final_guid(s)}),
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
        failover=move.failover,
    )


def _ended(s: Situation, outcome: MoveOutcome, reason: str) -> Ownership:
    # The higher epoch is what makes this final: whatever the source had laid down it may take up again, and no
    # other node can be granted the old epoch any more. What the owner has said of its lease goes on to hold: it hears
    # of the new epoch or it doesn't, and is bound by the same policy.
    own = s.ownership
    epoch = own.epoch + 1
    leased_epoch = epoch if own.leased_epoch == own.epoch else own.leased_epoch
    return own.set(epoch=epoch, leased_epoch=leased_epoch, move=None, last_move=_finished(s, outcome, reason))


def _aborted(s: Situation) -> Ownership:
    reason = "the dataset was deleted" if s.dataset.deleted else "another primary was asked for"
    if s.dataset.primary == s.ownership.owner and not s.dataset.deleted:
        reason = "cancelled"
    return _ended(s, MoveOutcome.CANCELLED, reason)


def _given_up(s: Situation) -> Ownership:
    progress = facts.sending(s)
    predicted = None if progress is None else progress.predicted_downtime_seconds
    reason = (
        "the application writes as fast as the link or a disk carries, so another round would not help"
        f" (predicted downtime {'unknown' if predicted is None else f'{predicted:.1f} s'},"
        f" wanted at most {s.dataset.max_downtime_seconds:g} s); allow a longer max_downtime,"
        " or set on_overrun to cut-over, and move again"
    )
    return _ended(s, MoveOutcome.FAILED, reason).set(refused_primary=s.dataset.primary)


def _stranded(s: Situation) -> Ownership:
    reason = (
        f"the move of dataset {facts.companion_given_up(s)}, which the same container uses, was given up, and they"
        " can only go together; see why that was, and move them again"
    )
    return _ended(s, MoveOutcome.FAILED, reason).set(refused_primary=s.dataset.primary)


def _held_up(s: Situation) -> Ownership:
    return _ended(s, MoveOutcome.FAILED, standstill.held_up_by(s) or "").set(refused_primary=s.dataset.primary)


def _put_off(s: Situation) -> Ownership:
    # Another move, since what is reported of this one says that the application may be stopped.
    ended = _ended(s, MoveOutcome.FAILED, f"{standstill.reason(s)}; it has begun again")
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
    return s.ownership.set(move=None, last_move=_finished(s, MoveOutcome.DONE, ""), from_stash=None)


def _caught_up(s: Situation) -> Ownership:
    move, seen = facts.move_under_way(s), s.seen(s.ownership.owner)
    guid = move.final_guid if seen is None else seen.newest_guid
    bases = {n: guid for n, base in s.ownership.bases.items() if base == move.final_guid and guid is not None}
    return s.ownership.set(move=move.set(final_guid=guid), bases=pmap(bases))


def _unstashed(s: Situation) -> Ownership:
    return s.ownership.set(from_stash=facts.stash_of_promoted(s))


def _put_aside(s: Situation) -> Ownership:
    deposed = s.ownership.deposed
    for node_id in facts.put_aside_nodes(s):
        deposed = deposed.discard(node_id)
    return s.ownership.set(deposed=deposed)


def _unbased(s: Situation) -> Ownership:
    bases = s.ownership.bases
    for node_id in facts.needless_bases(s):
        bases = bases.discard(node_id)
    return s.ownership.set(bases=bases)


def _settled(s: Situation) -> Ownership:
    handed_over = s.ownership.handed_over
    for node_id in facts.settled_nodes(s):
        handed_over = handed_over.discard(node_id)
    return s.ownership.set(handed_over=handed_over)


def _leased(s: Situation) -> Ownership:
    return s.ownership.set(leased_epoch=s.ownership.epoch)


def _destroyed(s: Situation) -> Ownership:
    return s.ownership.set(
        destroyed=True, destroyed_at_seconds=s.now_seconds, handed_over=pmap(), deposed=pmap(), bases=pmap()
    )


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


def _may_be_released(s: Situation) -> bool:
    return facts.cut_over_fits(s) and not preparing.unprepared(s)


# The first row whose guard holds is taken. Aborting comes before everything that leads to the commit: what is no
# longer wanted goes no further, whatever else has become possible at the same moment.
TABLE: tuple[tuple[str, Guard, Effect], ...] = (
    ("aborted", facts.target_is_unwanted, _aborted),
    ("reassigned", facts.was_never_told, _reassigned),
    ("born", facts.is_born, _born),
    ("given up", facts.is_outrun, _given_up),
    ("stranded", facts.is_stranded, _stranded),
    ("released", _may_be_released, _releasing),
    ("final", facts.is_final, _final),
    ("committed", facts.may_be_committed, _committed),
    ("held up", standstill.is_held_up, _held_up),
    ("put off", standstill.must_end, _put_off),
    ("caught up", facts.has_caught_up, _caught_up),
    ("unstashed", lambda s: facts.stash_of_promoted(s) is not None, _unstashed),
    ("went back", starting.goes_back, _went_back),
    ("started", starting.has_started, _started),
    ("taken", starting.is_taken, _taken),
    ("begun", facts.other_primary_is_wanted, _begun),
    ("destroyed", facts.is_destroyed, _destroyed),
    ("put aside", lambda s: bool(facts.put_aside_nodes(s)), _put_aside),
    ("unbased", lambda s: bool(facts.needless_bases(s)), _unbased),
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
        gone = s.ownership.set(destroyed=True, destroyed_at_seconds=s.now_seconds)
        return ("withdrawn", gone) if s.dataset.deleted else None
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


def failed_over(s: Situation, target: NodeId, guid: Guid | None, *, from_stash: str | None = None) -> Ownership:
    """
    The ownership after an operator has given the dataset to a node that has a copy of it, or a stash.

    :param guid: the newest snapshot there; None: the stash has none, and all of it is taken.
    """
    reason = "the dataset was failed over while it moved"
    last_move = s.ownership.last_move if s.ownership.move is None else _finished(s, MoveOutcome.FAILED, reason)
    return _deposed(s, target, guid).set(last_move=last_move, from_stash=from_stash)


def adopted(s: Situation, node_id: NodeId) -> Ownership:
    """
    The ownership after an operator has said that what a node has is the dataset, whatever the record says.
    """
    seen = s.seen(node_id)
    # What was a replica there is taken over with the snapshot it has; what was owned there, as it is.
    guid = None if seen is None or seen.role is not Role.REPLICA else seen.newest_guid
    return _deposed(s, node_id, guid).set(created=True, last_move=None, from_stash=None)


def _deposed(s: Situation, target: NodeId, guid: Guid | None) -> Ownership:
    own = s.ownership
    epochs = [own.epoch, *(seen.epoch for n in s.nodes if (seen := s.seen(n)) is not None)]
    deposed = dict.fromkeys(facts.diverged_nodes(s, guid), own.epoch) | dict(own.deposed)
    if not s.absent(own.owner):
        deposed[own.owner] = own.epoch
    deposed.pop(target, None)
    last = s.absences.get(own.owner)
    return own.set(
        owner=target,
        epoch=max(epochs) + 1,
        # A former owner's copy that ends in what is promoted holds nothing else, and is still removed, not put aside.
        handed_over=pmap({n: final for n, final in own.handed_over.items() if n not in deposed and n != target}),
        deposed=pmap(deposed),
        bases=pmap(dict.fromkeys(deposed, guid) if guid is not None else {}),
        refused_primary=None,
        move=Move(
            move_id=s.next_move_id,
            source=own.owner,
            target=target,
            phase=MovePhase.TAKING,
            started_at_seconds=s.now_seconds,
            released_at_seconds=None if last is None else last.since_seconds,
            final_guid=guid,
            failover=True,
        ),
    )

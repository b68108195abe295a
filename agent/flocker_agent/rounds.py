"""
When to stop an application that moves: catch-up rounds, and what they say of the cut-over.

Each round sends what was written since the last one's snapshot. A round's *burden* is the time its transfer took over
the time its writes took to gather; writes of ``t`` seconds will take about ``burden * t`` to send. Below one, rounds
shrink; from about one on they don't, and the writer outruns the link.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flocker_py.model import Guid, MoveId
from flocker_py.observed import SendVerdict
from flocker_py.records import Record, value
from flocker_py.storage import StoredSnapshot

SNAPSHOT_PREFIX = "move-"
HOLD_TAG = "move"

# Rounds that take more than this part of the last one's time don't improve it.
_NO_BETTER = 0.9
# Noise can look like slow progress for ever. Rounds that shrink by a tenth each come from a day to a second in 108.
_MOST_ROUNDS = 120
# What a cut-over takes beside snapshot and transfer, as far as it is ours: unmounting, writing roles, control's
# commit and mounting, each some tens of milliseconds on an idle host.
_HAND_OVER_SECONDS = 0.2
# What a link carries in next to no time, so that the rest is the round's fixed cost.
_SMALL_BYTES = 1 << 20
# Between rounds that only keep the last delta small. Each costs the pool a forced transaction group.
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
# A move that is ready, and is not cut over for so many rounds, waits for what more of them don't bring nearer:
# an image on the target, or a lease. From then on they come less and less often.
_PROMPT_ROUNDS = 30
_NONE = type(None)
_NUMBER = (int, float)


class Round(Record):
    """
    One round that is through.

    :param snapshot_seconds: what taking its snapshot took.
    :param transfer_seconds: between the snapshot and the target's confirmation.
    :param gathered_seconds: between the last round's snapshot and this one's; None: everything was sent.
    """

    size_bytes: int = value(int)
    snapshot_seconds: float = value(_NUMBER)
    transfer_seconds: float = value(_NUMBER)
    gathered_seconds: float | None = value((*_NUMBER, _NONE), default=None)


class Outlook(Record):
    """
    What is to be thought of stopping the application now.

    :param predicted_downtime_seconds: without the time that the application takes to stop and to start; None: not
        known before a round has sent what was written during another.
    :param pause_seconds: before the next round.
    """

    verdict: SendVerdict = value(SendVerdict)
    predicted_downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    pause_seconds: float = value(_NUMBER, default=0.0)


def outlook(rounds: Sequence[Round], max_downtime_seconds: float, *, ready_rounds: int = 0) -> Outlook:
    """
    What the rounds so far say of stopping the application now.

    :param rounds: of this move, oldest first: all of them, or the last three of one that has been ready.
    :param ready_rounds: so many in a row have found the move ready before.
    """
    # The worse of the last two: writers are not steady.
    burden = max(
        (_burden(one, one.gathered_seconds) for one in rounds[-2:] if one.gathered_seconds is not None), default=None
    )
    if burden is None:
        return Outlook(verdict=SendVerdict.CATCHING_UP)
    last = rounds[-1]
    cycle_seconds = last.snapshot_seconds + last.transfer_seconds
    fixed_seconds = _HAND_OVER_SECONDS + last.snapshot_seconds
    # However little there is to send, it takes as long as the fastest of the small rounds did.
    least_seconds = min((one.transfer_seconds for one in rounds if 0 < one.size_bytes <= _SMALL_BYTES), default=0.0)

    def predicted(pause_seconds: float) -> float:
        return fixed_seconds + max(least_seconds, burden * (cycle_seconds + pause_seconds))

    if predicted(0.0) <= max_downtime_seconds:
        pause_seconds = _pause_seconds(max_downtime_seconds - predicted(0.0), burden, ready_rounds)
        return Outlook(
            verdict=SendVerdict.READY,
            predicted_downtime_seconds=predicted(pause_seconds),
            pause_seconds=pause_seconds,
        )
    if _no_better(rounds):
        return Outlook(
            verdict=SendVerdict.OUTRUN,
            predicted_downtime_seconds=predicted(_PAUSE_SECONDS),
            pause_seconds=_PAUSE_SECONDS,
        )
    return Outlook(verdict=SendVerdict.CATCHING_UP, predicted_downtime_seconds=predicted(0.0))


def snapshot_name(move_id: MoveId, taken: Iterable[StoredSnapshot]) -> str:
    """
    The name of the next round's snapshot.

    :param taken: the snapshots there are.
    """
    prefix = f"{SNAPSHOT_PREFIX}{move_id}-"
    numbers = [
        int(number)
        for one in taken
        if one.name.startswith(prefix) and (number := one.name.removeprefix(prefix)).isdecimal()
    ]
    return f"{prefix}{max(numbers, default=0) + 1}"


def needless(snapshots: Sequence[StoredSnapshot], before_guid: Guid) -> list[Guid]:
    """
    The snapshots that rounds made, of this or an earlier move, and that are older than one that both sides hold.

    :param snapshots: of one dataset, oldest first.
    :param before_guid: what both sides hold. If it isn't among the snapshots, none is needless.
    """
    guids = [one.guid for one in snapshots]
    if before_guid not in guids:
        return []
    return [
        one.guid
        for one in snapshots[: guids.index(before_guid)]
        if one.name.startswith(SNAPSHOT_PREFIX) and _is_rounds_own(one)
    ]


def superseded(
    snapshots: Sequence[StoredSnapshot], move_id: MoveId, target: Collection[Guid], to_guid: Guid
) -> list[Guid]:
    """
    The snapshots of this move that the target has none of, and that another is sent instead of. To be asked only while
    the target holds no part of a stream.

    :param snapshots: of one dataset, oldest first.
    :param target: what the target holds.
    :param to_guid: what is to be sent next.
    """
    prefix = f"{SNAPSHOT_PREFIX}{move_id}-"
    return [
        one.guid
        for one in snapshots
        if one.name.startswith(prefix) and _is_rounds_own(one) and one.guid not in target and one.guid != to_guid
    ]


def _is_rounds_own(one: StoredSnapshot) -> bool:
    return one.ours and set(one.holds) <= {HOLD_TAG} and not one.branched


def _burden(one: Round, gathered_seconds: float) -> float:
    return one.transfer_seconds / gathered_seconds if gathered_seconds > 0 else 1.0


def _pause_seconds(slack_seconds: float, burden: float, ready_rounds: int) -> float:
    longest_seconds = min(_LONGEST_PAUSE_SECONDS, _PAUSE_SECONDS * max(1.0, ready_rounds / _PROMPT_ROUNDS))
    # Half the slack may gather between rounds; the other half is for a writer that gets faster.
    if burden * longest_seconds <= slack_seconds / 2:
        return longest_seconds
    return slack_seconds / 2 / burden


def _no_better(rounds: Sequence[Round]) -> bool:
    if len(rounds) >= _MOST_ROUNDS:
        return True
    if len(rounds) < 3:
        return False
    first, second, third = (one.transfer_seconds for one in rounds[-3:])
    return second >= _NO_BETTER * first and third >= _NO_BETTER * second

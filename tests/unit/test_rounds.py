"""
When an application that moves is stopped.
"""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.rounds import Outlook, Round, needless, outlook, snapshot_name, superseded
from flocker_py.model import Guid, MoveId
from flocker_py.observed import SendVerdict
from flocker_py.storage import StoredSnapshot

CATCHING_UP, READY, OUTRUN = SendVerdict.CATCHING_UP, SendVerdict.READY, SendVerdict.OUTRUN
MIB = 1 << 20
MOVE = MoveId(UUID(int=5))


def rounds(*seconds: float, rate: float = 100 * MIB) -> list[Round]:
    """
    Rounds that followed one another at once, by the time that each transfer took.
    """
    done = [Round(size_bytes=int(seconds[0] * rate), snapshot_seconds=0.05, transfer_seconds=seconds[0])]
    for before, this in pairwise(seconds):
        done.append(
            Round(
                size_bytes=int(this * rate),
                snapshot_seconds=0.05,
                transfer_seconds=this,
                gathered_seconds=before + 0.05,
            )
        )
    return done


def simulated(first_bytes: float, written: float, rate: float, budget: float, count: int) -> list[Outlook]:
    """
    What was thought after each round of a writer and a link that are both steady.
    """
    done: list[Round] = []
    seen = [outlook(done, budget)]
    size, gathered = first_bytes, None
    for _ in range(count):
        pause = seen[-1].pause_seconds
        if gathered is not None:
            gathered += pause
            size = written * gathered
        seconds = 0.01 + size / rate
        done.append(
            Round(size_bytes=int(size), snapshot_seconds=0.02, transfer_seconds=seconds, gathered_seconds=gathered)
        )
        seen.append(outlook(done, budget))
        gathered = seconds + 0.02
    return seen[1:]


def test_nothing_is_known_at_first() -> None:
    """
    Before the first round there is no prediction.
    """
    assert outlook([], 2.0) == Outlook(verdict=CATCHING_UP)


def test_the_first_round_predicts_nothing() -> None:
    """
    The first round says how fast the link is, not how fast the writer is.
    """
    assert outlook(rounds(100.0), 2.0) == Outlook(verdict=CATCHING_UP)


def test_small_rounds_are_ready() -> None:
    """
    Where the last delta fits the budget the application can be stopped.
    """
    assert outlook(rounds(100.0, 1.0), 2.0).verdict is READY


def test_prediction_is_of_the_size_of_what_gathers() -> None:
    """
    A writer at half the link's rate gathers half a round's time of work in a round.
    """
    done = [
        Round(size_bytes=4000 * MIB, snapshot_seconds=0.0, transfer_seconds=40.0),
        Round(size_bytes=2000 * MIB, snapshot_seconds=0.0, transfer_seconds=20.0, gathered_seconds=40.0),
    ]

    assert outlook(done, 2.0).predicted_downtime_seconds == pytest.approx(10.0, abs=0.5)


def test_slow_snapshots_count() -> None:
    """
    What taking the snapshot takes is part of the downtime.
    """
    done = [one.set(snapshot_seconds=3.0) for one in rounds(100.0, 0.1)]

    assert outlook(done, 2.0).verdict is CATCHING_UP


def test_shrinking_rounds_go_on_without_a_pause() -> None:
    """
    While rounds shrink the next one follows at once.
    """
    seen = outlook(rounds(100.0, 60.0, 36.0), 2.0)

    assert (seen.verdict, seen.pause_seconds) == (CATCHING_UP, 0.0)


def test_rounds_that_do_not_shrink_are_outrun() -> None:
    """
    Two rounds in a row that were no better than the one before: the writer outruns the link.
    """
    assert outlook(rounds(10.0, 10.0, 9.9), 2.0).verdict is OUTRUN


def test_one_bad_round_is_not_enough() -> None:
    """
    A burst of writing is not taken for a writer that outruns the link.
    """
    assert outlook(rounds(10.0, 11.0, 6.0), 2.0).verdict is CATCHING_UP


def test_outrun_says_what_to_expect() -> None:
    """
    Who decides to cut over anyway knows how long it will take.
    """
    predicted = outlook(rounds(10.0, 10.0, 10.0), 2.0).predicted_downtime_seconds

    assert predicted == pytest.approx(11.5, abs=1.0)


def test_moves_do_not_go_on_for_ever() -> None:
    """
    After very many rounds that all seemed to help a little, it is said that they don't.
    """
    seesaw = [5.0, 7.0] * 60

    assert outlook(rounds(*seesaw), 2.0).verdict is OUTRUN


def test_idle_writer_is_ready() -> None:
    """
    A dataset that nobody writes to can be moved at once.
    """
    idle = Round(size_bytes=0, snapshot_seconds=0.01, transfer_seconds=0.0, gathered_seconds=1.0)

    seen = outlook([*rounds(100.0), idle], 2.0)

    assert (seen.verdict, seen.pause_seconds) == (READY, 1.0)


def test_rounds_get_rarer_while_a_ready_move_waits() -> None:
    """
    While a move waits for something else, an image on the target say, its rounds come less and less often.
    """
    idle = Round(size_bytes=0, snapshot_seconds=0.01, transfer_seconds=0.0, gathered_seconds=1.0)
    pauses = [outlook([idle], 2.0, ready_rounds=count).pause_seconds for count in (0, 30, 60, 300, 3000)]

    assert pauses == [1.0, 1.0, 2.0, 10.0, 10.0]


def test_instant_rounds_are_no_error() -> None:
    """
    A clock too coarse to see any time pass is not divided by.
    """
    instant = Round(size_bytes=1, snapshot_seconds=0.0, transfer_seconds=0.0, gathered_seconds=0.0)

    assert outlook([*rounds(0.0), instant], 2.0).verdict is READY


@pytest.mark.parametrize("burden", [0.05, 0.3, 0.6, 0.8])
def test_slower_writer_gets_ready(burden: float) -> None:
    """
    However large the dataset, a writer slower than the link is ready after some rounds.
    """
    seen = simulated(1000 * MIB * 100, burden * 100 * MIB, 100 * MIB, 2.0, 60)

    assert seen[-1].verdict is READY


@pytest.mark.parametrize("burden", [0.05, 0.3, 0.6, 0.8])
def test_ready_stays_ready(burden: float) -> None:
    """
    The pauses between catch-up rounds do not let so much gather that the cut-over would not fit any more.
    """
    verdicts = [one.verdict for one in simulated(1000 * MIB * 100, burden * 100 * MIB, 100 * MIB, 2.0, 80)]
    first = verdicts.index(READY)

    assert set(verdicts[first:]) == {READY}


@pytest.mark.parametrize("burden", [1.0, 1.5, 4.0])
def test_faster_writer_is_outrun_after_three_rounds(burden: float) -> None:
    """
    A writer faster than the link is found out by the third round.
    """
    assert simulated(1000 * MIB, burden * 100 * MIB, 100 * MIB, 2.0, 3)[-1].verdict is OUTRUN


def test_prediction_holds_for_a_steady_writer() -> None:
    """
    The predicted downtime is not less than what a steady writer's last delta takes.
    """
    burden, rate = 0.5, 100 * MIB
    last = simulated(10_000 * MIB, burden * rate, rate, 2.0, 40)[-1]
    # The worst moment to stop is just before the next round's snapshot.
    delta_seconds = burden * (last.pause_seconds + 0.02) + 0.01
    assert last.predicted_downtime_seconds is not None

    assert last.predicted_downtime_seconds >= delta_seconds


def stored(number: int, name: str, *holds: str, ours: bool = True) -> StoredSnapshot:
    """
    A snapshot.
    """
    return StoredSnapshot(guid=Guid(number), name=name, ours=ours, holds=pvector(holds))


def test_first_snapshot_is_number_one() -> None:
    """
    Snapshots of rounds are numbered from one.
    """
    assert snapshot_name(MOVE, [stored(1, "daily"), stored(2, f"move-{UUID(int=6)}-9")]) == f"move-{MOVE}-1"


def test_numbers_go_on_after_a_restart() -> None:
    """
    A name that there is already is not used again, whatever is in between.
    """
    there = [stored(1, f"move-{MOVE}-9"), stored(2, f"move-{MOVE}-10"), stored(3, f"move-{MOVE}-x")]

    assert snapshot_name(MOVE, there) == f"move-{MOVE}-11"


def test_older_rounds_are_needless() -> None:
    """
    Once both sides hold a snapshot, those that rounds made before are not needed.
    """
    there = [stored(1, "move-a-1", "move"), stored(2, "move-b-1"), stored(3, "move-b-2", "move"), stored(4, "move-b-3")]

    assert needless(there, Guid(3)) == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(stored(1, "daily"), id="not of a round"),
        pytest.param(stored(1, "move-a-1", ours=False), id="not ours"),
        pytest.param(stored(1, "move-a-1", "backup"), id="held by another"),
    ],
)
def test_what_others_need_is_not_needless(other: StoredSnapshot) -> None:
    """
    Only snapshots that rounds made, and that nobody else protects, are needless.
    """
    assert needless([other, stored(2, "move-a-2")], Guid(2)) == []


def test_what_was_never_sent_is_superseded() -> None:
    """
    Of a move's own snapshots only those that the target has, and the one that is sent next, are needed.
    """
    there = [stored(n, f"move-{MOVE}-{n}", "move") for n in (1, 2, 3, 4)]

    assert superseded(there, MOVE, [Guid(2)], Guid(4)) == [1, 3]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(stored(1, "daily"), id="not of a round"),
        pytest.param(stored(1, f"move-{UUID(int=6)}-1", "move"), id="of another move"),
        pytest.param(stored(1, f"move-{MOVE}-1", ours=False), id="not ours"),
        pytest.param(stored(1, f"move-{MOVE}-1", "backup"), id="held by another"),
    ],
)
def test_what_others_need_is_not_superseded(other: StoredSnapshot) -> None:
    """
    Only snapshots of this move, which nobody else protects, are superseded.
    """
    assert superseded([other, stored(2, f"move-{MOVE}-2")], MOVE, [], Guid(2)) == []


def test_small_rounds_measure_the_fixed_cost() -> None:
    """
    On a link with a long delay even the smallest delta takes its round trips.
    """
    small = Round(size_bytes=100, snapshot_seconds=0.0, transfer_seconds=1.5, gathered_seconds=1000.0)

    assert outlook([*rounds(100.0), small], 2.0).predicted_downtime_seconds == pytest.approx(1.7)


def test_nothing_is_needless_before_the_unknown() -> None:
    """
    Where the common snapshot isn't, nothing is destroyed.
    """
    assert needless([stored(1, "move-a-1")], Guid(2)) == []

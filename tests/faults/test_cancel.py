"""
A move is cancelled in every phase, twice, and at the very moment of the commit.
"""

from __future__ import annotations

import pytest

from tests.faults.arming import Armed, arm
from tests.faults.inside import HOLD
from tests.faults.matrix import Matrices, Matrix
from tests.faults.points import CONTROL, SOURCE, TARGET

pytestmark = pytest.mark.timeout(300)

BEFORE_THE_COMMIT = [
    (TARGET, "remembering.receive"),
    (SOURCE, "snapshot.taken"),
    (SOURCE, "full.begun"),
    (TARGET, "full.begun"),
    (TARGET, "full.received"),
    (SOURCE, "delta.sent"),
    (CONTROL, "released.before"),
    (CONTROL, "released.persisted"),
    (SOURCE, "container.stopping"),
    (SOURCE, "unmounting"),
    (SOURCE, "laid-down"),
    (SOURCE, "final.taken"),
    (CONTROL, "final.before"),
    (CONTROL, "final.persisted"),
    (SOURCE, "final.begun"),
    (TARGET, "final.begun"),
]
AFTER_THE_COMMIT = [
    (TARGET, "remembering.own"),
    (TARGET, "taking"),
    (TARGET, "taken"),
    (TARGET, "mounted"),
    (TARGET, "container.starting"),
]


def held(matrix: Matrix, side: str, point: str) -> tuple[Armed, str]:
    """
    A move that is held at a point, and its id.
    """
    programs = matrix.programs()
    armed = arm(matrix.cluster, programs[side], point, mode=HOLD)
    asked = matrix.move(programs[TARGET], by_way_of=point)
    armed.wait()
    asked.wait()
    return armed, matrix.move_id()


def requested(matrix: Matrix, move_id: str, *, times: int) -> None:
    """
    Wait until so many requests about a move have come to control, answered or not.
    """
    log = matrix.cluster.log(CONTROL)
    matrix.cluster.wait(lambda: log.read_text().count(f'"path":"/v2/moves/{move_id}"') >= times)


@pytest.mark.parametrize(("side", "point"), BEFORE_THE_COMMIT, ids=lambda text: text)
def test_cancelled_in_every_phase(matrices: Matrices, side: str, point: str) -> None:
    """
    Up to the commit a cancelled move leaves the application where it was; asked again, the answer says that it is over.
    """
    with matrices.using() as matrix:
        source = matrix.programs()[SOURCE]
        armed, move_id = held(matrix, side, point)
        first, second = matrix.cancel(move_id), matrix.cancel(move_id)
        if side == CONTROL:
            # They wait for the commit that is being made.
            requested(matrix, move_id, times=2)
            armed.let_go()
        first.wait()
        second.wait()
        armed.let_go()
        third = matrix.cancel(move_id)
        third.wait()
        matrix.check(source, outcome="cancelled")

    done, over = sorted((first, second), key=lambda answer: answer.status or 0)
    assert (done.status, done.body["outcome"]) == (200, "cancelled")
    for answer in (over, third):
        assert (answer.status, answer.body["code"]) == (409, "MoveEnded")
        assert "ended already: cancelled" in answer.body["description"]


@pytest.mark.parametrize("point", ["committed.before", "committed.persisted"])
def test_cancelled_while_it_is_committed(matrices: Matrices, point: str) -> None:
    """
    A cancellation that comes while the commit is being written is refused, and the move goes through.
    """
    with matrices.using() as matrix:
        target = matrix.programs()[TARGET]
        armed, move_id = held(matrix, CONTROL, point)
        answers = [matrix.cancel(move_id), matrix.cancel(move_id)]
        requested(matrix, move_id, times=2)
        armed.let_go()
        for answer in answers:
            answer.wait()
        matrix.check(target, outcome="done")

    assert {(answer.status, answer.body["code"]) for answer in answers} <= {(409, "MoveCommitted"), (409, "MoveEnded")}


@pytest.mark.parametrize("point", ["committed.before", "committed.persisted", "aborted.before", "aborted.persisted"])
def test_cancelled_and_killed(matrices: Matrices, point: str) -> None:
    """
    Whatever a cancellation is answered after control was killed in the middle, is what has become of the move.
    """
    with matrices.using() as matrix:
        programs = matrix.programs()
        armed = arm(matrix.cluster, CONTROL, point)
        held_at_source = arm(matrix.cluster, programs[SOURCE], "final.held", mode=HOLD)
        matrix.move(programs[TARGET]).wait()
        held_at_source.wait()
        move_id = matrix.move_id()
        if point.startswith("aborted"):
            answer = matrix.cancel(move_id)
            armed.wait()
            held_at_source.let_go()
        else:
            held_at_source.let_go()
            armed.wait()
            answer = matrix.cancel(move_id)
        matrix.cluster.kill(CONTROL)
        matrix.cluster.start(CONTROL)
        answer.wait()
        cancelled = answer.status == 200 or "ended already: cancelled" in answer.body["description"]
        matrix.check(programs[SOURCE if cancelled else TARGET], outcome="cancelled" if cancelled else "done")

    assert cancelled if point.startswith("aborted") else True
    assert not cancelled if point == "committed.persisted" else True


@pytest.mark.parametrize(("side", "point"), AFTER_THE_COMMIT, ids=lambda text: text)
def test_cancelled_after_the_commit(matrices: Matrices, side: str, point: str) -> None:
    """
    After the commit a cancellation is refused, says what to do instead, and does no harm.
    """
    with matrices.using() as matrix:
        target = matrix.programs()[TARGET]
        armed, move_id = held(matrix, side, point)
        answers = [matrix.cancel(move_id), matrix.cancel(move_id)]
        for answer in answers:
            answer.wait()
        armed.let_go()
        matrix.check(target, outcome="done")

    assert [(answer.status, answer.body["code"]) for answer in answers] == [(409, "MoveCommitted")] * 2


def test_cancelled_and_asked_for_again(matrices: Matrices) -> None:
    """
    A move that is asked for again while its cancellation is under way is another move, and goes through.
    """
    with matrices.using() as matrix:
        programs = matrix.programs()
        armed, move_id = held(matrix, SOURCE, "laid-down")
        matrix.cancel(move_id).wait()
        matrix.move(programs[TARGET]).wait()
        armed.let_go()
        matrix.check(programs[TARGET], outcome="done")

    assert matrix.cluster.dataset("data")["last_move"]["move_id"] != move_id

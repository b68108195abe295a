"""
The fault points: every boundary of a move at which a program may be stopped, killed or held.

A point has the name of a side and of what has just been, or is just about to be, done there: ``source.laid-down``. Each
program knows its own half of the name only; which agent is the source is for the test to say. What each name is hung on
is in ``tests.faults.programs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SOURCE, TARGET, CONTROL = "source", "target", "control"
SIDES = (SOURCE, TARGET, CONTROL)
MOVE, CANCEL, FAILOVER, BIRTH = "move", "cancel", "failover", "birth"


class Point(NamedTuple):
    """
    One instant in the life of one program.

    :ivar side: of a move: ``source``, ``target`` or ``control``.
    :ivar local: its name within the program.
    :ivar meaning: what is durable by then, and what isn't.
    :ivar story: in what it is passed: a move that goes through, or one that is cancelled once the source has released;
        a failover, whose source is the owner that is dead; or the birth of a dataset, at its target.
    """

    side: str
    local: str
    meaning: str
    story: str = MOVE

    @property
    def name(self) -> str:
        """
        As in the table, and on the command line.
        """
        return f"{self.side}.{self.local}" if self.story == MOVE else f"{self.side}.{self.story}.{self.local}"


def _streams(side: str, stages: Sequence[tuple[str, str]]) -> list[Point]:
    return [
        Point(side, f"{kind}.{local}", f"{which}: {meaning}")
        for kind, which in (
            ("full", "the stream of everything"),
            ("delta", "a stream of what was written meanwhile"),
            ("final", "the last stream, while the application stands still"),
        )
        for local, meaning in stages
    ]


# In the order in which a move passes them.
POINTS: tuple[Point, ...] = (
    Point(CONTROL, "begun.before", "the move is decided, and not in the store"),
    Point(CONTROL, "begun.persisted", "the move is in the store, and nobody was told"),
    Point(CONTROL, "begun.told", "one of the agents has taken in what the move asks of it"),
    Point(TARGET, "remembering.receive", "the target knows what it may receive, and has not written that down"),
    Point(TARGET, "remembered.receive", "the target has written down what it may receive"),
    Point(SOURCE, "snapshot.before", "a round's snapshot is about to be taken"),
    Point(SOURCE, "snapshot.taken", "a round's snapshot is taken, and not held"),
    Point(SOURCE, "snapshot.held", "a round's snapshot is taken and held, and not sent"),
    *_streams(
        SOURCE,
        [
            ("accepted", "the target has accepted it, and nothing is sent"),
            ("begun", "its first piece is sent"),
            ("sent", "it is sent whole, and the target's answer not read"),
            ("acknowledged", "the target's answer is read, and nobody was told"),
        ],
    ),
    *_streams(
        TARGET,
        [
            ("accepted", "it is accepted, and nothing has come"),
            ("begun", "its first piece has come"),
            ("received", "it is in the pool, and nobody was told"),
            ("told", "it is in the pool, and the source was told"),
        ],
    ),
    Point(CONTROL, "released.before", "the release is decided, and not in the store"),
    Point(CONTROL, "released.persisted", "the release is in the store, and the source was not told"),
    Point(CONTROL, "released.told", "the source has taken in that it is to release"),
    Point(SOURCE, "remembering.release", "the source knows that it is to release, and has not written that down"),
    Point(SOURCE, "remembered.release", "the source has written down that it is to release"),
    Point(SOURCE, "container.stopping", "the application is about to be stopped"),
    Point(SOURCE, "container.stopped", "the application has ended"),
    Point(SOURCE, "container.removed", "what the runtime kept of the application is gone"),
    Point(SOURCE, "unmounting", "the application has ended, and the dataset is mounted"),
    Point(SOURCE, "unmounted", "the dataset is unmounted, and still says owner"),
    Point(SOURCE, "laid-down", "the dataset says released"),
    Point(SOURCE, "final.taking", "the final snapshot is about to be taken"),
    Point(SOURCE, "final.taken", "the final snapshot is taken, and not held"),
    Point(SOURCE, "final.held", "the final snapshot is taken and held, and control was not told"),
    Point(SOURCE, "cleaning", "snapshots of rounds are about to be let go of"),
    Point(SOURCE, "cleaned.released", "snapshots of rounds are no longer held"),
    Point(SOURCE, "cleaned.destroyed", "snapshots of rounds are gone"),
    Point(CONTROL, "final.before", "the final snapshot is known, and not in the store"),
    Point(CONTROL, "final.persisted", "the final snapshot is in the store, and nobody was told"),
    Point(CONTROL, "committed.before", "the commit is decided, and not in the store"),
    Point(CONTROL, "committed.persisted", "the commit is in the store, and nobody was told"),
    Point(CONTROL, "committed.told", "one of the agents has taken in the commit"),
    Point(SOURCE, "remembering.keep", "the source knows that it isn't the owner, and has not written that down"),
    Point(SOURCE, "remembered.keep", "the source has written down that it isn't the owner"),
    Point(TARGET, "remembering.own", "the target knows that it is the owner, and has not written that down"),
    Point(TARGET, "remembered.own", "the target has written down that it is the owner"),
    Point(TARGET, "taking", "the target is about to write its role"),
    Point(TARGET, "taken", "the dataset on the target says owner, and is not mounted"),
    Point(TARGET, "mounted", "the dataset is mounted on the target"),
    Point(TARGET, "container.starting", "the application is about to be started"),
    Point(TARGET, "container.started", "the application has been started, and nobody was told"),
    Point(CONTROL, "taken.before", "the move has reached its end, and the store doesn't say so"),
    Point(CONTROL, "taken.persisted", "the store says that the move has ended, and nobody was told"),
    Point(CONTROL, "taken.told", "one of the agents has taken in that the move has ended"),
    Point(SOURCE, "remembering.remove", "the source knows that its copy isn't needed, and has not written that down"),
    Point(SOURCE, "remembered.remove", "the source has written down that its copy isn't needed"),
    Point(SOURCE, "removing", "the source is about to remove its copy"),
    Point(SOURCE, "removed", "the source has removed its copy, and nobody was told"),
    Point(CONTROL, "settled.before", "the removal is known, and not in the store"),
    Point(CONTROL, "settled.persisted", "the removal is in the store, and nobody was told"),
    Point(CONTROL, "settled.told", "the owner has taken in that its snapshots aren't needed"),
    Point(TARGET, "cleaning", "the move's last snapshot is about to be let go of"),
    Point(TARGET, "cleaned.released", "the move's last snapshot is no longer held"),
    Point(TARGET, "cleaned.destroyed", "the move's last snapshot is gone"),
    Point(CONTROL, "aborted.before", "the end of the move is decided, and not in the store", CANCEL),
    Point(CONTROL, "aborted.persisted", "the end of the move is in the store, and nobody was told", CANCEL),
    Point(CONTROL, "aborted.told", "one of the agents has taken in that the move has ended", CANCEL),
    Point(SOURCE, "remembering.own", "the source knows that it stays the owner, and has not written that down", CANCEL),
    Point(SOURCE, "taking", "the source is about to take the dataset up again", CANCEL),
    Point(SOURCE, "taken", "the dataset says owner again, and is not mounted", CANCEL),
    Point(SOURCE, "mounted", "the dataset is mounted again", CANCEL),
    Point(SOURCE, "container.starting", "the application is about to be started again", CANCEL),
    Point(SOURCE, "container.started", "the application has been started again, and nobody was told", CANCEL),
    Point(SOURCE, "cleaned.destroyed", "the snapshots of the move are gone", CANCEL),
    Point(TARGET, "removing", "the target is about to remove its replica", CANCEL),
    Point(TARGET, "removed", "the target has removed its replica, and nobody was told", CANCEL),
)

# Of a failover in the midst of a move back, once that was committed: so the new owner, its source, lacks nothing.
FAILOVER_POINTS: tuple[Point, ...] = (
    Point(CONTROL, "failed-over.before", "the failover is decided, and not in the store", FAILOVER),
    Point(CONTROL, "failed-over.persisted", "the failover is in the store, and nobody was told", FAILOVER),
    Point(CONTROL, "failed-over.told", "the new owner has taken in that it is", FAILOVER),
    Point(TARGET, "remembering.own", "the new owner knows that it is, and has not written that down", FAILOVER),
    Point(TARGET, "taking", "the new owner is about to write its role", FAILOVER),
    Point(TARGET, "taken", "the dataset says owner, and is not mounted", FAILOVER),
    Point(TARGET, "mounted", "the dataset is mounted at the new owner's", FAILOVER),
    Point(TARGET, "container.starting", "the application is about to be started", FAILOVER),
    Point(TARGET, "container.started", "the application has been started, and nobody was told", FAILOVER),
    Point(CONTROL, "taken.before", "the failover has reached its end, and the store doesn't say so", FAILOVER),
    Point(CONTROL, "taken.persisted", "the store says that the failover has ended, and nobody was told", FAILOVER),
)

BIRTH_POINTS: tuple[Point, ...] = (
    Point(TARGET, "remembering.own", "the node knows that it owns the dataset, and has not written that down", BIRTH),
    Point(TARGET, "remembered.own", "the node has written down that it owns the dataset", BIRTH),
    Point(TARGET, "creating", "the dataset is about to be made", BIRTH),
    Point(TARGET, "created", "the dataset is made, and nobody was told", BIRTH),
    Point(CONTROL, "born.before", "it is known that the dataset was made, and not in the store", BIRTH),
    Point(CONTROL, "born.persisted", "the store says that the dataset was made, and nobody was told", BIRTH),
    Point(TARGET, "mounted", "the new dataset is mounted", BIRTH),
    Point(TARGET, "container.starting", "its application is about to be started", BIRTH),
)

ALL_POINTS = (*POINTS, *FAILOVER_POINTS, *BIRTH_POINTS)

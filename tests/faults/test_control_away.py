"""
The control service is away for the whole of a move: what is served goes on, and the move ends once it is back.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import Cluster, Ledger
from tests.faults.arming import Armed, arm
from tests.faults.cells import WHICH_VARIABLE
from tests.faults.directory import cluster_with_fault_points, leftovers
from tests.faults.inside import HOLD
from tests.faults.matrix import Matrices
from tests.faults.points import CONTROL, SOURCE, TARGET

pytestmark = pytest.mark.timeout(400)

# Of every phase: where it is held while control is ended, and whether the application runs while control is away.
PHASES = [
    (SOURCE, "snapshot.taken", True),
    (SOURCE, "full.begun", True),
    (TARGET, "full.begun", True),
    (SOURCE, "delta.sent", True),
    (SOURCE, "container.stopping", False),
    (SOURCE, "laid-down", False),
    (SOURCE, "final.taken", False),
    (SOURCE, "final.begun", False),
    (TARGET, "final.received", False),
    (TARGET, "remembering.own", True),
    (TARGET, "taken", True),
    (TARGET, "container.starting", True),
    (SOURCE, "removing", True),
    (TARGET, "cleaning", True),
]

LONGER_THAN_TIME_OUTS_SECONDS = 45.0
"""A link is taken for dead after 20 s of silence, a transfer after 30; a failed step is tried again after 30."""


@pytest.mark.parametrize(("side", "point", "serves"), PHASES, ids=str)
def test_control_away(matrices: Matrices, side: str, point: str, serves: bool) -> None:
    """
    Whatever phase a move is in when control goes, the nodes do what they were asked, and it ends when control is back.
    """
    with matrices.using() as matrix:
        programs = matrix.programs()
        held = arm(matrix.cluster, programs[side], point, mode=HOLD)
        matrix.move(programs[TARGET], by_way_of=point).wait()
        held.wait()
        matrix.cluster.kill(CONTROL, signal.SIGTERM)
        held.let_go()
        if serves:
            matrix.running_again()
        matrix.cluster.start(CONTROL)

        matrix.check(programs[TARGET], outcome="done")


@pytest.mark.skipif(os.environ.get(WHICH_VARIABLE) != "all", reason="it waits for time-outs: FLOCKER_FAULTS=all")
def test_control_away_for_long(tmp_path: Path) -> None:
    """
    Moves in five phases outlive a control service that is away for longer than every time-out.
    """
    phases = [
        ("n1", "full.begun", True),
        ("n1", "laid-down", False),
        ("n1", "final.sent", False),
        ("n2", "taken", True),
        ("n1", "removing", True),
    ]
    ledgers = []
    for number in range(len(phases)):
        (tmp_path / str(number)).mkdir()
        ledgers.append(Ledger(tmp_path / str(number), pause_seconds=0.02))
    with cluster_with_fault_points(tmp_path) as cluster:
        deployed(cluster, ledgers, "n1")
        held = [
            arm(cluster, program, point, mode=HOLD, dataset_id=cluster.settled(f"v{number}", "n1")["dataset_id"])
            for number, (program, point, _) in enumerate(phases)
        ]
        deployed(cluster, ledgers, "n2")
        for armed in held:
            armed.wait()
        cluster.kill(CONTROL)
        serving = [ledger for ledger, (_, _, serves) in zip(ledgers, phases, strict=True) if serves]
        let_go_and_wait(cluster, held, serving)
        cluster.start(CONTROL)
        for number, ledger in enumerate(ledgers):
            dataset = cluster.settled(f"v{number}", "n2")
            cluster.wait(all_go_on([ledger]))
            ledger.check(Path(dataset["path"]))
        owned = [path.name for path in (tmp_path / "n2" / "pool" / "datasets").iterdir()]

        assert leftovers(tmp_path)("n1", None) == []
        assert len(owned) == len(phases)


def deployed(cluster: Cluster, ledgers: list[Ledger], node: str) -> None:
    numbers = range(len(ledgers))
    cluster.deploy({f"v{n}": {} for n in numbers}, {f"app{n}": ledgers[n].app(node, f"v{n}") for n in numbers})


def let_go_and_wait(cluster: Cluster, held: list[Armed], serving: list[Ledger]) -> None:
    """
    Let all go on without control, for so long that everybody has noticed; what serves goes on serving all the time.
    """
    for armed in held:
        armed.let_go()
    until = time.monotonic() + LONGER_THAN_TIME_OUTS_SECONDS
    while time.monotonic() < until:
        cluster.wait(all_go_on(serving))


def all_go_on(ledgers: list[Ledger]) -> Callable[[], bool]:
    """
    Whether each ledger acknowledged something since.
    """
    counts = [len(ledger.acknowledged()) for ledger in ledgers]
    return lambda: all(len(ledger.acknowledged()) > count for ledger, count in zip(ledgers, counts, strict=True))

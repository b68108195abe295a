"""
The table of ownership: each row, and what keeps it from applying.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control import standstill, starting
from flocker_control.absence import absence
from flocker_control.explain import Status, lines, status, waiting_for
from flocker_control.ownership import TABLE, advanced, transition
from flocker_control.situation import (
    Situation,
    companions_in_the_way,
    containers_not_running,
    exists_already,
    final_guid,
    holders,
    is_fenced,
    move_under_way,
)
from flocker_control.slices import assignments, runs_on
from flocker_py.assignment import Destroy, Keep, Own, Receive, Release, Remove
from flocker_py.definitions import definition_digest
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    FinishedMove,
    Guid,
    HealthCheck,
    Mount,
    Move,
    MoveId,
    MoveOutcome,
    MovePhase,
    Node,
    NodeId,
    Origin,
    OverrunPolicy,
    Ownership,
    PartitionPolicy,
    RestartName,
    RestartPolicy,
    StartFailurePolicy,
)
from flocker_py.observed import (
    HOST,
    ContainerObservation,
    ContainerPhase,
    DatasetObservation,
    Health,
    NodeObservation,
    ReportedError,
    SendProgress,
    SendVerdict,
    StashObservation,
)
from flocker_py.storage import Role

A, B, C = (NodeId(UUID(int=n)) for n in (1, 2, 3))
DATASET = DatasetId(UUID(int=100))
OTHER = DatasetId(UUID(int=101))
MOVE = MoveId(UUID(int=200))
NEXT_MOVE = MoveId(UUID(int=201))
FINAL = Guid(77)
NOW_SECONDS = 1000.0


def copy_of(dataset_id: DatasetId = DATASET, **fields: Any) -> DatasetObservation:
    return DatasetObservation(dataset_id=dataset_id, **{"role": Role.OWNER, "epoch": 1, "mounted": True, **fields})


def node(node_id: NodeId, *copies: DatasetObservation, **fields: Any) -> NodeObservation:
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=9),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="memory",
        **{"storage_known": True, "datasets": pmap({c.dataset_id: c for c in copies}), **fields},
    )


def stash(**fields: Any) -> StashObservation:
    return StashObservation(**{"name": "s", "dataset_id": DATASET, "role": Role.RELEASED, "epoch": 1, **fields})


def progress(verdict: SendVerdict = SendVerdict.READY, **fields: Any) -> SendProgress:
    return SendProgress(
        **{
            "move_id": MOVE,
            "round": 3,
            "round_bytes": 1,
            "total_bytes": 1,
            "sent_bytes": 500,
            "rate_bytes_per_second": 10.0,
            "verdict": verdict,
            **fields,
        }
    )


def moving(phase: MovePhase, **fields: Any) -> Move:
    return Move(
        **{
            "move_id": MOVE,
            "source": A,
            "target": B,
            "phase": phase,
            "started_at_seconds": 900.0,
            **fields,
        }
    )


def ownership(**fields: Any) -> Ownership:
    return Ownership(**{"dataset_id": DATASET, "owner": A, "created": True, **fields})


def container(*datasets: DatasetId, node_id: NodeId = A) -> Container:
    return Container(name=ContainerName("db"), node_id=node_id, mounts=pvector(Mount(dataset_id=d) for d in datasets))


def ran(phase: ContainerPhase = ContainerPhase.RUNNING, **fields: Any) -> dict[str, Any]:
    name = ContainerName("db")
    return {"containers": pmap({name: ContainerObservation(name=name, phase=phase, **fields)})}


def situation(
    own: Ownership | None = None,
    *nodes: NodeObservation,
    primary: NodeId = A,
    known: tuple[NodeId, ...] = (A, B, C),
    dataset: dict[str, Any] | None = None,
    **fields: Any,
) -> Situation:
    return Situation(
        dataset=Dataset(dataset_id=DATASET, primary=primary, **(dataset or {})),
        ownership=own or ownership(),
        known_nodes=pmap({n: Node(node_id=n, name={A: "a", B: "b"}.get(n)) for n in known}),
        nodes=pmap({n.node_id: n for n in nodes}),
        now_seconds=NOW_SECONDS,
        next_move_id=NEXT_MOVE,
        **fields,
    )


COPYING = ownership(move=moving(MovePhase.COPYING))
RELEASING = ownership(move=moving(MovePhase.RELEASING, released_at_seconds=990.0))
FINAL_PHASE = ownership(move=moving(MovePhase.FINAL, final_guid=FINAL, released_at_seconds=990.0))
TAKING = ownership(
    owner=B,
    epoch=2,
    handed_over=pmap({A: FINAL}),
    move=moving(MovePhase.TAKING, final_guid=FINAL, released_at_seconds=990.0),
)
SENDING = node(A, copy_of(sending=progress()))
PREPARED = {"prepared": pmap({ContainerName("db"): definition_digest(container(DATASET, node_id=B))})}
NOT_PREPARED = {"preparation of db": ReportedError(code="X", text="image pg:16 can't be fetched", at_seconds=1.0)}
RELEASED = node(A, copy_of(role=Role.RELEASED, mounted=False, final_guid=FINAL, newest_guid=FINAL))
REPLICA = node(B, copy_of(role=Role.REPLICA, mounted=False, newest_guid=FINAL))
TAKEN = node(B, copy_of(epoch=2))

RETURNING = ownership(
    owner=B,
    epoch=2,
    handed_over=pmap({A: FINAL}),
    refused_primary=B,
    last_move=FinishedMove(
        move_id=MOVE,
        source=A,
        target=B,
        outcome=MoveOutcome.FAILED,
        reason="it doesn't start",
        started_at_seconds=900.0,
        ended_at_seconds=995.0,
    ),
    move=moving(MovePhase.RELEASING, move_id=NEXT_MOVE, source=B, target=A, released_at_seconds=990.0, returns=True),
)
RETURNED = RETURNING.set(
    owner=A,
    epoch=3,
    handed_over=pmap({B: FINAL}),
    move=RETURNING.move.set(phase=MovePhase.TAKING, final_guid=FINAL) if RETURNING.move is not None else None,
)
GONE_BACK = RETURNED.set(move=None)
CONTAINER_FAILED = {"failures": pmap({"db": ReportedError(code="X", text="no such file", at_seconds=1.0)})}
NOT_STARTED = {"failures": pmap({"db": ReportedError(code="X", text="no such file", at_seconds=1.0, attempts=3)})}


def started(since_seconds: float | None = None, dataset: dict[str, Any] | None = None, **fields: Any) -> Situation:
    """
    A dataset that was taken by a node which reports these fields of its container.
    """
    own = TAKING if TAKING.move is None else TAKING.set(move=TAKING.move.set(running_since_seconds=since_seconds))
    return situation(
        own,
        node(B, copy_of(epoch=2), **fields),
        RELEASED,
        primary=B,
        containers=pvector([container(DATASET)]),
        dataset=dataset,
    )


def failing(
    *nodes: NodeObservation,
    restart: RestartName = RestartName.NEVER,
    companions: tuple[Ownership, ...] = (),
    dataset: dict[str, Any] | None = None,
    policies: dict[DatasetId, Dataset] | None = None,
    **fields: Any,
) -> Situation:
    """
    The same, with other nodes than the source, and with other datasets of its container.
    """
    return situation(
        TAKING,
        node(B, copy_of(epoch=2), **fields),
        *(nodes or (RELEASED,)),
        primary=B,
        containers=pvector([container(DATASET).set(restart=RestartPolicy(name=restart))]),
        companions=pvector(companions),
        companion_policies=pmap({o.dataset_id: Dataset(dataset_id=o.dataset_id, primary=B) for o in companions}).update(
            policies or {}
        ),
        dataset=dataset,
    )


CHECK = HealthCheck(command=pvector(["ask"]), interval_seconds=5.0, timeout_seconds=1.0, start_period_seconds=30.0)
LONGEST_SECONDS = 64.0
"""
A start period of 30 s, four checks of 6 s, and 10 s.
"""


def checked(
    health: Health = Health.NONE,
    *,
    own: Ownership = TAKING,
    since_seconds: float | None = 998.0,
    phase: ContainerPhase = ContainerPhase.RUNNING,
    check: HealthCheck | None = CHECK,
    restart: RestartName = RestartName.NEVER,
    primary: NodeId = B,
    stays: bool = False,
    **fields: Any,
) -> Situation:
    """
    A dataset whose container has a check, which says this on the dataset's owner.
    """
    move = own.move
    return situation(
        own if move is None else own.set(move=move.set(running_since_seconds=since_seconds)),
        node(own.owner, copy_of(epoch=own.epoch), **ran(phase, health=health, **fields)),
        *(() if own.owner == A else (RELEASED,)),
        primary=primary,
        containers=pvector([container(DATASET).set(health=check, restart=RestartPolicy(name=restart))]),
        dataset={"on_start_failure": StartFailurePolicy.STAY} if stays else None,
    )


def short_of_room(attempts: int = 3, code: str = "PoolFull") -> NodeObservation:
    error = ReportedError(code=code, text="no room", at_seconds=1.0, attempts=attempts)
    return node(A, copy_of(role=Role.RELEASED, mounted=False), failures=pmap({str(DATASET): error}))


def busy(attempts: int = 8, **fields: Any) -> NodeObservation:
    """
    The source, where a shell keeps the dataset from being unmounted.
    """
    text = "it is used by process 4711 (sh). End it, or wait."
    error = ReportedError(code="DatasetBusy", text=text, at_seconds=1.0, attempts=attempts)
    return node(A, copy_of(**fields), failures=pmap({str(DATASET): error}))


FAILED_OVER = ownership(
    owner=B,
    epoch=2,
    deposed=pmap({A: 1}),
    bases=pmap({A: FINAL}),
    move=moving(MovePhase.TAKING, final_guid=FINAL, failover=True),
)


def with_container(*nodes: NodeObservation, **fields: Any) -> Situation:
    """
    A dataset on its way to B, which a container uses.
    """
    return situation(COPYING, *nodes, primary=B, containers=pvector([container(DATASET, node_id=B)]), **fields)


def standing_still(phase: MovePhase = MovePhase.FINAL, released_at_seconds: float | None = 965.0) -> Ownership:
    final_guid = FINAL if phase is MovePhase.FINAL else None
    return ownership(move=moving(phase, final_guid=final_guid, released_at_seconds=released_at_seconds))


GIVEN_UP = ownership(dataset_id=OTHER, epoch=2, refused_primary=B)


ORIGIN = Origin(dataset_id=DatasetId(UUID(int=999)), snapshot="monday")

APPLIES: dict[str, tuple[str, Situation]] = {
    "a failover's target has received more meanwhile": (
        "caught up",
        situation(FAILED_OVER, node(B, copy_of(role=Role.REPLICA, mounted=False, newest_guid=Guid(78))), primary=B),
    ),
    "a failover's target has just put aside its copy": (
        "unstashed",
        situation(FAILED_OVER, node(B, stashes=pmap({"aside": stash(guids=pvector([FINAL]))})), primary=B),
    ),
    "a deposed node has put its copy aside": (
        "put aside",
        situation(ownership(owner=B, epoch=2, deposed=pmap({A: 1})), node(A), TAKEN, primary=B),
    ),
    "the stash that a base was kept for is gone": (
        "unbased",
        situation(ownership(owner=B, epoch=2, bases=pmap({A: FINAL})), node(A), TAKEN, primary=B),
    ),
    "the first owner has made it": ("born", situation(ownership(created=False), node(A, copy_of()))),
    "it was given to a node that never was": (
        "reassigned",
        situation(ownership(owner=C, created=False), known=(A, B)),
    ),
    "another primary is wanted": ("begun", situation(None, node(A, copy_of()), primary=B)),
    "the cut-over fits": ("released", situation(COPYING, SENDING, node(B), primary=B)),
    "the target has prepared the container": ("released", with_container(SENDING, node(B, **PREPARED))),
    "the container stands still already": (
        "released",
        with_container(
            node(A, copy_of(sending=progress())),
            node(B),
            companions=pvector([ownership(dataset_id=OTHER, move=moving(MovePhase.RELEASING))]),
        ),
    ),
    "the writer outruns the link": (
        "given up",
        with_container(node(A, copy_of(sending=progress(SendVerdict.OUTRUN))), node(B, **PREPARED)),
    ),
    "a writer outruns the link that is no container": (
        "released",
        situation(COPYING, node(A, copy_of(sending=progress(SendVerdict.OUTRUN))), node(B), primary=B),
    ),
    "a companion's move was given up": (
        "stranded",
        situation(
            COPYING, SENDING, node(B), primary=B, companions=pvector([ownership(dataset_id=OTHER, refused_primary=B)])
        ),
    ),
    "the policy is to cut over all the same": (
        "released",
        with_container(
            node(A, copy_of(sending=progress(SendVerdict.OUTRUN))),
            node(B, **PREPARED),
            dataset={"on_overrun": OverrunPolicy.CUT_OVER},
        ),
    ),
    "the source reports its final snapshot": ("final", situation(RELEASING, RELEASED, node(B), primary=B)),
    "the target holds the final snapshot": ("committed", situation(FINAL_PHASE, REPLICA, primary=B)),
    "the target writes": ("taken", situation(TAKING, TAKEN, primary=B)),
    "a cancel arrives while copying": ("aborted", situation(COPYING, SENDING, node(B))),
    "a cancel arrives while releasing": ("aborted", situation(RELEASING, RELEASED)),
    "a cancel arrives together with the target's last report": (
        "aborted",
        situation(FINAL_PHASE, RELEASED, REPLICA),
    ),
    "it is deleted while it moves": ("aborted", situation(COPYING, primary=B, dataset={"deleted": True})),
    "a third node is wanted instead": ("aborted", situation(COPYING, SENDING, primary=C)),
    "a former owner has removed its copy": (
        "settled",
        situation(ownership(handed_over=pmap({B: FINAL})), node(A, copy_of()), node(B)),
    ),
    "the owner says that it goes by its lease": (
        "leased",
        situation(None, node(A, copy_of(leased=True)), dataset={"on_partition": PartitionPolicy.FENCE}),
    ),
    "a deletion has reached every copy": ("destroyed", situation(None, node(A), dataset={"deleted": True})),
    "a deleted dataset never was made": (
        "destroyed",
        situation(ownership(owner=C, created=False), known=(A,), dataset={"deleted": True}, primary=C),
    ),
    "it has been copied from a snapshot, and is owned": (
        "born",
        situation(ownership(created=False), node(A, copy_of()), dataset={"origin": ORIGIN}),
    ),
    "a deletion finds what never was made": (
        "withdrawn",
        situation(ownership(created=False), node(A), node(B, copy_of()), dataset={"deleted": True}),
    ),
    "its container runs on the target": ("started", started(**ran())),
    "its container runs on the target again": ("started", started(since_seconds=NOW_SECONDS, **ran(restarts=1))),
    "its container has run to its end on the target": ("started", started(**ran(ContainerPhase.EXITED, exit_status=0))),
    "its container has run for long enough": ("taken", started(since_seconds=998.0, **ran())),
    "its container has run since the clock was set back": ("taken", started(since_seconds=2000.0, **ran())),
    "its container runs, and nothing would go back": (
        "taken",
        started(dataset={"on_start_failure": StartFailurePolicy.STAY}, **ran()),
    ),
    "its container ended with an error, and should stay": (
        "taken",
        started(dataset={"on_start_failure": StartFailurePolicy.STAY}, **ran(ContainerPhase.EXITED, exit_status=1)),
    ),
    "its container runs where it came from": (
        "taken",
        situation(RETURNED, node(A, copy_of(epoch=3), **ran()), primary=B, containers=pvector([container(DATASET)])),
    ),
    "its container can't be started": ("went back", failing(**NOT_STARTED)),
    "its container ended with an error": ("went back", failing(**ran(ContainerPhase.EXITED, exit_status=1))),
    "its container was killed": ("went back", failing(**ran(ContainerPhase.EXITED, exit_status=-9))),
    "its container ended, nobody knows how": ("went back", failing(**ran(ContainerPhase.EXITED))),
    "its container ended too often": ("went back", failing(restart=RestartName.ALWAYS, **ran(restarts=3))),
    "its container was given up": (
        "went back",
        failing(restart=RestartName.ON_FAILURE, **ran(ContainerPhase.EXITED, exit_status=1)),
    ),
    "another dataset of the container fails with it": (
        "went back",
        failing(companions=(TAKING.set(dataset_id=OTHER),), **NOT_STARTED),
    ),
    "another dataset of the container goes back": (
        "went back",
        failing(companions=(RETURNING.set(dataset_id=OTHER),)),
    ),
    "another dataset of the container has gone back": (
        "went back",
        failing(companions=(GONE_BACK.set(dataset_id=OTHER),)),
    ),
    "its way back is no longer wanted": ("aborted", situation(RETURNING, primary=C)),
    "it is wanted again where it failed": ("aborted", situation(RETURNING.set(refused_primary=None), primary=B)),
    "it is deleted on its way back": ("aborted", situation(RETURNING, primary=B, dataset={"deleted": True})),
    "a pool is full at the final snapshot": ("put off", situation(RELEASING, short_of_room(), node(B), primary=B)),
    "the target's pool is full at the end": ("put off", situation(FINAL_PHASE, short_of_room(), node(B), primary=B)),
    "the target has been away for too long at the release": (
        "put off",
        situation(standing_still(MovePhase.RELEASING), node(A, copy_of()), primary=B),
    ),
    "the target has been away for too long at the end": (
        "put off",
        situation(standing_still(), RELEASED, primary=B),
    ),
    "the source has not reached the target for too long": (
        "put off",
        situation(standing_still(), short_of_room(attempts=1, code="PeerLost"), node(B), primary=B),
    ),
    "the target has been away since the clock was set back": (
        "put off",
        situation(standing_still(released_at_seconds=5000.0), RELEASED, primary=B),
    ),
    "something has used it on the source for too long": (
        "held up",
        situation(standing_still(MovePhase.RELEASING), busy(), node(B), primary=B),
    ),
    "something uses it on the source, and the target is away, too": (
        "held up",
        situation(standing_still(MovePhase.RELEASING), busy(), primary=B),
    ),
    "something uses it on the source, and it is no longer wanted elsewhere": (
        "aborted",
        situation(standing_still(MovePhase.RELEASING), busy(), node(B)),
    ),
    "a companion's move was given up during the release": (
        "stranded",
        situation(RELEASING, node(A, copy_of()), node(B), primary=B, companions=pvector([GIVEN_UP])),
    ),
    "a companion's move was given up, and this one could be committed": (
        "stranded",
        situation(FINAL_PHASE, RELEASED, REPLICA, primary=B, companions=pvector([GIVEN_UP])),
    ),
    "a companion is as far": (
        "committed",
        situation(
            FINAL_PHASE,
            RELEASED,
            REPLICA,
            primary=B,
            companions=pvector([FINAL_PHASE.set(dataset_id=OTHER), ownership(dataset_id=OTHER)]),
        ),
    ),
    "its container runs, and is not well yet": ("started", checked(Health.STARTING, since_seconds=None)),
    "its container runs, is not well yet, and should stay": (
        "started",
        checked(Health.STARTING, since_seconds=None, stays=True),
    ),
    "its container is well": ("taken", checked(Health.HEALTHY)),
    "its container is well, as its image's own check says": ("taken", checked(Health.HEALTHY, check=None)),
    "its container is well, and should stay": ("taken", checked(Health.HEALTHY, stays=True)),
    "its container is well after a failover": ("taken", checked(Health.HEALTHY, own=FAILED_OVER)),
    "its container has run to its end, well enough": ("taken", checked(phase=ContainerPhase.EXITED, exit_status=0)),
    "its container is not well": ("went back", checked(Health.UNHEALTHY)),
    "its container is not well, as its image's own check says": ("went back", checked(Health.UNHEALTHY, check=None)),
    "its container takes too long to become well": (
        "went back",
        checked(Health.STARTING, since_seconds=NOW_SECONDS - LONGEST_SECONDS),
    ),
    "nobody says in time how its container is": (
        "went back",
        checked(Health.NONE, since_seconds=NOW_SECONDS - LONGEST_SECONDS),
    ),
    "its image's own check takes too long": (
        "went back",
        checked(Health.STARTING, check=None, since_seconds=NOW_SECONDS - 250.0),
    ),
    "its container ended with an error before it was well": (
        "went back",
        checked(phase=ContainerPhase.EXITED, exit_status=1),
    ),
    "its container is not well where it came from either": (
        "taken",
        checked(Health.UNHEALTHY, own=RETURNED),
    ),
    "its container becomes well again where it came from": (
        "taken",
        checked(Health.STARTING, own=RETURNED, since_seconds=None),
    ),
    "its container is not well, and it is wanted elsewhere": ("taken", checked(Health.UNHEALTHY, primary=C)),
    "its container doesn't start, and it is wanted elsewhere": (
        "taken",
        situation(TAKING, TAKEN, primary=C, containers=pvector([container(DATASET)])),
    ),
}


@pytest.mark.parametrize("case", APPLIES)
def test_applies(case: str) -> None:
    """
    The row of the table that applies.
    """
    name, s = APPLIES[case]

    found = transition(s)

    assert found is not None
    assert found[0] == name


STAYS = {
    "all is as it should be": situation(None, node(A, copy_of())),
    "the owner is away": situation(),
    "the owner reports it under another epoch": situation(ownership(created=False, epoch=2), node(A, copy_of())),
    "the wish was given up before": situation(ownership(refused_primary=B), node(A, copy_of()), primary=B),
    "it was not made yet": situation(ownership(created=False), node(A), primary=B),
    "the source is away while copying": situation(COPYING, node(B), primary=B),
    "the target is away when the cut-over fits": situation(COPYING, SENDING, primary=B),
    "the source still catches up": situation(
        COPYING, node(A, copy_of(sending=progress(SendVerdict.CATCHING_UP))), node(B), primary=B
    ),
    "the target has prepared nothing": with_container(SENDING, node(B)),
    "the target has prepared another definition": with_container(
        SENDING, node(B, prepared=pmap({ContainerName("db"): definition_digest(container(DATASET, node_id=A))}))
    ),
    "the source reports another move": situation(
        COPYING, node(A, copy_of(sending=progress(move_id=NEXT_MOVE))), node(B), primary=B
    ),
    "the source has released under an older epoch": situation(RELEASING.set(epoch=2), RELEASED, primary=B),
    "the source has released but not snapshotted": situation(
        RELEASING, node(A, copy_of(role=Role.RELEASED, mounted=False)), primary=B
    ),
    "the target holds another snapshot": situation(
        FINAL_PHASE, node(B, copy_of(role=Role.REPLICA, newest_guid=Guid(5))), primary=B
    ),
    "the target is away at the end": situation(FINAL_PHASE, RELEASED, primary=B),
    "the target claims to own it before the commit": situation(
        FINAL_PHASE, node(B, copy_of(newest_guid=FINAL)), primary=B
    ),
    "the target has not mounted": situation(TAKING, node(B, copy_of(epoch=2, mounted=False)), primary=B),
    "the target's container doesn't run yet": situation(
        TAKING, TAKEN, primary=B, containers=pvector([container(DATASET)])
    ),
    "a cancel comes after the commit": situation(TAKING, REPLICA),
    "its container has not run for long enough": started(since_seconds=999.0, **ran()),
    "its container ended, and is started again": failing(restart=RestartName.ALWAYS, **ran(ContainerPhase.EXITED)),
    "its container's supervisor ended": failing(restart=RestartName.ON_FAILURE, **ran(ContainerPhase.EXITED)),
    "its container is about to be started again": failing(
        restart=RestartName.ALWAYS, **ran(ContainerPhase.STARTING, restarts=1)
    ),
    "its container could not be started once": failing(**CONTAINER_FAILED),
    "its container can't be started, and should stay": failing(
        dataset={"on_start_failure": StartFailurePolicy.STAY}, **NOT_STARTED
    ),
    "its container can't be started, and another volume of it should stay": failing(
        companions=(TAKING.set(dataset_id=OTHER),),
        policies={OTHER: Dataset(dataset_id=OTHER, primary=B, on_start_failure=StartFailurePolicy.STAY)},
        **NOT_STARTED,
    ),
    "its container can't be started, and the source is away": failing(node(C), **NOT_STARTED),
    "its container can't be started, and the source's copy was changed": failing(
        node(A, copy_of(role=Role.RELEASED, mounted=False, newest_guid=Guid(5))), **NOT_STARTED
    ),
    "its container can't be started, and another dataset of it was there before": failing(
        companions=(ownership(dataset_id=OTHER, owner=B),), **NOT_STARTED
    ),
    "its container can't be started, and another dataset of it comes from elsewhere": failing(
        companions=(TAKING.set(dataset_id=OTHER, move=moving(MovePhase.TAKING, source=C, released_at_seconds=990.0)),),
        **NOT_STARTED,
    ),
    "its container can't be started where it came from either": situation(
        RETURNED, node(A, copy_of(epoch=3), **NOT_STARTED), primary=B, containers=pvector([container(DATASET)])
    ),
    "its container is not well yet": checked(Health.STARTING),
    "its container is not well yet, and should stay": checked(Health.STARTING, stays=True),
    "its container is not well yet after a failover": checked(Health.STARTING, own=FAILED_OVER),
    "its container is not well, and should stay": checked(Health.UNHEALTHY, stays=True),
    "its container is not well after a failover": checked(Health.UNHEALTHY, own=FAILED_OVER),
    "its container ended before it was well, and should stay": checked(
        phase=ContainerPhase.EXITED, exit_status=1, stays=True
    ),
    "its container ended before it was well, and is started again": checked(
        phase=ContainerPhase.EXITED, restart=RestartName.ALWAYS
    ),
    "its container takes nearly too long to become well": checked(
        Health.STARTING, since_seconds=NOW_SECONDS - LONGEST_SECONDS + 0.1
    ),
    "its image's own check is waited for": checked(
        Health.STARTING, check=None, since_seconds=NOW_SECONDS - LONGEST_SECONDS
    ),
    "its container is not well any more, after the move": checked(Health.UNHEALTHY, own=ownership(), primary=A),
    "a move back is under way": situation(RETURNING, primary=B),
    "a move back has no room": situation(
        RETURNING,
        node(B, copy_of(epoch=2), failures=short_of_room().failures),
        primary=B,
    ),
    "the target has been away for a moment": situation(FINAL_PHASE, RELEASED, primary=B),
    "the target is away for as long as may be": situation(
        standing_still(), RELEASED, primary=B, dataset={"max_downtime_seconds": 60.0}
    ),
    "source and target have been away for too long": situation(standing_still(), primary=B),
    "the target is there, and has not answered yet": situation(standing_still(), RELEASED, node(B), primary=B),
    "the source has not reached the target for a moment": situation(
        FINAL_PHASE, short_of_room(code="PeerLost"), node(B), primary=B
    ),
    "the target has been away for too long, and has the last word": situation(
        TAKING.set(move=moving(MovePhase.TAKING, final_guid=FINAL, released_at_seconds=900.0)), RELEASED, primary=B
    ),
    "nobody knows since when the application stands still": situation(
        standing_still(released_at_seconds=None), RELEASED, primary=B
    ),
    "where it came from has been away for too long": situation(
        RETURNING.transform(["move", "released_at_seconds"], 900.0), node(B, copy_of(epoch=2)), primary=B
    ),
    "the source had no room once": situation(RELEASING, short_of_room(attempts=1), node(B), primary=B),
    "the source has another trouble": situation(RELEASING, short_of_room(code="X"), node(B), primary=B),
    "something has used it on the source for a moment": situation(RELEASING, busy(), node(B), primary=B),
    "something uses it on the source, which has hardly tried": situation(
        standing_still(MovePhase.RELEASING), busy(attempts=7), node(B), primary=B
    ),
    "something uses it on the source for as long as may be": situation(
        standing_still(MovePhase.RELEASING), busy(), node(B), primary=B, dataset={"max_downtime_seconds": 60.0}
    ),
    "something uses it, nobody knows since when": situation(
        standing_still(MovePhase.RELEASING, released_at_seconds=None), busy(), node(B), primary=B
    ),
    "something uses what is laid down": situation(
        standing_still(), busy(role=Role.RELEASED, mounted=False), node(B), primary=B
    ),
    "something uses it where it doesn't start": situation(
        RETURNING.transform(["move", "released_at_seconds"], 900.0),
        node(B, copy_of(epoch=2), failures=busy().failures),
        primary=B,
    ),
    "a move back is under way, and a companion was to stay": situation(
        RETURNING,
        node(B, copy_of(epoch=2)),
        primary=B,
        companions=pvector([ownership(dataset_id=OTHER, owner=B, refused_primary=A)]),
    ),
    "a companion is still being laid down": situation(
        FINAL_PHASE, RELEASED, REPLICA, primary=B, companions=pvector([RELEASING.set(dataset_id=OTHER)])
    ),
    "the source is away at the end": situation(RELEASING, node(B), primary=B),
    "a failover's target has what was promoted": situation(FAILED_OVER, REPLICA, primary=B),
    "a failover's target is away": situation(FAILED_OVER, primary=B),
    "a deposed node is away": situation(ownership(owner=B, epoch=2, deposed=pmap({A: 1})), TAKEN, primary=B),
    "a stash that a base is kept for is there": situation(
        ownership(owner=B, epoch=2, bases=pmap({A: FINAL})),
        node(A, stashes=pmap({"s": stash(guids=pvector([FINAL]))})),
        TAKEN,
        primary=B,
    ),
    "a node that a base is kept for is away": situation(
        ownership(owner=B, epoch=2, bases=pmap({A: FINAL})), TAKEN, primary=B
    ),
    "a base is kept for what a node has yet to put aside": situation(
        ownership(owner=B, epoch=2, bases=pmap({A: FINAL}), deposed=pmap({A: 1})),
        node(A, copy_of(role=Role.RELEASED, mounted=False)),
        TAKEN,
        primary=B,
    ),
    "a former owner is away": situation(ownership(handed_over=pmap({B: FINAL})), node(A, copy_of())),
    "a former owner does not know its pool": situation(
        ownership(handed_over=pmap({B: FINAL})), node(A, copy_of()), node(B, storage_known=False)
    ),
    "a deleted dataset's owner is away": situation(dataset={"deleted": True}),
    "it was destroyed": situation(ownership(destroyed=True), node(A, copy_of()), primary=B),
    "a node has seen a later epoch": situation(COPYING, node(A, copy_of(epoch=5)), node(B)),
    "another node has what never was made": situation(ownership(created=False), node(A), node(B, copy_of())),
    "the owner laid down what never was made": situation(
        ownership(created=False), node(A, copy_of(role=Role.RELEASED))
    ),
    "a companion still catches up": situation(
        COPYING,
        node(
            A,
            copy_of(sending=progress()),
            copy_of(OTHER, sending=progress(SendVerdict.CATCHING_UP)),
        ),
        node(B),
        primary=B,
        companions=pvector([COPYING.set(dataset_id=OTHER)]),
        companion_policies=pmap({OTHER: Dataset(dataset_id=OTHER, primary=B)}),
    ),
    "a companion stays behind": situation(
        COPYING, SENDING, node(B), primary=B, companions=pvector([ownership(dataset_id=OTHER)])
    ),
    "a companion goes elsewhere": situation(
        COPYING,
        SENDING,
        node(B),
        primary=B,
        companions=pvector([ownership(dataset_id=OTHER, move=moving(MovePhase.COPYING, target=C))]),
    ),
    "a companion's copy is not reported": situation(
        COPYING,
        node(A, copy_of(sending=progress())),
        node(B),
        primary=B,
        companions=pvector([COPYING.set(dataset_id=OTHER)]),
        companion_policies=pmap({OTHER: Dataset(dataset_id=OTHER, primary=B)}),
    ),
    "a companion's source is away": situation(
        COPYING,
        SENDING,
        node(B),
        primary=B,
        companions=pvector([ownership(dataset_id=OTHER, owner=C, move=moving(MovePhase.COPYING, source=C))]),
    ),
}


@pytest.mark.parametrize("case", STAYS)
def test_stays(case: str) -> None:
    """
    No row of the table applies.
    """
    assert transition(STAYS[case]) is None


@pytest.mark.parametrize(
    "companion",
    [
        ownership(dataset_id=OTHER, owner=B),
        ownership(dataset_id=OTHER, move=moving(MovePhase.RELEASING)),
        ownership(dataset_id=OTHER, move=moving(MovePhase.COPYING)),
    ],
    ids=["there already", "released already", "ready, too"],
)
def test_companions_go_together(companion: Ownership) -> None:
    """
    Two datasets of one container are released when both are ready.
    """
    s = situation(
        COPYING,
        node(A, copy_of(sending=progress()), copy_of(OTHER, sending=progress())),
        node(B),
        primary=B,
        companions=pvector([companion]),
        companion_policies=pmap({OTHER: Dataset(dataset_id=OTHER, primary=B)}),
    )

    found = transition(s)

    assert found is not None
    assert found[0] == "released"


def test_every_row_is_tried() -> None:
    """
    Each row of the table has a case above.
    """
    assert {name for name, _, _ in TABLE} | {"withdrawn"} == {name for name, _ in APPLIES.values()}


class TestEffects:
    """
    What a row does to the ownership.
    """

    def test_commit(self) -> None:
        """
        The target becomes owner under the next epoch, and the source is remembered with what it handed over.
        """
        after = advanced(situation(FINAL_PHASE, REPLICA, primary=B))

        assert (after.owner, after.epoch, after.handed_over) == (B, 2, pmap({A: FINAL}))

    def test_commit_forgets_the_target_as_former_owner(self) -> None:
        """
        A node that gets a dataset back has nothing to remove any more.
        """
        own = FINAL_PHASE.set(handed_over=pmap({B: Guid(3)}))

        assert advanced(situation(own, REPLICA, primary=B)).handed_over == pmap({A: FINAL})

    def test_commit_needs_a_final_snapshot(self) -> None:
        """
        A target without snapshots doesn't match a move without a final one.
        """
        own = ownership(move=moving(MovePhase.FINAL))

        assert transition(situation(own, node(B, copy_of(role=Role.REPLICA)), primary=B)) is None

    @pytest.mark.parametrize(("leased_epoch", "after"), [(1, 2), (0, 0)], ids=["it did", "it didn't"])
    def test_abort_keeps_what_the_owner_said_of_its_lease(self, leased_epoch: int, after: int) -> None:
        """
        An owner that serves only as long as its lease lasts does so under the epoch of the abort, too, whether it has
        heard of that or is away.
        """
        own = COPYING.set(leased_epoch=leased_epoch)

        assert advanced(situation(own, node(B), primary=A)).leased_epoch == after

    def test_abort_raises_the_epoch(self) -> None:
        """
        After an abort the source owns the dataset under an epoch that nobody else was ever granted.
        """
        after = advanced(situation(FINAL_PHASE, RELEASED, REPLICA))

        assert (after.owner, after.epoch, after.move) == (A, 2, None)

    @pytest.mark.parametrize(
        ("s", "reason"),
        [
            (situation(COPYING), "cancelled"),
            (situation(COPYING, primary=C), "another primary was asked for"),
            (situation(COPYING, primary=B, dataset={"deleted": True}), "the dataset was deleted"),
        ],
    )
    def test_abort_says_why(self, s: Situation, reason: str) -> None:
        """
        The last move tells why it was cancelled.
        """
        last = advanced(s).last_move

        assert last is not None
        assert (last.outcome, last.reason) == (MoveOutcome.CANCELLED, reason)

    def test_given_up_is_not_tried_again(self) -> None:
        """
        A move that was given up begins again only when it is asked for again.
        """
        after = advanced(APPLIES["the writer outruns the link"][1])

        assert transition(situation(after, node(A, copy_of(epoch=2)), primary=B)) is None

    def test_stranded_is_not_tried_again(self) -> None:
        """
        What a companion left behind goes nowhere before it is asked to again, and says which companion it was.
        """
        after = advanced(APPLIES["a companion's move was given up"][1])

        assert after.last_move is not None
        assert (after.move, after.refused_primary, str(OTHER) in after.last_move.reason) == (None, B, True)

    def test_held_up_goes_on_at_the_source(self) -> None:
        """
        What was in use for too long stays where it is, under the next epoch, and is not stopped again by itself.
        """
        after = advanced(APPLIES["something has used it on the source for too long"][1])

        assert after.last_move is not None
        assert (after.owner, after.epoch, after.move, after.refused_primary) == (A, 2, None, B)
        assert (after.last_move.outcome, after.last_move.downtime_seconds) == (MoveOutcome.FAILED, 35.0)

    def test_given_up_predicts(self) -> None:
        """
        The report of a move that was given up has the predicted downtime in it.
        """
        sending = progress(SendVerdict.OUTRUN, predicted_downtime_seconds=12.5)
        after = advanced(with_container(node(A, copy_of(sending=sending)), node(B, **PREPARED)))

        assert after.last_move is not None
        assert "12.5 s" in after.last_move.reason

    def test_taken_tells_the_downtime(self) -> None:
        """
        A finished move has the time from the release to the end.
        """
        after = advanced(situation(TAKING, TAKEN, primary=B))

        assert after.last_move is not None
        assert after.last_move.downtime_seconds == 10.0

    def test_release_keeps_the_figures(self) -> None:
        """
        What was sent until the release is remembered, in case the source goes away.
        """
        after = advanced(situation(COPYING, SENDING, node(B), primary=B))

        assert after.move is not None
        assert (after.move.rounds, after.move.sent_bytes, after.move.released_at_seconds) == (3, 500, NOW_SECONDS)

    def test_no_move_under_way(self) -> None:
        """
        Asking for the present move where there is none is an error of ours.
        """
        with pytest.raises(ValueError, match="not being moved"):
            move_under_way(situation())

    def test_no_final_snapshot(self) -> None:
        """
        Asking for the final snapshot before it is known is an error of ours.
        """
        with pytest.raises(ValueError, match="is not known"):
            final_guid(situation(COPYING))


class TestWayBack:
    """
    A move whose application doesn't start where it was wanted.
    """

    def test_begins_at_once(self) -> None:
        """
        There is nothing to catch up with: what was written on the target is sent when nobody can write any more.
        """
        after = advanced(APPLIES["its container ended with an error"][1])

        assert after.move == Move(
            move_id=NEXT_MOVE,
            source=B,
            target=A,
            phase=MovePhase.RELEASING,
            started_at_seconds=NOW_SECONDS,
            released_at_seconds=990.0,
            returns=True,
        )
        assert (after.owner, after.epoch, after.refused_primary) == (B, 2, B)

    def test_tells_what_failed(self) -> None:
        """
        The move that was asked for has failed, and says why.
        """
        after = advanced(APPLIES["its container ended with an error"][1])

        assert after.last_move is not None
        assert (after.last_move.move_id, after.last_move.outcome) == (MOVE, MoveOutcome.FAILED)
        assert after.last_move.reason == (
            "container db doesn't start on node b: it ended with status 1; went back to node a"
        )

    def test_tells_the_same_of_all_datasets(self) -> None:
        """
        A dataset that goes back with another tells of the container that made that one go.
        """
        after = advanced(APPLIES["another dataset of the container goes back"][1])

        assert after.last_move is not None
        assert after.last_move.reason.startswith("it doesn't start")

    def test_ends_as_the_move_that_failed(self) -> None:
        """
        At the end what is told is the move that was asked for, with all of its downtime.
        """
        after = advanced(APPLIES["its container runs where it came from"][1])

        assert after.move is None
        assert after.last_move is not None
        assert (after.last_move.move_id, after.last_move.outcome) == (MOVE, MoveOutcome.FAILED)
        assert (after.last_move.ended_at_seconds, after.last_move.downtime_seconds) == (NOW_SECONDS, 10.0)

    def test_source_receives_again(self) -> None:
        """
        The source, which released it, receives what the target has written since.
        """
        s = situation(RETURNING, RELEASED, TAKEN, primary=B)

        assert {n: type(asked) for n, asked in assignments(s).items()} == {A: Receive, B: Release}

    def test_source_keeps_its_copy_while_the_container_proves_itself(self) -> None:
        """
        Nothing of the source's copy is removed before the container has run for a while.
        """
        assert isinstance(assignments(STAYS["its container has not run for long enough"])[A], Keep)

    def test_proof_is_no_downtime(self) -> None:
        """
        The downtime of a move ends when the container runs.
        """
        after = advanced(APPLIES["its container has run for long enough"][1])

        assert after.last_move is not None
        assert after.last_move.downtime_seconds == 8.0

    @pytest.mark.parametrize(
        ("case", "left_seconds"),
        [
            (situation(), 0.0),
            (started(**ran()), 0.0),
            (started(since_seconds=999.5, **ran()), 1.5),
            (started(since_seconds=2000.0, **ran()), 0.0),
        ],
        ids=["no move", "not running yet", "running", "clock set back"],
    )
    def test_proof_left(self, case: Situation, left_seconds: float) -> None:
        """
        How long to wait before looking again.
        """
        assert starting.proof_left_seconds(case) == left_seconds

    @pytest.mark.parametrize(
        ("case", "left_seconds"),
        [
            (situation(), 0.0),
            (started(since_seconds=999.5, **ran()), 1.5),
            (checked(Health.STARTING, since_seconds=None), LONGEST_SECONDS),
            (checked(Health.STARTING, since_seconds=999.5), 1.5),
            (checked(Health.STARTING, since_seconds=990.0), LONGEST_SECONDS - 10),
            (checked(Health.STARTING, since_seconds=990.0, stays=True), LONGEST_SECONDS - 10),
            (checked(Health.STARTING, since_seconds=100.0, stays=True), 0.0),
            (checked(Health.HEALTHY), 0.0),
        ],
        ids=["no move", "proof", "not seen to run yet", "proof first", "check", "check, stays", "too long", "well"],
    )
    def test_looked_at_again(self, case: Situation, left_seconds: float) -> None:
        """
        How long to wait before looking again, whatever is waited for.
        """
        assert starting.left_seconds(case) == left_seconds

    def test_waiting_for_health_is_no_downtime(self) -> None:
        """
        The downtime of a move ends when the container runs, however long its check takes to find it well.
        """
        after = advanced(APPLIES["its container is well, and should stay"][1])

        assert after.last_move is not None
        assert after.last_move.downtime_seconds == 8.0

    @pytest.mark.parametrize(
        ("case", "left_seconds"),
        [
            (situation(COPYING, SENDING, node(B), primary=B), 0.0),
            (situation(RELEASING, RELEASED, node(B), primary=B), 20.0),
            (situation(RELEASING, RELEASED, primary=B, dataset={"max_downtime_seconds": 100.0}), 90.0),
            (situation(RELEASING, node(B), primary=B), 0.0),
            (situation(standing_still(), RELEASED, node(B), primary=B), 0.0),
        ],
        ids=["runs", "stands still", "may stand still for longer", "nowhere to go on", "for too long"],
    )
    def test_standstill_left(self, case: Situation, left_seconds: float) -> None:
        """
        How long to wait before looking whether an application should stand still any longer.
        """
        assert standstill.left_seconds(case) == left_seconds

    def test_nothing_known(self) -> None:
        """
        A dataset that isn't moving, or whose owner is away, has nothing to tell of its application.
        """
        s = situation(containers=pvector([container(DATASET)]))

        assert (starting.failure(s), starting.in_the_way(s), starting.reason(s)) == (None, None, "")
        assert (starting.restarts(s), starting.is_running(s), starting.is_started(s)) == (0, False, False)


class TestShortOfRoom:
    """
    A pool that is full when the application stands still already.
    """

    def test_application_goes_on(self) -> None:
        """
        The source gets the dataset back under a higher epoch, and another move has begun.
        """
        after = advanced(APPLIES["a pool is full at the final snapshot"][1])

        assert (after.owner, after.epoch) == (A, 2)
        assert after.move == moving(MovePhase.COPYING, move_id=NEXT_MOVE, started_at_seconds=NOW_SECONDS)
        assert after.last_move is not None
        assert after.last_move.outcome is MoveOutcome.FAILED


class TestAssignments:
    """
    What the nodes are asked to do.
    """

    def test_create_only_if_never_created(self) -> None:
        """
        Leave to create an empty dataset is given only while the record says that it never existed.
        """
        asked = [assignments(situation(ownership(created=made), node(A)))[A] for made in (False, True)]

        assert [isinstance(a, Own) and a.may_create for a in asked] == [True, False]

    @pytest.mark.parametrize(
        ("seen", "fields", "expected"),
        [
            ({"role": Role.REPLICA, "epoch": 0}, {"origin": ORIGIN}, True),
            ({"role": Role.REPLICA, "epoch": 1}, {"origin": ORIGIN}, False),
            ({"role": Role.REPLICA, "epoch": 0}, {}, False),
        ],
        ids=["being copied", "somebody's", "nothing is copied"],
    )
    def test_create_from_a_snapshot(self, seen: dict[str, Any], fields: dict[str, Any], expected: bool) -> None:
        """
        What comes in as a copy on its first owner is no other dataset of that id; everything else is.
        """
        s = situation(ownership(created=False), node(A, copy_of(mounted=False, **seen)), dataset=fields)

        asked = assignments(s).get(A)

        assert (isinstance(asked, Own) and asked.may_create and asked.origin == ORIGIN) is expected
        assert (exists_already(s) is None) is expected

    def test_origin_is_forgotten(self) -> None:
        """
        What has been made is not made again.
        """
        asked = assignments(situation(ownership(), node(A, copy_of()), dataset={"origin": ORIGIN}))[A]

        assert isinstance(asked, Own)
        assert asked.origin is None

    def test_copying(self) -> None:
        """
        While copying the source writes and sends, and the target receives from it alone.
        """
        asked = assignments(situation(COPYING, SENDING, node(B), primary=B))

        own, receive = asked[A], asked[B]
        assert isinstance(own, Own)
        assert own.send_to is not None
        assert isinstance(receive, Receive)
        assert (own.send_to.target, receive.source, receive.epoch) == (B, A, own.epoch)

    @pytest.mark.parametrize("own", [RELEASING, FINAL_PHASE], ids=["releasing", "final"])
    def test_nobody_writes_between_release_and_commit(self, own: Ownership) -> None:
        """
        From the release to the commit no node is asked to own.
        """
        asked = assignments(situation(own, RELEASED, REPLICA, primary=B))

        assert {n: type(a) for n, a in asked.items()} == {A: Release, B: Receive}

    def test_release_without_target(self) -> None:
        """
        A target that is away doesn't undo the release.
        """
        asked = assignments(situation(RELEASING, RELEASED, primary=B))[A]

        assert isinstance(asked, Release)
        assert asked.send_to is None

    def test_taking(self) -> None:
        """
        After the commit only the target is asked to own, at the final snapshot; the source keeps its copy.
        """
        asked = assignments(situation(TAKING, RELEASED, REPLICA, primary=B))

        own = asked[B]
        assert isinstance(own, Own)
        assert (own.take_guid, own.epoch, type(asked[A])) == (FINAL, 2, Keep)

    def test_settling(self) -> None:
        """
        Once the new owner is proven to write, the former one may remove what was proven to be elsewhere.
        """
        own = TAKING.set(move=None)

        assert assignments(situation(own, TAKEN, primary=B))[A] == Remove(
            dataset_id=DATASET, epoch=2, proven_guid=FINAL
        )

    def test_settling_waits_for_proof(self) -> None:
        """
        While the new owner is away, the former one keeps its copy.
        """
        assert isinstance(assignments(situation(TAKING.set(move=None), primary=B))[A], Keep)

    def test_stray_replica(self) -> None:
        """
        A replica that is left of a move that was given up is removed once the owner is seen to serve.
        """
        stray = node(B, copy_of(role=Role.REPLICA, mounted=False))

        assert assignments(situation(None, node(A, copy_of()), stray))[B] == Remove(dataset_id=DATASET, epoch=1)

    @pytest.mark.parametrize("role", [Role.OWNER, Role.RELEASED])
    def test_stray_owner(self, role: Role) -> None:
        """
        A copy that was owned once and isn't proven to be elsewhere is kept, unwritten.
        """
        stray = node(B, copy_of(role=role))

        assert isinstance(assignments(situation(ownership(epoch=2), node(A, copy_of(epoch=2)), stray))[B], Keep)

    def test_deleted(self) -> None:
        """
        Every node that has or may have a deleted dataset is asked to destroy it.
        """
        own = ownership(handed_over=pmap({B: FINAL}))
        asked = assignments(situation(own, node(C, copy_of()), dataset={"deleted": True}))

        assert {n: type(a) for n, a in asked.items()} == {A: Destroy, B: Destroy, C: Destroy}

    def test_nothing_is_asked_on_an_old_record(self) -> None:
        """
        When a node has seen a later epoch, nobody is asked for anything.
        """
        assert assignments(STAYS["a node has seen a later epoch"]) == pmap()

    def test_nothing_is_made_beside_what_exists(self) -> None:
        """
        While any node has data under the id of a dataset that by the record never was, nobody is asked to make it.
        """
        assert assignments(STAYS["another node has what never was made"]) == pmap()

    def test_what_never_was_made_is_not_destroyed_elsewhere(self) -> None:
        """
        A deletion doesn't reach data that by the record isn't of this dataset.
        """
        own = ownership(created=False, destroyed=True)
        asked = assignments(situation(own, node(A, copy_of()), node(B, copy_of()), dataset={"deleted": True}))

        assert B not in asked

    def test_holders_of_what_never_was(self) -> None:
        """
        A node that never was part of the cluster holds nothing.
        """
        assert holders(situation(ownership(owner=C, created=False), known=(A,))) == frozenset()


class TestContainers:
    """
    Containers follow their data.
    """

    @staticmethod
    def placed(*ownerships: Ownership, node_id: NodeId = A, deleted: bool = False) -> NodeId | None:
        datasets = {o.dataset_id: Dataset(dataset_id=o.dataset_id, primary=A, deleted=deleted) for o in ownerships}
        return runs_on(
            container(*(o.dataset_id for o in ownerships), node_id=node_id),
            datasets,
            {o.dataset_id: o for o in ownerships},
        )

    def test_without_mounts(self) -> None:
        """
        A container without data runs where it is wanted.
        """
        assert self.placed(node_id=B) == B

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            (ownership(), A),
            (COPYING, A),
            (RELEASING, None),
            (FINAL_PHASE, None),
            (TAKING, B),
            (ownership(created=False), None),
        ],
    )
    def test_follows(self, own: Ownership, expected: NodeId | None) -> None:
        """
        A container runs where its dataset can be written, and nowhere between release and commit.
        """
        assert self.placed(own, node_id=B) == expected

    def test_needs_all_of_its_datasets(self) -> None:
        """
        With its datasets on different nodes it runs nowhere.
        """
        assert self.placed(ownership(), ownership(dataset_id=OTHER, owner=B)) is None

    def test_deleted_dataset(self) -> None:
        """
        A deleted dataset is in no container's hands any more.
        """
        assert self.placed(ownership(), deleted=True) is None

    def test_unknown_owner_runs_nothing(self) -> None:
        """
        On a node without a session no container is taken to run.
        """
        s = situation(TAKING, primary=B, containers=pvector([container(DATASET)]))

        assert [c.name for c in containers_not_running(s)] == ["db"]


FAILED = pmap({str(DATASET): ReportedError(code="PoolFull", text="no room", at_seconds=1.0)})
HOST_FAILED = pmap({HOST: ReportedError(code="PoolMissing", text="no pool", at_seconds=1.0)})
WAITING = pmap({str(DATASET): "container db to end"})
STORIES = Path(__file__).parent / "golden" / "stories.txt"

EXPLAINED = {
    "ok": (Status.OK, None, situation(None, node(A, copy_of()))),
    "creating": (Status.CREATING, None, situation(ownership(created=False), node(A))),
    "limit not set yet": (
        Status.WAITING,
        None,
        situation(None, node(A, copy_of()), dataset={"maximum_size_bytes": 1 << 30}),
    ),
    "owner away": (Status.UNAVAILABLE, "node a, which has had no connection", situation()),
    "owner away before it made the dataset": (
        Status.UNKNOWN,
        "node a, which has had no connection",
        situation(ownership(created=False)),
    ),
    "owner away, with word of it": (
        Status.UNAVAILABLE,
        "since 1970-01-01 00:15:00 UTC",
        situation(None, REPLICA, absences=pmap({A: absence(node(A, copy_of(newest_guid=FINAL)), 900.0)})),
    ),
    "a failed over node is back before it begins": (
        Status.WAITING,
        "node a, which had the dataset and is connected, to stop",
        situation(FAILED_OVER, node(A, copy_of()), REPLICA, primary=B),
    ),
    "a failed over node can't look at its pool yet": (
        Status.WAITING,
        "node a, which had the dataset and is connected, to stop",
        situation(FAILED_OVER, node(A, storage_known=False), REPLICA, primary=B),
    ),
    "failed over, and the other has put nothing aside yet": (
        Status.OK,
        None,
        situation(ownership(owner=B, epoch=2, deposed=pmap({A: 1})), TAKEN, primary=B),
    ),
    "failed over, and two others can't look at their pools": (
        Status.WAITING,
        f"nodes a and {C}, which had the dataset and are connected, to stop their containers",
        situation(
            FAILED_OVER.set(deposed=pmap({A: 1, C: 1})),
            node(A, storage_known=False),
            node(C, storage_known=False),
            REPLICA,
            primary=B,
        ),
    ),
    "owner never seen": (
        Status.UNKNOWN,
        "which has never been part of this cluster",
        situation(ownership(owner=C, created=False), known=(A,), primary=C),
    ),
    "owner fails": (Status.ERROR, "node a to succeed: no room", situation(None, node(A, copy_of(), failures=FAILED))),
    "about to move": (Status.WAITING, None, situation(None, node(A, copy_of()), primary=B)),
    "given up": (
        Status.WAITING,
        "somebody to ask for the move again",
        situation(advanced(APPLIES["the writer outruns the link"][1]), node(A, copy_of(epoch=2)), primary=B),
    ),
    "moving": (Status.MOVING, None, situation(COPYING, SENDING, node(B), primary=B)),
    "target away": (
        Status.WAITING,
        "node b, which has had no connection",
        situation(COPYING, SENDING, primary=B),
    ),
    "target never seen": (
        Status.WAITING,
        f"node {B}, which has never been part",
        situation(COPYING, SENDING, primary=B, known=(A,)),
    ),
    "target fails": (
        Status.WAITING,
        "node b to succeed: no room",
        situation(COPYING, SENDING, node(B, failures=FAILED), primary=B),
    ),
    "target can't fetch": (
        Status.WAITING,
        "node b to have what container db needs there: image pg:16 can't be fetched",
        with_container(node(A, copy_of()), node(B, failures=pmap(NOT_PREPARED))),
    ),
    "target fetches": (
        Status.WAITING,
        "node b to fetch what container db needs there, such as its image",
        with_container(SENDING, node(B)),
    ),
    "target fetches while the source catches up": (
        Status.MOVING,
        None,
        with_container(node(A, copy_of(sending=progress(SendVerdict.CATCHING_UP))), node(B)),
    ),
    "target could not fetch a container before it stood still": (
        Status.MOVING,
        None,
        situation(
            RELEASING,
            node(A, copy_of()),
            node(B, failures=pmap(NOT_PREPARED)),
            primary=B,
            containers=pvector([container(DATASET)]),
        ),
    ),
    "in use on the source": (
        Status.WAITING,
        "node a to succeed: it is used by process 4711 (sh)",
        STAYS["something has used it on the source for a moment"],
    ),
    "given up, since it was in use": (
        Status.WAITING,
        (
            "somebody to ask for the move again: something on node a used it for too long while the application stood"
            " still: it is used by process 4711 (sh). End it, or wait. The application goes on there"
        ),
        situation(
            advanced(APPLIES["something has used it on the source for too long"][1]),
            node(A, copy_of(epoch=2)),
            primary=B,
        ),
    ),
    "companion not laid down": (
        Status.WAITING,
        f"dataset {OTHER}, which the same container uses, to be laid down on its node",
        STAYS["a companion is still being laid down"],
    ),
    "companion behind": (
        Status.WAITING,
        f"dataset {OTHER}, which the same container uses",
        STAYS["a companion stays behind"],
    ),
    "container doesn't start": (
        Status.WAITING,
        "container db to start on node b: no such file",
        situation(
            TAKING,
            node(B, copy_of(epoch=2), **CONTAINER_FAILED),
            primary=B,
            containers=pvector([container(DATASET)]),
        ),
    ),
    "container doesn't start, and stays": (
        Status.WAITING,
        "since by its volume's on_start_failure it stays: container db doesn't start on node b: no such file",
        STAYS["its container can't be started, and should stay"],
    ),
    "container doesn't start, and goes back": (
        Status.WAITING,
        "its way back to node a: container db doesn't start on node b: it ended with status 1",
        APPLIES["its container ended with an error"][1],
    ),
    "container was killed, and goes back": (Status.WAITING, "by signal 9", APPLIES["its container was killed"][1]),
    "container doesn't start, and the source is away": (
        Status.WAITING,
        "node a, which holds the copy to go back to, to be connected",
        STAYS["its container can't be started, and the source is away"],
    ),
    "container doesn't start, and the source's copy was changed": (
        Status.WAITING,
        "since the copy on node a is not as it was handed over",
        STAYS["its container can't be started, and the source's copy was changed"],
    ),
    "container doesn't start, and another dataset can't go back": (
        Status.WAITING,
        f"since dataset {OTHER} can't go back with it",
        STAYS["its container can't be started, and another dataset of it was there before"],
    ),
    "container is not well yet": (
        Status.MOVING,
        "container db to become healthy on node b",
        STAYS["its container is not well yet"],
    ),
    "container is not well, and stays": (
        Status.WAITING,
        "it stays: container db doesn't become healthy on node b: its check says that it is unhealthy",
        STAYS["its container is not well, and should stay"],
    ),
    "container is not well, and goes back": (
        Status.WAITING,
        "its way back to node a: container db doesn't become healthy on node b",
        APPLIES["its container is not well"][1],
    ),
    "container is not well in time": (
        Status.WAITING,
        "its check has found it neither healthy nor unhealthy within 64 s",
        APPLIES["its container takes too long to become well"][1],
    ),
    "container is not well after a failover": (
        Status.WAITING,
        "somebody to repair it, since there is no copy to go back to",
        STAYS["its container is not well after a failover"],
    ),
    "container starts nowhere": (
        Status.WAITING,
        "and it had failed on node b before",
        STAYS["its container can't be started where it came from either"],
    ),
    "target away, which the source fails at": (
        Status.WAITING,
        "node b, which has had no connection",
        situation(COPYING, node(A, copy_of(), failures=FAILED), primary=B),
    ),
    "container doesn't start, and there is no other copy": (
        Status.WAITING,
        "there is no copy to go back to",
        situation(
            TAKING.set(handed_over=pmap()),
            node(B, copy_of(epoch=2), **NOT_STARTED),
            primary=B,
            containers=pvector([container(DATASET)]),
        ),
    ),
    "gone back": (
        Status.WAITING,
        "somebody to ask for the move again: it doesn't start",
        situation(GONE_BACK, node(A, copy_of(epoch=3)), primary=B),
    ),
    "container about to start": (
        Status.MOVING,
        None,
        situation(TAKING, TAKEN, primary=B, containers=pvector([container(DATASET)])),
    ),
    "old record": (Status.ERROR, "so its store is older than the cluster", STAYS["a node has seen a later epoch"]),
    "exists already": (
        Status.ERROR,
        "somebody to say what it is that node b has under this id",
        STAYS["another node has what never was made"],
    ),
    "deleting": (Status.DELETING, None, situation(None, node(A, copy_of()), dataset={"deleted": True})),
    "deleting, owner away": (
        Status.DELETING,
        "node a to come back, and to destroy its copy",
        situation(dataset={"deleted": True}),
    ),
    "deleting, two nodes away": (
        Status.DELETING,
        "nodes a and b to come back, and to destroy their copies",
        situation(ownership(handed_over=pmap({B: Guid(7)})), dataset={"deleted": True}),
    ),
    "deleting, which fails": (
        Status.DELETING,
        "node a to succeed: no room",
        situation(None, node(A, copy_of(), failures=FAILED), dataset={"deleted": True}),
    ),
    "deleting, while a container runs": (
        Status.DELETING,
        "container db to end (on node a)",
        situation(None, node(A, copy_of(), waiting=WAITING), dataset={"deleted": True}),
    ),
    "moving, while a container runs": (
        Status.MOVING,
        "container db to end (on node a)",
        situation(RELEASING, node(A, copy_of(), waiting=WAITING), node(B), primary=B),
    ),
    "host fails": (
        Status.ERROR,
        "node a to succeed: no pool",
        situation(None, node(A, copy_of(), failures=HOST_FAILED)),
    ),
    "deleted": (Status.DELETED, None, situation(ownership(destroyed=True), dataset={"deleted": True})),
}


@pytest.mark.parametrize("case", EXPLAINED)
def test_explained(case: str) -> None:
    """
    The status and what is waited for are told in words.
    """
    expected, text, s = EXPLAINED[case]

    assert status(s) is expected
    waits = waiting_for(s)
    assert (text is None and waits is None) or (waits is not None and text is not None and text in waits)


@pytest.mark.parametrize("case", EXPLAINED)
def test_whole_story(case: str) -> None:
    """
    Every situation can be told in lines that end in a full stop.
    """
    story = lines(EXPLAINED[case][2])

    assert story
    assert all(line.endswith(".") for line in story)


def test_stories_read_as_before() -> None:
    """
    What is told in each situation is as it was when somebody last read it. After a change that is meant, run
    ``FLOCKER_REWRITE_GOLDEN=1 pytest tests/unit/test_ownership.py`` and read the difference aloud.
    """
    told = "".join(f"{case}:\n    " + "\n    ".join(lines(s)) + "\n\n" for case, (_, _, s) in EXPLAINED.items())
    if os.environ.get("FLOCKER_REWRITE_GOLDEN") == "1":
        STORIES.write_text(told)

    assert told == STORIES.read_text()


def test_nobody_is_in_the_way_without_a_move() -> None:
    """
    Companions matter to a move alone.
    """
    s = situation(None, node(A, copy_of()), companions=pvector([ownership(dataset_id=OTHER)]))

    assert companions_in_the_way(s) == ()


def test_story_of_a_move() -> None:
    """
    The story names both nodes, the phase, the copies, and who still has to remove what.
    """
    story = " ".join(lines(situation(TAKING, RELEASED, TAKEN, primary=B)))

    assert "from node a to node b, in the phase taking" in story
    assert "Node a reports it as laid down under epoch 1, not mounted, read-only." in story
    assert "Node a still has to remove its former copy." in story


FENCE = {"on_partition": PartitionPolicy.FENCE}
FENCED = {"dataset": FENCE, "owner_lease_left_seconds": 0.0, "containers": pvector([container(DATASET)])}


def test_fenced() -> None:
    """
    What the owner served only for as long as its lease lasted is served no more once that has expired.
    """
    assert is_fenced(situation(ownership(leased_epoch=1), **FENCED))


@pytest.mark.parametrize(
    ("own", "fields"),
    [
        (ownership(leased_epoch=1), {"owner_lease_left_seconds": 0.1}),
        (ownership(leased_epoch=1), {"dataset": {}}),
        (ownership(leased_epoch=1), {"containers": pvector()}),
        (ownership(leased_epoch=0), {}),
        (ownership(leased_epoch=1, epoch=2), {}),
    ],
    ids=["lease goes on", "policy keep", "no container", "owner never said so", "owner said so under another epoch"],
)
def test_not_fenced(own: Ownership, fields: dict[str, Any]) -> None:
    """
    In doubt it is served.
    """
    assert not is_fenced(situation(own, **{**FENCED, **fields}))


def test_lease_is_believed_once() -> None:
    """
    What the owner says of its lease under this epoch is recorded once, and only where the policy asks for it.
    """
    seen = node(A, copy_of(leased=True))

    assert transition(situation(ownership(leased_epoch=1), seen, dataset=FENCE)) is None
    assert transition(situation(None, seen)) is None
    assert transition(situation(None, node(A, copy_of()), dataset=FENCE)) is None
    assert transition(situation(None, node(A, copy_of(leased=True, epoch=0)), dataset=FENCE)) is None


def test_owner_is_told_to_go_by_its_lease() -> None:
    """
    The policy goes to the owner with its assignment.
    """
    asked = assignments(situation(None, node(A, copy_of()), dataset=FENCE))

    assert asked[A] == Own(dataset_id=DATASET, epoch=1, leased=True)

"""
What is persisted and what goes over the wire looks as it looked before.

After a change that is meant, run ``FLOCKER_REWRITE_GOLDEN=1 pytest tests/unit/test_golden.py`` and read the difference.
"""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flocker_agent.plugin.users import MountedVolume, MountedVolumes
from flocker_control.absence import Absence, LastHeard
from flocker_py.assignment import (
    Destroy,
    Forward,
    Keep,
    NodeAssignment,
    Own,
    Receive,
    Release,
    Remembered,
    Remove,
    SendTo,
    Stash,
    StashAssignment,
)
from flocker_py.messages import AssignmentUpdate, NodeReport
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    DatasetLease,
    FinishedMove,
    Guid,
    HealthCheck,
    KeptDataset,
    Link,
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
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
    StartFailurePolicy,
    StashWish,
)
from flocker_py.observed import (
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
from flocker_py.records import Record
from flocker_py.storage import Role
from flocker_py.streams import (
    AbortPartial,
    Accept,
    Alive,
    Cancel,
    DiscardReplica,
    End,
    Hello,
    Message,
    Offer,
    Refusal,
    Result,
    State,
)
from flocker_py.upgrade import FORMAT
from flocker_py.wire import WireError, decode, encode, from_text, json_value, record_hints, to_text, union_members

GOLDEN = Path(__file__).parent / "golden"
LOCK = GOLDEN / "fields.lock.json"
REWRITE = os.environ.get("FLOCKER_REWRITE_GOLDEN") == "1"

# What the control service keeps (flocker_control.state.Stored), and what an agent keeps of its last assignment.
PERSISTED: tuple[type[Record], ...] = (
    Node,
    Dataset,
    Ownership,
    Container,
    StashWish,
    DatasetLease,
    Absence,
    Remembered,
    MountedVolumes,
)

N1 = NodeId(UUID("11111111-1111-4111-8111-111111111111"))
N2 = NodeId(UUID("22222222-2222-4222-8222-222222222222"))
DATASET = DatasetId(UUID("dddddddd-dddd-4ddd-8ddd-dddddddddddd"))
OTHERS = [DatasetId(UUID(f"dddddddd-dddd-4ddd-8ddd-00000000000{digit}")) for digit in range(1, 7)]
MOVE = MoveId(UUID("33333333-3333-4333-8333-333333333333"))
DB = ContainerName("db")
SEND_TO = SendTo(
    move_id=MOVE,
    target=N2,
    address="192.0.2.2",
    port=4525,
    max_downtime_seconds=0.5,
    on_overrun=OverrunPolicy.CUT_OVER,
)
CONTAINER = Container(
    name=DB,
    node_id=N1,
    image="postgres:16",
    command=["postgres", "-c", "fsync=on"],
    environment={"PGDATA": "/data/é"},
    mounts=[Mount(dataset_id=DATASET, path="/data", read_only=True)],
    ports=[Port(internal=5432, external=15432, protocol="udp", host_address="192.0.2.1")],
    links=[Link(alias="cache", local_port=80, remote_port=8080)],
    restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3),
    memory_bytes=2**30,
    cpu_shares=512,
    swappiness=10,
    stop_grace_seconds=2.5,
    labels={"tier": "data"},
    pull=PullPolicy.ALWAYS,
    entrypoint=["docker-entrypoint.sh"],
    environment_file="/etc/flocker/db.env",
    stop_signal="SIGINT",
    cpus=1.5,
    pids_limit=100,
    health=HealthCheck(
        command=["pg_isready"], interval_seconds=1.5, timeout_seconds=2.0, start_period_seconds=3.0, retries=4
    ),
    log_driver="json-file",
    log_options={"max-size": "1m"},
    read_only=True,
    user="999:999",
    capabilities_add=["NET_ADMIN"],
    capabilities_drop=["CHOWN"],
    security_options=["no-new-privileges"],
)

EXAMPLES: dict[str, Any] = {
    "node": Node(
        node_id=N1,
        name="n1",
        address="2001:db8::1",
        labels={"rack": "a"},
        draining=True,
        removed=True,
        lease_seconds=20.0,
    ),
    "node-defaults": Node(node_id=N1),
    "dataset": Dataset(
        dataset_id=DATASET,
        primary=N1,
        name="pg",
        maximum_size_bytes=2**34,
        metadata={"name": "pg"},
        deleted=True,
        max_downtime_seconds=0.25,
        on_overrun=OverrunPolicy.CUT_OVER,
        on_start_failure=StartFailurePolicy.STAY,
        on_partition=PartitionPolicy.FENCE,
        origin=Origin(dataset_id=OTHERS[0], snapshot="monday"),
    ),
    "dataset-defaults": Dataset(dataset_id=DATASET, primary=N1),
    "container": CONTAINER,
    "container-defaults": Container(name=DB, node_id=N1),
    "ownership": Ownership(
        dataset_id=DATASET,
        owner=N1,
        epoch=7,
        created=True,
        move=Move(
            move_id=MOVE,
            source=N1,
            target=N2,
            phase=MovePhase.FINAL,
            started_at_seconds=1_700_000_000.5,
            released_at_seconds=1_700_000_009.5,
            rounds=3,
            sent_bytes=4096,
            final_guid=Guid(2**64 - 1),
            returns=True,
            running_since_seconds=1_700_000_010.5,
            restarts=2,
            failover=True,
        ),
        last_move=FinishedMove(
            move_id=MOVE,
            source=N2,
            target=N1,
            outcome=MoveOutcome.FAILED,
            reason="the target has no room",
            started_at_seconds=1_600_000_000.25,
            ended_at_seconds=1_600_000_060.0,
            rounds=4,
            sent_bytes=123_456_789,
            downtime_seconds=0.75,
            failover=True,
        ),
        handed_over={N2: Guid(42)},
        refused_primary=N2,
        destroyed=True,
        leased_epoch=7,
        deposed={N2: 6},
        bases={N2: Guid(41)},
        from_stash=f"{DATASET}-epoch-6-at-7",
        destroyed_at_seconds=1_700_000_100.5,
    ),
    "ownership-defaults": Ownership(dataset_id=DATASET, owner=N1),
    "node-assignment": NodeAssignment(
        node_id=N1,
        revision=99,
        datasets={
            DATASET: Own(
                dataset_id=DATASET,
                epoch=7,
                may_create=True,
                take_guid=Guid(42),
                maximum_size_bytes=2**34,
                keep_snapshots=True,
                send_to=SEND_TO,
                leased=True,
                keep_guids=[Guid(41)],
                from_stash=f"{DATASET}-epoch-6-at-7",
                origin=Origin(dataset_id=OTHERS[0], snapshot="monday"),
            ),
            OTHERS[0]: Release(dataset_id=OTHERS[0], epoch=3, send_to=SEND_TO),
            OTHERS[1]: Receive(
                dataset_id=OTHERS[1], epoch=4, move_id=MOVE, source=N2, maximum_size_bytes=2**34, base_guid=Guid(40)
            ),
            OTHERS[2]: Keep(dataset_id=OTHERS[2], epoch=5),
            OTHERS[3]: Remove(dataset_id=OTHERS[3], epoch=6, proven_guid=Guid(43)),
            OTHERS[4]: Destroy(dataset_id=OTHERS[4], epoch=8),
            OTHERS[5]: Stash(dataset_id=OTHERS[5], epoch=9, common_guid=Guid(44), keep_seconds=2_592_000.0),
        },
        containers={DB: CONTAINER},
        stashes={f"{DATASET}-a": StashAssignment(mounted=True, dropped=True, may_expire=True)},
        forwards={"tcp/80": Forward(protocol="tcp", port=80, containers=["web"], address="192.0.2.2")},
        preparing={DB: CONTAINER},
    ),
    "node-observation": NodeObservation(
        node_id=N1,
        era=UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"),
        address="192.0.2.1",
        transfer_port=4525,
        version="0.1.0",
        storage="zfs",
        runtime="process",
        container_fields=["command", "environment"],
        free_bytes=2**40,
        storage_known=True,
        runtime_known=True,
        datasets={
            DATASET: DatasetObservation(
                dataset_id=DATASET,
                role=Role.RELEASED,
                epoch=7,
                newest_guid=Guid(42),
                final_guid=Guid(42),
                mounted=True,
                path=f"/flocker/{DATASET}",
                used_bytes=2**33,
                maximum_size_bytes=2**34,
                sending=SendProgress(
                    move_id=MOVE,
                    round=2,
                    round_bytes=100,
                    total_bytes=200,
                    sent_bytes=1100,
                    rate_bytes_per_second=50.5,
                    eta_seconds=2.0,
                    predicted_downtime_seconds=0.4,
                    acknowledged_guid=Guid(41),
                    verdict=SendVerdict.READY,
                ),
                leased=True,
                newest_name="move-7",
                newest_at_seconds=1_700_000_000.25,
            ),
        },
        containers={
            DB: ContainerObservation(
                name=DB,
                phase=ContainerPhase.EXITED,
                mounts=[DATASET],
                exit_status=-9,
                restarts=3,
                started_at_seconds=1_700_000_000.5,
                leased=True,
                stopped=True,
                health=Health.UNHEALTHY,
                image_digest="sha256:0123",
                started_digest="4567",
            ),
        },
        failures={
            str(DATASET): ReportedError(
                code="PoolFull", text="no room", at_seconds=1_700_000_001.0, lasting=True, attempts=4
            )
        },
        waiting={"web": "dataset pg to be mounted"},
        stashes={
            f"{DATASET}-a": StashObservation(
                name=f"{DATASET}-a",
                dataset_id=DATASET,
                role=Role.RELEASED,
                epoch=6,
                since_seconds=1_700_000_000.5,
                expires_at_seconds=1_702_592_000.5,
                used_bytes=2**20,
                guids=[Guid(40), Guid(41)],
                newest_at_seconds=1_699_999_999.5,
                path=f"/flocker/{DATASET}-a",
            )
        },
        prepared={DB: "0123"},
    ),
    "lease": DatasetLease(
        dataset_id=DATASET,
        node_id=N1,
        left_seconds=59.5,
        counted_at_seconds=12_345.25,
        boot_id=UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"),
        kept=KeptDataset(primary=N2, maximum_size_bytes=2**34),
    ),
    "lease-defaults": DatasetLease(
        dataset_id=DATASET, node_id=N1, boot_id=UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee")
    ),
    "stash-wish": StashWish(node_id=N1, name=f"{DATASET}-a", mounted=True, dropped=True),
    "stash-wish-defaults": StashWish(node_id=N1, name=f"{DATASET}-a"),
    "absence": Absence(
        node_id=N1,
        since_seconds=1_700_000_000.5,
        complete=True,
        datasets={
            DATASET: LastHeard(
                role=Role.OWNER,
                epoch=7,
                newest_guid=Guid(42),
                newest_name="move-7",
                newest_at_seconds=1_700_000_000.25,
                used_bytes=2**33,
                acknowledged_guid=Guid(41),
                unsent_bytes=100,
            )
        },
    ),
}

EXAMPLES |= {
    "remembered": Remembered(era=UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"), assignment=EXAMPLES["node-assignment"]),
    "assignment-update": AssignmentUpdate(
        node_id=N1,
        revision=99,
        whole=True,
        datasets={DATASET: Keep(dataset_id=DATASET, epoch=5)},
        withdrawn_datasets=OTHERS[:1],
        containers={DB: CONTAINER},
        withdrawn_containers=["web"],
        stashes={f"{DATASET}-a": StashAssignment(mounted=True)},
        withdrawn_stashes=[f"{DATASET}-b"],
        forwards={"udp/53": Forward(protocol="udp", port=53, containers=["a", "b"])},
        withdrawn_forwards=["tcp/80"],
        preparing={DB: CONTAINER},
        withdrawn_preparing=["web"],
    ),
    "node-report": NodeReport(
        node_id=N1,
        whole=EXAMPLES["node-observation"],
        free_bytes=2**40,
        storage_known=True,
        runtime_known=True,
        datasets={DATASET: EXAMPLES["node-observation"].datasets[DATASET]},
        gone_datasets=OTHERS[:1],
        containers={DB: EXAMPLES["node-observation"].containers[DB]},
        gone_containers=["web"],
        failures={"web": ReportedError(code="PoolFull", text="no room", at_seconds=1.5)},
        cleared_failures=["db"],
        waiting={"web": "dataset pg to be mounted"},
        waiting_no_longer=["db"],
        stashes=EXAMPLES["node-observation"].stashes,
        gone_stashes=[f"{DATASET}-b"],
        prepared={DB: "0123"},
        prepared_no_longer=["web"],
    ),
    "mounted-volumes": MountedVolumes(
        era=UUID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"),
        volumes={"pg": MountedVolume(dataset_id=DATASET, callers=["c1", "c2"], releases=False)},
    ),
    "transfer-hello": Hello(protocol=1, dataset_id=DATASET, epoch=7, move_id=MOVE, sender=N1, task_id="task@/1"),
    "transfer-state": State(guids=[1, 2**64 - 1], resume_token="token", free_bytes=2**40),
    "transfer-refusal": Refusal(code="PoolFull", text="no room", lasting=True),
    "transfer-offer": Offer(
        to_guid=2, from_guid=1, name="round-2", estimate_bytes=10, resumed=True, needless_before_guid=1
    ),
    "transfer-accept": Accept(),
    "transfer-end": End(size_bytes=10),
    "transfer-result": Result(guid=1, newest_guid=2),
    "transfer-cancel": Cancel(),
    "transfer-abort-partial": AbortPartial(),
    "transfer-discard-replica": DiscardReplica(),
    "transfer-alive": Alive(received_bytes=10),
}


@pytest.fixture(params=sorted(EXAMPLES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def golden_text(name: str) -> str:
    path = GOLDEN / f"{name}.json"
    if REWRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(json.loads(to_text(EXAMPLES[name])), indent=1, sort_keys=True) + "\n")
    return path.read_text()


def test_written_as_before(name: str) -> None:
    """
    A record is written as it was when its golden file was made.
    """
    golden = json_value(golden_text(name))

    assert json_value(to_text(EXAMPLES[name])) == golden


def test_golden_file_is_read(name: str) -> None:
    """
    What was written then is read now, and means the same.
    """
    assert from_text(type(EXAMPLES[name]), golden_text(name)) == EXAMPLES[name]


# What format 4 didn't have yet, and what its records have of it since.
LATER_THAN_4: dict[type[Record], dict[str, Any]] = {Dataset: {"origin": None}, Own: {"origin": None}}


def as_of_format_4(record: Any) -> Any:
    record = record.set(**LATER_THAN_4.get(type(record), {}))
    match record:
        case NodeAssignment():
            return record.set(datasets={d: as_of_format_4(asked) for d, asked in record.datasets.items()})
        case Remembered():
            return record.set(assignment=as_of_format_4(record.assignment))
    return record


@pytest.mark.parametrize("name", sorted(path.stem for path in (GOLDEN / "format-4").glob("*.json")))
def test_format_4_is_read(name: str) -> None:
    """
    What was persisted in format 4 is read now, and means what it meant.
    """
    text = (GOLDEN / "format-4" / f"{name}.json").read_text()

    assert from_text(type(EXAMPLES[name]), text) == as_of_format_4(EXAMPLES[name])


@pytest.mark.parametrize(
    ("example", "damage"),
    [
        ("node-assignment", {"datasets": []}),
        ("node-assignment", {"datasets": {"db": 3}}),
        ("remembered", {"assignment": 3}),
    ],
)
def test_damage_in_format_4_is_told_as_damage(example: str, damage: dict[str, Any]) -> None:
    """
    A text of the fourth format that is no record is refused by its place, as one of today's is.
    """
    data = json.loads((GOLDEN / "format-4" / f"{example}.json").read_text()) | damage

    with pytest.raises(WireError):
        from_text(type(EXAMPLES[example]), json.dumps(data))


# What format 3 didn't have yet, and what its records have of it since.
LATER_THAN_3: dict[type[Record], dict[str, Any]] = {
    Container: {
        field: getattr(Container(name=DB, node_id=N1), field)
        for field in (
            "pull", "entrypoint", "environment_file", "stop_signal", "cpus", "pids_limit", "health", "log_driver",
            "log_options", "read_only", "user", "capabilities_add", "capabilities_drop", "security_options",
        )
    },
    Mount: {"read_only": False},
    Port: {"host_address": None},
}  # fmt: skip


def as_of_format_3(record: Any) -> Any:
    record = as_of_format_4(record)
    record = record.set(**LATER_THAN_3.get(type(record), {}))
    match record:
        case Container():
            return record.set(
                mounts=[as_of_format_3(mount) for mount in record.mounts],
                ports=[as_of_format_3(port) for port in record.ports],
            )
        case NodeAssignment():
            containers = {n: as_of_format_3(container) for n, container in record.containers.items()}
            return record.set(containers=containers, forwards={}, preparing={})
        case Remembered():
            return record.set(assignment=as_of_format_3(record.assignment))
    return record


@pytest.mark.parametrize("name", sorted(path.stem for path in (GOLDEN / "format-3").glob("*.json")))
def test_format_3_is_read(name: str) -> None:
    """
    What was persisted in format 3 is read now, and means what it meant.
    """
    text = (GOLDEN / "format-3" / f"{name}.json").read_text()

    assert from_text(type(EXAMPLES[name]), text) == as_of_format_3(EXAMPLES[name])


@pytest.mark.parametrize(
    ("example", "damage"),
    [
        ("container", {"mounts": 3}),
        ("container", {"ports": [3]}),
        ("node-assignment", {"containers": []}),
        ("node-assignment", {"containers": {"db": 3}}),
        ("remembered", {"assignment": 3}),
    ],
)
def test_damage_in_format_3_is_told_as_damage(example: str, damage: dict[str, Any]) -> None:
    """
    A text of the third format that is no record is refused by its place, as one of today's is.
    """
    data = json.loads((GOLDEN / "format-3" / f"{example}.json").read_text()) | damage

    with pytest.raises(WireError):
        from_text(type(EXAMPLES[example]), json.dumps(data))


# What format 2 didn't have yet, and what its records have of it since.
LATER_THAN_2: dict[type[Record], dict[str, Any]] = {Ownership: {"destroyed_at_seconds": None}}


@pytest.mark.parametrize("name", sorted(path.stem for path in (GOLDEN / "format-2").glob("*.json")))
def test_format_2_is_read(name: str) -> None:
    """
    What was persisted in format 2 is read now, and means what it meant.
    """
    text, example = (GOLDEN / "format-2" / f"{name}.json").read_text(), EXAMPLES[name]

    assert from_text(type(example), text) == as_of_format_3(example).set(**LATER_THAN_2.get(type(example), {}))


# What format 1 didn't have yet, and what its records have of it since.
LATER_THAN_1: dict[type[Record], dict[str, Any]] = {
    Node: {"draining": False, "removed": False, "lease_seconds": 0.0},
    Dataset: {"on_start_failure": StartFailurePolicy.GO_BACK, "on_partition": PartitionPolicy.KEEP},
    Move: {"returns": False, "running_since_seconds": None, "restarts": 0, "failover": False},
    FinishedMove: {"failover": False},
    Ownership: {"leased_epoch": 0, "deposed": {}, "bases": {}, "from_stash": None, "destroyed_at_seconds": None},
    Own: {"leased": False, "keep_guids": [], "from_stash": None},
    Receive: {"base_guid": None},
    NodeAssignment: {"stashes": {}},
}


def as_of_format_1(record: Any) -> Any:
    record = record.set(**LATER_THAN_1.get(type(record), {}))
    if isinstance(record, Ownership) and record.move is not None:
        return record.set(move=as_of_format_1(record.move), last_move=as_of_format_1(record.last_move))
    if isinstance(record, NodeAssignment):
        known = {d: as_of_format_1(asked) for d, asked in record.datasets.items() if not isinstance(asked, Stash)}
        return record.set(datasets=known)
    return record


@pytest.mark.parametrize("name", sorted(path.stem for path in (GOLDEN / "format-1").glob("*.json")))
def test_format_1_is_read(name: str) -> None:
    """
    What was persisted in format 1 is read now, and means what it meant.
    """
    text = (GOLDEN / "format-1" / f"{name}.json").read_text()

    assert from_text(type(EXAMPLES[name]), text) == as_of_format_1(as_of_format_3(EXAMPLES[name]))


@pytest.mark.parametrize("field", sorted(record_hints(Ownership)))
def test_missing_field_of_a_persisted_record_is_refused(field: str) -> None:
    """
    No field of a persisted record is guessed.
    """
    data = encode(EXAMPLES["ownership"])
    del data[field]

    with pytest.raises(Exception, match=rf"\$\.{field}: expected this field of a Ownership"):
        decode(Ownership, data)


@pytest.mark.parametrize(
    "damage", [{"move": "soon"}, {"move": {"phase": 1}}, {"datasets": []}, {"datasets": {str(DATASET): 3}}]
)
@pytest.mark.parametrize("example", ["ownership", "node-assignment"])
def test_damage_in_format_1_is_told_as_damage(damage: dict[str, Any], example: str) -> None:
    """
    A text of the first format that is no record is refused by its place, as one of today's is.
    """
    data = json.loads((GOLDEN / "format-1" / f"{example}.json").read_text()) | damage

    with pytest.raises(WireError):
        from_text(type(EXAMPLES[example]), json.dumps(data))


def closure(kinds: Iterable[type]) -> Iterator[type]:
    """
    The record classes and enumerations that these records are made of, themselves included, each once.
    """
    seen: set[type] = set()
    waiting: list[Any] = list(kinds)
    while waiting:
        hint = waiting.pop()
        members = union_members(hint)
        if len(members) > 1:
            waiting.extend(members)
            continue
        (kind,) = members
        waiting.extend(getattr(kind, "__args__", ()))
        if not isinstance(kind, type) or kind in seen or not issubclass(kind, Record | enum.Enum):
            continue
        seen.add(kind)
        yield kind
        if issubclass(kind, Record):
            waiting.extend(record_hints(kind).values())


def type_text(hint: Any) -> str:
    members = union_members(hint)
    if len(members) > 1:
        return " | ".join(sorted(type_text(member) for member in members))
    (kind,) = members
    arguments = getattr(kind, "__args__", ())
    if arguments:
        return f"{kind.__origin__.__name__}[{', '.join(type_text(argument) for argument in arguments)}]"
    return str(kind.__name__)


def shape(kind: type) -> object:
    if issubclass(kind, enum.Enum):
        return sorted(str(member.value) for member in kind)
    assert issubclass(kind, Record)
    return {field: type_text(hint) for field, hint in record_hints(kind).items()}


def test_persisted_fields_are_locked() -> None:
    """
    A persisted record has the fields that its format was released with.
    """
    shapes = {kind.__name__: shape(kind) for kind in closure(PERSISTED)}
    if REWRITE:
        LOCK.write_text(json.dumps({"format": FORMAT, "records": shapes}, indent=1, sort_keys=True) + "\n")
    locked = json.loads(LOCK.read_text())

    assert locked == {"format": FORMAT, "records": shapes}, (
        "A persisted record has changed: stores written before can't be read any more. If a version with this format "
        "was released, follow flocker_py/upgrade.py: raise FORMAT and write the step from the old format. "
        "Then run FLOCKER_REWRITE_GOLDEN=1 pytest tests/unit/test_golden.py and read the difference."
    )


def test_everything_that_is_kept_or_sent_has_a_golden_file() -> None:
    """
    Nothing is persisted, and nothing is said between programs, that has no example here.
    """
    known = {type(example) for example in EXAMPLES.values()}

    assert {*PERSISTED, AssignmentUpdate, NodeReport, *union_members(Message)} <= known


def test_every_field_of_the_full_examples_differs_from_its_default() -> None:
    """
    The golden files show every field with a value of its own.
    """
    plain = {
        (name, field)
        for name in ("node", "dataset", "container", "ownership")
        for field in record_hints(type(EXAMPLES[name]))
        if f"{name}-defaults" in EXAMPLES
        and field not in {"node_id", "dataset_id", "primary", "owner", "name"}
        and getattr(EXAMPLES[name], field) == getattr(EXAMPLES[f"{name}-defaults"], field)
    }

    assert plain == set()

"""
What the control service remembers: what is wanted, and who owns what.

*Desired* records (``Node``, ``Dataset``, ``Container``) say what users asked for. An ``Ownership`` says, per
dataset, which one node may write it; it changes only by the table in ``flocker_control.ownership``, and no user
request writes it directly.
"""

from __future__ import annotations

import enum
from typing import NewType
from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_py.records import Record, mapping, sequence, value

NodeId = NewType("NodeId", UUID)
DatasetId = NewType("DatasetId", UUID)
MoveId = NewType("MoveId", UUID)
ContainerName = NewType("ContainerName", str)
Guid = NewType("Guid", int)
"""What a snapshot is known by, everywhere and for ever: 1 .. 2**64-1, equal on all pools that hold it."""

_NONE = type(None)
_NUMBER = (int, float)


def _positive(number: int | float) -> tuple[bool, str]:
    return number > 0, f"must be greater than zero, not {number}"


class OverrunPolicy(enum.Enum):
    """
    What to do with a move whose application writes faster than the link carries.
    """

    GIVE_UP = "give-up"
    CUT_OVER = "cut-over"


class StartFailurePolicy(enum.Enum):
    """
    What to do with a move whose application doesn't start on the target, while the source still has its last copy.
    """

    GO_BACK = "go-back"
    STAY = "stay"


class PartitionPolicy(enum.Enum):
    """
    What becomes of a dataset whose node has no connection to the control service any more.

    KEEP: it is served all the same, and can be failed over only by the word of an operator that the node is dead.
    FENCE: it is served for as long as the node's lease lasts, and can be failed over once that has expired.
    """

    KEEP = "keep"
    FENCE = "fence"


class Node(Record):
    """
    A host of the cluster. Remembered from its first session on, or from a deployment that names it.

    :param name: what operators call it, unique among nodes that aren't removed; None until somebody names it.
    :param address: IP address at which other agents reach its transfer port; None until known.
    :param draining: nothing new is put there.
    :param removed: it belongs to the cluster no more, and its agent isn't heard. What it once was told is why it is
        remembered.
    :param lease_seconds: the longest lease that it may have been granted; 0: it never got one.
    """

    node_id: NodeId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    address: str | None = value((str, _NONE), default=None)
    labels: PMap[str, str] = mapping(str, str, default={})
    draining: bool = value(bool, default=False)
    removed: bool = value(bool, default=False)
    lease_seconds: float = value(_NUMBER, default=0.0)


class Origin(Record):
    """
    What a dataset begins as: a snapshot of another one.

    :param snapshot: its name, as the pool has it.
    """

    dataset_id: DatasetId = value(UUID)
    snapshot: str = value(str)


class Dataset(Record):
    """
    What a user wants of one dataset.

    :param primary: the node that should own it. Differing from the owner, it starts a move.
    :param deleted: for ever, once true; the id is never used again.
    :param max_downtime_seconds: how long the application may stand still in a move.
    :param origin: it was made from that; None: empty.
    """

    dataset_id: DatasetId = value(UUID)
    primary: NodeId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    metadata: PMap[str, str] = mapping(str, str, default={})
    deleted: bool = value(bool, default=False)
    max_downtime_seconds: float = value(_NUMBER, default=2.0, invariant=_positive)
    on_overrun: OverrunPolicy = value(OverrunPolicy, default=OverrunPolicy.GIVE_UP)
    on_start_failure: StartFailurePolicy = value(StartFailurePolicy, default=StartFailurePolicy.GO_BACK)
    on_partition: PartitionPolicy = value(PartitionPolicy, default=PartitionPolicy.KEEP)
    origin: Origin | None = value((Origin, _NONE), default=None)


class RestartName(enum.Enum):
    """
    When an application that ended is started again.
    """

    NEVER = "never"
    ALWAYS = "always"
    ON_FAILURE = "on-failure"


class RestartPolicy(Record):
    """
    :param maximum_retry_count: for ON_FAILURE only: starts again at most so often; None: for ever.
    """

    name: RestartName = value(RestartName, default=RestartName.NEVER)
    maximum_retry_count: int | None = value((int, _NONE), default=None)


class Mount(Record):
    """
    A dataset that a container sees.

    :param path: absolute, inside the container; None where the runtime runs plain processes, which see the paths of
        the host.
    :param read_only: the container can't write there.
    """

    dataset_id: DatasetId = value(UUID)
    path: str | None = value((str, _NONE), default=None)
    read_only: bool = value(bool, default=False)


class Port(Record):
    """
    A port of the container that is reached from outside at ``external`` on its node.

    :param host_address: the IP address of the node at which it is reached; None: all of them.
    """

    internal: int = value(int)
    external: int = value(int)
    protocol: str = value(str, default="tcp")
    host_address: str | None = value((str, _NONE), default=None)


class Link(Record):
    """
    A port of another application, told to the container by environment variables that begin with the alias.
    """

    alias: str = value(str)
    local_port: int = value(int)
    remote_port: int = value(int)


class PullPolicy(enum.Enum):
    """
    When an image is fetched from its registry.
    """

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


class HealthCheck(Record):
    """
    How to find out whether an application works.

    :param command: program and arguments, run inside the container; success is exit status 0.
    :param interval_seconds: between one check and the next.
    :param timeout_seconds: a check that takes longer has failed.
    :param start_period_seconds: failures in this time after the start don't count.
    :param retries: so many failures in a row make it unhealthy.
    """

    command: PVector[str] = sequence(str, default=())
    interval_seconds: float = value(_NUMBER, default=30.0, invariant=_positive)
    timeout_seconds: float = value(_NUMBER, default=30.0, invariant=_positive)
    start_period_seconds: float = value(_NUMBER, default=0.0)
    retries: int = value(int, default=3, invariant=_positive)


class Container(Record):
    """
    What a user wants to run, and where. A container with mounts runs only on the node that owns all of its datasets.

    :param image: None where the runtime runs plain processes.
    :param pull: when the image is fetched.
    :param entrypoint: program and arguments before those of ``command``; empty: what the image says.
    :param command: program and arguments; empty: what the image says.
    :param environment_file: a file of its node with more environment, one NAME=VALUE in a line.
    :param stop_signal: such as ``SIGINT``; None: what the image says, and SIGTERM where it doesn't.
    :param stop_grace_seconds: between the polite signal and the last one.
    :param cpu_shares: relative weight, 1 .. 1024.
    :param cpus: so many processors at most, 0.5 for half of one.
    :param swappiness: 0 .. 100.
    :param pids_limit: so many processes and threads at most.
    :param health: None: what the image says, if anything.
    :param log_driver: and ``log_options``: where its output goes; None: as the runtime is set up.
    :param read_only: its root file system can't be written, only its mounts.
    :param user: name or number, and group after a colon; None: what the image says.
    """

    name: ContainerName = value(str)
    node_id: NodeId = value(UUID)
    image: str | None = value((str, _NONE), default=None)
    command: PVector[str] = sequence(str, default=())
    environment: PMap[str, str] = mapping(str, str, default={})
    mounts: PVector[Mount] = sequence(Mount, default=())
    ports: PVector[Port] = sequence(Port, default=())
    links: PVector[Link] = sequence(Link, default=())
    restart: RestartPolicy = value(RestartPolicy, default=RestartPolicy())
    memory_bytes: int | None = value((int, _NONE), default=None)
    cpu_shares: int | None = value((int, _NONE), default=None)
    swappiness: int | None = value((int, _NONE), default=None)
    stop_grace_seconds: float = value(_NUMBER, default=10.0, invariant=_positive)
    labels: PMap[str, str] = mapping(str, str, default={})
    pull: PullPolicy = value(PullPolicy, default=PullPolicy.MISSING)
    entrypoint: PVector[str] = sequence(str, default=())
    environment_file: str | None = value((str, _NONE), default=None)
    stop_signal: str | None = value((str, _NONE), default=None)
    cpus: float | None = value((*_NUMBER, _NONE), default=None)
    pids_limit: int | None = value((int, _NONE), default=None)
    health: HealthCheck | None = value((HealthCheck, _NONE), default=None)
    log_driver: str | None = value((str, _NONE), default=None)
    log_options: PMap[str, str] = mapping(str, str, default={})
    read_only: bool = value(bool, default=False)
    user: str | None = value((str, _NONE), default=None)
    capabilities_add: PVector[str] = sequence(str, default=())
    capabilities_drop: PVector[str] = sequence(str, default=())
    security_options: PVector[str] = sequence(str, default=())


class MovePhase(enum.Enum):
    """
    How far a move is. The commit point lies between FINAL and TAKING; before it a move can be cancelled.
    """

    COPYING = "copying"
    RELEASING = "releasing"
    FINAL = "final"
    TAKING = "taking"


class Move(Record):
    """
    A change of owner that is under way.

    :param started_at_seconds: since the epoch of Unix, by the control service's clock.
    :param released_at_seconds: when the source was told to stop writing; None before.
    :param rounds: and ``sent_bytes``: as the source reported them when it was released.
    :param final_guid: the snapshot that holds all that was ever written before the release; None until it is known.
    :param returns: to where the dataset came from, since its application didn't start where it was wanted.
    :param running_since_seconds: since when the application is seen to run on the target; None: it isn't.
    :param restarts: how often its policy had started it again there when it was seen so.
    :param failover: not planned: an operator gave the dataset to the target, since the source is gone, or its copy is
        to be given up. It begins in TAKING, and ``final_guid`` is what the target has.
    """

    move_id: MoveId = value(UUID)
    source: NodeId = value(UUID)
    target: NodeId = value(UUID)
    phase: MovePhase = value(MovePhase)
    started_at_seconds: float = value(_NUMBER)
    released_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    rounds: int = value(int, default=0)
    sent_bytes: int = value(int, default=0)
    final_guid: Guid | None = value((int, _NONE), default=None)
    returns: bool = value(bool, default=False)
    running_since_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    restarts: int = value(int, default=0)
    failover: bool = value(bool, default=False)


class MoveOutcome(enum.Enum):
    """
    How a move ended.
    """

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class FinishedMove(Record):
    """
    A move that ended, and what it took.

    :param reason: why it didn't get to its end; empty where it did.
    :param sent_bytes: over all rounds, re-sent bytes included.
    :param downtime_seconds: between the application's last moment on the source and its first on the target,
        as far as the control service saw it; None where it never stopped.
    """

    move_id: MoveId = value(UUID)
    source: NodeId = value(UUID)
    target: NodeId = value(UUID)
    outcome: MoveOutcome = value(MoveOutcome)
    reason: str = value(str, default="")
    started_at_seconds: float = value(_NUMBER)
    ended_at_seconds: float = value(_NUMBER)
    rounds: int = value(int, default=0)
    sent_bytes: int = value(int, default=0)
    downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    failover: bool = value(bool, default=False)


class Ownership(Record):
    """
    Who may write one dataset: one node, under one epoch.

    :param epoch: grows with each grant. A node writes only under the highest it knows.
    :param created: whether the dataset has ever been made. Only while this is false may a node make it, empty.
    :param handed_over: former owners that have not yet confirmed the removal of their copy, with the final snapshot
        that the next owner proved to hold.
    :param refused_primary: the wish that was tried and given up or cancelled; it is not tried again until it changes.
    :param destroyed: the deletion has been confirmed by the owner.
    :param leased_epoch: the epoch under which the owner said that it serves the dataset only for as long as its lease
        lasts; 0: it never did, or was told to keep serving since.
    :param deposed: nodes whose copy, if they have one, may hold what the owner's lacks, each with the epoch that ended
        then; it is put aside there, never removed.
    :param bases: nodes that hold a stash, or will, with the snapshot that the owner's history shares with theirs.
    :param from_stash: the owner has the data under this name, put aside; None: under the dataset's own.
    :param destroyed_at_seconds: when that was, since the epoch of Unix; None: it wasn't, or nobody knows when.
    """

    dataset_id: DatasetId = value(UUID)
    owner: NodeId = value(UUID)
    epoch: int = value(int, default=1, invariant=_positive)
    created: bool = value(bool, default=False)
    move: Move | None = value((Move, _NONE), default=None)
    last_move: FinishedMove | None = value((FinishedMove, _NONE), default=None)
    handed_over: PMap[NodeId, Guid] = mapping(UUID, int, default={})
    refused_primary: NodeId | None = value((UUID, _NONE), default=None)
    destroyed: bool = value(bool, default=False)
    leased_epoch: int = value(int, default=0)
    deposed: PMap[NodeId, int] = mapping(UUID, int, default={})
    bases: PMap[NodeId, Guid] = mapping(UUID, int, default={})
    from_stash: str | None = value((str, _NONE), default=None)
    destroyed_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)


class KeptDataset(Record):
    """
    How a dataset is served until a lease on it ends, although it is wanted otherwise, or deleted, by now.
    """

    primary: NodeId = value(UUID)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)


class DatasetLease(Record):
    """
    A user's word that a dataset is needed as it is: see ``flocker_control.dataset_leases``. No lease of a node.

    :param node_id: for which it is held. Neither it nor the dataset has to exist.
    :param left_seconds: of the lease, when it was last written down; None: it lasts until it is released.
    :param counted_at_seconds: what the control service's clock showed then, which only goes forward.
    :param boot_id: of the run of the host of which that clock is.
    :param kept: None: nothing waits for the end of the lease.
    """

    dataset_id: DatasetId = value(UUID)
    node_id: NodeId = value(UUID)
    left_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    counted_at_seconds: float = value(_NUMBER, default=0.0)
    boot_id: UUID = value(UUID)
    kept: KeptDataset | None = value((KeptDataset, _NONE), default=None)


class StashWish(Record):
    """
    What an operator wants of what a node has put aside. Forgotten once it is so, but for the mounting, which lasts.

    :param name: of the stash, unique on its node.
    :param mounted: readable at a path of its node; nobody can write there.
    :param dropped: destroyed, for good.
    """

    node_id: NodeId = value(UUID)
    name: str = value(str)
    mounted: bool = value(bool, default=False)
    dropped: bool = value(bool, default=False)

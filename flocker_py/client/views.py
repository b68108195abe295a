"""
What the control service answers under ``/v2``, as records.

Reading is forbearing where it is safe: what a newer service says in addition is passed over, and what may be null may
be missing. Everything else that doesn't fit is an error.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_py.documents import Complaint
from flocker_py.model import ContainerName, DatasetId, MoveId, NodeId
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.wire import TYPE_KEY, decode, record_hints, union_members

R = TypeVar("R", bound=Record)

_NONE = type(None)
_NUMBER = (int, float)


class ErrorView(Record):
    """
    The last thing that went wrong with something, for a user to read.
    """

    code: str = value(str)
    text: str = value(str)
    at_seconds: float = value(_NUMBER)
    node_id: NodeId | None = value((UUID, _NONE), default=None)


class FailureView(Record):
    """
    The last thing that went wrong on a node.

    :param about: id of a dataset or name of a container.
    """

    about: str = value(str)
    code: str = value(str)
    text: str = value(str)
    at_seconds: float = value(_NUMBER)


class NodeView(Record):
    """
    A node; what only its agent knows is None while that is away.

    :param lease_left_seconds: until its lease can be taken as expired; negative: since then. None: nobody says.
    """

    node_id: NodeId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    address: str | None = value((str, _NONE), default=None)
    draining: bool | None = value((bool, _NONE), default=None)
    removed: bool | None = value((bool, _NONE), default=None)
    connected: bool = value(bool)
    storage: str | None = value((str, _NONE), default=None)
    runtime: str | None = value((str, _NONE), default=None)
    free_bytes: int | None = value((int, _NONE), default=None)
    version: str | None = value((str, _NONE), default=None)
    lease_left_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    failures: PVector[FailureView] = sequence(FailureView, default=())


class NodesView(Record):
    """
    All nodes, at a revision.
    """

    revision: int = value(int)
    nodes: PVector[NodeView] = sequence(NodeView, default=())


class NamedDatasetView(Record):
    """
    A dataset, for people.
    """

    dataset_id: DatasetId = value(UUID)
    name: str | None = value((str, _NONE), default=None)


class GroupView(Record):
    """
    What moves together.
    """

    container: ContainerName | None = value((str, _NONE), default=None)
    datasets: PVector[NamedDatasetView] = sequence(NamedDatasetView, default=())


class PlacedView(Record):
    """
    A group that was sent to another node.
    """

    group: GroupView = value(GroupView)
    target: NodeId = value(UUID)


class UnplacedView(Record):
    """
    A group that found no place, with the reasons.
    """

    group: GroupView = value(GroupView)
    reasons: PVector[str] = sequence(str, default=())


class DrainedView(Record):
    """
    What becomes of everything on a node that is drained.
    """

    dry_run: bool = value(bool)
    placed: PVector[PlacedView] = sequence(PlacedView, default=())
    unplaced: PVector[UnplacedView] = sequence(UnplacedView, default=())
    leaving: PVector[GroupView] = sequence(GroupView, default=())


class TroubleView(Record):
    """
    What went wrong in the control service.
    """

    code: str = value(str)
    text: str = value(str)
    at_seconds: float = value(_NUMBER)


class BackupView(Record):
    """
    A backup of the control service's store.
    """

    name: str = value(str)
    revision: int = value(int)
    taken_at_seconds: float = value(_NUMBER)


class BackupsView(Record):
    """
    How it goes with the backups.
    """

    directory: str = value(str)
    every_seconds: float = value(_NUMBER)
    keep: int = value(int)
    newest: BackupView | None = value((BackupView, _NONE), default=None)
    error: TroubleView | None = value((TroubleView, _NONE), default=None)


class StatusView(Record):
    """
    How the control service does.

    :param backups: None: none are made.
    """

    version: str = value(str)
    revision: int = value(int)
    nodes_known: int = value(int)
    nodes_connected: int = value(int)
    store_error: TroubleView | None = value((TroubleView, _NONE), default=None)
    backups: BackupsView | None = value((BackupsView, _NONE), default=None)


class MoveView(Record):
    """
    A move that is wanted, under way, or over.

    :param move_id: None: it has not begun yet.
    :param phase: None where it isn't under way; ``outcome``: None until it is over.
    """

    move_id: MoveId | None = value((UUID, _NONE), default=None)
    dataset_id: DatasetId = value(UUID)
    source: NodeId = value(UUID)
    target: NodeId = value(UUID)
    phase: str | None = value((str, _NONE), default=None)
    outcome: str | None = value((str, _NONE), default=None)
    reason: str | None = value((str, _NONE), default=None)
    round: int | None = value((int, _NONE), default=None)
    sent_bytes: int | None = value((int, _NONE), default=None)
    round_bytes: int | None = value((int, _NONE), default=None)
    total_bytes: int | None = value((int, _NONE), default=None)
    rate_bytes_per_second: float | None = value((*_NUMBER, _NONE), default=None)
    eta_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    predicted_downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    started_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    ended_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    waiting_for: str | None = value((str, _NONE), default=None)


class MovesView(Record):
    """
    Moves, at a revision.
    """

    revision: int = value(int)
    moves: PVector[MoveView] = sequence(MoveView, default=())


class LeaseView(Record):
    """
    A lease that a user holds on a dataset.

    :param left_seconds: None: it lasts until it is released.
    :param is_waited_for: the dataset is wanted otherwise, or deleted, when it ends.
    """

    dataset_id: DatasetId = value(UUID)
    node_id: NodeId = value(UUID)
    left_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    is_waited_for: bool = value(bool)


class OriginView(Record):
    """
    What a dataset was made from.
    """

    dataset_id: DatasetId = value(UUID)
    snapshot: str = value(str)


class DatasetView(Record):
    """
    A dataset, as wanted and as it is.

    :param mounted: whether its owner reports that it can be written at ``path``; None: an older service doesn't say.
    """

    dataset_id: DatasetId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    primary: NodeId = value(UUID)
    owner: NodeId = value(UUID)
    epoch: int = value(int)
    created: bool = value(bool)
    deleted: bool = value(bool)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    metadata: PMap[str, str] = mapping(str, str, default={})
    move: MoveView | None = value((MoveView, _NONE), default=None)
    last_move: MoveView | None = value((MoveView, _NONE), default=None)
    status: str = value(str)
    waiting_for: str | None = value((str, _NONE), default=None)
    last_error: ErrorView | None = value((ErrorView, _NONE), default=None)
    used_bytes: int | None = value((int, _NONE), default=None)
    path: str | None = value((str, _NONE), default=None)
    mounted: bool | None = value((bool, _NONE), default=None)
    lease: LeaseView | None = value((LeaseView, _NONE), default=None)
    max_downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    on_overrun: str | None = value((str, _NONE), default=None)
    on_start_failure: str | None = value((str, _NONE), default=None)
    on_partition: str | None = value((str, _NONE), default=None)
    origin: OriginView | None = value((OriginView, _NONE), default=None)
    settling: PVector[NodeId] = sequence(UUID, default=())


class DatasetsView(Record):
    """
    All datasets, at a revision.
    """

    revision: int = value(int)
    datasets: PVector[DatasetView] = sequence(DatasetView, default=())


class LeasesView(Record):
    """
    All leases, at a revision.
    """

    revision: int = value(int)
    leases: PVector[LeaseView] = sequence(LeaseView, default=())


class CopyView(Record):
    """
    A copy of a dataset, as it is reported or was last heard of.
    """

    node_id: NodeId = value(UUID)
    connected: bool = value(bool)
    heard_until_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    role: str = value(str)
    epoch: int = value(int)
    newest_guid: str | None = value((str, _NONE), default=None)
    candidate: bool = value(bool)
    text: str = value(str)


class CopiesView(Record):
    """
    All that is known of a dataset's copies.

    :param owner_lease_left_seconds: for how long its owner, which is away, may serve it yet, in seconds; None: nobody
        knows.
    :param together: the datasets that are failed over with it, itself included.
    """

    dataset_id: DatasetId = value(UUID)
    owner: NodeId = value(UUID)
    epoch: int = value(int)
    owner_connected: bool = value(bool)
    owner_away_since_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    owner_lease_left_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    together: PVector[DatasetId] = sequence(UUID, default=())
    copies: PVector[CopyView] = sequence(CopyView, default=())


class UnclaimedCopyView(Record):
    """
    What one node has of a dataset without a record.
    """

    node_id: NodeId = value(UUID)
    role: str = value(str)
    epoch: int = value(int)
    used_bytes: int = value(int)


class UnclaimedDatasetView(Record):
    """
    A dataset that the control service has no record of.
    """

    dataset_id: DatasetId = value(UUID)
    copies: PVector[UnclaimedCopyView] = sequence(UnclaimedCopyView, default=())


class UnclaimedView(Record):
    """
    All of those, at a revision.
    """

    revision: int = value(int)
    unclaimed: PVector[UnclaimedDatasetView] = sequence(UnclaimedDatasetView, default=())


class StashView(Record):
    """
    What a node has put aside of a dataset.
    """

    name: str = value(str)
    node_id: NodeId = value(UUID)
    dataset_id: DatasetId = value(UUID)
    dataset_name: str | None = value((str, _NONE), default=None)
    since_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    expires_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    used_bytes: int = value(int)
    path: str | None = value((str, _NONE), default=None)
    last_error: ErrorView | None = value((ErrorView, _NONE), default=None)


class StashesView(Record):
    """
    What nodes have put aside, at a revision.

    :param unknown_nodes: those that can't be asked.
    """

    revision: int = value(int)
    stashes: PVector[StashView] = sequence(StashView, default=())
    unknown_nodes: PVector[NodeId] = sequence(UUID, default=())


class MountView(Record):
    """
    A dataset that a container uses.
    """

    dataset_id: DatasetId = value(UUID)
    name: str | None = value((str, _NONE), default=None)
    path: str | None = value((str, _NONE), default=None)
    read_only: bool = value(bool, default=False)


class RestartView(Record):
    """
    When a container is started again.
    """

    name: str = value(str)
    maximum_retry_count: int | None = value((int, _NONE), default=None)


class PortView(Record):
    """
    A port of a container that is reached at its node.

    :param host_address: of the node; None: all of them.
    """

    internal: int = value(int)
    external: int = value(int)
    protocol: str = value(str, default="tcp")
    host_address: str | None = value((str, _NONE), default=None)


class LinkView(Record):
    """
    A port of another container, as environment tells it.
    """

    alias: str = value(str)
    local_port: int = value(int)
    remote_port: int = value(int)


class HealthCheckView(Record):
    """
    How a container's health is found out.
    """

    command: PVector[str] = sequence(str, default=())
    interval_seconds: float = value(_NUMBER)
    timeout_seconds: float = value(_NUMBER)
    start_period_seconds: float = value(_NUMBER)
    retries: int = value(int)


class ContainerView(Record):
    """
    A container, as wanted and as it is.

    :param health: what its check says: ``starting``, ``healthy`` or ``unhealthy``; ``none``: it has none, or doesn't
        run. None: nobody has seen it.
    :param outdated: it is still what it was started as before it was changed.
    :param warnings: what is probably not meant, such as a link that leads nowhere.
    """

    name: ContainerName = value(str)
    node_id: NodeId = value(UUID)
    runs_on: NodeId | None = value((UUID, _NONE), default=None)
    state: str = value(str)
    exit_status: int | None = value((int, _NONE), default=None)
    health: str | None = value((str, _NONE), default=None)
    image_digest: str | None = value((str, _NONE), default=None)
    restarts: int | None = value((int, _NONE), default=None)
    outdated: bool = value(bool, default=False)
    waiting_for: str | None = value((str, _NONE), default=None)
    last_error: ErrorView | None = value((ErrorView, _NONE), default=None)
    warnings: PVector[str] = sequence(str, default=())
    image: str | None = value((str, _NONE), default=None)
    command: PVector[str] = sequence(str, default=())
    mounts: PVector[MountView] = sequence(MountView, default=())
    restart: RestartView | None = value((RestartView, _NONE), default=None)
    environment: PMap[str, str] = mapping(str, str, default={})
    ports: PVector[PortView] = sequence(PortView, default=())
    links: PVector[LinkView] = sequence(LinkView, default=())
    memory_bytes: int | None = value((int, _NONE), default=None)
    cpu_shares: int | None = value((int, _NONE), default=None)
    swappiness: int | None = value((int, _NONE), default=None)
    stop_grace_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    labels: PMap[str, str] = mapping(str, str, default={})
    pull: str | None = value((str, _NONE), default=None)
    entrypoint: PVector[str] = sequence(str, default=())
    environment_file: str | None = value((str, _NONE), default=None)
    stop_signal: str | None = value((str, _NONE), default=None)
    cpus: float | None = value((*_NUMBER, _NONE), default=None)
    pids_limit: int | None = value((int, _NONE), default=None)
    healthcheck: HealthCheckView | None = value((HealthCheckView, _NONE), default=None)
    log_driver: str | None = value((str, _NONE), default=None)
    log_options: PMap[str, str] = mapping(str, str, default={})
    read_only: bool = value(bool, default=False)
    user: str | None = value((str, _NONE), default=None)
    capabilities_add: PVector[str] = sequence(str, default=())
    capabilities_drop: PVector[str] = sequence(str, default=())
    security_options: PVector[str] = sequence(str, default=())


class LeavingContainerView(Record):
    """
    A container that is wanted no more, and that a node has still.
    """

    name: ContainerName = value(str)
    node_id: NodeId = value(UUID)
    state: str = value(str)
    waiting_for: str | None = value((str, _NONE), default=None)
    last_error: ErrorView | None = value((ErrorView, _NONE), default=None)


class ContainersView(Record):
    """
    All containers, at a revision.

    :param leaving: those that are wanted no more, and that nodes have still.
    :param unknown_nodes: of which nobody knows at present what they run.
    """

    revision: int = value(int)
    containers: PVector[ContainerView] = sequence(ContainerView, default=())
    leaving: PVector[LeavingContainerView] = sequence(LeavingContainerView, default=())
    unknown_nodes: PVector[NodeId] = sequence(UUID, default=())


class StepView(Record):
    """
    One thing that applying a deployment changes.

    :param action: ``create``, ``resize``, ``move``, ``delete``, ``start``, ``stop``, ``restart``, ``update`` or
        ``name-node``.
    :param kind: ``dataset``, ``container`` or ``node``.
    """

    action: str = value(str)
    kind: str = value(str)
    name: str = value(str)
    text: str = value(str)


class UnmanagedView(Record):
    """
    Something that is there and not in the deployment. It stays.
    """

    kind: str = value(str)
    name: str = value(str)
    text: str = value(str)


class PlanView(Record):
    """
    What applying a deployment would change, seen from a revision.
    """

    revision: int = value(int)
    steps: PVector[StepView] = sequence(StepView, default=())
    unmanaged: PVector[UnmanagedView] = sequence(UnmanagedView, default=())
    warnings: PVector[str] = sequence(str, default=())


class AppliedView(Record):
    """
    What applying a deployment changed; ``revision`` is the one after it.
    """

    revision: int = value(int)
    steps: PVector[StepView] = sequence(StepView, default=())


class ExplanationView(Record):
    """
    The whole story of one dataset.
    """

    dataset_id: DatasetId = value(UUID)
    converged: bool = value(bool)
    lines: PVector[str] = sequence(str, default=())


def view(kind: type[R], data: object) -> R:
    """
    An answer as a record.

    :raises flocker_py.wire.WireError: it is not such an answer.
    """
    known = _known(kind, data)
    return decode(kind, {TYPE_KEY: kind.__name__, **known} if isinstance(known, dict) else known)


def node_names(nodes: Iterable[NodeView]) -> dict[NodeId, str]:
    """
    What to call each node: its name, or else its address, or else its id.
    """
    return {node.node_id: node.name or node.address or str(node.node_id) for node in nodes}


def complaints(data: object) -> list[Complaint]:
    """
    The ``errors`` of an error's JSON object that point into what was sent; what isn't such a list gives none.
    """
    errors = data.get("errors") if isinstance(data, dict) else None
    result = []
    for error in errors if isinstance(errors, list) else []:
        match error:
            case {"pointer": [*pointer], "text": str(text)} if all(type(step) in {str, int} for step in pointer):
                result.append(Complaint(pointer=tuple(pointer), text=text))
            case _:
                pass
    return result


def _known(hint: Any, data: object) -> Any:
    for member in union_members(hint):
        arguments = typing.get_args(member)
        if typing.get_origin(member) is PVector and isinstance(data, list):
            return [_known(arguments[0], item) for item in data]
        if isinstance(member, type) and issubclass(member, Record) and isinstance(data, dict):
            return {
                name: _known(field, data.get(name))
                for name, field in record_hints(member).items()
                if name in data or types.NoneType in union_members(field)
            }
    return data

"""
What one node reports of itself. What is not reported is unknown, which is never taken for absence.
"""

from __future__ import annotations

import enum
from uuid import UUID

from pyrsistent import PMap, PVector

from flocker_py.model import ContainerName, DatasetId, Guid, MoveId, NodeId
from flocker_py.records import Record, mapping, sequence, value
from flocker_py.storage import Role

_NONE = type(None)
_NUMBER = (int, float)


class ReportedError(Record):
    """
    The last thing that went wrong, for a user to read.

    :param code: stable, machine-readable: the name of the error's class.
    :param text: what is wrong, where, and what to do.
    :param at_seconds: since the epoch of Unix, by the node's clock.
    :param lasting: trying again can't help before somebody changes something.
    :param attempts: how many failed in a row.
    """

    code: str = value(str)
    text: str = value(str)
    at_seconds: float = value(_NUMBER)
    lasting: bool = value(bool, default=False)
    attempts: int = value(int, default=1)


class SendVerdict(enum.Enum):
    """
    What the sender thinks of stopping the application now.
    """

    CATCHING_UP = "catching-up"
    READY = "ready"
    OUTRUN = "outrun"


class SendProgress(Record):
    """
    How a sender is doing, at most a second old.

    :param round: counts from 1; the first carries everything that the target lacks.
    :param total_bytes: of this round, an estimate.
    :param sent_bytes: over all rounds so far.
    :param acknowledged_guid: the newest snapshot that the target re-read from its own pool.
    :param predicted_downtime_seconds: if the application were stopped now; None until a round has been measured.
    """

    move_id: MoveId = value(UUID)
    round: int = value(int)
    round_bytes: int = value(int)
    total_bytes: int = value(int)
    sent_bytes: int = value(int)
    rate_bytes_per_second: float = value(_NUMBER)
    eta_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    predicted_downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    acknowledged_guid: Guid | None = value((int, _NONE), default=None)
    verdict: SendVerdict = value(SendVerdict, default=SendVerdict.CATCHING_UP)


class DatasetObservation(Record):
    """
    One dataset as it is on one node.

    :param role: and ``epoch``: what the dataset's own properties say.
    :param newest_guid: of all its snapshots, re-read from the pool; None: it has none.
    :param newest_name: and ``newest_at_seconds``: of the same, and when it was taken, since the epoch of Unix.
    :param final_guid: of the final snapshot of this epoch; None unless released and final.
    :param mounted: whether it can be written through ``path`` at this moment.
    :param leased: it is served only for as long as the node's lease lasts, and all that runs with it is bound to that.
    """

    dataset_id: DatasetId = value(UUID)
    role: Role = value(Role)
    epoch: int = value(int)
    newest_guid: Guid | None = value((int, _NONE), default=None)
    final_guid: Guid | None = value((int, _NONE), default=None)
    mounted: bool = value(bool, default=False)
    path: str | None = value((str, _NONE), default=None)
    used_bytes: int = value(int, default=0)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    sending: SendProgress | None = value((SendProgress, _NONE), default=None)
    leased: bool = value(bool, default=False)
    newest_name: str | None = value((str, _NONE), default=None)
    newest_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)


class StashObservation(Record):
    """
    What a node has put aside of a dataset.

    :param role: and ``epoch``: as they were.
    :param since_seconds: and ``expires_at_seconds``: since the epoch of Unix, by the node's clock; None: not known, and
        it never expires.
    :param guids: of all its snapshots, oldest first.
    :param newest_at_seconds: when the newest of them was taken.
    :param path: where it can be read at this moment; None: nowhere.
    """

    name: str = value(str)
    dataset_id: DatasetId = value(UUID)
    role: Role = value(Role)
    epoch: int = value(int)
    since_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    expires_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    used_bytes: int = value(int, default=0)
    guids: PVector[Guid] = sequence(int, default=())
    newest_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    path: str | None = value((str, _NONE), default=None)


class ContainerPhase(enum.Enum):
    """
    What a container is doing.
    """

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"


class Health(enum.Enum):
    """
    What a container's own check says of it.

    NONE: it has no check, or doesn't run.
    """

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class ContainerObservation(Record):
    """
    One container as it is on one node.

    :param exit_status: of the last run; None while it runs, and where nobody knows: its supervisor was killed or the
        host went down. Negative: the signal that ended it.
    :param restarts: how often its policy started it again.
    :param mounts: the datasets that it uses.
    :param started_at_seconds: of the present or last run, since the epoch of Unix, by the node's clock.
    :param leased: it ends with the node's lease, whether the agent is there or not.
    :param stopped: it was asked to end, by the agent or because the lease had ended; it didn't end by itself.
    :param image_digest: of the image that it runs, as in ``sha256:…``; None: it has none, or none is known.
    :param started_digest: what ``definitions.started_digest`` says of that which it was started as; None: not told.
    """

    name: ContainerName = value(str)
    phase: ContainerPhase = value(ContainerPhase)
    mounts: PVector[DatasetId] = sequence(UUID, default=())
    exit_status: int | None = value((int, _NONE), default=None)
    restarts: int = value(int, default=0)
    started_at_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    leased: bool = value(bool, default=False)
    stopped: bool = value(bool, default=False)
    health: Health = value(Health, default=Health.NONE)
    image_digest: str | None = value((str, _NONE), default=None)
    started_digest: str | None = value((str, _NONE), default=None)


HOST = "the host itself"
"""The key of what went wrong with no one dataset or container: with a space, which no name of a container has."""

FORWARDING = "forwarding of ports"
"""In the same way, the key of what is wrong with leading ports to containers on other nodes."""


def preparation_of(name: ContainerName) -> str:
    """
    In the same way, the key of what is wrong with getting ready for a container, which may run elsewhere meanwhile.
    """
    return f"preparation of {name}"


class NodeObservation(Record):
    """
    One node as it is.

    :param era: changes when the host reboots; an agent's restart keeps it.
    :param address: where other agents reach it; ``transfer_port``: at which port.
    :param storage: and ``runtime``: names of the backends it runs.
    :param container_fields: what its runtime can do, as ``RuntimeCapabilities.reported_fields``; the rest is refused.
    :param free_bytes: room in its pool.
    :param storage_known: ``datasets`` and ``stashes`` are complete. Without this, a dataset that is not in it is not
        known to be absent.
    :param runtime_known: ``containers`` is complete, in the same sense.
    :param failures: the last error per dataset or container, keyed by id or name; or by ``HOST``, ``FORWARDING``, or
        what ``preparation_of`` says.
    :param waiting: in the same way, what has to happen before the node gets further, where it waits for something.
    :param stashes: what was put aside in its pool, by name.
    :param prepared: the digests of definitions of containers that it was asked to prepare, and has, by name.
    """

    node_id: NodeId = value(UUID)
    era: UUID = value(UUID)
    address: str = value(str)
    transfer_port: int = value(int)
    version: str = value(str)
    storage: str = value(str)
    runtime: str = value(str)
    container_fields: PVector[str] = sequence(str, default=())
    free_bytes: int = value(int, default=0)
    storage_known: bool = value(bool, default=False)
    runtime_known: bool = value(bool, default=False)
    datasets: PMap[DatasetId, DatasetObservation] = mapping(UUID, DatasetObservation, default={})
    containers: PMap[ContainerName, ContainerObservation] = mapping(str, ContainerObservation, default={})
    failures: PMap[str, ReportedError] = mapping(str, ReportedError, default={})
    waiting: PMap[str, str] = mapping(str, str, default={})
    stashes: PMap[str, StashObservation] = mapping(str, StashObservation, default={})
    prepared: PMap[ContainerName, str] = mapping(str, str, default={})

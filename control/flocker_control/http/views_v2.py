"""
The cluster as users of ``/v2`` see it: what is wanted, who owns it, what is observed, and what stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyrsistent import PMap

from flocker_control import explain
from flocker_control import situation as facts
from flocker_control.situation import Situation
from flocker_control.state import State
from flocker_py.definitions import started_digest
from flocker_py.model import (
    Container,
    DatasetId,
    DatasetLease,
    FinishedMove,
    HealthCheck,
    Move,
    NodeId,
    Origin,
)
from flocker_py.observed import ContainerObservation, NodeObservation, ReportedError

View = dict[str, Any]


def node_view(state: State, node_id: NodeId, seen: NodeObservation | None, lease_left_seconds: float) -> View:
    """
    A node.

    :param seen: what it reports; None: it has no session.
    :param lease_left_seconds: until its lease can be taken as expired.
    """
    node = state.nodes[node_id]
    failures = {} if seen is None else seen.failures
    return {
        "node_id": str(node_id),
        "name": node.name,
        "address": node.address if seen is None else seen.address,
        "labels": dict(node.labels),
        "draining": node.draining,
        "removed": node.removed,
        "connected": seen is not None,
        "storage": None if seen is None else seen.storage,
        "runtime": None if seen is None else seen.runtime,
        "free_bytes": None if seen is None else seen.free_bytes,
        "version": None if seen is None else seen.version,
        "era": None if seen is None else str(seen.era),
        "lease_expired": lease_left_seconds <= 0,
        "lease_left_seconds": lease_left_seconds,
        "failures": [
            {"about": about, "code": error.code, "text": error.text, "at_seconds": error.at_seconds}
            for about, error in sorted(failures.items())
        ],
    }


def _origin_view(origin: Origin) -> View:
    return {"dataset_id": str(origin.dataset_id), "snapshot": origin.snapshot}


def dataset_view(s: Situation, mount_root: str) -> View:
    """
    A dataset, with its move and what it waits for.
    """
    dataset, ownership = s.wanted or s.dataset, s.ownership
    seen = s.seen(ownership.owner)
    last = ownership.last_move
    return {
        "dataset_id": str(dataset.dataset_id),
        "name": dataset.name,
        "primary": str(dataset.primary),
        "owner": str(ownership.owner),
        "epoch": ownership.epoch,
        "created": ownership.created,
        "deleted": dataset.deleted,
        "maximum_size_bytes": dataset.maximum_size_bytes,
        "metadata": dict(dataset.metadata),
        "max_downtime_seconds": dataset.max_downtime_seconds,
        "on_overrun": dataset.on_overrun.value,
        "on_start_failure": dataset.on_start_failure.value,
        "on_partition": dataset.on_partition.value,
        "origin": None if dataset.origin is None else _origin_view(dataset.origin),
        "move": None if ownership.move is None else move_view(s, ownership.move),
        "last_move": None if last is None else finished_move_view(dataset.dataset_id, last),
        "status": explain.status(s).value,
        "waiting_for": explain.waiting_for(s),
        "last_error": _last_error(str(dataset.dataset_id), _concerned(s), s.nodes),
        "used_bytes": None if seen is None else seen.used_bytes,
        "path": f"{mount_root}/{dataset.dataset_id}" if seen is None or seen.path is None else seen.path,
        "mounted": facts.is_proven(s),
        "settling": sorted(str(node_id) for node_id in ownership.handed_over),
        "deposed": sorted(str(node_id) for node_id in ownership.deposed),
        "lease": None if s.lease is None else lease_view(s.lease, s.lease_left_seconds),
        "unavailable_since_seconds": _unavailable_since_seconds(s),
    }


def lease_view(lease: DatasetLease, left_seconds: float | None) -> View:
    """
    The lease that a user holds on a dataset.

    :param left_seconds: None: it lasts until it is released.
    """
    return {
        "dataset_id": str(lease.dataset_id),
        "node_id": str(lease.node_id),
        "left_seconds": None if left_seconds is None else max(0.0, left_seconds),
        "is_waited_for": lease.kept is not None,
    }


def _unavailable_since_seconds(s: Situation) -> float | None:
    absence = s.absences.get(s.ownership.owner)
    unavailable = explain.status(s) is explain.Status.UNAVAILABLE
    return absence.since_seconds if unavailable and absence is not None else None


def _concerned(s: Situation) -> list[NodeId]:
    """
    The nodes whose errors count: the owner's first.
    """
    move = s.ownership.move
    ends = [] if move is None else [move.source, move.target]
    return list(dict.fromkeys([s.ownership.owner, *ends, *s.ownership.handed_over]))


def _last_error(about: str, node_ids: Iterable[NodeId], nodes: PMap[NodeId, NodeObservation]) -> View | None:
    newest: tuple[float, NodeId, ReportedError] | None = None
    for node_id in node_ids:
        node = nodes.get(node_id)
        error = None if node is None else node.failures.get(about)
        if error is not None and (newest is None or error.at_seconds > newest[0]):
            newest = (error.at_seconds, node_id, error)
    if newest is None:
        return None
    at_seconds, node_id, error = newest
    return {"code": error.code, "text": error.text, "at_seconds": at_seconds, "node_id": str(node_id)}


def move_view(s: Situation, move: Move) -> View:
    """
    The move that is under way.
    """
    progress = facts.sending(s)
    view = {
        **_blank_move(s.dataset.dataset_id, move),
        "phase": move.phase.value,
        "round": move.rounds,
        "sent_bytes": move.sent_bytes,
        "waiting_for": explain.waiting_for(s),
    }
    if progress is not None:
        view |= {
            "round": progress.round,
            "sent_bytes": progress.sent_bytes,
            "round_bytes": progress.round_bytes,
            "total_bytes": progress.total_bytes,
            "rate_bytes_per_second": progress.rate_bytes_per_second,
            "eta_seconds": progress.eta_seconds,
            "predicted_downtime_seconds": progress.predicted_downtime_seconds,
        }
    return view


def finished_move_view(dataset_id: DatasetId, move: FinishedMove) -> View:
    """
    A move that has ended.
    """
    return {
        **_blank_move(dataset_id, move),
        "outcome": move.outcome.value,
        "reason": move.reason or None,
        "round": move.rounds,
        "sent_bytes": move.sent_bytes,
        "ended_at_seconds": move.ended_at_seconds,
        "downtime_seconds": move.downtime_seconds,
    }


def move_to_come_view(s: Situation) -> View:
    """
    A move that is wanted and has not begun: what has to happen first.
    """
    waiting_for = explain.waiting_for(s) or "the dataset to be made, or its present move to end"
    return {
        **_blank_move(s.dataset.dataset_id, None),
        "source": str(s.ownership.owner),
        "target": str((s.wanted or s.dataset).primary),
        "waiting_for": waiting_for,
    }


def _blank_move(dataset_id: DatasetId, move: Move | FinishedMove | None) -> View:
    return {
        "move_id": None if move is None else str(move.move_id),
        "dataset_id": str(dataset_id),
        "source": None if move is None else str(move.source),
        "target": None if move is None else str(move.target),
        "phase": None,
        "outcome": None,
        "reason": None,
        "round": 0,
        "sent_bytes": 0,
        "round_bytes": None,
        "total_bytes": None,
        "rate_bytes_per_second": None,
        "eta_seconds": None,
        "predicted_downtime_seconds": None,
        "started_at_seconds": None if move is None else move.started_at_seconds,
        "ended_at_seconds": None,
        "downtime_seconds": None,
        "waiting_for": None,
    }


def container_view(
    container: Container,
    state: State,
    nodes: PMap[NodeId, NodeObservation],
    runs_on: NodeId | None,
    warnings: Iterable[str],
) -> View:
    """
    A container: its definition, where it runs, and what it waits for.

    :param runs_on: the node that is asked to run it now.
    :param warnings: what is probably not meant of it.
    """
    observation = _seen_on(container, nodes, runs_on)
    return {
        "name": container.name,
        "node_id": str(container.node_id),
        "runs_on": None if runs_on is None else str(runs_on),
        "state": _container_state(container, nodes, runs_on, observation),
        "exit_status": None if observation is None else observation.exit_status,
        "health": None if observation is None else observation.health.value,
        "image_digest": None if observation is None else observation.image_digest,
        "restarts": 0 if observation is None else observation.restarts,
        "outdated": _is_outdated(container, observation),
        "waiting_for": _container_waits_for(container, state, nodes, runs_on),
        "last_error": _last_error(container.name, (runs_on or container.node_id, container.node_id), nodes),
        "warnings": list(warnings),
        "mounts": [
            {
                "dataset_id": str(mount.dataset_id),
                "name": state.datasets[mount.dataset_id].name,
                "path": mount.path,
                "read_only": mount.read_only,
            }
            for mount in container.mounts
        ],
        "image": container.image,
        "command": list(container.command),
        "environment": dict(container.environment),
        "ports": [
            {
                "internal": port.internal,
                "external": port.external,
                "protocol": port.protocol,
                "host_address": port.host_address,
            }
            for port in container.ports
        ],
        "links": [
            {"alias": link.alias, "local_port": link.local_port, "remote_port": link.remote_port}
            for link in container.links
        ],
        "restart": {
            "name": container.restart.name.value,
            "maximum_retry_count": container.restart.maximum_retry_count,
        },
        "memory_bytes": container.memory_bytes,
        "cpu_shares": container.cpu_shares,
        "swappiness": container.swappiness,
        "stop_grace_seconds": container.stop_grace_seconds,
        "labels": dict(container.labels),
        "pull": container.pull.value,
        "entrypoint": list(container.entrypoint),
        "environment_file": container.environment_file,
        "stop_signal": container.stop_signal,
        "cpus": container.cpus,
        "pids_limit": container.pids_limit,
        "healthcheck": None if container.health is None else _health_check_view(container.health),
        "log_driver": container.log_driver,
        "log_options": dict(container.log_options),
        "read_only": container.read_only,
        "user": container.user,
        "capabilities_add": list(container.capabilities_add),
        "capabilities_drop": list(container.capabilities_drop),
        "security_options": list(container.security_options),
    }


def leaving_views(state: State, nodes: PMap[NodeId, NodeObservation]) -> list[View]:
    """
    The containers that are wanted no more, and that nodes have still.
    """
    return [
        {
            "name": name,
            "node_id": str(node_id),
            "state": seen.phase.value,
            "waiting_for": node.waiting.get(name),
            "last_error": _last_error(name, (node_id,), nodes),
        }
        for node_id, node in sorted(nodes.items())
        for name, seen in sorted(node.containers.items())
        if name not in state.containers
    ]


def _is_outdated(container: Container, seen: ContainerObservation | None) -> bool:
    if seen is None or seen.started_digest is None:
        return False
    return seen.started_digest != started_digest(container)


def _health_check_view(check: HealthCheck) -> View:
    return {
        "command": list(check.command),
        "interval_seconds": check.interval_seconds,
        "timeout_seconds": check.timeout_seconds,
        "start_period_seconds": check.start_period_seconds,
        "retries": check.retries,
    }


def _seen_on(
    container: Container, nodes: PMap[NodeId, NodeObservation], runs_on: NodeId | None
) -> ContainerObservation | None:
    """
    The container as it is seen, on the node that should run it if it is seen there.
    """
    found = {
        node_id: node.containers[container.name] for node_id, node in nodes.items() if container.name in node.containers
    }
    for node_id in (runs_on, container.node_id, *sorted(found)):
        if node_id is not None and node_id in found:
            return found[node_id]
    return None


def _container_state(
    container: Container,
    nodes: PMap[NodeId, NodeObservation],
    runs_on: NodeId | None,
    observation: ContainerObservation | None,
) -> str:
    if observation is not None:
        return observation.phase.value
    node = nodes.get(runs_on or container.node_id)
    return "waiting" if node is not None and node.runtime_known else "unknown"


def _container_waits_for(
    container: Container, state: State, nodes: PMap[NodeId, NodeObservation], runs_on: NodeId | None
) -> str | None:
    if runs_on is not None and runs_on in nodes:
        return nodes[runs_on].waiting.get(container.name)
    if runs_on is not None:
        return f"node {_node_called(state, runs_on)}, which has no connection to the control service"
    for mount in container.mounts:
        ownership, dataset = state.ownerships[mount.dataset_id], state.datasets[mount.dataset_id]
        called = dataset.name or str(dataset.dataset_id)
        if not ownership.created:
            return f"dataset {called} to be made"
        if ownership.move is not None:
            return f"dataset {called}, which is moving to node {_node_called(state, ownership.move.target)}"
    return "its datasets to be on one node, and no other copy of it to run"


def _node_called(state: State, node_id: NodeId) -> str:
    node = state.nodes.get(node_id)
    return str(node_id) if node is None or node.name is None else node.name

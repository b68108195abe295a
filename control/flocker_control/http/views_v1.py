"""
The state as clients of Flocker 1.x see it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pyrsistent import PMap

from flocker_control.state import State
from flocker_py.model import Container, Dataset, DatasetId, NodeId, Ownership, Port
from flocker_py.observed import ContainerObservation, ContainerPhase, DatasetObservation, NodeObservation
from flocker_py.storage import Role
from flocker_py.wire import json_text

DELETED_SHOWN_SECONDS = 3600.0
"""For how long a deleted dataset is listed once no copy is left: who waits for that must be able to see it."""


def dataset_view(dataset: Dataset) -> dict[str, Any]:
    """
    What is wanted of one dataset.
    """
    view: dict[str, Any] = {
        "dataset_id": str(dataset.dataset_id),
        "primary": str(dataset.primary),
        "deleted": dataset.deleted,
        "metadata": dict(dataset.metadata),
    }
    if dataset.maximum_size_bytes is not None:
        view["maximum_size"] = dataset.maximum_size_bytes
    return view


def datasets_view(state: State, now_seconds: float) -> list[dict[str, Any]]:
    """
    What is wanted of all datasets in a fixed order: of deleted ones, too, until they are gone and a while has passed.
    """
    shown = (i for i in sorted(state.datasets) if not _is_forgotten(state.ownerships[i], now_seconds))
    return [dataset_view(state.datasets[dataset_id]) for dataset_id in shown]


def _is_forgotten(ownership: Ownership, now_seconds: float) -> bool:
    gone_at_seconds = ownership.destroyed_at_seconds
    return ownership.destroyed and (gone_at_seconds is None or now_seconds - gone_at_seconds >= DELETED_SHOWN_SECONDS)


def configuration_tag(datasets: PMap[DatasetId, Dataset]) -> str:
    """
    Equal for equal wishes about datasets, whatever else has changed, been restarted, or become of them. Those that are
    listed no more count as well: time alone changes no tag.
    """
    views = [dataset_view(dataset) for _, dataset in sorted(datasets.items())]
    return hashlib.blake2b(json_text(views).encode("ascii"), digest_size=16).hexdigest()


def nodes_view(nodes: PMap[NodeId, NodeObservation]) -> list[dict[str, Any]]:
    """
    The nodes that are connected.
    """
    return [
        {"host": node.address, "uuid": str(node.node_id)}
        for node in sorted(nodes.values(), key=lambda node: node.node_id)
    ]


def states_view(state: State, nodes: PMap[NodeId, NodeObservation], mount_root: str) -> list[dict[str, Any]]:
    """
    Every dataset that has been made and not destroyed; with its place while it can be written to there.

    One entry per dataset and at most one primary, whatever the nodes report: only the owner can be it.
    """
    result: list[dict[str, Any]] = []
    for dataset_id, ownership in sorted(state.ownerships.items()):
        if not ownership.created or ownership.destroyed:
            continue
        view: dict[str, Any] = {"dataset_id": str(dataset_id)}
        node = nodes.get(ownership.owner)
        seen = None if node is None else node.datasets.get(dataset_id)
        if seen is not None:
            if seen.maximum_size_bytes is not None:
                view["maximum_size"] = seen.maximum_size_bytes
            if is_manifest(seen, ownership.epoch):
                view["primary"] = str(ownership.owner)
                # One constant per cluster, wherever a node that tries things out mounts it: clients never look.
                view["path"] = f"{mount_root}/{dataset_id}"
        result.append(view)
    return result


def is_manifest(seen: DatasetObservation, epoch: int) -> bool:
    """
    Whether a dataset can be written to on the owner that reports it.
    """
    return seen.mounted and seen.role is Role.OWNER and seen.epoch == epoch


def image_with_tag(image: str) -> str:
    """
    The name of an image with its tag: ``latest`` where it has none. What is named by its digest needs none.
    """
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def container_view(container: Container, mount_root: str) -> dict[str, Any]:
    """
    What is wanted of one container, as far as version 1 has words for it. Of a plain process, the image is empty.
    """
    restart: dict[str, Any] = {"name": container.restart.name.value}
    if container.restart.maximum_retry_count is not None:
        restart["maximum_retry_count"] = container.restart.maximum_retry_count
    optional: dict[str, Any] = {
        "ports": sorted(
            ({"internal": port.internal, "external": port.external} for port in container.ports if _is_tcp(port)),
            key=lambda port: (port["internal"], port["external"]),
        ),
        "links": sorted(
            (
                {"alias": link.alias.lower(), "local_port": link.local_port, "remote_port": link.remote_port}
                for link in container.links
            ),
            key=lambda link: str(link["alias"]),
        ),
        "environment": dict(container.environment),
        "volumes": [
            {"dataset_id": str(mount.dataset_id), "mountpoint": mount.path or f"{mount_root}/{mount.dataset_id}"}
            for mount in container.mounts
        ],
        "cpu_shares": container.cpu_shares,
        "memory_limit": container.memory_bytes,
        "command_line": list(container.command),
    }
    return {
        "node_uuid": str(container.node_id),
        "name": container.name,
        "image": "" if container.image is None else image_with_tag(container.image),
        "restart_policy": restart,
        **{field: found for field, found in optional.items() if found or found == 0},
    }


def _is_tcp(port: Port) -> bool:
    # Flocker knows no other.
    return port.protocol == "tcp"


def container_states_view(state: State, nodes: PMap[NodeId, NodeObservation], mount_root: str) -> list[dict[str, Any]]:
    """
    The containers that nodes report: each once, where it runs if it does.
    """
    result = []
    for name, container in sorted(state.containers.items()):
        seen = [(node_id, node.containers[name]) for node_id, node in sorted(nodes.items()) if name in node.containers]
        if seen:
            node_id, found = max(seen, key=lambda each: _runs(each[1]))
            view = container_view(container.set(node_id=node_id), mount_root)
            result.append({**view, "running": _runs(found)})
    return result


def _runs(seen: ContainerObservation) -> bool:
    return seen.phase in (ContainerPhase.RUNNING, ContainerPhase.STOPPING)

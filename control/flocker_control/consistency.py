"""
What has to hold between the records of a state; see ``flocker_control.decisions`` for the rules.

Only what a change concerns is looked at: an old inconsistency, such as a runtime that was exchanged for one that can
do less, is in nobody else's way.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyrsistent import PMap

from flocker_control.forwards import is_forwarded
from flocker_control.membership import closed, is_on, members, node_called
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import Changes, State, key_of
from flocker_py.model import Container, Dataset, DatasetId, Node, NodeId, PartitionPolicy
from flocker_py.observed import NodeObservation
from flocker_py.published_ports import clashing, port_text
from flocker_py.records import field_names
from flocker_py.runtime import FORWARDS_FIELD, LEASES_FIELD, MOUNT_PATHS_FIELD, READ_ONLY_MOUNTS_FIELD
from flocker_py.units import bytes_text

_FREE_FIELDS = ("name", "node_id", "restart")
"""What every runtime can do."""


def inconsistencies(
    before: State, after: State, changes: Changes, observed: PMap[NodeId, NodeObservation]
) -> Iterator[Refusal]:
    """
    Every rule that changes would break.

    :param before: the state, and ``after``, the same with the changes made.
    """
    put_datasets = [record for record in changes.puts.values() if isinstance(record, Dataset)]
    put_containers = [record for record in changes.puts.values() if isinstance(record, Container)]
    for record in changes.puts.values():
        if isinstance(record, Node):
            yield from _node_complaints(after, record)
    for dataset in put_datasets:
        yield from _name_complaints(after, dataset)
        yield from _place_complaints(before, after, dataset)
        yield from _room_complaints(before, after, dataset, observed)
        yield from _lease_complaints(before, after, dataset, observed)
    touched = {dataset.dataset_id for dataset in put_datasets}
    touched |= {mount.dataset_id for container in put_containers for mount in container.mounts}
    yield from _mount_complaints(after, touched)
    for container in put_containers:
        yield from _place_complaints(before, after, container)
        yield from _port_complaints(after, container)
        yield from _forward_complaints(before, after, container, observed)
        needs = _needs(container)
        known = before.containers.get(container.name)
        if known is not None and known.node_id == container.node_id:
            needs -= _needs(known)
        yield from _field_complaints(after, container, needs, observed.get(container.node_id))


def _node_complaints(state: State, node: Node) -> Iterator[Refusal]:
    if node.removed:
        return
    for other in members(state):
        if other.node_id != node.node_id and node.name is not None and other.name == node.name:
            yield Refusal.of(
                RefusalCode.NAME_IN_USE, f"node {other.node_id} is called {node.name} already", key_of(node)
            )


def _name_complaints(state: State, dataset: Dataset) -> Iterator[Refusal]:
    if dataset.name is None or dataset.deleted:
        return
    for other in state.datasets.values():
        if other.dataset_id != dataset.dataset_id and other.name == dataset.name and not other.deleted:
            yield Refusal.of(
                RefusalCode.NAME_IN_USE, f"dataset {other.dataset_id} is called {dataset.name} already", key_of(dataset)
            )


def _place_complaints(before: State, after: State, record: Dataset | Container) -> Iterator[Refusal]:
    if isinstance(record, Dataset):
        known, node_id = before.datasets.get(record.dataset_id), record.primary
        stays = record.deleted or (known is not None and known.primary == node_id)
    else:
        present, node_id = before.containers.get(record.name), record.node_id
        stays = present is not None and present.node_id == node_id
    # What is there already may stay: whoever cancels a move away from a node puts nothing new on it.
    if stays or is_on(before, record, node_id):
        return
    refusal = closed(after, node_id, key_of(record))
    if refusal is not None:
        yield refusal


def _room_complaints(
    before: State, after: State, dataset: Dataset, observed: PMap[NodeId, NodeObservation]
) -> Iterator[Refusal]:
    known, ownership = before.datasets.get(dataset.dataset_id), after.ownerships.get(dataset.dataset_id)
    if known is None or ownership is None or dataset.primary in (known.primary, ownership.owner):
        return
    owner, target = observed.get(ownership.owner), observed.get(dataset.primary)
    seen = None if owner is None else owner.datasets.get(dataset.dataset_id)
    # A target that holds a copy already needs less, and how much less is known to the pools alone.
    if seen is None or target is None or not target.storage_known or dataset.dataset_id in target.datasets:
        return
    room_bytes = room_left_bytes(after, dataset.primary, target, observed, besides=dataset.dataset_id)
    if seen.used_bytes > room_bytes:
        promised_bytes = target.free_bytes - room_bytes
        others = f", of which {bytes_text(promised_bytes)} are for what is on its way there" if promised_bytes else ""
        yield Refusal.of(
            RefusalCode.TARGET_WITHOUT_ROOM,
            f"the dataset {_called(after, dataset.dataset_id)} holds {bytes_text(seen.used_bytes)}, and node"
            f" {node_called(after, dataset.primary)} has room for {bytes_text(target.free_bytes)} only{others}: make"
            " room there, or choose another node",
            key_of(dataset),
        )


def _lease_complaints(
    before: State, after: State, dataset: Dataset, observed: PMap[NodeId, NodeObservation]
) -> Iterator[Refusal]:
    known, node = before.datasets.get(dataset.dataset_id), observed.get(dataset.primary)
    if dataset.on_partition is not PartitionPolicy.FENCE or node is None or LEASES_FIELD in node.container_fields:
        return
    if known is None or (known.primary, known.on_partition) != (dataset.primary, dataset.on_partition):
        yield Refusal.of(
            RefusalCode.FIELD_NOT_SUPPORTED,
            f"dataset {_called(after, dataset.dataset_id)}: on_partition: fence can't be kept by the runtime"
            f" {node.runtime} of node {node_called(after, dataset.primary)}, whose containers go on when the agent is"
            " killed; keep it, or choose a node with another runtime",
            key_of(dataset),
        )


def room_left_bytes(
    state: State,
    node_id: NodeId,
    node: NodeObservation,
    observed: PMap[NodeId, NodeObservation],
    *,
    besides: DatasetId | None = None,
) -> int:
    """
    The room in a node's pool, less what is still to come of the datasets on their way there.

    :param besides: a dataset that doesn't count.
    """
    room_bytes = node.free_bytes
    for dataset in state.datasets.values():
        if dataset.primary != node_id or dataset.deleted or dataset.dataset_id == besides:
            continue
        owner = state.ownerships[dataset.dataset_id].owner
        source = observed.get(owner)
        seen = None if source is None or owner == node_id else source.datasets.get(dataset.dataset_id)
        if seen is not None:
            there = node.datasets.get(dataset.dataset_id)
            room_bytes -= max(0, seen.used_bytes - (0 if there is None else there.used_bytes))
    return max(0, room_bytes)


def _mount_complaints(state: State, touched: set[DatasetId]) -> Iterator[Refusal]:
    users: dict[DatasetId, str] = {}
    for container in sorted(state.containers.values(), key=lambda container: container.name):
        for mount in container.mounts:
            if mount.dataset_id not in touched:
                continue
            yield from _use_complaints(state, container, mount.dataset_id)
            other = users.setdefault(mount.dataset_id, container.name)
            if other != container.name:
                yield Refusal.of(
                    RefusalCode.DATASET_IN_USE,
                    f"the dataset {_called(state, mount.dataset_id)} can't be used by the containers {other}"
                    f" and {container.name} at once",
                    key_of(container),
                )


def _use_complaints(state: State, container: Container, dataset_id: DatasetId) -> Iterator[Refusal]:
    dataset = state.datasets.get(dataset_id)
    if dataset is None:
        yield Refusal.of(
            RefusalCode.DATASET_UNKNOWN,
            f"container {container.name} mounts {dataset_id}, and there is no such dataset",
            key_of(container),
        )
    elif dataset.deleted:
        yield Refusal.of(
            RefusalCode.DATASET_IN_USE,
            f"the container {container.name} uses the dataset {_called(state, dataset_id)}, which can therefore not be"
            " deleted, or has been: remove the container first, or let it use another dataset",
            key_of(dataset),
        )
    elif dataset.primary != container.node_id:
        yield Refusal.of(
            RefusalCode.DATASET_ELSEWHERE,
            f"the container {container.name} is wanted on node {node_called(state, container.node_id)}, but the"
            f" dataset {_called(state, dataset_id)} that it uses on node {node_called(state, dataset.primary)}:"
            " move them together",
            key_of(dataset),
        )


def _port_complaints(state: State, container: Container) -> Iterator[Refusal]:
    if not container.ports:
        return
    for other in state.containers.values():
        if other.name == container.name or other.node_id != container.node_id:
            continue
        for port in clashing(container.ports, other.ports):
            yield Refusal.of(
                RefusalCode.PORT_IN_USE,
                f"the external port {port_text(port)} of node {node_called(state, container.node_id)} is used by"
                f" container {other.name}, and can't be used by container {container.name} too",
                key_of(container),
            )


def _forward_complaints(
    before: State, after: State, container: Container, observed: PMap[NodeId, NodeObservation]
) -> Iterator[Refusal]:
    # What both had before nodes began to forward stays as it is, or they could not be moved any more.
    known = before.containers.get(container.name)
    had = set() if known is None else {(p.external, p.protocol) for p in known.ports}
    wanted = {(p.external, p.protocol) for p in container.ports if is_forwarded(p)} - had
    if not wanted or not any(FORWARDS_FIELD in node.container_fields for node in observed.values()):
        return
    for other in after.containers.values():
        if other.name == container.name or other.node_id == container.node_id:
            continue
        for port in other.ports:
            if (port.external, port.protocol) in wanted and is_forwarded(port):
                yield Refusal.of(
                    RefusalCode.PORT_IN_USE,
                    f"the external port {port.external}/{port.protocol} leads to container {other.name} on every node"
                    f" that forwards ports, and can't lead to container {container.name} too: choose another",
                    key_of(container),
                )


def _field_complaints(
    state: State, container: Container, needs: set[str], node: NodeObservation | None
) -> Iterator[Refusal]:
    # What a node can do that has no session is unknown; it will say so itself when it comes to running the container.
    if node is None:
        return
    for field in sorted(needs - set(node.container_fields)):
        yield Refusal.of(
            RefusalCode.FIELD_NOT_SUPPORTED,
            f"container {container.name}: {field} can't be done by the runtime {node.runtime} of node"
            f" {node_called(state, container.node_id)}; leave it out, or choose another node",
            key_of(container),
        )


def _needs(container: Container) -> set[str]:
    plain = Container(name=container.name, node_id=container.node_id)
    needs = {
        field
        for field in field_names(Container)
        if field not in _FREE_FIELDS and getattr(container, field) != getattr(plain, field)
    }
    needs |= {MOUNT_PATHS_FIELD for mount in container.mounts if mount.path is not None}
    return needs | {READ_ONLY_MOUNTS_FIELD for mount in container.mounts if mount.read_only}


def _called(state: State, dataset_id: DatasetId) -> str:
    dataset = state.datasets.get(dataset_id)
    return str(dataset_id) if dataset is None or dataset.name is None else dataset.name

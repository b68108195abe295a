"""
Where to put what is on a node that is drained.

What goes together moves together: a container with its datasets, a dataset that none uses, a container without any.
Each of these groups goes to the node that has most room left, or, where it has no data, to the one with the fewest
containers; those with most data choose first. A node that is drained, removed or not connected is none to go to, nor
is one on which any rule of ``flocker_control.consistency`` would be broken: room, ports, what its runtime can do.

The same situation leads to the same placement. What finds no place stays where it is, with the reason of every node.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from pyrsistent import PMap, PVector, pvector

from flocker_control.commands import Command, DrainNode, PutContainer, StartMove
from flocker_control.consistency import room_left_bytes
from flocker_control.decisions import decide, refusals
from flocker_control.membership import members, node_called
from flocker_control.refusals import Refusal
from flocker_control.state import State, changed
from flocker_py.model import Container, ContainerName, DatasetId, NodeId
from flocker_py.observed import NodeObservation
from flocker_py.records import Record, sequence, value

_NONE = type(None)


class Group(Record):
    """
    What moves together.

    :param container: None: a dataset that no container uses.
    """

    container: ContainerName | None = value((str, _NONE), default=None)
    dataset_ids: PVector[DatasetId] = sequence(UUID, default=())


class Placement(Record):
    """
    Where a group goes, and the command that sends it there.
    """

    group: Group = value(Group)
    target: NodeId = value(UUID)
    command: Command = value(Record)


class Unplaced(Record):
    """
    A group that stays, with what was in the way, for people.
    """

    group: Group = value(Group)
    reasons: PVector[str] = sequence(str, default=())


class Evacuation(Record):
    """
    What becomes of everything on a node.

    :param leaving: groups that are on their way to another node already.
    """

    placed: PVector[Placement] = sequence(Placement, default=())
    unplaced: PVector[Unplaced] = sequence(Unplaced, default=())
    leaving: PVector[Group] = sequence(Group, default=())


def evacuation(state: State, node_id: NodeId, observed: PMap[NodeId, NodeObservation]) -> Evacuation:
    """
    Where everything on a node could go, as far as the nodes tell now.
    """
    state = _after(state, DrainNode(node_id=node_id), observed)
    placed: list[Placement] = []
    unplaced: list[Unplaced] = []
    leaving: list[Group] = []
    groups = sorted(_groups(state, node_id), key=lambda group: (-_used_bytes(state, group, observed), _name(group)))
    for group in groups:
        if _is_leaving(state, group, node_id):
            leaving.append(group)
            continue
        found = _place(state, group, node_id, observed)
        if isinstance(found, Unplaced):
            unplaced.append(found)
            continue
        placed.append(found)
        state = _after(state, found.command, observed)
    return Evacuation(placed=pvector(placed), unplaced=pvector(unplaced), leaving=pvector(leaving))


def _after(state: State, command: Command, observed: PMap[NodeId, NodeObservation]) -> State:
    changes = decide(state, command, observed)
    return state if isinstance(changes, Refusal) else changed(state, changes, revision=state.revision)


def _groups(state: State, node_id: NodeId) -> Iterator[Group]:
    used: set[DatasetId] = set()
    for container in state.containers.values():
        dataset_ids = [mount.dataset_id for mount in container.mounts]
        used.update(dataset_ids)
        if container.node_id == node_id or any(_belongs(state, i, node_id) for i in dataset_ids):
            yield Group(container=container.name, dataset_ids=pvector(dataset_ids))
    for dataset_id in state.datasets:
        if dataset_id not in used and _belongs(state, dataset_id, node_id):
            yield Group(dataset_ids=pvector([dataset_id]))


def _belongs(state: State, dataset_id: DatasetId, node_id: NodeId) -> bool:
    dataset, ownership = state.datasets[dataset_id], state.ownerships[dataset_id]
    return not dataset.deleted and node_id in (dataset.primary, ownership.owner)


def _is_leaving(state: State, group: Group, node_id: NodeId) -> bool:
    if group.container is not None and state.containers[group.container].node_id == node_id:
        return False
    # What was sent back, or given up, doesn't go where it is wanted.
    return all(
        state.datasets[i].primary not in (node_id, state.ownerships[i].refused_primary) for i in group.dataset_ids
    )


def _used_bytes(state: State, group: Group, observed: PMap[NodeId, NodeObservation]) -> int:
    total = 0
    for dataset_id in group.dataset_ids:
        node = observed.get(state.ownerships[dataset_id].owner)
        seen = None if node is None else node.datasets.get(dataset_id)
        total += 0 if seen is None else seen.used_bytes
    return total


def _name(group: Group) -> str:
    return group.container if group.container is not None else str(group.dataset_ids[0])


def _place(
    state: State, group: Group, node_id: NodeId, observed: PMap[NodeId, NodeObservation]
) -> Placement | Unplaced:
    away = {state.ownerships[i].owner for i in group.dataset_ids if state.ownerships[i].created} - set(observed)
    if away:
        names = ", ".join(sorted(node_called(state, owner) for owner in away))
        return Unplaced(group=group, reasons=pvector([f"node {names}, which has the data, is not connected"]))
    reasons: list[str] = []
    for target in _candidates(state, group, node_id, observed):
        command = _command(state, group, target)
        found = refusals(state, command, observed)
        if not found:
            return Placement(group=group, target=target, command=command)
        reasons += (refusal.text for refusal in found)
    if not reasons:
        reasons.append("there is no other node that is connected, knows its pool, and isn't drained")
    return Unplaced(group=group, reasons=pvector(dict.fromkeys(reasons)))


def _candidates(state: State, group: Group, node_id: NodeId, observed: PMap[NodeId, NodeObservation]) -> list[NodeId]:
    def rank(target: NodeId) -> tuple[int, int, str]:
        room_bytes = room_left_bytes(state, target, observed[target], observed)
        containers = sum(container.node_id == target for container in state.containers.values())
        return (-room_bytes, containers, str(target)) if group.dataset_ids else (containers, -room_bytes, str(target))

    return sorted(
        (
            node.node_id
            for node in members(state)
            if node.node_id != node_id and not node.draining and _is_known(observed.get(node.node_id), group)
        ),
        key=rank,
    )


def _is_known(node: NodeObservation | None, group: Group) -> bool:
    # What a pool has and has room for is not known before its node has looked at it.
    return node is not None and (node.storage_known or not group.dataset_ids)


def _command(state: State, group: Group, target: NodeId) -> Command:
    if group.dataset_ids:
        return StartMove(dataset_id=group.dataset_ids[0], target=target)
    assert group.container is not None  # noqa: S101  # a group has one or the other
    container: Container = state.containers[group.container]
    return PutContainer(container=container.set(node_id=target))

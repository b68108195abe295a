"""
Which nodes belong to the cluster, which of them take anything new, and what keeps one from being removed.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyrsistent import PMap

from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import State
from flocker_py.model import Container, Dataset, Node, NodeId, Ownership
from flocker_py.observed import ContainerPhase, NodeObservation


def members(state: State) -> tuple[Node, ...]:
    """
    The nodes of the cluster, those left out that were removed.
    """
    return tuple(node for node in state.nodes.values() if not node.removed)


def node_called(state: State, node_id: NodeId) -> str:
    """
    What users call a node.
    """
    node = state.nodes.get(node_id)
    return str(node_id) if node is None or node.name is None else node.name


def removed_text(state: State, node_id: NodeId) -> str | None:
    """
    Why a node is not heard, for whoever reads its log; None: it is.
    """
    node = state.nodes.get(node_id)
    if node is None or not node.removed:
        return None
    return (
        f"node {node_id} was removed from this cluster, and is not heard. To let it in again: flockerctl readmit"
        f" {node_id}. Otherwise stop its agent"
    )


def closed(state: State, node_id: NodeId, about: str) -> Refusal | None:
    """
    Why nothing new may be put on a node; None: it may.

    :param about: the key of the record that would be put there.
    """
    node = state.nodes.get(node_id)
    if node is None:
        return None
    name = node_called(state, node_id)
    if node.removed:
        text = f"node {name} was removed from this cluster: choose another, or let it in again: flockerctl readmit"
        return Refusal.of(RefusalCode.NODE_REMOVED, f"{text} {node_id}", about)
    if node.draining:
        text = f"node {name} is being drained, and takes nothing new: choose another, or end that: flockerctl undrain"
        return Refusal.of(RefusalCode.NODE_DRAINING, f"{text} {name}", about)
    return None


def is_on(state: State, record: Dataset | Container, node_id: NodeId) -> bool:
    """
    Whether a dataset, or all the datasets of a container, belong to a node already: then nothing new comes with them.
    """
    ids = [record.dataset_id] if isinstance(record, Dataset) else [mount.dataset_id for mount in record.mounts]
    owned = [state.ownerships[i].owner for i in ids if i in state.ownerships]
    return bool(owned) and all(owner == node_id for owner in owned)


def holdings(
    state: State, node_id: NodeId, observed: PMap[NodeId, NodeObservation], *, leftovers: bool = True
) -> Iterator[str]:
    """
    All that keeps a node in the cluster, for people.

    :param leftovers: copies of what belongs to others count, too.
    """
    for dataset_id in sorted(state.ownerships, key=str):
        dataset, ownership = state.datasets[dataset_id], state.ownerships[dataset_id]
        text = None if ownership.destroyed else _tie(dataset, ownership, node_id, leftovers=leftovers)
        if text is not None:
            yield f"{text} dataset {dataset.name or dataset_id}"
    for container in sorted(state.containers.values(), key=lambda container: container.name):
        if container.node_id == node_id:
            yield f"wanted there: container {container.name}"
    node = observed.get(node_id)
    if node is None:
        return
    for name, seen in sorted(node.containers.items()):
        if seen.phase is not ContainerPhase.EXITED:
            yield f"running there: container {name}"
    for dataset_id in sorted(node.datasets, key=str):
        known = state.datasets.get(dataset_id)
        name_or_id = dataset_id if known is None or known.name is None else known.name
        yield f"in its pool: dataset {name_or_id}"
    for stash in sorted(node.stashes):
        yield f"in its pool: stash {stash}"


def without_leftovers(ownership: Ownership, node_id: NodeId) -> Ownership:
    """
    An ownership that waits for nothing which a node may still have.
    """
    return ownership.set(
        handed_over=ownership.handed_over.discard(node_id),
        deposed=ownership.deposed.discard(node_id),
        bases=ownership.bases.discard(node_id),
    )


def _tie(dataset: Dataset, ownership: Ownership, node_id: NodeId, *, leftovers: bool) -> str | None:
    move = ownership.move
    if ownership.owner == node_id:
        return "owned by it:"
    if move is not None and node_id in (move.source, move.target):
        return "moving from or to it:"
    if dataset.primary == node_id and not dataset.deleted:
        return "wanted there:"
    if not leftovers:
        return None
    if node_id in ownership.handed_over:
        return "not yet removed from it: its former copy of"
    if node_id in ownership.deposed:
        return "not yet put aside on it: what it has of"
    return "put aside on it: a stash of" if node_id in ownership.bases else None

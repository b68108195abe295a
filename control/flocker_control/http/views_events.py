"""
Changes in words, for the feed of events.
"""

from __future__ import annotations

from typing import Any, assert_never

from flocker_control.absence import Absence
from flocker_control.state import Changes, State, Stored
from flocker_py.model import Container, Dataset, DatasetId, DatasetLease, Node, NodeId, Ownership, StashWish

_SUBJECTS = {"ownership": "dataset", "absence": "node", "lease": "dataset"}
_DELETED_TEXTS = {
    "absence": "has a connection again",
    "stash": "is as it was wanted, or gone",
    "lease": "is leased no more",
}


def committed_view(state: State, revision: int, changes: Changes) -> dict[str, Any]:
    """
    What a commit has changed.

    :param state: for names: any that knows the things concerned.
    """
    views = [_change_view(state, record) for _, record in sorted(changes.puts.items())]
    for key in sorted(changes.deletes):
        kind, _, name = key.partition("/")
        text = _DELETED_TEXTS.get(kind, "was removed")
        views.append(
            {
                "kind": kind,
                "id": name,
                "name": name,
                "deleted": True,
                "text": f"{_SUBJECTS.get(kind, kind)} {name} {text}",
            }
        )
    return {"revision": revision, "changes": views}


def _change_view(state: State, record: Stored) -> dict[str, Any]:
    match record:
        case Node():
            kind, identity, name = "node", str(record.node_id), record.name
            text = f"at {record.address or 'an unknown address'}{_node_text(record)}"
        case Dataset():
            kind, identity, name = "dataset", str(record.dataset_id), record.name
            text = "to be deleted" if record.deleted else f"wanted on node {_node_called(state, record.primary)}"
        case Ownership():
            kind, identity = "ownership", str(record.dataset_id)
            name = _dataset_name(state, record.dataset_id)
            text = _ownership_text(state, record)
        case Container():
            kind, identity, name = "container", record.name, record.name
            text = f"wanted on node {_node_called(state, record.node_id)}"
        case StashWish():
            kind, identity, name = "stash", f"{record.node_id}/{record.name}", record.name
            wish = "destroyed" if record.dropped else "readable" if record.mounted else "unmounted"
            text = f"wanted {wish} on node {_node_called(state, record.node_id)}"
        case DatasetLease():
            kind, identity = "lease", str(record.dataset_id)
            name = _dataset_name(state, record.dataset_id)
            waits = "" if record.kept is None else ", and what is wanted of it waits for that"
            text = f"leased to node {_node_called(state, record.node_id)}{waits}"
        case Absence():
            kind, identity = "absence", str(record.node_id)
            name = _node_called(state, record.node_id)
            text = "no connection"
        case _:
            assert_never(record)
    called = name or identity
    subject = f"{_SUBJECTS.get(kind, kind)} {called}"
    return {"kind": kind, "id": identity, "name": name, "deleted": False, "text": f"{subject}: {text}"}


def _node_text(node: Node) -> str:
    if node.removed:
        return ", removed from the cluster"
    return ", being drained" if node.draining else ""


def _ownership_text(state: State, ownership: Ownership) -> str:
    if ownership.destroyed:
        return "deleted, and no copy is left"
    owner = f"owned by node {_node_called(state, ownership.owner)} under epoch {ownership.epoch}"
    if not ownership.created:
        return f"{owner}, not made yet"
    if ownership.move is not None:
        return f"{owner}, moving to node {_node_called(state, ownership.move.target)}: {ownership.move.phase.value}"
    if ownership.last_move is not None:
        last = ownership.last_move
        reason = "" if last.reason in ("", last.outcome.value) else f": {last.reason}"
        return f"{owner}, last move {last.outcome.value}{reason}"
    return owner


def _dataset_name(state: State, dataset_id: DatasetId) -> str | None:
    dataset = state.datasets.get(dataset_id)
    return None if dataset is None else dataset.name


def _node_called(state: State, node_id: NodeId) -> str:
    node = state.nodes.get(node_id)
    return str(node_id) if node is None or node.name is None else node.name

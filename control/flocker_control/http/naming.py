"""
What users call things: names, ids in any case, and for nodes also addresses.
"""

from __future__ import annotations

from uuid import UUID

from flocker_control.http.answers import RequestRefused
from flocker_control.membership import members
from flocker_control.refusals import RefusalCode
from flocker_control.state import State
from flocker_py.model import DatasetId, NodeId


def uuid_of(text: str) -> UUID | None:
    """
    The UUID that a text of 36 characters spells; None: it is none.
    """
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def found_node(state: State, text: str, *, removed: bool = False) -> NodeId | None:
    """
    The node that has this id, name or address; None: there is no such node, or more than one is called so.

    :param removed: by name and address, look among the nodes that were removed. An id means one node in any case.
    """
    node_id = uuid_of(text)
    if node_id is not None:
        return NodeId(node_id) if node_id in state.nodes else None
    nodes = [node for node in state.nodes.values() if node.removed] if removed else members(state)
    named = [node.node_id for node in nodes if node.name == text]
    named = named or [node.node_id for node in nodes if node.address == text]
    return named[0] if len(named) == 1 else None


def known_node(state: State, text: str, *, removed: bool = False) -> NodeId:
    """
    The node that is called so.

    :param removed: see ``found_node``.
    :raises RequestRefused: there is none.
    """
    node_id = found_node(state, text, removed=removed)
    if node_id is None:
        known = ", ".join(sorted(node.name or str(node.node_id) for node in members(state))) or "none"
        raise RequestRefused(
            404, RefusalCode.NODE_UNKNOWN.text, f"There is no node {text!r}. The nodes of this cluster: {known}."
        )
    return node_id


def found_dataset(state: State, text: str) -> DatasetId | None:
    """
    The dataset that has this name or id; None: there is none. The name of a deleted dataset is forgotten.
    """
    dataset_id = uuid_of(text)
    if dataset_id is not None:
        return DatasetId(dataset_id) if dataset_id in state.datasets else None
    for dataset in state.datasets.values():
        if dataset.name == text and not dataset.deleted:
            return dataset.dataset_id
    return None


def known_dataset(state: State, text: str) -> DatasetId:
    """
    The dataset that is called so.

    :raises RequestRefused: there is none.
    """
    dataset_id = found_dataset(state, text)
    if dataset_id is None:
        raise RequestRefused(404, RefusalCode.DATASET_UNKNOWN.text, f"There is no dataset {text!r}.")
    return dataset_id

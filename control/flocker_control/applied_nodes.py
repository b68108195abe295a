"""
The nodes of a deployment document, found in the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flocker_control.commands import Command, PutNode
from flocker_control.membership import members
from flocker_control.state import State
from flocker_control.steps import Step
from flocker_py.deployed import DeployedNode, Deployment, NodeReference
from flocker_py.documents import Complaint, Pointer
from flocker_py.model import Node, NodeId


class ResolvedNodes:
    """
    Which node each name of the document means. Immutable.

    :param listed: of those that were found.
    :param commands: that make the cluster call them so, each with its steps.
    """

    def __init__(
        self,
        *,
        state: State,
        listed: Mapping[str, NodeId],
        names: Iterable[str],
        commands: tuple[tuple[Command, tuple[Step, ...]], ...],
        complaints: tuple[Complaint, ...],
        warnings: tuple[str, ...],
    ) -> None:
        self.listed = listed
        self.commands = commands
        self.complaints = complaints
        self.warnings = warnings
        self._names = frozenset(names)
        self._state = state
        self._by_id = {node_id: name for name, node_id in listed.items()}

    def of(self, reference: NodeReference) -> NodeId | None:
        """
        The node that a reference means; None: the cluster has none.
        """
        return self.listed.get(reference) if reference in self._names else _unlisted(self._state, reference)

    def is_unlisted(self, reference: NodeReference) -> bool:
        """
        Whether a reference is an id or address of a node that the document doesn't list.
        """
        return reference not in self._names

    def unknown_text(self, reference: str) -> str:
        """
        What to say of a reference to no node.
        """
        return _unknown_text(self._state, reference)

    def called(self, node_id: NodeId) -> str:
        """
        What the reader of the document calls a node.
        """
        node = self._state.nodes.get(node_id)
        present = None if node is None else node.name
        return self._by_id.get(node_id) or present or str(node_id)


def resolved_nodes(deployment: Deployment, state: State) -> ResolvedNodes:
    """
    The nodes that a document lists, found by id, address or name; and complaints about those that aren't there.
    """
    listed: dict[str, NodeId] = {}
    complaints: list[Complaint] = []
    warnings: list[str] = []
    for name, wanted in sorted(deployment.nodes.items()):
        found = _found(state, wanted)
        if isinstance(found, Complaint):
            complaints.append(found)
            continue
        twin = next((other for other, node_id in listed.items() if node_id == found.node_id), None)
        if twin is not None:
            text = f"this is the same node as {twin}: {found.node_id}"
            complaints.append(Complaint(pointer=("nodes", name), text=text))
        listed[name] = found.node_id
        if wanted.address is not None and found.address not in (None, wanted.address):
            warnings.append(f"node {name} is at {found.address}, not at {wanted.address}: its agent's own word counts")
    commands = [
        part
        for name, node_id in sorted(listed.items())
        for part in _node_commands(state.nodes[node_id], deployment.nodes[name])
    ]
    return ResolvedNodes(
        state=state,
        listed=listed,
        names=deployment.nodes,
        commands=tuple(commands),
        complaints=tuple(complaints),
        warnings=tuple(warnings),
    )


def _found(state: State, wanted: DeployedNode) -> Node | Complaint:
    if wanted.node_id is not None:
        by_id = [node for node in members(state) if node.node_id == wanted.node_id]
        pointer: Pointer = ("nodes", wanted.name, "uuid")
        return by_id[0] if by_id else Complaint(pointer=pointer, text=_unknown_text(state, str(wanted.node_id)))
    if wanted.address is None:
        by_name = [node for node in members(state) if node.name == wanted.name]
        text = _unknown_text(state, wanted.name, "Give its uuid or address, by which it is recognised the first time")
        return by_name[0] if by_name else Complaint(pointer=("nodes", wanted.name), text=text)
    pointer = ("nodes", wanted.name, "address")
    by_address = [node for node in members(state) if node.address == wanted.address]
    if len(by_address) > 1:
        ids = ", ".join(sorted(str(node.node_id) for node in by_address))
        return Complaint(
            pointer=pointer, text=f"more than one node is at {wanted.address}: give the uuid, one of {ids}"
        )
    return by_address[0] if by_address else Complaint(pointer=pointer, text=_unknown_text(state, wanted.address))


def _unlisted(state: State, reference: str) -> NodeId | None:
    by_address = [node.node_id for node in members(state) if node.address == reference]
    if len(by_address) == 1:
        return by_address[0]
    known = {str(node.node_id): node.node_id for node in members(state)}
    return known.get(reference)


def _unknown_text(state: State, reference: str, hint: str = "") -> str:
    for node in state.nodes.values():
        if node.removed and reference in (str(node.node_id), node.name, node.address):
            return (
                f"node {reference} was removed from this cluster: leave it out, or let it in again: flockerctl readmit"
                f" {node.node_id}"
            )
    known = ", ".join(sorted(_described(node) for node in members(state))) or "none yet"
    return (
        f"no node {reference} has ever connected to the control service: start its agent, or correct this."
        f" Nodes of the cluster: {known}{f'. {hint}' if hint else ''}"
    )


def _described(node: Node) -> str:
    return f"{node.name or node.node_id} at {node.address or 'an unknown address'}"


def _node_commands(node: Node, wanted: DeployedNode) -> Iterable[tuple[Command, tuple[Step, ...]]]:
    steps = []
    if node.name != wanted.name:
        before = "" if node.name is None else f", until now {node.name}"
        text = f"call the node {node.node_id}{before} {wanted.name}"
        steps.append(Step(action="name-node", kind="node", name=wanted.name, text=text))
    if wanted.labels is not None and wanted.labels != node.labels:
        text = f"give the node {wanted.name} other labels"
        steps.append(Step(action="update", kind="node", name=wanted.name, text=text))
    if steps:
        yield PutNode(node_id=node.node_id, name=wanted.name, labels=wanted.labels), tuple(steps)

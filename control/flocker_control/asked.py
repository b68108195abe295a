"""
What is asked of each node, kept up from one commit to the next: a change costs what it touches, not the whole cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyrsistent import PMap, pmap

from flocker_control import slices
from flocker_control.forwards import PublishedPorts, serving_node
from flocker_control.preparing import preparing_nodes
from flocker_control.situation import Situation
from flocker_control.state import State
from flocker_py.assignment import DatasetAssignment, NodeAssignment
from flocker_py.model import ContainerName, DatasetId, NodeId
from flocker_py.observed import ContainerPhase, NodeObservation
from flocker_py.runtime import FORWARDS_FIELD


class Look:
    """
    The cluster at one moment.

    :param situation: of one dataset, at that moment.
    """

    def __init__(
        self, *, state: State, nodes: PMap[NodeId, NodeObservation], situation: Callable[[DatasetId], Situation]
    ) -> None:
        self.state = state
        self.nodes = nodes
        self.situation = situation

    def runs_elsewhere(self, name: ContainerName, node_id: NodeId) -> bool:
        """
        Whether a container is seen to run on another node than this one.
        """
        return any(
            other != node_id and seen.phase is not ContainerPhase.EXITED
            for other, node in self.nodes.items()
            if (seen := node.containers.get(name)) is not None
        )


class AskedOfNodes:
    """
    The slice of each node.
    """

    def __init__(self) -> None:
        self._slices: dict[NodeId, NodeAssignment] = {}
        self._assigned: dict[DatasetId, PMap[NodeId, DatasetAssignment]] = {}
        self._placed: dict[ContainerName, NodeId] = {}
        self._concerned: dict[NodeId, set[DatasetId]] = {}
        self._ports = PublishedPorts()
        self._forwarding: set[NodeId] = set()
        self._preparing: dict[ContainerName, frozenset[NodeId]] = {}

    def slice(self, node_id: NodeId, revision: int) -> NodeAssignment:
        """
        All that is asked of a node.

        :param revision: of the state, for a node of which nothing was ever asked.
        """
        return self._slices.get(node_id) or NodeAssignment(node_id=node_id, revision=revision)

    def runs_on(self, name: ContainerName) -> NodeId | None:
        """
        The node that is asked to run a container.
        """
        return self._placed.get(name)

    def concerning(self, node_id: NodeId) -> set[DatasetId]:
        """
        The datasets of which something is asked of a node, or once was.
        """
        return self._concerned.get(node_id, set())

    @property
    def ports(self) -> PublishedPorts:
        """
        The ports that containers publish at present, and where.
        """
        return self._ports

    def publishing_on(self, node_id: NodeId) -> frozenset[ContainerName]:
        """
        The containers that publish ports on a node.
        """
        return self._ports.on(node_id)

    def came(self, node: NodeObservation, state: State) -> None:
        """
        A node has opened a session. One that forwards ports is asked at once where they lead: told later, it would take
        away what it has, and clients would be turned away.
        """
        node_id, forwards = node.node_id, FORWARDS_FIELD in node.container_fields
        (self._forwarding.add if forwards else self._forwarding.discard)(node_id)
        asked = self._ports.forwards(node_id, state.nodes) if forwards else pmap()
        part = self.slice(node_id, state.revision)
        if part.forwards != asked:
            self._slices[node_id] = part.set(forwards=asked)

    def keep_up(
        self,
        look: Look,
        touched: Iterable[DatasetId],
        containers: Iterable[ContainerName],
        stashes: Iterable[NodeId],
    ) -> set[NodeId]:
        """
        Ask what is to be asked now of datasets and containers that may have changed, and of stashes that these nodes
        have.

        :returns: the nodes of which something else is asked than before.
        """
        changed_nodes: set[NodeId] = set()
        for dataset_id in touched:
            if dataset_id in look.state.ownerships:
                changed_nodes |= self._assign(look, dataset_id)
        ports: set[str] = set()
        for name in containers:
            changed_nodes |= self._place(look, name)
            changed_nodes |= self._prepare(look, name)
            ports |= self._publish(look, name)
        changed_nodes |= self._forward(look, ports)
        changed_nodes |= self._assign_stashes(look, frozenset(touched), stashes)
        for node_id in changed_nodes:
            self._slices[node_id] = self._slice(look, node_id).set(revision=look.state.revision)
        return changed_nodes

    def _slice(self, look: Look, node_id: NodeId) -> NodeAssignment:
        return self.slice(node_id, look.state.revision)

    def _assign(self, look: Look, dataset_id: DatasetId) -> set[NodeId]:
        changed_nodes: set[NodeId] = set()
        before = self._assigned.get(dataset_id, pmap())
        after = slices.assignments(look.situation(dataset_id))
        self._assigned[dataset_id] = after
        for node_id in {*before, *after}:
            self._concerned.setdefault(node_id, set()).add(dataset_id)
            if before.get(node_id) == after.get(node_id):
                continue
            part = self._slice(look, node_id)
            datasets = (
                part.datasets.set(dataset_id, after[node_id]) if node_id in after else part.datasets.discard(dataset_id)
            )
            self._slices[node_id] = part.set(datasets=datasets)
            changed_nodes.add(node_id)
        return changed_nodes

    def _assign_stashes(self, look: Look, touched: frozenset[DatasetId], node_ids: Iterable[NodeId]) -> set[NodeId]:
        changed_nodes = set()
        concerned = {n for n, node in look.nodes.items() if any(s.dataset_id in touched for s in node.stashes.values())}
        for node_id in concerned | {n for n in node_ids if n in look.nodes}:
            node, part = look.nodes[node_id], self._slice(look, node_id)
            of = {s.dataset_id for s in node.stashes.values() if s.dataset_id in look.state.ownerships}
            asked = slices.stash_assignments(node, look.state.stash_wishes, {d: look.situation(d) for d in of})
            if asked != part.stashes:
                self._slices[node_id] = part.set(stashes=asked)
                changed_nodes.add(node_id)
        return changed_nodes

    def _prepare(self, look: Look, name: ContainerName) -> set[NodeId]:
        container = look.state.containers.get(name)
        before, after = self._preparing.pop(name, frozenset()), preparing_nodes(container, look.state.ownerships)
        changed_nodes = set()
        for node_id in before | after:
            part = self._slice(look, node_id)
            asked = part.preparing.discard(name)
            if container is not None and node_id in after:
                asked = asked.set(name, container)
            if asked != part.preparing:
                self._slices[node_id] = part.set(preparing=asked)
                changed_nodes.add(node_id)
        if after:
            self._preparing[name] = after
        return changed_nodes

    def _publish(self, look: Look, name: ContainerName) -> set[str]:
        container, state = look.state.containers.get(name), look.state
        node_id = None
        if container is not None:
            node_id = serving_node(container, self._placed.get(name), state.datasets, state.ownerships)
        return self._ports.changed(name, container, node_id)

    def _forward(self, look: Look, ports: set[str]) -> set[NodeId]:
        changed_nodes = set()
        for node_id in self._forwarding if ports else ():
            part = self._slice(look, node_id)
            asked = self._ports.forwards(node_id, look.state.nodes, ports)
            after = part.forwards.update(asked)
            for key in ports - set(asked):
                after = after.discard(key)
            if after != part.forwards:
                self._slices[node_id] = part.set(forwards=after)
                changed_nodes.add(node_id)
        return changed_nodes

    def _place(self, look: Look, name: ContainerName) -> set[NodeId]:
        container = look.state.containers.get(name)
        before = self._placed.get(name)
        after = None
        if container is not None:
            after = slices.runs_on(container, look.state.datasets, look.state.ownerships)
        if after is not None and after != before and look.runs_elsewhere(name, after):
            after = None
        changed_nodes: set[NodeId] = set()
        if before is not None and before != after:
            part = self._slice(look, before)
            self._slices[before] = part.set(containers=part.containers.discard(name))
            changed_nodes.add(before)
        if after is None:
            self._placed.pop(name, None)
        elif container is not None:
            self._placed[name] = after
            part = self._slice(look, after)
            if part.containers.get(name) != container:
                self._slices[after] = part.set(containers=part.containers.set(name, container))
                changed_nodes.add(after)
        return changed_nodes

"""
Where ports that containers publish lead, from nodes that forward them.

A service is where its container is asked to run; while it is asked to run nowhere, since its data is being moved, it is
where the data is. So a port leads to the source of a move until the move is committed, and to its target from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyrsistent import PMap, pmap, pvector

from flocker_py.assignment import Forward
from flocker_py.model import Container, ContainerName, Dataset, DatasetId, Node, NodeId, Ownership, Port


def is_forwarded(port: Port) -> bool:
    """
    Whether a port may be reached at other nodes than its own. One that is published at an address of its own isn't.
    """
    return port.host_address is None


def port_key(protocol: str, port: int) -> str:
    """
    What a published port is known by among all nodes that forward.
    """
    return f"{protocol}/{port}"


def serving_node(
    container: Container,
    placed: NodeId | None,
    datasets: Mapping[DatasetId, Dataset],
    ownerships: Mapping[DatasetId, Ownership],
) -> NodeId | None:
    """
    The node where clients find a container; None: nowhere at present.

    :param placed: the node that is asked to run it; None: none is.
    """
    if placed is not None or not container.mounts:
        return placed or container.node_id
    owners: set[NodeId] = set()
    for mount in container.mounts:
        dataset, ownership = datasets.get(mount.dataset_id), ownerships.get(mount.dataset_id)
        if dataset is None or ownership is None or dataset.deleted:
            return None
        owners.add(ownership.owner)
    return owners.pop() if len(owners) == 1 else None


class PublishedPorts:
    """
    The ports that containers publish, and where; kept up container by container.
    """

    def __init__(self) -> None:
        self._of: dict[ContainerName, tuple[NodeId, tuple[Port, ...]]] = {}
        self._publishers: dict[str, dict[ContainerName, NodeId]] = {}
        self._ports: dict[str, Port] = {}
        self._on: dict[NodeId, set[ContainerName]] = {}

    def on(self, node_id: NodeId) -> frozenset[ContainerName]:
        """
        The containers that publish ports on a node.
        """
        return frozenset(self._on.get(node_id, ()))

    def publishers(self, protocol: str, port: int) -> Mapping[ContainerName, NodeId]:
        """
        The containers that publish a port, and where each is.
        """
        return self._publishers.get(port_key(protocol, port), {})

    def changed(self, name: ContainerName, container: Container | None, node_id: NodeId | None) -> set[str]:
        """
        A container may be on another node than before, or publish other ports.

        :param container: None: it is wanted no more.
        :param node_id: None: it is nowhere.
        :returns: the keys of ports that may lead elsewhere now.
        """
        ports = () if container is None else tuple(port for port in container.ports if is_forwarded(port))
        keys = {port_key(port.protocol, port.external) for port in self._forget(name)}
        if node_id is None or not ports:
            return keys
        self._of[name] = (node_id, ports)
        self._on.setdefault(node_id, set()).add(name)
        for port in ports:
            key = port_key(port.protocol, port.external)
            self._publishers.setdefault(key, {})[name] = node_id
            self._ports[key] = port
            keys.add(key)
        return keys

    def _forget(self, name: ContainerName) -> tuple[Port, ...]:
        known = self._of.pop(name, None)
        if known is None:
            return ()
        node_id, ports = known
        self._on[node_id].discard(name)
        for port in ports:
            self._publishers[port_key(port.protocol, port.external)].pop(name)
        return ports

    def forwards(
        self, node_id: NodeId, nodes: Mapping[NodeId, Node], keys: Iterable[str] | None = None
    ) -> PMap[str, Forward]:
        """
        Where ports lead from a node. One that a container on the node itself publishes is served there.

        :param nodes: with their addresses; what is on a node whose address isn't known leads nowhere yet.
        :param keys: of the ports to answer about; None: all.
        """
        result = {}
        for key in self._publishers if keys is None else keys:
            publishers = self._publishers.get(key, {})
            targets = set(publishers.values())
            if not targets or node_id in targets:
                continue
            address = None
            if len(targets) == 1:
                target = nodes.get(targets.pop())
                if target is None or target.address is None:
                    continue
                address = target.address
            port = self._ports[key]
            result[key] = Forward(
                protocol=port.protocol,
                port=port.external,
                containers=pvector(sorted(publishers)),
                address=address,
            )
        return pmap(result)

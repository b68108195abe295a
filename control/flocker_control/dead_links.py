"""
Links that probably lead nowhere: to a port that containers publish on other nodes alone, from one that does not lead
ports there.

They are told, and not refused: a link is a port of the container's own node, and whether a program of the host serves
it is not known here. It may also come about later, when the container at the other end moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyrsistent import PMap, pmap

from flocker_control.forwards import PublishedPorts
from flocker_control.membership import node_called
from flocker_control.state import State
from flocker_py.model import Container, ContainerName, NodeId
from flocker_py.observed import NodeObservation
from flocker_py.published_ports import is_everywhere
from flocker_py.runtime import FORWARDS_FIELD
from flocker_py.sentences import listed


def link_warnings(
    container: Container, node_id: NodeId, ports: PublishedPorts, state: State, observed: PMap[NodeId, NodeObservation]
) -> Iterator[str]:
    """
    What to say of a container's links.

    :param node_id: where the container is. Of a node without a session it isn't known whether it leads ports on.
    :param ports: that containers publish, wherever they are.
    """
    node = observed.get(node_id)
    if node is None or FORWARDS_FIELD in node.container_fields:
        return
    for link in container.links:
        publishers = ports.publishers("tcp", link.remote_port)
        if not publishers or node_id in publishers.values() or _is_served(link.remote_port, node_id, state):
            continue
        where = sorted({node_called(state, publisher) for publisher in publishers.values()})
        yield (
            f"links: {link.alias} leads nowhere: port {link.remote_port} is published by"
            f" {listed('container', sorted(publishers))} on {listed('node', where)}, and node"
            f" {node_called(state, node_id)} doesn't lead ports to other nodes. Set forwarding to enabled: true in its"
            " agent.yml, or put both on one node; only a program of that node itself may serve the port"
        )


def all_link_warnings(
    containers: Mapping[ContainerName, Container], state: State, observed: PMap[NodeId, NodeObservation]
) -> Iterator[tuple[ContainerName, str]]:
    """
    The same of many, once each is where it is wanted: the name of the container, and what to say.

    :param containers: all that there will be.
    """
    ports, after = PublishedPorts(), state.set(containers=pmap(containers))
    for container in containers.values():
        ports.changed(container.name, container, container.node_id)
    for name, container in sorted(containers.items()):
        for warning in link_warnings(container, container.node_id, ports, after, observed):
            yield name, warning


def _is_served(port: int, node_id: NodeId, state: State) -> bool:
    """
    Whether a container of a node publishes a port at all of its addresses, though for nobody else: those are in no
    index, and this is looked at only where there is something to warn of.
    """
    return any(
        each.external == port and each.protocol == "tcp" and is_everywhere(each)
        for container in state.containers.values()
        if container.node_id == node_id
        for each in container.ports
    )

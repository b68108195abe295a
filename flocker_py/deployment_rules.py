"""
What has to hold between the parts of a deployment document.

- What refers to a node or volume refers to one that the document lists; a node can also be a UUID or an address.
- No two nodes are the same one, and no two volumes.
- A volume belongs to at most one app, and is where this app runs.
- No two apps of a node have the same external port at the same address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from uuid import UUID

from pyrsistent import pmap

from flocker_py.deployed import DeployedApp, DeployedNode, DeployedVolume, Deployment, NodeReference
from flocker_py.documents import Complaint, Pointer, meant, shown
from flocker_py.model import ContainerName, NodeId, Port
from flocker_py.published_ports import excluded, port_text

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def checked(deployment: Deployment, data: object) -> Deployment | list[Complaint]:
    """
    The deployment with every reference to a node in its one spelling, and every volume that an app mounts with that
    app's node as its primary; or a complaint for every rule that it breaks.

    :param data: the document. Of two things that exclude one another, the one that it lists later is wrong; and what
        it lists but can't be read was complained about already.
    """
    listed = {section: _listed(data, section) for section in ("nodes", "volumes", "apps")}
    nodes = [deployment.nodes[name] for name in listed["nodes"] if name in deployment.nodes]
    spelling = _Spelling(deployment, listed["nodes"])
    volumes = {
        name: volume.set(primary=spelling.of(volume.primary, ("volumes", name, "primary")))
        for name in listed["volumes"]
        if (volume := deployment.volumes.get(name)) is not None
    }
    apps = [
        app.set(node=spelling.of(app.node, ("apps", name, "node")))
        for name in listed["apps"]
        if (app := deployment.apps.get(ContainerName(name))) is not None
    ]
    running = [app for app in apps if not app.deleted]
    users, used_twice = _users(running)
    complaints = [
        *(() if _unreadable(data, "nodes") else spelling.complaints),
        *_node_complaints(nodes),
        *_volume_complaints(list(volumes.values()), listed["volumes"]),
        *(complaint for app in running for complaint in _app_complaints(app)),
        *(() if _unreadable(data, "volumes") else _mount_complaints(running, volumes, listed["volumes"])),
        *used_twice,
        *_place_complaints(volumes, users),
        *_port_complaints(running),
    ]
    if complaints:
        return complaints
    for name, user in users.items():
        if name in volumes:
            volumes[name] = volumes[name].set(primary=user.node)
    return deployment.set(apps=pmap({app.name: app for app in apps}), volumes=pmap(volumes))


def _listed(data: object, section: str) -> list[str]:
    found = data.get(section) if isinstance(data, Mapping) else None
    return [str(name) for name in found] if isinstance(found, Mapping) else []


def _unreadable(data: object, section: str) -> bool:
    found = data.get(section) if isinstance(data, Mapping) else None
    return found is not None and not isinstance(found, Mapping)


class _Spelling:
    """
    The one spelling of every reference to a node, and complaints about those that refer to none.
    """

    def __init__(self, deployment: Deployment, listed: list[str]) -> None:
        self._listed = listed
        self._by_id = {node.node_id: name for name, node in deployment.nodes.items()}
        self._by_address = {node.address: name for name, node in deployment.nodes.items()}
        self.complaints: list[Complaint] = []

    def of(self, reference: NodeReference | None, pointer: Pointer) -> NodeReference | None:
        if reference is None or reference in self._listed:
            return reference
        if _UUID.fullmatch(reference):
            node_id = NodeId(UUID(reference))
            return self._by_id.get(node_id, str(node_id))
        try:
            address = str(ipaddress.ip_address(reference))
        except ValueError:
            text = f"there is no node {shown(reference)} in nodes{meant(reference, self._listed)}"
            self.complaints.append(Complaint(pointer=pointer, text=text))
            return None
        return self._by_address.get(address, address)


def _node_complaints(nodes: list[DeployedNode]) -> Iterator[Complaint]:
    yield from _twice(
        ((node.node_id, ("nodes", node.name, "uuid"), f"node {node.name}") for node in nodes), "has this UUID already"
    )
    yield from _twice(
        ((node.address, ("nodes", node.name, "address"), f"node {node.name}") for node in nodes),
        "has this address already",
    )


def _volume_complaints(volumes: list[DeployedVolume], listed: list[str]) -> Iterator[Complaint]:
    yield from _twice(
        ((volume.dataset_id, ("volumes", volume.name, "id"), f"volume {volume.name}") for volume in volumes),
        "has this id already",
    )
    yield from _twice(
        (
            (volume.renamed_from, ("volumes", volume.name, "renamed_from"), f"volume {volume.name}")
            for volume in volumes
        ),
        "had this name already",
    )
    for volume in volumes:
        if volume.renamed_from in listed:
            yield Complaint(
                pointer=("volumes", volume.name, "renamed_from"),
                text=f"volume {volume.renamed_from} is still in volumes: a name can't be both old and new",
            )


def _twice(things: Iterable[tuple[Hashable, Pointer, str]], problem: str) -> Iterator[Complaint]:
    """
    A complaint for each thing that another one is before it.

    :param things: what must be unique, or None; where it is; and who has it.
    """
    first: dict[Hashable, str] = {}
    for thing, pointer, owner in things:
        if thing is None:
            continue
        if thing in first:
            yield Complaint(pointer=pointer, text=f"{first[thing]} {problem}")
        first.setdefault(thing, owner)


def _mount_complaints(
    apps: list[DeployedApp], volumes: Mapping[str, DeployedVolume], listed: list[str]
) -> Iterator[Complaint]:
    mounts = ((app, index, mount) for app in apps for index, mount in enumerate(app.mounts))
    for app, index, mount in mounts:
        pointer: Pointer = ("apps", app.name, "mounts", index, "volume")
        volume = volumes.get(mount.volume)
        if mount.volume not in listed:
            text = f"there is no volume {shown(mount.volume)} in volumes{meant(mount.volume, volumes)}"
            yield Complaint(pointer=pointer, text=text)
        elif volume is not None and volume.deleted:
            yield Complaint(
                pointer=pointer, text=f"volume {volume.name} is to be deleted, and app {app.name} still mounts it"
            )


def _app_complaints(app: DeployedApp) -> Iterator[Complaint]:
    pointer: Pointer = ("apps", app.name)
    mounts = list(enumerate(app.mounts))
    yield from _twice(
        ((mount.volume, (*pointer, "mounts", index, "volume"), f"mount {index + 1}") for index, mount in mounts),
        "of this app is this volume already",
    )
    yield from _twice(
        ((mount.path, (*pointer, "mounts", index, "path"), f"mount {index + 1}") for index, mount in mounts),
        "of this app has this path already",
    )
    yield from _twice(
        (
            (
                (port.internal, port.protocol, port.host_address),
                (*pointer, "ports", app.port_item(index)),
                f"port {app.port_item(index) + 1}",
            )
            for index, port in enumerate(app.ports)
        ),
        "of this app has this internal port already",
    )
    links = list(enumerate(app.links))
    # A variable of the environment has both in its name.
    yield from _twice(
        (
            ((link.alias.lower(), link.local_port), (*pointer, "links", index), f"link {index + 1}")
            for index, link in links
        ),
        "of this app has this alias and local port already",
    )


def _users(apps: list[DeployedApp]) -> tuple[dict[str, DeployedApp], list[Complaint]]:
    users: dict[str, DeployedApp] = {}
    complaints = []
    for app in apps:
        for index, mount in enumerate(app.mounts):
            other = users.setdefault(mount.volume, app)
            if other is not app:
                pointer = ("apps", app.name, "mounts", index, "volume")
                text = f"app {other.name} mounts volume {mount.volume} already, and a volume has one writer"
                complaints.append(Complaint(pointer=pointer, text=text))
    return users, complaints


def _place_complaints(volumes: Mapping[str, DeployedVolume], users: Mapping[str, DeployedApp]) -> Iterator[Complaint]:
    for volume in volumes.values():
        user = users.get(volume.name)
        if user is None or None in {volume.primary, user.node} or volume.primary == user.node:
            continue
        yield Complaint(
            pointer=("volumes", volume.name, "primary"),
            text=f"the primary is {volume.primary}, but app {user.name}, which mounts this volume, runs on"
            f" {user.node}: change one of them, or leave primary out and the volume follows its app",
        )


def _port_complaints(apps: list[DeployedApp]) -> Iterator[Complaint]:
    on_nodes: dict[NodeReference, list[tuple[Port, tuple[DeployedApp, int]]]] = {}
    for app in apps:
        if app.node is not None:
            ports = on_nodes.setdefault(app.node, [])
            ports += [(port, (app, app.port_item(index))) for index, port in enumerate(app.ports)]
    for ports in on_nodes.values():
        for port, (app, item), (other, _) in excluded(ports):
            yield Complaint(
                pointer=("apps", app.name, "ports", item),
                text=f"app {other.name} has this external port of the node already: {port_text(port)}",
            )

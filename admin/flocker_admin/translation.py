"""
Flocker's two files as one ``cluster.yml``, every value of which knows where it came from.

A node is called by its address, as the files do: naming it would change what the cluster calls it. An application that
runs nowhere is one that shall not run: its volume is not in the document, so that it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrsistent import PMap, PVector, pmap, pvector

from flocker_admin.compose_file import compose_file
from flocker_admin.manifest import Manifest, Mistake, Origin, in_order, mistakes, nearest, path_text, read_manifest
from flocker_admin.unofficial import is_unofficial
from flocker_py.deployed import API_PORT, Deployment
from flocker_py.deployment import VERSION, parse
from flocker_py.deployment_file import ForeignDeployment, deployment_file, nodes_of
from flocker_py.documents import Complaint, Place, Pointer, shown
from flocker_py.fig_file import fig_file, is_service
from flocker_py.flocker_file import flocker_file
from flocker_py.foreign import ForeignApp, ForeignFile, ForeignVolume
from flocker_py.records import Record, mapping, sequence, value

CLUSTER_NAME = "flocker"
"""What the cluster is called: Flocker's files don't say."""


class Translation(Record):
    """
    What two files mean.

    :param notes: what a reader of the document should know, by pointer.
    :param warnings: what is not as it was under Flocker.
    :param idle_nodes: addresses of nodes for which the files have no application, with where they are: such a node
        must be there, but nothing in the document is about it.
    """

    manifest: Manifest = value(Manifest)
    deployment: Deployment = value(Deployment)
    format: str = value(str)
    notes: PMap[Pointer, PVector[str]] = mapping(tuple, PVector, default={})
    warnings: PVector[str] = sequence(str, default=())
    idle_nodes: PMap[str, Origin] = mapping(str, Origin, default={})


class _Source:
    """
    A file, read.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        read, found = read_manifest(text)
        self.manifest = Manifest(data=None, positions=pmap()) if read is None else read
        self.mistakes = [mistake.set(file=name) for mistake in found]
        self.readable = read is not None
        self.complaints: list[Complaint] = []

    def place(self) -> Place:
        return Place(self.manifest.data, (), self.complaints)

    def origin(self, pointer: Pointer) -> Origin:
        position = nearest(self.manifest.positions, pointer)
        assert position is not None  # noqa: S101  # the document as a whole has one
        return Origin(file=self.name, pointer=pointer, position=position)

    def found(self) -> list[Mistake]:
        return self.mistakes + [one.set(file=self.name) for one in mistakes(self.manifest, self.complaints)]


def translated(
    deployment_name: str,
    deployment_text: str,
    application_name: str,
    application_text: str,
    *,
    cluster_name: str = CLUSTER_NAME,
    control: tuple[str, int] | None = None,
) -> Translation | list[Mistake]:
    """
    What the two files mean; or everything that is wrong with them, file by file in the order of their lines.

    :param control: host and port of the control service's REST API, where they are known.
    """
    places = _Source(deployment_name, deployment_text)
    applications = _Source(application_name, application_text)
    file = _application_file(applications) if applications.readable else None
    known = None if file is None else [app.name for app in file.apps]
    deployed = deployment_file(places.place(), known) if places.readable else ForeignDeployment()
    document = _Document(cluster_name, control)
    for app in () if file is None else file.apps:
        document.add(app, deployed, places, applications)
    document.note_links()
    found = places.found() + applications.found() + document.mistakes
    read = Manifest(data=document.data, positions=pmap(), origins=pmap(document.origins))
    parsed = parse(document.data)
    if isinstance(parsed, list):
        found += mistakes(read, parsed)
    if found or isinstance(parsed, list):
        order = {deployment_name: 0, application_name: 1}
        return sorted(in_order(found), key=lambda one: order.get(one.file or "", 2))
    busy = {address for address, _ in deployed.places.values()}
    return Translation(
        manifest=read,
        deployment=parsed,
        format="" if file is None else file.format,
        notes=pmap({pointer: pvector(texts) for pointer, texts in document.notes.items()}),
        warnings=pvector(document.warnings),
        idle_nodes=pmap(
            {address: places.origin(at) for address, at in deployed.addresses.items() if address not in busy}
        ),
    )


def _application_file(source: _Source) -> ForeignFile | None:
    place, data = source.place(), source.manifest.data
    if not isinstance(data, Mapping):
        place.complain(f"must be a mapping, not {shown(data)}")
    elif "services" in data and not is_service(data["services"]):
        return compose_file(place)
    elif "applications" in data and not is_service(data["applications"]):
        return flocker_file(place)
    elif any(is_service(found) for found in data.values()):
        return fig_file(place)
    elif is_unofficial(data):
        place.complain("is the cluster.yml of the unofficial tools, which has no applications")
    elif nodes_of(data):
        place.complain("has nodes: this is a deployment.yml; it comes first, and then application.yml")
    else:
        place.complain("is neither an application.yml of Flocker, nor a fig or Compose file with services")
    return None


class _Document:
    """
    The document as it grows.
    """

    def __init__(self, cluster_name: str, control: tuple[str, int] | None) -> None:
        cluster: dict[str, Any] = {"name": cluster_name}
        if control is not None:
            host, port = control
            cluster["control"] = {"host": host} if port == API_PORT else {"host": host, "api_port": port}
        self.data: dict[str, Any] = {"version": VERSION, "cluster": cluster, "volumes": {}, "apps": {}}
        self.origins: dict[Pointer, Origin] = {}
        self.notes: dict[Pointer, list[str]] = {}
        self.warnings: list[str] = []
        self.mistakes: list[Mistake] = []

    def add(self, app: ForeignApp, deployed: ForeignDeployment, places: _Source, source: _Source) -> None:
        """
        An app, with its volumes where it runs.
        """
        here: Pointer = ("apps", app.name)
        address, at = deployed.places.get(app.name, ("", ()))
        written: dict[str, Any] = {"node": address} if address else {"state": "deleted"}
        written |= app.fields
        self.origins |= {(*here, *below): source.origin(pointer) for below, pointer in app.pointers.items()}
        if address:
            self.origins[(*here, "node")] = places.origin(at)
        else:
            text = "The deployment file has no node for it, so that it runs no more."
            self.notes.setdefault(here, []).append(f"{text} Its volume stays as it is." if app.volumes else text)
        for index, volume in enumerate(app.volumes):
            mount: dict[str, Any] = {"volume": volume.name, "path": volume.path}
            written.setdefault("mounts", []).append({**mount, "read_only": True} if volume.read_only else mount)
            self.origins[(*here, "mounts", index)] = source.origin(volume.path_pointer)
            if address:
                self._add_volume(volume, source)
        self.data["apps"][app.name] = written
        self._note(here, app)

    def _add_volume(self, volume: ForeignVolume, source: _Source) -> None:
        here: Pointer = ("volumes", volume.name)
        before = self.data["volumes"].setdefault(volume.name, dict(volume.fields))
        if before != volume.fields:
            origin = source.origin(volume.path_pointer)
            text = f"another volume is called {volume.name} already: an unnamed one has the name of its service"
            path = path_text(origin.pointer)
            self.mistakes.append(Mistake(position=origin.position, path=path, text=text, file=source.name))
        self.origins |= {(*here, *below): source.origin(pointer) for below, pointer in volume.pointers.items()}
        self.notes[here] = list(volume.notes)

    def _note(self, here: Pointer, app: ForeignApp) -> None:
        self.notes.setdefault(here, []).extend(app.notes)
        for warning in app.warnings:
            self.warnings.append(warning)
            self.notes[here].append(warning)

    def note_links(self) -> None:
        """
        Say what the links tell, and which of them have nobody at their other end.
        """
        apps: dict[str, dict[str, Any]] = self.data["apps"]
        exposed = {(app.get("node"), port["external"]) for app in apps.values() for port in _long_ports(app)}
        for name, app in apps.items():
            for index, link in enumerate(app.get("links", ())):
                variable = f"{str(link['alias']).upper()}_PORT_{link['local_port']}_TCP"
                notes = [f"Tells the app {variable}, {variable}_ADDR, _PORT and _PROTO."]
                if "node" in app and (app["node"], link["remote_port"]) not in exposed:
                    warning = (
                        f"{name}: no app of its node has the external port {link['remote_port']}, at which"
                        f" {link['alias']} is expected; connections are passed on to other nodes only where nodes"
                        " forward ports"
                    )
                    self.warnings.append(warning)
                    notes.append(warning)
                self.notes["apps", name, "links", index] = notes


def _long_ports(app: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Compose's files have no links: what they have as ports is of no interest.
    return [port for port in app.get("ports", ()) if isinstance(port, dict)]

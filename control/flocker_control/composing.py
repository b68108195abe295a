"""
What ``flocker-deploy`` of Flocker 1.x sent: an application file and a deployment file, as JSON, to one deployment.

An application that the deployment has on no node runs no more, and its volume stays as it is. What neither file names
is left alone: Flocker forgot it, and so left data that no listing showed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flocker_control.state import State
from flocker_py.deployed import Deployment
from flocker_py.deployment import VERSION, parse
from flocker_py.deployment_file import ForeignDeployment, deployment_file
from flocker_py.documents import Complaint, Place
from flocker_py.fig_file import fig_file
from flocker_py.flocker_file import flocker_file
from flocker_py.foreign import ForeignApp, ForeignFile

CLUSTER_NAME = "flocker"
"""What the cluster is called: the files don't say, and nobody compares it."""


def composed(applications: object, deployment: object, state: State) -> Deployment | list[Complaint]:
    """
    The deployment that the two files mean; or everything that is wrong with them.

    :param state: for the nodes that there are: an address that none of them has is wrong.
    """
    complaints: list[Complaint] = []
    file = _application_file(Place(applications, ("applications",), complaints))
    known = None if file is None else [app.name for app in file.apps]
    deployed = deployment_file(Place(deployment, ("deployment",), complaints), known)
    complaints += _unknown_nodes(deployed, state)
    if file is None or complaints:
        return complaints
    return parse(_document(file, deployed))


def _application_file(place: Place) -> ForeignFile | None:
    # As Flocker told the formats apart.
    if not isinstance(place.value, Mapping):
        place.complain("must be a mapping")
        return None
    return flocker_file(place) if {"version", "applications"} & set(place.value) else fig_file(place)


def _unknown_nodes(deployed: ForeignDeployment, state: State) -> Iterator[Complaint]:
    there = {node.address for node in state.nodes.values() if not node.removed}
    for address, pointer in sorted(deployed.addresses.items()):
        if address not in there:
            yield Complaint(pointer=pointer, text=f"there is no node with the address {address}")


def _document(file: ForeignFile, deployed: ForeignDeployment) -> dict[str, Any]:
    apps: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    for app in file.apps:
        address, _ = deployed.places.get(app.name, ("", ()))
        apps[app.name] = {**_place(app, address), **app.fields}
        if address:
            volumes |= {volume.name: dict(volume.fields) for volume in app.volumes}
    return {"version": VERSION, "cluster": {"name": CLUSTER_NAME}, "volumes": volumes, "apps": apps}


def _place(app: ForeignApp, address: str) -> dict[str, Any]:
    mounts = [{"volume": volume.name, "path": volume.path} for volume in app.volumes]
    return {**({"node": address} if address else {"state": "deleted"}), **({"mounts": mounts} if mounts else {})}

"""
The deployment document, version 2: nodes, volumes and apps of a cluster, as somebody wants them.

>>> parse({"version": 2, "cluster": {"name": "prod"}, "apps": {"db": {"image": "postgres:16", "node": "n1"}}})
[Complaint(pointer=('apps', 'db', 'node'), text="there is no node 'n1' in nodes")]

This module reads the document's parts, ``flocker_py.deployment_apps`` those of apps; what has to hold between them is
checked by ``flocker_py.deployment_rules``. ``flocker_py.deployment_schema`` describes the form to other programs.
"""

from __future__ import annotations

from pyrsistent import pmap

from flocker_py.deployed import AGENT_PORT, API_PORT, DeployedControl, DeployedNode, DeployedVolume, Deployment
from flocker_py.deployment_apps import read_apps
from flocker_py.deployment_rules import checked
from flocker_py.deployment_values import (
    NAME_MEANING,
    NAME_PATTERN,
    Defaults,
    filled,
    name_complaint,
    read_address,
    read_duration,
    read_host,
    read_labels,
    read_overrun,
    read_partition,
    read_port_number,
    read_restart,
    read_size,
    read_start_failure,
    read_uuid,
)
from flocker_py.documents import (
    Complaint,
    Fields,
    Place,
    entries,
    read_text,
    reader_of_choice,
    reader_of_pattern,
    shown,
)
from flocker_py.model import DatasetId, NodeId, RestartPolicy

VERSION = 2

# Parts of the format that this version can't do. Refused by name, so that nobody believes in them.
UNIMPLEMENTED = {
    "cluster": ("users",),
    "node": ("pool",),
    "volume": ("replicas", "retain", "profile"),
    "defaults": ("transfer", "transfer_limits", "replicas", "retain"),
}


def parse(data: object) -> Deployment | list[Complaint]:
    """
    What a document says; or everything that is wrong with it, in the order of the document's sections.

    :param data: any JSON value.
    """
    complaints: list[Complaint] = []
    top = Fields(Place(data, (), complaints), "a deployment")
    version_known = top.need("version", _read_version)
    if top.sound and version_known is None:
        return complaints
    cluster_name, control = top.need("cluster", _read_cluster) or ("", None)
    defaults = top.take("defaults", _read_defaults) or Defaults()
    nodes = top.take("nodes", _read_nodes) or {}
    volumes = top.take("volumes", lambda place: _read_volumes(place, defaults)) or {}
    apps = top.take("apps", lambda place: read_apps(place, defaults)) or {}
    top.finish()
    deployment = Deployment(
        cluster_name=cluster_name,
        control=control,
        nodes=pmap(nodes),
        volumes=pmap(volumes),
        apps=pmap(apps),
    )
    outcome = checked(deployment, data)
    if isinstance(outcome, Deployment):
        return complaints or outcome
    return complaints + outcome


_read_volume_state = reader_of_choice({"present": False, "deleted": True}, ("detached", "archived"))


# -- sections ----------------------------------------------------------------------------------------------------------


def _read_version(place: Place) -> int | None:
    if place.value == VERSION and type(place.value) is int:
        return VERSION
    if place.value == 1 and type(place.value) is int:
        place.complain("version 1 is Flocker's pair of files, application.yml and deployment.yml; this is version 2")
    else:
        place.complain(f"must be {VERSION}, not {shown(place.value)}")
    return None


def _read_cluster(place: Place) -> tuple[str, DeployedControl | None]:
    fields = Fields(place, "cluster", UNIMPLEMENTED["cluster"])
    name = fields.need("name", reader_of_pattern(NAME_PATTERN, NAME_MEANING))
    control = fields.take("control", _read_control)
    fields.finish()
    return name or "", control


def _read_control(place: Place) -> DeployedControl:
    fields = Fields(place, "control")
    host = fields.need("host", read_host)
    api_port = fields.take("api_port", read_port_number)
    agent_port = fields.take("agent_port", read_port_number)
    fields.finish()
    return DeployedControl(host=host or "", api_port=api_port or API_PORT, agent_port=agent_port or AGENT_PORT)


def _read_defaults(place: Place) -> Defaults:
    fields = Fields(filled(place), "defaults", UNIMPLEMENTED["defaults"])
    result = Defaults(
        maximum_size_bytes=fields.take("size", read_size),
        restart=fields.take("restart", read_restart) or RestartPolicy(),
        max_downtime_seconds=fields.take("max_downtime", read_duration),
        on_overrun=fields.take("on_overrun", read_overrun),
        on_start_failure=fields.take("on_start_failure", read_start_failure),
        on_partition=fields.take("on_partition", read_partition),
        stop_grace_seconds=fields.take("stop_grace", read_duration) or 10.0,
    )
    fields.finish()
    return result


def _read_nodes(place: Place) -> dict[str, DeployedNode]:
    return {name: _read_node(entry, name) for name, entry in entries(filled(place), "nodes", name_complaint)}


def _read_volumes(place: Place, defaults: Defaults) -> dict[str, DeployedVolume]:
    return {
        name: _read_volume(entry, name, defaults) for name, entry in entries(filled(place), "volumes", name_complaint)
    }


def _read_node(place: Place, name: str) -> DeployedNode:
    fields = Fields(filled(place), "a node", UNIMPLEMENTED["node"])
    node_id = fields.take("uuid", read_uuid)
    labels = fields.take("labels", read_labels)
    result = DeployedNode(
        name=name,
        node_id=None if node_id is None else NodeId(node_id),
        address=fields.take("address", read_address),
        labels=None if labels is None else pmap(labels),
    )
    fields.finish()
    return result


def _read_volume(place: Place, name: str, defaults: Defaults) -> DeployedVolume:
    fields = Fields(filled(place), "a volume", UNIMPLEMENTED["volume"])
    dataset_id = fields.take("id", read_uuid)
    labels = fields.take("labels", read_labels)
    deleted = fields.take("state", _read_volume_state)
    result = DeployedVolume(
        name=name,
        dataset_id=None if dataset_id is None else DatasetId(dataset_id),
        primary=fields.take("primary", read_text),
        maximum_size_bytes=fields.take("size", read_size) or defaults.maximum_size_bytes,
        labels=None if labels is None else pmap(labels),
        max_downtime_seconds=fields.take("max_downtime", read_duration) or defaults.max_downtime_seconds,
        on_overrun=fields.take("on_overrun", read_overrun) or defaults.on_overrun,
        on_start_failure=fields.take("on_start_failure", read_start_failure) or defaults.on_start_failure,
        on_partition=fields.take("on_partition", read_partition) or defaults.on_partition,
        renamed_from=fields.take("renamed_from", reader_of_pattern(NAME_PATTERN, NAME_MEANING)),
        deleted=deleted is True,
    )
    fields.finish()
    return result

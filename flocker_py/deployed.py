"""
What a deployment document says, read and found good.

What the document leaves out is None here where leaving it out means "as it is", and the default where it means that.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pyrsistent import PMap, PVector, pvector

from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    HealthCheck,
    Link,
    Mount,
    NodeId,
    OverrunPolicy,
    PartitionPolicy,
    Port,
    PullPolicy,
    RestartPolicy,
    StartFailurePolicy,
)
from flocker_py.records import Record, field_names, mapping, sequence, value

_NONE = type(None)
_NUMBER = (int, float)

API_PORT = 4523
AGENT_PORT = 4524

NodeReference = str
"""A name in ``Deployment.nodes``; or a UUID or an IP address, in their usual spelling, of a node that isn't listed."""


class DeployedControl(Record):
    """
    Where the control service is.

    :param host: DNS name or IP address.
    """

    host: str = value(str)
    api_port: int = value(int, default=API_PORT)
    agent_port: int = value(int, default=AGENT_PORT)


class DeployedNode(Record):
    """
    A node by the name that the document gives it.

    :param node_id: and ``address``: how to recognise it; with neither, it is known by this name already.
    :param labels: None: as they are.
    """

    name: str = value(str)
    node_id: NodeId | None = value((UUID, _NONE), default=None)
    address: str | None = value((str, _NONE), default=None)
    labels: PMap[str, str] | None = value((PMap, _NONE), default=None)


class DeployedVolume(Record):
    """
    A dataset by its name.

    :param dataset_id: adopt the dataset of this id, or make it with this id; None: known by name, or a new random one.
    :param primary: explicit, or the node of the app that mounts it; None: where it is. A new volume needs one.
    :param maximum_size_bytes: and ``labels``, ``max_downtime_seconds``, ``on_overrun``, ``on_start_failure``: None:
        as they are; for a new volume, the cluster's defaults.
    :param renamed_from: the name that it had before.
    :param deleted: it shall be deleted, with its data.
    """

    name: str = value(str)
    dataset_id: DatasetId | None = value((UUID, _NONE), default=None)
    primary: NodeReference | None = value((str, _NONE), default=None)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    labels: PMap[str, str] | None = value((PMap, _NONE), default=None)
    max_downtime_seconds: float | None = value((*_NUMBER, _NONE), default=None)
    on_overrun: OverrunPolicy | None = value((OverrunPolicy, _NONE), default=None)
    on_start_failure: StartFailurePolicy | None = value((StartFailurePolicy, _NONE), default=None)
    on_partition: PartitionPolicy | None = value((PartitionPolicy, _NONE), default=None)
    renamed_from: str | None = value((str, _NONE), default=None)
    deleted: bool = value(bool, default=False)


class DeployedMount(Record):
    """
    A volume that an app sees.

    :param path: absolute, inside the container; None: where the host has it.
    """

    volume: str = value(str)
    path: str | None = value((str, _NONE), default=None)
    read_only: bool = value(bool, default=False)


class DeployedApp(Record):
    """
    A container by its name. The document's definition is the whole definition.

    :param node: None only if ``deleted``.
    :param port_items: per port, which item of the document's list it comes from; empty: they are the items one by one.
    :param deleted: it shall run no more; its volumes stay.
    """

    name: ContainerName = value(str)
    node: NodeReference | None = value((str, _NONE), default=None)
    image: str | None = value((str, _NONE), default=None)
    command: PVector[str] = sequence(str, default=())
    environment: PMap[str, str] = mapping(str, str, default={})
    mounts: PVector[DeployedMount] = sequence(DeployedMount, default=())
    ports: PVector[Port] = sequence(Port, default=())
    links: PVector[Link] = sequence(Link, default=())
    restart: RestartPolicy = value(RestartPolicy, default=RestartPolicy())
    memory_bytes: int | None = value((int, _NONE), default=None)
    cpu_shares: int | None = value((int, _NONE), default=None)
    stop_grace_seconds: float = value(_NUMBER, default=10.0)
    labels: PMap[str, str] = mapping(str, str, default={})
    pull: PullPolicy = value(PullPolicy, default=PullPolicy.MISSING)
    entrypoint: PVector[str] = sequence(str, default=())
    environment_file: str | None = value((str, _NONE), default=None)
    swappiness: int | None = value((int, _NONE), default=None)
    stop_signal: str | None = value((str, _NONE), default=None)
    cpus: float | None = value((*_NUMBER, _NONE), default=None)
    pids_limit: int | None = value((int, _NONE), default=None)
    health: HealthCheck | None = value((HealthCheck, _NONE), default=None)
    log_driver: str | None = value((str, _NONE), default=None)
    log_options: PMap[str, str] = mapping(str, str, default={})
    read_only: bool = value(bool, default=False)
    user: str | None = value((str, _NONE), default=None)
    capabilities_add: PVector[str] = sequence(str, default=())
    capabilities_drop: PVector[str] = sequence(str, default=())
    security_options: PVector[str] = sequence(str, default=())
    port_items: PVector[int] = sequence(int, default=())
    deleted: bool = value(bool, default=False)

    def port_item(self, index: int) -> int:
        """
        Which item of the document's list the port of this index comes from.
        """
        return self.port_items[index] if self.port_items else index


class Deployment(Record):
    """
    A whole document: what it names and how that shall be. What it doesn't name stays as it is.

    :param cluster_name: what its users call the cluster.
    :param control: None where the document doesn't say.
    """

    cluster_name: str = value(str)
    control: DeployedControl | None = value((DeployedControl, _NONE), default=None)
    nodes: PMap[str, DeployedNode] = mapping(str, DeployedNode, default={})
    volumes: PMap[str, DeployedVolume] = mapping(str, DeployedVolume, default={})
    apps: PMap[ContainerName, DeployedApp] = mapping(str, DeployedApp, default={})


# An app is said in names where a container has ids; all else is the same.
_SAME_FIELDS = tuple(field for field in field_names(Container) if field not in ("node_id", "mounts"))


def container(app: DeployedApp, node_id: NodeId, dataset_ids: Mapping[str, DatasetId]) -> Container:
    """
    What an app is once it is known which node and datasets its names mean.

    :param dataset_ids: by name of volume; all that the app mounts.
    """
    same = {field: getattr(app, field) for field in _SAME_FIELDS}
    return Container(
        node_id=node_id,
        mounts=pvector(
            Mount(dataset_id=dataset_ids[mount.volume], path=mount.path, read_only=mount.read_only)
            for mount in app.mounts
        ),
        **same,
    )

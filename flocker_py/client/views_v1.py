"""
What the control service answers under ``/v1``, as records: the words and units are those of Flocker 1.x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pyrsistent import PMap, PVector, pvector

from flocker_py.model import DatasetId, NodeId
from flocker_py.records import Record, field_names, mapping, sequence, value

_NONE = type(None)


class V1Node(Record):
    """
    A connected node.

    :param host: its address.
    """

    host: str = value(str)
    uuid: NodeId = value(UUID)


class V1Dataset(Record):
    """
    What is wanted of a dataset.

    :param maximum_size: in bytes; None: no limit.
    """

    dataset_id: DatasetId = value(UUID)
    primary: NodeId = value(UUID)
    deleted: bool = value(bool)
    metadata: PMap[str, str] = mapping(str, str, default={})
    maximum_size: int | None = value((int, _NONE), default=None)


class V1Datasets(Record):
    """
    What is wanted of all datasets, deleted ones included.

    :param tag: changes with them, and with nothing else.
    """

    tag: str = value(str)
    datasets: PVector[V1Dataset] = sequence(V1Dataset, default=())

    def named(self, name: str) -> V1Dataset | None:
        """
        The dataset that has this ``name`` in its metadata and is not deleted; None: there is none.
        """
        found = (each for each in self.datasets if not each.deleted and each.metadata.get("name") == name)
        return next(found, None)

    def identified(self, dataset_id: DatasetId) -> V1Dataset | None:
        """
        The dataset that has this id, deleted or not; None: there is none.
        """
        return next((each for each in self.datasets if each.dataset_id == dataset_id), None)


class V1DatasetState(Record):
    """
    Where a dataset is. Without ``primary`` and ``path`` it can't be written to at the moment.
    """

    dataset_id: DatasetId = value(UUID)
    primary: NodeId | None = value((UUID, _NONE), default=None)
    path: str | None = value((str, _NONE), default=None)
    maximum_size: int | None = value((int, _NONE), default=None)


class V1Lease(Record):
    """
    A lease that is held on a dataset.

    :param expires: seconds from when it was asked; None: it lasts until it is released.
    """

    dataset_id: DatasetId = value(UUID)
    node_uuid: NodeId = value(UUID)
    expires: float | None = value((int, float, _NONE), default=None)


class V1Port(Record):
    """
    A port of a container that can be reached from outside.
    """

    internal: int = value(int)
    external: int = value(int)


class V1Link(Record):
    """
    A port of another container.
    """

    alias: str = value(str)
    local_port: int = value(int)
    remote_port: int = value(int)


class V1Volume(Record):
    """
    A dataset that a container uses.
    """

    dataset_id: DatasetId = value(UUID)
    mountpoint: str = value(str)


class V1RestartPolicy(Record):
    """
    When a container is started again: ``never``, ``always`` or ``on-failure``.
    """

    name: str = value(str)
    maximum_retry_count: int | None = value((int, _NONE), default=None)


class V1Container(Record):
    """
    What is wanted of a container.

    :param memory_limit: in bytes.
    :param running: None where it isn't asked about.
    """

    node_uuid: NodeId = value(UUID)
    name: str = value(str)
    image: str = value(str)
    restart_policy: V1RestartPolicy | None = value((V1RestartPolicy, _NONE), default=None)
    ports: PVector[V1Port] = sequence(V1Port, default=())
    links: PVector[V1Link] = sequence(V1Link, default=())
    environment: PMap[str, str] = mapping(str, str, default={})
    volumes: PVector[V1Volume] = sequence(V1Volume, default=())
    cpu_shares: int | None = value((int, _NONE), default=None)
    memory_limit: int | None = value((int, _NONE), default=None)
    command_line: PVector[str] = sequence(str, default=())
    running: bool | None = value((bool, _NONE), default=None)


def with_all_fields(container: object) -> object:
    """
    A container as it was answered, with what is left out where it is empty.
    """
    empty: dict[str, object] = {"ports": [], "links": [], "environment": {}, "volumes": [], "command_line": []}
    return {**empty, **container} if isinstance(container, dict) else container


def body_of(record: Record) -> dict[str, Any]:
    """
    A record as the API takes it: what is None or empty is left out.
    """
    found = {name: _plain(getattr(record, name)) for name in field_names(type(record))}
    return {name: each for name, each in found.items() if each is not None and each not in ([], {})}


def is_as_wanted(listed: V1Container, wanted: V1Container) -> bool:
    """
    Whether a container is listed as it has to be if it was made as wanted: with defaults, in a fixed order.
    """
    image = listed.image if listed.image == wanted.image else listed.image.removesuffix(":latest")
    return listed.set(image=image) == wanted.set(
        name=wanted.name.removeprefix("/"),
        restart_policy=wanted.restart_policy or V1RestartPolicy(name="never"),
        ports=pvector(sorted(wanted.ports, key=lambda port: (port.internal, port.external))),
        links=pvector(
            sorted((link.set(alias=link.alias.lower()) for link in wanted.links), key=lambda link: link.alias)
        ),
        running=None,
    )


def _plain(found: object) -> object:
    match found:
        case Record():
            return body_of(found)
        case UUID():
            return str(found)
        case Mapping():
            return dict(found)
        case str():
            return found
        case Sequence():
            return [_plain(each) for each in found]
        case _:
            return found

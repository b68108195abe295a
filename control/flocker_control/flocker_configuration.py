"""
``current_configuration.json``, as the control service of Flocker 1.x kept it: versions 1 to 6.

=======  ====================  =====================================================================================
version  written by            what is different from the one before
=======  ====================  =====================================================================================
1        0.4 to 1.1            the deployment itself, without a version; some had maps as plain objects
2        1.2                   the deployment is in an object with ``version``
3        1.3 to 1.10.1         ``leases``
4        1.10.2 to 1.12        ``persistent_state``, which says what block devices are whose
5        1.13                  nodes and applications are maps
6        1.14, 1.15            ``swappiness``, which Flocker stored and did nothing with
=======  ====================  =====================================================================================

All are read into the same records. A map is ``{"$__class__$": "PMap", "values": [[key, value], …]}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar
from uuid import UUID

from pyrsistent import PMap, PVector, pmap, pvector

from flocker_py.documents import (
    Complaint,
    Fields,
    Place,
    Pointer,
    Reader,
    read_any_text,
    read_text,
    reader_of_integer,
    reader_of_list,
    shown,
)
from flocker_py.errors import FlockerError
from flocker_py.model import Link, Port, RestartName, RestartPolicy
from flocker_py.records import Record, mapping, sequence, value

T = TypeVar("T")

NEWEST_VERSION = 6
SIZE_LIMIT_CHARACTERS = 100_000_000

_CLASS = "$__class__$"
_NONE = type(None)
_HIGHEST = 2**63 - 1
_RESTARTS = {
    "RestartNever": RestartName.NEVER,
    "RestartAlways": RestartName.ALWAYS,
    "RestartOnFailure": RestartName.ON_FAILURE,
}


class ConfigurationUnreadable(FlockerError):
    """
    The file is not a configuration that Flocker 1.x wrote, versions 1 to 6. Nothing was changed. It is called
    current_configuration.json, and is in /var/lib/flocker where Flocker's control service ran.
    """

    lasting = True


class OldDataset(Record):
    """
    A dataset of Flocker's.
    """

    dataset_id: UUID = value(UUID)
    deleted: bool = value(bool)
    maximum_size_bytes: int | None = value((int, _NONE), default=None)
    metadata: PMap[str, str] = mapping(str, str, default={})


class OldManifestation(Record):
    """
    A dataset on a node.

    :param primary: it is the one that is written to; else a replica.
    """

    node_id: UUID = value(UUID)
    dataset: OldDataset = value(OldDataset)
    primary: bool = value(bool)


class OldApplication(Record):
    """
    A container of Flocker's.
    """

    name: str = value(str)
    node_id: UUID = value(UUID)
    image: str = value(str)
    command: PVector[str] = sequence(str, default=())
    environment: PMap[str, str] = mapping(str, str, default={})
    dataset_id: UUID | None = value((UUID, _NONE), default=None)
    mountpoint: str | None = value((str, _NONE), default=None)
    ports: PVector[Port] = sequence(Port, default=())
    links: PVector[Link] = sequence(Link, default=())
    restart: RestartPolicy = value(RestartPolicy, default=RestartPolicy())
    memory_bytes: int | None = value((int, _NONE), default=None)
    cpu_shares: int | None = value((int, _NONE), default=None)
    swappiness: int | None = value((int, _NONE), default=None)


class OldLease(Record):
    """
    A lease of Flocker's.

    :param expires_at_seconds: since the epoch of Unix; None: never.
    """

    dataset_id: UUID = value(UUID)
    node_id: UUID = value(UUID)
    expires_at_seconds: float | None = value((int, float, _NONE), default=None)


class OldConfiguration(Record):
    """
    All that Flocker's control service kept.

    :param block_devices: by dataset: the block device that it is on.
    :param unknown: what is in the file and nobody knows, by where it is.
    """

    version: int = value(int)
    nodes: PVector[UUID] = sequence(UUID, default=())
    manifestations: PVector[OldManifestation] = sequence(OldManifestation, default=())
    applications: PVector[OldApplication] = sequence(OldApplication, default=())
    leases: PVector[OldLease] = sequence(OldLease, default=())
    block_devices: PMap[UUID, str] = mapping(UUID, str, default={})
    unknown: PVector[str] = sequence(str, default=())


def old_configuration(text: str) -> OldConfiguration:
    """
    What the file says.

    :raises ConfigurationUnreadable: it is not such a file; with everything that is wrong with it.
    """
    if len(text) > SIZE_LIMIT_CHARACTERS:
        raise ConfigurationUnreadable(f"it has more than {SIZE_LIMIT_CHARACTERS} characters")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationUnreadable(f"line {error.lineno}, column {error.colno}: no JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigurationUnreadable("it is nested too deep") from error
    except ValueError as error:
        raise ConfigurationUnreadable(f"no JSON: {error}") from error
    reading = _Reading()
    configuration = reading.configuration(Place(data, (), reading.complaints))
    if reading.complaints:
        raise ConfigurationUnreadable("; ".join(_told(complaint) for complaint in reading.complaints))
    return configuration


def _told(complaint: Complaint) -> str:
    return f"{path_text(complaint.pointer)}: {complaint.text}" if complaint.pointer else complaint.text


def path_text(pointer: Pointer) -> str:
    """
    A place in a JSON document, for people.
    """
    return ".".join(str(step) for step in pointer)


class _Object(Fields):
    """
    An object of Flocker's. What nobody asked for is noted, not wrong.
    """

    def __init__(self, place: Place, kind: str, unknown: list[str]) -> None:
        super().__init__(place, kind)
        self._unknown = unknown
        found = place.value.get(_CLASS, kind) if isinstance(place.value, Mapping) else kind
        if found != kind:
            place.complain(f"must be a {kind} of Flocker's, not {shown(found)}")

    def finish(self) -> None:
        """
        Note every field that nobody asked for.
        """
        known = {*self._known, _CLASS}
        found = self.place.value if isinstance(self.place.value, Mapping) else {}
        self._unknown += [path_text((*self.place.pointer, str(key))) for key in found if key not in known]


class _Reading:
    def __init__(self) -> None:
        self.complaints: list[Complaint] = []
        self.unknown: list[str] = []

    def configuration(self, place: Place) -> OldConfiguration:
        version, deployment = 1, place
        if isinstance(place.value, Mapping) and place.value.get(_CLASS) != "Deployment":
            top = _Object(place, "Configuration", self.unknown)
            version = top.need("version", _read_version) or NEWEST_VERSION
            found = top.need("deployment", lambda below: below)
            top.finish()
            if found is None:
                return OldConfiguration(version=version)
            deployment = found
        fields = _Object(deployment, "Deployment", self.unknown)
        nodes = fields.take("nodes", self._values(self._node, "nodes")) or []
        leases = fields.take("leases", self._values(self._lease, "leases")) or []
        devices = fields.take("persistent_state", self._block_devices) or {}
        fields.finish()
        return OldConfiguration(
            version=version,
            nodes=pvector(node_id for node_id, _, _ in nodes),
            manifestations=pvector(one for _, manifestations, _ in nodes for one in manifestations),
            applications=pvector(one for _, _, applications in nodes for one in applications),
            leases=pvector(leases),
            block_devices=pmap(devices),
            unknown=pvector(self.unknown),
        )

    def _values(self, read: Reader[T], what: str) -> Reader[list[T]]:
        """
        Reads what is a list in some versions and a map in others, as a list.
        """

        def read_values(place: Place) -> list[T] | None:
            if isinstance(place.value, list):
                return reader_of_list(read, what)(place)
            found = (read(entry) for _, entry in _pairs(place, what))
            return [one for one in found if one is not None]

        return read_values

    def _node(self, place: Place) -> tuple[UUID, list[OldManifestation], list[OldApplication]] | None:
        fields = _Object(place, "Node", self.unknown)
        node_id = fields.need("uuid", _read_uuid)
        if node_id is None:
            # Its datasets are nowhere without it.
            return None
        manifestations = fields.take(
            "manifestations", self._values(lambda below: self._manifestation(below, node_id), "manifestations")
        )
        applications = fields.take(
            "applications", self._values(lambda below: self._application(below, node_id), "applications")
        )
        fields.finish()
        return node_id, manifestations or [], applications or []

    def _manifestation(self, place: Place, node_id: UUID) -> OldManifestation | None:
        fields = _Object(place, "Manifestation", self.unknown)
        dataset = fields.need("dataset", self._dataset)
        primary = fields.need("primary", _read_boolean)
        fields.finish()
        if dataset is None or primary is None:
            return None
        return OldManifestation(node_id=node_id, dataset=dataset, primary=primary)

    def _dataset(self, place: Place) -> OldDataset | None:
        fields = _Object(place, "Dataset", self.unknown)
        dataset_id = fields.need("dataset_id", _read_uuid)
        deleted = fields.take("deleted", _read_boolean)
        size_bytes = fields.take("maximum_size", _optional(reader_of_integer(1, _HIGHEST)))
        metadata = fields.take("metadata", _optional(_texts))
        fields.finish()
        if dataset_id is None:
            return None
        return OldDataset(
            dataset_id=dataset_id,
            deleted=deleted is True,
            maximum_size_bytes=size_bytes,
            metadata=pmap(metadata or {}),
        )

    def _application(self, place: Place, node_id: UUID) -> OldApplication | None:
        fields = _Object(place, "Application", self.unknown)
        name = fields.need("name", read_text)
        image = fields.need("image", self._image)
        volume = fields.take("volume", _optional(self._volume))
        result = OldApplication(
            name=name or "",
            node_id=node_id,
            image=image or "",
            command=pvector(fields.take("command_line", _optional(reader_of_list(read_any_text, "texts"))) or ()),
            environment=pmap(fields.take("environment", _optional(_texts)) or {}),
            dataset_id=None if volume is None else volume[0],
            mountpoint=None if volume is None else volume[1],
            # Sets, in the order in which Python happened to have them.
            ports=pvector(
                sorted(
                    fields.take("ports", _optional(self._values(self._port, "ports"))) or (),
                    key=lambda port: (port.internal, port.external),
                )
            ),
            links=pvector(
                sorted(
                    fields.take("links", _optional(self._values(self._link, "links"))) or (),
                    key=lambda link: (link.alias, link.local_port, link.remote_port),
                )
            ),
            restart=fields.take("restart_policy", _optional(self._restart)) or RestartPolicy(),
            memory_bytes=fields.take("memory_limit", _optional(reader_of_integer(0, _HIGHEST))),
            cpu_shares=fields.take("cpu_shares", _optional(reader_of_integer(0, _HIGHEST))),
            # Versions before 6 had none; 6 has 0 for what nobody set, and Flocker did nothing with it.
            swappiness=fields.take("swappiness", _optional(reader_of_integer(0, _HIGHEST))) or None,
        )
        fields.take("running", _read_boolean)
        fields.finish()
        return None if name is None or image is None else result

    def _image(self, place: Place) -> str | None:
        fields = _Object(place, "DockerImage", self.unknown)
        repository = fields.need("repository", read_text)
        tag = fields.take("tag", read_text)
        fields.finish()
        return None if repository is None else f"{repository}:{tag or 'latest'}"

    def _volume(self, place: Place) -> tuple[UUID, str] | None:
        fields = _Object(place, "AttachedVolume", self.unknown)
        path = fields.need("mountpoint", self._path)
        # A copy of what the node has; only whose it is counts.
        dataset_id = fields.need("manifestation", self._manifested_id)
        fields.finish()
        return None if path is None or dataset_id is None else (dataset_id, path)

    def _manifested_id(self, place: Place) -> UUID | None:
        manifestation = self._manifestation(place, UUID(int=0))
        return None if manifestation is None else manifestation.dataset.dataset_id

    def _path(self, place: Place) -> str | None:
        fields = _Object(place, "FilePath", self.unknown)
        path = fields.need("path", read_text)
        fields.finish()
        return path

    def _port(self, place: Place) -> Port | None:
        fields = _Object(place, "Port", self.unknown)
        internal = fields.need("internal_port", reader_of_integer(0, _HIGHEST))
        external = fields.need("external_port", reader_of_integer(0, _HIGHEST))
        fields.finish()
        return None if internal is None or external is None else Port(internal=internal, external=external)

    def _link(self, place: Place) -> Link | None:
        fields = _Object(place, "Link", self.unknown)
        alias = fields.need("alias", read_text)
        local_port = fields.need("local_port", reader_of_integer(0, _HIGHEST))
        remote_port = fields.need("remote_port", reader_of_integer(0, _HIGHEST))
        fields.finish()
        if alias is None or local_port is None or remote_port is None:
            return None
        return Link(alias=alias, local_port=local_port, remote_port=remote_port)

    def _restart(self, place: Place) -> RestartPolicy | None:
        kind = place.value.get(_CLASS) if isinstance(place.value, Mapping) else None
        name = _RESTARTS.get(kind) if isinstance(kind, str) else None
        if name is None:
            place.complain(f"must be a restart policy of Flocker's, not {shown(place.value if kind is None else kind)}")
            return None
        fields = _Object(place, str(kind), self.unknown)
        count = None
        if name is RestartName.ON_FAILURE:
            count = fields.take("maximum_retry_count", _optional(reader_of_integer(1, _HIGHEST)))
        fields.finish()
        return RestartPolicy(name=name, maximum_retry_count=count)

    def _lease(self, place: Place) -> OldLease | None:
        fields = _Object(place, "Lease", self.unknown)
        dataset_id = fields.need("dataset_id", _read_uuid)
        node_id = fields.need("node_id", _read_uuid)
        expires = fields.take("expiration", _optional(self._moment))
        fields.finish()
        if dataset_id is None or node_id is None:
            return None
        return OldLease(dataset_id=dataset_id, node_id=node_id, expires_at_seconds=expires)

    def _moment(self, place: Place) -> int | None:
        fields = _Object(place, "datetime", self.unknown)
        seconds = fields.need("seconds", reader_of_integer(0, _HIGHEST))
        fields.finish()
        return seconds

    def _block_devices(self, place: Place) -> dict[UUID, str]:
        fields = _Object(place, "PersistentState", self.unknown)
        devices = fields.take("blockdevice_ownership", lambda below: list(self._devices(below))) or []
        fields.finish()
        return dict(devices)

    def _devices(self, place: Place) -> Iterator[tuple[UUID, str]]:
        for key, entry in _pairs(place, "block devices"):
            dataset_id, device = _read_uuid(key), read_text(entry)
            if dataset_id is not None and device is not None:
                yield dataset_id, device


def _pairs(place: Place, what: str) -> Iterator[tuple[Place, Place]]:
    """
    The keys and values of a map.
    """
    found = place.value
    if isinstance(found, Mapping) and _CLASS not in found:
        # As Flocker 0.4 wrote them.
        yield from ((place.below(str(key), key), place.below(str(key), below)) for key, below in found.items())
        return
    values = found.get("values") if isinstance(found, Mapping) else None
    if not isinstance(values, list):
        place.complain(f"must be a map of {what}, not {shown(found)}")
        return
    for index, pair in enumerate(values):
        at = place.below(index, pair)
        if isinstance(pair, list) and len(pair) == 2:
            yield at.below(0, pair[0]), at.below(1, pair[1])
        else:
            at.complain(f"must be a key and a value, not {shown(pair)}")


def _texts(place: Place) -> dict[str, str]:
    read = [(read_any_text(key), read_any_text(entry)) for key, entry in _pairs(place, "texts")]
    return {key: text for key, text in read if key is not None and text is not None}


def _optional(read: Reader[T]) -> Reader[T]:
    def read_optional(place: Place) -> T | None:
        return None if place.value is None else read(place)

    return read_optional


def _read_version(place: Place) -> int | None:
    found = place.value
    if type(found) is int and 2 <= found <= NEWEST_VERSION:
        return found
    place.complain(f"must be 2 to {NEWEST_VERSION}, the versions that Flocker 1.x wrote, not {shown(found)}")
    return None


def _read_boolean(place: Place) -> bool | None:
    if isinstance(place.value, bool):
        return place.value
    place.complain(f"must be true or false, not {shown(place.value)}")
    return None


def _read_uuid(place: Place) -> UUID | None:
    # A UUID is an object, and in a dataset a text.
    found = place.value.get("hex") if isinstance(place.value, Mapping) else place.value
    try:
        if isinstance(found, str):
            return UUID(found)
    except ValueError:
        pass
    place.complain(f"must be a UUID, not {shown(found)}")
    return None

"""
The deployment document, version 2: nodes, volumes and apps of a cluster, as somebody wants them.

>>> parse({"version": 2, "cluster": {"name": "prod"}, "apps": {"db": {"image": "postgres:16", "node": "n1"}}})
[Complaint(pointer=('apps', 'db', 'node'), text="there is no node 'n1' in nodes")]

This module reads the document's parts; what has to hold between them is checked by ``flocker_py.deployment_rules``.
``flocker_py.deployment_schema`` describes the form to other programs.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from uuid import UUID

from pyrsistent import pmap, pvector

from flocker_py.deployed import (
    AGENT_PORT,
    API_PORT,
    DeployedApp,
    DeployedControl,
    DeployedMount,
    DeployedNode,
    DeployedVolume,
    Deployment,
)
from flocker_py.deployment_rules import checked
from flocker_py.documents import (
    Complaint,
    Fields,
    Place,
    entries,
    read_any_text,
    read_text,
    reader_by,
    reader_of_choice,
    reader_of_integer,
    reader_of_list,
    reader_of_pattern,
    reader_of_texts_by_name,
    shown,
    unprintable,
)
from flocker_py.model import (
    ContainerName,
    DatasetId,
    Link,
    NodeId,
    OverrunPolicy,
    PartitionPolicy,
    Port,
    RestartName,
    RestartPolicy,
    StartFailurePolicy,
)
from flocker_py.records import Record, value
from flocker_py.units import (
    MAXIMUM_SIZE_BYTES,
    MIB,
    DurationUnreadable,
    SizeUnreadable,
    duration_seconds,
    size_bytes,
    size_limit_complaint,
)

VERSION = 2

NAME_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"
APP_NAME_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
ALIAS_PATTERN = r"[a-zA-Z0-9]{1,64}"
UUID_PATTERN = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
PORT_PATTERN = r"[0-9]{1,5}:[0-9]{1,5}(/(tcp|udp))?"
HIGHEST_PORT = 65535
HIGHEST_CPU_SHARES = 1024
HIGHEST_RETRY_COUNT = 2**31 - 1
LONGEST_DURATION_SECONDS = 86_400
MINIMUM_MEMORY_BYTES = MIB
LABELS = 16
LABEL_CHARACTERS = 256
ARGUMENTS = 4096
ARGUMENT_CHARACTERS = 4096

# Parts of the format that this version can't do. Refused by name, so that nobody believes in them.
UNIMPLEMENTED = {
    "cluster": ("users",),
    "node": ("pool",),
    "volume": ("replicas", "retain", "profile"),
    "app": ("swappiness", "user", "volumes", "networks", "healthcheck", "depends_on"),
    "defaults": ("transfer", "transfer_limits", "replicas", "retain"),
}


class _Defaults(Record):
    maximum_size_bytes: int | None = value((int, type(None)), default=None)
    restart: RestartPolicy = value(RestartPolicy, default=RestartPolicy())
    max_downtime_seconds: float | None = value((float, type(None)), default=None)
    on_overrun: OverrunPolicy | None = value((OverrunPolicy, type(None)), default=None)
    on_start_failure: StartFailurePolicy | None = value((StartFailurePolicy, type(None)), default=None)
    on_partition: PartitionPolicy | None = value((PartitionPolicy, type(None)), default=None)
    stop_grace_seconds: float = value(float, default=10.0)


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
    defaults = top.take("defaults", _read_defaults) or _Defaults()
    nodes = top.take("nodes", _read_nodes) or {}
    volumes = top.take("volumes", lambda place: _read_volumes(place, defaults)) or {}
    apps = top.take("apps", lambda place: _read_apps(place, defaults)) or {}
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
    name = fields.need("name", reader_of_pattern(NAME_PATTERN, _NAME_MEANING))
    control = fields.take("control", _read_control)
    fields.finish()
    return name or "", control


def _read_control(place: Place) -> DeployedControl:
    fields = Fields(place, "control")
    host = fields.need("host", _read_host)
    api_port = fields.take("api_port", _read_port_number)
    agent_port = fields.take("agent_port", _read_port_number)
    fields.finish()
    return DeployedControl(host=host or "", api_port=api_port or API_PORT, agent_port=agent_port or AGENT_PORT)


def _read_defaults(place: Place) -> _Defaults:
    fields = Fields(_filled(place), "defaults", UNIMPLEMENTED["defaults"])
    result = _Defaults(
        maximum_size_bytes=fields.take("size", _read_size),
        restart=fields.take("restart", _read_restart) or RestartPolicy(),
        max_downtime_seconds=fields.take("max_downtime", _read_duration),
        on_overrun=fields.take("on_overrun", _read_overrun),
        on_start_failure=fields.take("on_start_failure", _read_start_failure),
        on_partition=fields.take("on_partition", _read_partition),
        stop_grace_seconds=fields.take("stop_grace", _read_duration) or 10.0,
    )
    fields.finish()
    return result


def _read_nodes(place: Place) -> dict[str, DeployedNode]:
    return {name: _read_node(entry, name) for name, entry in entries(_filled(place), "nodes", _name_complaint)}


def _read_volumes(place: Place, defaults: _Defaults) -> dict[str, DeployedVolume]:
    return {
        name: _read_volume(entry, name, defaults) for name, entry in entries(_filled(place), "volumes", _name_complaint)
    }


def _read_apps(place: Place, defaults: _Defaults) -> dict[ContainerName, DeployedApp]:
    return {
        ContainerName(name): _read_app(entry, ContainerName(name), defaults)
        for name, entry in entries(_filled(place), "apps", _app_name_complaint)
    }


def _read_node(place: Place, name: str) -> DeployedNode:
    fields = Fields(_filled(place), "a node", UNIMPLEMENTED["node"])
    node_id = fields.take("uuid", _read_uuid)
    labels = fields.take("labels", _read_labels)
    result = DeployedNode(
        name=name,
        node_id=None if node_id is None else NodeId(node_id),
        address=fields.take("address", _read_address),
        labels=None if labels is None else pmap(labels),
    )
    fields.finish()
    return result


def _read_volume(place: Place, name: str, defaults: _Defaults) -> DeployedVolume:
    fields = Fields(_filled(place), "a volume", UNIMPLEMENTED["volume"])
    dataset_id = fields.take("id", _read_uuid)
    labels = fields.take("labels", _read_labels)
    deleted = fields.take("state", _read_volume_state)
    result = DeployedVolume(
        name=name,
        dataset_id=None if dataset_id is None else DatasetId(dataset_id),
        primary=fields.take("primary", read_text),
        maximum_size_bytes=fields.take("size", _read_size) or defaults.maximum_size_bytes,
        labels=None if labels is None else pmap(labels),
        max_downtime_seconds=fields.take("max_downtime", _read_duration) or defaults.max_downtime_seconds,
        on_overrun=fields.take("on_overrun", _read_overrun) or defaults.on_overrun,
        on_start_failure=fields.take("on_start_failure", _read_start_failure) or defaults.on_start_failure,
        on_partition=fields.take("on_partition", _read_partition) or defaults.on_partition,
        renamed_from=fields.take("renamed_from", reader_of_pattern(NAME_PATTERN, _NAME_MEANING)),
        deleted=deleted is True,
    )
    fields.finish()
    return result


def _read_app(place: Place, name: ContainerName, defaults: _Defaults) -> DeployedApp:
    fields = Fields(_filled(place), "an app", UNIMPLEMENTED["app"])
    deleted = fields.take("state", _read_app_state) is True
    node = fields.take("node", read_text) if deleted else fields.need("node", read_text)
    if fields.sound and not deleted and not fields.has("image") and not fields.has("command"):
        place.complain("an app needs image or command, or both")
    result = DeployedApp(
        name=name,
        node=node,
        image=fields.take("image", read_text),
        command=pvector(fields.take("command", _read_command) or ()),
        environment=pmap(fields.take("env", _read_environment) or {}),
        mounts=pvector(fields.take("mounts", reader_of_list(_read_mount, "mounts")) or ()),
        ports=pvector(fields.take("ports", reader_of_list(_read_port, "ports")) or ()),
        links=pvector(fields.take("links", reader_of_list(_read_link, "links")) or ()),
        restart=fields.take("restart", _read_restart) or defaults.restart,
        memory_bytes=fields.take("memory", _read_memory),
        cpu_shares=fields.take("cpu_shares", reader_of_integer(1, HIGHEST_CPU_SHARES)),
        stop_grace_seconds=fields.take("stop_grace", _read_duration) or defaults.stop_grace_seconds,
        labels=pmap(fields.take("labels", _read_labels) or {}),
        deleted=deleted,
    )
    fields.finish()
    return result


# -- parts of an app ---------------------------------------------------------------------------------------------------


def _read_command(place: Place) -> list[str] | None:
    found = place.value
    if isinstance(found, str):
        if read_text(place) is None:
            return None
        try:
            found = shlex.split(found)
        except ValueError as error:
            place.complain(f"can't be split into words: {error}")
            return None
        # The words of one text can't be pointed to one by one.
        arguments = found
    else:
        arguments = reader_of_list(read_any_text, "texts")(place) or []
        if isinstance(found, list) and len(arguments) != len(found):
            return None
    if isinstance(found, list) and (not arguments or not arguments[0]):
        place.complain("must begin with a program")
        return None
    if len(arguments) > ARGUMENTS or any(len(argument) > ARGUMENT_CHARACTERS for argument in arguments):
        place.complain(f"has more than {ARGUMENTS} words, or one of more than {ARGUMENT_CHARACTERS} characters")
        return None
    return arguments


def _read_mount(place: Place) -> DeployedMount | None:
    fields = Fields(place, "a mount")
    volume = fields.need("volume", read_text)
    path = fields.take("path", _read_path)
    fields.finish()
    return None if volume is None else DeployedMount(volume=volume, path=path)


def _read_path(place: Place) -> str | None:
    path = read_text(place)
    if path is not None and (not path.startswith("/") or ".." in path.split("/")):
        place.complain(f"must be an absolute path without '..', not {shown(path)}")
        return None
    return path


def _read_port(place: Place) -> Port | None:
    if isinstance(place.value, str):
        return _read_port_text(place, place.value)
    if not isinstance(place.value, dict):
        place.complain(f"must be 'external:internal' in quotes, or a mapping, not {shown(place.value)}")
        return None
    fields = Fields(place, "a port", ("host_ip", "mode"))
    internal = fields.need("internal", _read_port_number)
    external = fields.need("external", _read_port_number)
    protocol = fields.take("protocol", reader_of_choice({"tcp": "tcp", "udp": "udp"}))
    fields.finish()
    if internal is None or external is None:
        return None
    return Port(internal=internal, external=external, protocol=protocol or "tcp")


def _read_port_text(place: Place, written: str) -> Port | None:
    if re.fullmatch(r"\[?[0-9a-fA-F.:]+\]?:[0-9]+:[0-9]+(/\w+)?", written):
        place.complain("binding to one address of the host is not implemented: leave the address out")
        return None
    if not re.fullmatch(PORT_PATTERN, written, re.ASCII):
        place.complain(f"must be 'external:internal' or 'external:internal/udp', not {shown(written)}")
        return None
    numbers, _, protocol = written.partition("/")
    external, internal = (int(number) for number in numbers.split(":"))
    for number in (external, internal):
        if not 1 <= number <= HIGHEST_PORT:
            place.complain(f"{number} is not a port: ports are 1 to {HIGHEST_PORT}")
            return None
    return Port(internal=internal, external=external, protocol=protocol or "tcp")


def _read_link(place: Place) -> Link | None:
    fields = Fields(place, "a link")
    alias = fields.need("alias", reader_of_pattern(ALIAS_PATTERN, "1 to 64 letters and digits"))
    local_port = fields.need("local_port", _read_port_number)
    remote_port = fields.need("remote_port", _read_port_number)
    fields.finish()
    if alias is None or local_port is None or remote_port is None:
        return None
    return Link(alias=alias, local_port=local_port, remote_port=remote_port)


_RESTART_NAMES = {name.value: name for name in RestartName}
_OTHER_RESTARTS = ("unless-stopped", "no")


def _read_restart(place: Place) -> RestartPolicy | None:
    read_name = reader_of_choice(_RESTART_NAMES, _OTHER_RESTARTS)
    if not isinstance(place.value, dict):
        only_name = read_name(place)
        return None if only_name is None else RestartPolicy(name=only_name)
    fields = Fields(place, "restart")
    name = fields.need("name", read_name)
    count = fields.take("maximum_retry_count", reader_of_integer(1, HIGHEST_RETRY_COUNT))
    fields.finish()
    if count is not None and name is not None and name is not RestartName.ON_FAILURE:
        place.complain("maximum_retry_count belongs to on-failure only")
        return None
    return None if name is None else RestartPolicy(name=name, maximum_retry_count=count)


# -- values ------------------------------------------------------------------------------------------------------------

_NAME_MEANING = "1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit"
_APP_NAME_MEANING = "1 to 128 letters, digits, '_', '.' or '-', beginning with a letter or digit"

_read_port_number = reader_of_integer(1, HIGHEST_PORT)
_read_overrun = reader_of_choice({policy.value: policy for policy in OverrunPolicy})
_read_start_failure = reader_of_choice({policy.value: policy for policy in StartFailurePolicy})
_read_partition = reader_of_choice({policy.value: policy for policy in PartitionPolicy})
# What Container can't express is refused by name: an app either runs or is gone.
_read_app_state = reader_of_choice({"running": False, "deleted": True}, ("stopped", "paused"))
_read_volume_state = reader_of_choice({"present": False, "deleted": True}, ("detached", "archived"))


def _name_complaint(name: str) -> str | None:
    if re.fullmatch(UUID_PATTERN, name):
        return f"{shown(name)} could be mistaken for an id: choose another name"
    if not re.fullmatch(NAME_PATTERN, name):
        return f"the name {shown(name)} must be {_NAME_MEANING}"
    return None


def _app_name_complaint(name: str) -> str | None:
    if re.fullmatch(UUID_PATTERN, name):
        return f"{shown(name)} could be mistaken for the id of a volume: choose another name"
    if not re.fullmatch(APP_NAME_PATTERN, name):
        return f"the name {shown(name)} must be {_APP_NAME_MEANING}"
    return None


def _variable_complaint(name: str) -> str | None:
    if not name or "=" in name or unprintable(name):
        return f"a variable can't be called {shown(name)}"
    return None


def _label_complaint(name: str) -> str | None:
    if not 1 <= len(name) <= LABEL_CHARACTERS or unprintable(name):
        return f"the label {shown(name)} must have 1 to {LABEL_CHARACTERS} characters that can be passed on to programs"
    return None


_read_environment = reader_of_texts_by_name("env", _variable_complaint)
_read_labels_of_any_size = reader_of_texts_by_name("labels", _label_complaint)


def _read_labels(place: Place) -> dict[str, str] | None:
    labels = _read_labels_of_any_size(place)
    if labels is not None and len(labels) > LABELS:
        place.complain(f"there are {len(labels)} labels, and at most {LABELS} are kept")
    for name, text in (labels or {}).items():
        if len(text) > LABEL_CHARACTERS:
            place.below(name, text).complain(f"must have at most {LABEL_CHARACTERS} characters")
    return labels


def _read_uuid(place: Place) -> UUID | None:
    text = reader_of_pattern(UUID_PATTERN, "a UUID")(place)
    return None if text is None else UUID(text)


def _read_address(place: Place) -> str | None:
    found = place.value
    if isinstance(found, str):
        try:
            return str(ipaddress.ip_address(found))
        except ValueError:
            pass
    place.complain(f"must be an IPv4 or IPv6 address, not {shown(found)}")
    return None


def _read_host(place: Place) -> str | None:
    text = read_text(place)
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    return reader_of_pattern(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?", "a host's name or IP address")(place)


_read_size_of_anything = reader_by(size_bytes, SizeUnreadable)
_read_any_duration = reader_by(duration_seconds, DurationUnreadable)


def _read_size(place: Place) -> int | None:
    size = _read_size_of_anything(place)
    complaint = None if size is None else size_limit_complaint(size)
    if complaint is not None:
        place.complain(complaint)
    return size


def _read_memory(place: Place) -> int | None:
    memory = _read_size_of_anything(place)
    if memory is not None and not MINIMUM_MEMORY_BYTES <= memory <= MAXIMUM_SIZE_BYTES:
        place.complain(f"must be at least 1 MiB, not {memory} bytes")
        return None
    return memory


def _read_duration(place: Place) -> float | None:
    seconds = _read_any_duration(place)
    if seconds is not None and not 0 < seconds <= LONGEST_DURATION_SECONDS:
        place.complain("must be more than 0 s and at most 1 d")
        return None
    return seconds


def _filled(place: Place) -> Place:
    # ``n1:`` with nothing after it is how YAML writes an entry without fields.
    return place if place.value is not None else Place({}, place.pointer, place.complaints)

"""
The apps of a deployment document.
"""

from __future__ import annotations

import shlex
from typing import cast

from pyrsistent import pmap, pvector

from flocker_py.container_values import (
    HIGHEST_PIDS,
    HIGHEST_SWAPPINESS,
    LOG_DRIVER_MEANING,
    LOG_DRIVER_PATTERN,
    ValueUnusable,
    cpus_complaint,
    file_complaint,
    signal_name,
)
from flocker_py.deployed import DeployedApp, DeployedMount
from flocker_py.deployment_health import read_health
from flocker_py.deployment_rights import read_rights
from flocker_py.deployment_values import (
    ALIAS_PATTERN,
    ARGUMENT_CHARACTERS,
    ARGUMENTS,
    HIGHEST_CPU_SHARES,
    Defaults,
    app_name_complaint,
    filled,
    read_duration,
    read_environment,
    read_labels,
    read_log_options,
    read_memory,
    read_port_number,
    read_restart,
)
from flocker_py.documents import (
    Fields,
    Place,
    entries,
    read_any_text,
    read_boolean,
    read_text,
    reader_by,
    reader_of_choice,
    reader_of_integer,
    reader_of_list,
    reader_of_pattern,
    shown,
)
from flocker_py.images import image_complaint
from flocker_py.model import ContainerName, Link, Port, PullPolicy
from flocker_py.published_ports import (
    MOST_PORTS,
    AddressUnreadable,
    PortsUnreadable,
    host_address,
    published_ports,
)

# Parts of the format that this version can't do. Refused by name, so that nobody believes in them.
UNIMPLEMENTED = ("volumes", "networks", "depends_on", "privileged")

_Log = tuple[str, dict[str, str]]


def read_apps(place: Place, defaults: Defaults) -> dict[ContainerName, DeployedApp]:
    """
    The section ``apps``.
    """
    return {
        ContainerName(name): _read_app(entry, ContainerName(name), defaults)
        for name, entry in entries(filled(place), "apps", app_name_complaint)
    }


def _read_app(place: Place, name: ContainerName, defaults: Defaults) -> DeployedApp:
    fields = Fields(filled(place), "an app", UNIMPLEMENTED)
    deleted = fields.take("state", _read_app_state) is True
    node = fields.take("node", read_text) if deleted else fields.need("node", read_text)
    if fields.sound and not deleted and not fields.has("image") and not fields.has("command"):
        place.complain("an app needs image or command, or both")
    ports = fields.take("ports", _read_ports) or []
    log_driver, log_options = fields.take("logging", _read_logging) or (None, {})
    rights = read_rights(fields)
    result = DeployedApp(
        name=name,
        node=node,
        image=fields.take("image", _read_image),
        pull=fields.take("pull_policy", _read_pull_policy) or PullPolicy.MISSING,
        entrypoint=pvector(fields.take("entrypoint", _read_command) or ()),
        command=pvector(fields.take("command", _read_command) or ()),
        environment=pmap(fields.take("env", read_environment) or {}),
        environment_file=fields.take("env_file", _read_file),
        mounts=pvector(fields.take("mounts", reader_of_list(_read_mount, "mounts")) or ()),
        ports=pvector(port for _, port in ports),
        port_items=pvector(() if _each_is_one(ports) else (item for item, _ in ports)),
        links=pvector(fields.take("links", reader_of_list(_read_link, "links")) or ()),
        restart=fields.take("restart", read_restart) or defaults.restart,
        memory_bytes=fields.take("memory", read_memory),
        cpu_shares=fields.take("cpu_shares", reader_of_integer(1, HIGHEST_CPU_SHARES)),
        cpus=fields.take("cpus", _read_cpus),
        pids_limit=fields.take("pids_limit", reader_of_integer(1, HIGHEST_PIDS)),
        swappiness=fields.take("swappiness", reader_of_integer(0, HIGHEST_SWAPPINESS)),
        stop_signal=fields.take("stop_signal", reader_by(signal_name, ValueUnusable)),
        stop_grace_seconds=fields.take("stop_grace", read_duration) or defaults.stop_grace_seconds,
        health=fields.take("healthcheck", read_health),
        log_driver=log_driver,
        log_options=pmap(log_options),
        read_only=rights.read_only,
        user=rights.user,
        capabilities_add=rights.capabilities_add,
        capabilities_drop=rights.capabilities_drop,
        security_options=rights.security_options,
        labels=pmap(fields.take("labels", read_labels) or {}),
        deleted=deleted,
    )
    fields.finish()
    return result


# What Container can't express is refused by name: an app either runs or is gone.
_read_app_state = reader_of_choice({"running": False, "deleted": True}, ("stopped", "paused"))
_read_pull_policy = reader_of_choice(
    {policy.value: policy for policy in PullPolicy}, ("build", "if_not_present", "daily", "weekly", "refresh")
)


def _read_image(place: Place) -> str | None:
    image = read_text(place)
    complaint = None if image is None else image_complaint(image)
    if complaint is not None:
        place.complain(f"{shown(image)} is not the name of an image: {complaint}")
        return None
    return image


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


def _read_file(place: Place) -> str | None:
    if isinstance(place.value, list):
        place.complain("must be one file, not a list")
        return None
    path = read_text(place)
    complaint = None if path is None else file_complaint(path)
    if complaint is not None:
        place.complain(complaint)
        return None
    return path


def _read_cpus(place: Place) -> float | None:
    found = place.value
    # More digits than a number of processors has are no number for a float either.
    if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > 10**9:
        place.complain(f"must be a number of processors such as 0.5, not {shown(found)}")
        return None
    complaint = cpus_complaint(found)
    if complaint is not None:
        place.complain(complaint)
        return None
    return float(found)


def _read_logging(place: Place) -> _Log | None:
    fields = Fields(place, "logging")
    driver = fields.need("driver", reader_of_pattern(LOG_DRIVER_PATTERN, LOG_DRIVER_MEANING))
    options = fields.take("options", read_log_options)
    fields.finish()
    return None if driver is None else (driver, options or {})


# -- mounts, ports and links -------------------------------------------------------------------------------------------


def _read_mount(place: Place) -> DeployedMount | None:
    if isinstance(place.value, str):
        return _read_mount_text(place, place.value)
    fields = Fields(place, "a mount")
    volume = fields.need("volume", read_text)
    path = fields.take("path", _read_path)
    read_only = fields.take("read_only", read_boolean)
    fields.finish()
    return None if volume is None else DeployedMount(volume=volume, path=path, read_only=read_only is True)


def _read_mount_text(place: Place, written: str) -> DeployedMount | None:
    volume, _, rest = written.partition(":")
    path, _, mode = rest.partition(":")
    if not volume or not path or mode not in ("", "rw", "ro") or rest.endswith(":"):
        place.complain(f"must be 'volume:/path', 'volume:/path:ro', or a mapping, not {shown(written)}")
        return None
    read = _read_path(Place(path, place.pointer, place.complaints))
    return None if read is None else DeployedMount(volume=volume, path=read, read_only=mode == "ro")


def _read_path(place: Place) -> str | None:
    path = read_text(place)
    if path is not None and (not path.startswith("/") or ".." in path.split("/")):
        place.complain(f"must be an absolute path without '..', not {shown(path)}")
        return None
    return path


def _read_ports(place: Place) -> list[tuple[int, Port]] | None:
    several = reader_of_list(_read_port, "ports")(place)
    ports = [port for found in several or () for port in found]
    if len(ports) > MOST_PORTS:
        place.complain(f"there are {len(ports)} ports, and a container has at most {MOST_PORTS}")
        return None
    return ports


def _read_port(place: Place) -> list[tuple[int, Port]]:
    item = cast(int, place.pointer[-1])
    return [(item, port) for port in _ports_of_item(place)]


def _ports_of_item(place: Place) -> list[Port]:
    if isinstance(place.value, str):
        return _read_port_text(place, place.value)
    if not isinstance(place.value, dict):
        place.complain(f"must be 'external:internal' in quotes, or a mapping, not {shown(place.value)}")
        return []
    fields = Fields(place, "a port", ("mode",))
    internal = fields.need("internal", read_port_number)
    external = fields.need("external", read_port_number)
    protocol = fields.take("protocol", reader_of_choice({"tcp": "tcp", "udp": "udp"}))
    address = fields.take("host_ip", _read_host_address)
    fields.finish()
    if internal is None or external is None:
        return []
    return [Port(internal=internal, external=external, protocol=protocol or "tcp", host_address=address)]


def _read_host_address(place: Place) -> str | None:
    written = read_text(place)
    try:
        return None if written is None else host_address(written)
    except AddressUnreadable as error:
        place.complain(str(error))
        return None


def _read_port_text(place: Place, written: str) -> list[Port]:
    try:
        return published_ports(written)
    except PortsUnreadable as error:
        place.complain(f"{error}, not {shown(written)}" if str(error).startswith("must") else str(error))
        return []


def _each_is_one(ports: list[tuple[int, Port]]) -> bool:
    return [item for item, _ in ports] == list(range(len(ports)))


def _read_link(place: Place) -> Link | None:
    fields = Fields(place, "a link")
    alias = fields.need("alias", reader_of_pattern(ALIAS_PATTERN, "1 to 64 letters and digits"))
    local_port = fields.need("local_port", read_port_number)
    remote_port = fields.need("remote_port", read_port_number)
    fields.finish()
    if alias is None or local_port is None or remote_port is None:
        return None
    return Link(alias=alias, local_port=local_port, remote_port=remote_port)

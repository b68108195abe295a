"""
Compose files, version 2 and later: what a cluster can run of them. Everything else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyrsistent import pvector

from flocker_admin.compose_options import read_cpus, read_filled_value, read_options
from flocker_py.documents import (
    Fields,
    Place,
    Pointer,
    entries,
    meant,
    read_any_text,
    read_boolean,
    read_text,
    reader_by,
    reader_of_choice,
    reader_of_list,
    shown,
)
from flocker_py.flocker_file import any_name
from flocker_py.foreign import (
    UNKNOWN_IMAGE,
    Draft,
    ForeignApp,
    ForeignFile,
    ForeignVolume,
    Located,
    anonymous_volume,
    located,
    read_image,
    size_text,
)
from flocker_py.units import SizeUnreadable, size_bytes

DRIVERS = ("flocker", "flocker_py")
"""Drivers of volumes that are a cluster's own."""

# In Compose a size with two letters is of powers of 1024 too: "50kb" (compose-spec, "Specifying byte values").
_BYTES = re.compile(r"([0-9.]+) ?(b|k|m|g|kb|mb|gb)?", re.IGNORECASE)
_RESTARTS = {"no": "never", "always": "always", "on-failure": "on-failure"}


def compose_file(place: Place) -> ForeignFile:
    """
    The services of a Compose file; whatever is wrong, or can't be done, is complained about.
    """
    top = _ByName(place, "a Compose file")
    top.take("version", _read_version)
    volumes = top.take("volumes", lambda below: dict(_volumes(below))) or {}
    services = top.need("services", lambda below: dict(entries(below, "services", any_name))) or {}
    top.finish()
    return ForeignFile(format="Compose", apps=pvector(_app(name, entry, volumes) for name, entry in services.items()))


class _ByName(Fields):
    """
    Fields of a format that has many more: those that nobody asked for are refused, but not called wrong.
    """

    def finish(self) -> None:
        """
        Complain about what can't be done.
        """
        for key in self.place.value if self.sound and isinstance(self.place.value, Mapping) else ():
            if key not in self._known:
                self.place.below(str(key), None).complain(f"{key} of Compose can't be done here: leave it out")


def _read_version(place: Place) -> str | None:
    written = str(place.value)
    if not re.fullmatch(r"[23](\.[0-9]+)?", written):
        place.complain(f"must be 2, 3, 2.x or 3.x, or left out, not {shown(place.value)}")
    return written


def _volumes(place: Place) -> Iterator[tuple[str, Draft]]:
    for name, entry in entries(place, "volumes", any_name):
        draft = Draft(name, entry.pointer)
        if entry.value is not None:
            fields = _ByName(entry, "a volume")
            fields.take("driver", reader_of_choice({driver: driver for driver in DRIVERS}))
            options = fields.take("driver_opts", lambda below: _ByName(below, "driver_opts"))
            if options is not None:
                draft.put("size", options.take("size", _read_bytes), (*entry.pointer, "driver_opts", "size"))
                options.finish()
            fields.finish()
        yield name, draft


def _app(name: str, place: Place, volumes: Mapping[str, Draft]) -> ForeignApp:
    draft = Draft(name, place.pointer)
    fields = _ByName(place, "a service")

    def at(field: str) -> Pointer:
        return (*place.pointer, field)

    fields.take("env_file", _refuse_env_file)
    draft.put("image", fields.need("image", _filled(read_image)) or UNKNOWN_IMAGE, at("image"))
    draft.put("command", fields.take("command", _read_command), at("command"))
    draft.put_texts("env", fields.take("environment", _read_environment), at("environment"))
    draft.put_items("ports", fields.take("ports", reader_of_list(located(_read_port), "ports")), at("ports"))
    draft.put("restart", fields.take("restart", _read_restart), at("restart"))
    for field, (found, pointer) in (fields.take("deploy", _read_deploy) or {}).items():
        draft.put(field, found, pointer)
    read_options(fields, draft, place.pointer)
    mounts = fields.take("volumes", reader_of_list(lambda below: _read_mount(name, below, volumes), "volumes"))
    draft.volumes += mounts or []
    fields.finish()
    return draft.app()


def _refuse_env_file(place: Place) -> None:
    place.complain(
        "a file where Compose runs can't be done here: write environment, or put the file on each node and write its"
        " path as env_file of the app in cluster.yml"
    )


def _filled(read: Any) -> Any:
    """
    Reads a text whose variables Compose would have filled in: here it must have none.
    """

    def read_filled(place: Place) -> Any:
        if isinstance(place.value, str):
            if "$" in place.value.replace("$$", ""):
                place.complain("variables are not filled in: write the value; for the character itself write $$")
                return None
            place = Place(place.value.replace("$$", "$"), place.pointer, place.complaints)
        return read(place)

    return read_filled


def _read_command(place: Place) -> str | list[str] | None:
    if isinstance(place.value, list):
        words = reader_of_list(_filled(read_any_text), "texts")(place) or []
        return words if len(words) == len(place.value) else None
    text: str | None = None if place.value is None else _filled(read_text)(place)
    return text


def _read_environment(place: Place) -> dict[str, Located]:
    if not isinstance(place.value, list):
        found = ((name, entry) for name, entry in entries(place, "environment", any_name))
    else:
        texts = reader_of_list(located(read_text), "texts")(place) or []
        found = ((text.partition("=")[0], _value(text, pointer, place)) for text, pointer in texts)
    read = {name: (_read_variable(entry), entry.pointer) for name, entry in found}
    return {name: (text, pointer) for name, (text, pointer) in read.items() if text is not None}


def _value(text: str, pointer: Pointer, place: Place) -> Place:
    _, equals, found = text.partition("=")
    return Place(found if equals else None, pointer, place.complaints)


def _read_variable(place: Place) -> str | None:
    if place.value is None:
        place.complain("has no value, which means the one that it has where Compose runs: write it here")
        return None
    text: str | None = _filled(read_any_text)(place)
    return text


def _read_port(place: Place) -> str | dict[str, Any] | None:
    if isinstance(place.value, Mapping):
        return _read_long_port(place)
    written = place.value
    if isinstance(written, int) or (isinstance(written, str) and re.fullmatch(r"[0-9-]+(/\w+)?", written)):
        place.complain(f"{written} has no external port, and none is chosen here: write 'external:{written}'")
        return None
    text: str | None = _filled(read_text)(place)
    return text


def _read_long_port(place: Place) -> dict[str, Any] | None:
    fields = _ByName(place, "a port")
    internal = fields.need("target", _read_port_number)
    external = fields.need("published", _read_port_number)
    protocol = fields.take("protocol", reader_of_choice({"tcp": "tcp", "udp": "udp"}))
    address = fields.take("host_ip", _filled(read_text))
    fields.finish()
    if internal is None or external is None:
        return None
    port: dict[str, Any] = {"internal": internal, "external": external}
    port |= {} if protocol in (None, "tcp") else {"protocol": protocol}
    return port if address is None else {**port, "host_ip": address}


def _read_port_number(place: Place) -> int | None:
    found = place.value
    if isinstance(found, str) and re.fullmatch(r"[0-9]{1,5}", found, re.ASCII):
        return int(found)
    if type(found) is int:
        return found
    place.complain(f"must be one port, not {shown(found)}")
    return None


def _read_restart(place: Place) -> str | dict[str, Any] | None:
    name, colon, count = place.value.partition(":") if isinstance(place.value, str) else ("", "", "")
    if colon and name == "on-failure" and re.fullmatch(r"[1-9][0-9]{0,8}", count, re.ASCII):
        return {"name": name, "maximum_retry_count": int(count)}
    return reader_of_choice(_RESTARTS, ("unless-stopped",))(place)


_Limits = dict[str, Located]


def _read_deploy(place: Place) -> _Limits | None:
    fields = _ByName(place, "deploy")
    found = fields.take("resources", _read_resources)
    fields.finish()
    return found


def _read_resources(place: Place) -> _Limits | None:
    fields = _ByName(place, "resources")
    found = fields.take("limits", _read_limits)
    fields.finish()
    return found


def _read_limits(place: Place) -> _Limits:
    fields = _ByName(place, "limits")
    limits = {
        "memory": fields.take("memory", located(_read_bytes)),
        "cpus": fields.take("cpus", located(read_cpus)),
        "pids_limit": fields.take("pids", located(read_filled_value)),
    }
    fields.finish()
    return {field: limit for field, limit in limits.items() if limit is not None}


def _read_bytes(place: Place) -> Any:
    match = _BYTES.fullmatch(place.value) if isinstance(place.value, str) else None
    if match is not None:
        letter = (match[2] or "b")[0].upper()
        place = Place(f"{match[1]}{letter}", place.pointer, place.complaints)
    size = reader_by(size_bytes, SizeUnreadable)(place)
    return None if size is None else size_text(size)


def _read_mount(app: str, place: Place, volumes: Mapping[str, Draft]) -> ForeignVolume | None:
    if isinstance(place.value, Mapping):
        fields = _ByName(place, "a volume")
        kind = fields.take("type", reader_of_choice({"volume": "volume"}, ("bind", "tmpfs", "npipe", "cluster")))
        source, path = fields.take("source", _filled(read_text)), fields.need("target", _filled(read_text))
        read_only = fields.take("read_only", read_boolean) is True
        fields.finish()
        if path is None or (fields.has("type") and kind is None):
            return None
        return _mount(app, source, path, place, volumes, read_only=read_only)
    text: str | None = _filled(read_text)(place)
    if text is None:
        return None
    parts = text.split(":")
    if parts[2:] not in ([], ["rw"], ["ro"]):
        place.complain(f"{':'.join(parts[2:])} can't be done here: a volume is mounted by rw or ro")
        return None
    source = parts[0] if len(parts) > 1 else None
    return _mount(app, source, parts[len(parts) > 1], place, volumes, read_only=parts[2:] == ["ro"])


def _mount(
    app: str, source: str | None, path: str, place: Place, volumes: Mapping[str, Draft], *, read_only: bool
) -> ForeignVolume | None:
    if source is None:
        return anonymous_volume(app, path, place.pointer).set(read_only=read_only)
    if source.startswith(("/", ".", "~")):
        place.complain(f"a folder of the host, {source}, does not move with its app: use a volume")
        return None
    if source not in volumes:
        place.complain(f"there is no volume {shown(source)} in volumes{meant(source, volumes)}")
        return None
    return volumes[source].volume(path, place.pointer).set(read_only=read_only)

"""
``application.yml`` as Flocker 1.x read it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from pyrsistent import pvector

from flocker_py.documents import (
    Fields,
    Place,
    entries,
    read_any_text,
    read_text,
    reader_of_choice,
    reader_of_integer,
    reader_of_list,
    shown,
)
from flocker_py.foreign import (
    ANONYMOUS_NOTE,
    UNKNOWN_IMAGE,
    Draft,
    ForeignApp,
    ForeignFile,
    ForeignVolume,
    dataset_id_of,
    located,
    read_image,
    read_integer,
    size_text,
)
from flocker_py.model import RestartName
from flocker_py.units import SIZE_STEP_BYTES

VERSION = 1
_HIGHEST_COUNT = 2**31 - 1
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
# Twenty digits are more than the largest size has; no more are read, for the work grows with them.
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([KMGT])", re.IGNORECASE | re.ASCII)


def flocker_file(place: Place) -> ForeignFile:
    """
    The applications of a file in Flocker's format; whatever is wrong is complained about.
    """
    top = Fields(place, "an application file")
    top.need("version", read_version)
    apps = top.need("applications", lambda below: list(_apps(below))) or []
    top.finish()
    return ForeignFile(format="Flocker", apps=pvector(apps))


def read_version(place: Place) -> int | None:
    """
    The version that both of Flocker's files have.
    """
    if place.value == VERSION and not isinstance(place.value, bool):
        return VERSION
    place.complain(f"must be {VERSION}, the version of Flocker's files, not {shown(place.value)}")
    return None


def any_name(_name: str) -> str | None:
    """
    No complaint: names are held against the rules of ``cluster.yml`` later.
    """
    return None


def _apps(place: Place) -> Iterator[ForeignApp]:
    for name, entry in entries(place, "applications", any_name):
        yield _app(name, entry)


def _app(name: str, place: Place) -> ForeignApp:
    draft = Draft(name, place.pointer)
    fields = Fields(place, "an application")

    def at(field: str) -> tuple[str | int, ...]:
        return (*place.pointer, field)

    draft.put("image", fields.need("image", read_image) or UNKNOWN_IMAGE, at("image"))
    environment = fields.take("environment", read_environment)
    draft.put_texts("env", environment, at("environment"))
    ports = fields.take("ports", reader_of_list(located(_read_port), "ports"))
    draft.put_items("ports", ports, at("ports"), same_keys=True)
    links = fields.take("links", reader_of_list(located(_read_link), "links"))
    draft.put_items("links", links, at("links"), same_keys=True)
    draft.put("restart", fields.take("restart_policy", _read_restart), at("restart_policy"))
    memory = fields.take("mem_limit", read_integer)
    draft.put("memory", None if memory is None else size_text(memory), at("mem_limit"))
    draft.put("cpu_shares", fields.take("cpu_shares", read_integer), at("cpu_shares"))
    volume = fields.take("volume", lambda below: _read_volume(name, below))
    draft.volumes += [] if volume is None else [volume]
    fields.finish()
    return draft.app()


def read_environment(place: Place) -> dict[str, tuple[str, tuple[str | int, ...]]]:
    """
    Texts by name, each with where it is.
    """
    read = {name: (read_any_text(entry), entry.pointer) for name, entry in entries(place, "environment", any_name)}
    return {name: (text, pointer) for name, (text, pointer) in read.items() if text is not None}


def _read_port(place: Place) -> dict[str, int] | None:
    fields = Fields(place, "a port")
    internal = fields.need("internal", read_integer)
    external = fields.need("external", read_integer)
    fields.finish()
    return None if internal is None or external is None else {"internal": internal, "external": external}


def _read_link(place: Place) -> dict[str, Any] | None:
    fields = Fields(place, "a link")
    local_port = fields.need("local_port", read_integer)
    remote_port = fields.need("remote_port", read_integer)
    alias = fields.need("alias", read_text)
    fields.finish()
    if local_port is None or remote_port is None or alias is None:
        return None
    return {"alias": alias, "local_port": local_port, "remote_port": remote_port}


def _read_restart(place: Place) -> dict[str, Any] | str | None:
    fields = Fields(place, "a restart policy")
    name = fields.need("name", reader_of_choice({policy.value: policy for policy in RestartName}))
    count = fields.take("maximum_retry_count", reader_of_integer(1, _HIGHEST_COUNT))
    if fields.has("maximum_retry_count") and name not in (None, RestartName.ON_FAILURE):
        place.below("maximum_retry_count", None).complain("belongs to on-failure only")
        count = None
    fields.finish()
    if name is None:
        return None
    return name.value if count is None else {"name": name.value, "maximum_retry_count": count}


def _read_volume(name: str, place: Place) -> ForeignVolume | None:
    draft = Draft(name, place.pointer)
    fields = Fields(place, "a volume")
    mountpoint = fields.need("mountpoint", _read_mountpoint)
    given = fields.take("dataset_id", read_text)
    draft.put("id", given or str(dataset_id_of(name)), (*place.pointer, "dataset_id"))
    if given is None:
        draft.notes.append(ANONYMOUS_NOTE)
    size = fields.take("maximum_size", _read_size)
    if size is not None:
        # Flocker rounded up to whole bytes only, and its backends to what they could do.
        rounded = -(-size // SIZE_STEP_BYTES) * SIZE_STEP_BYTES
        draft.put("size", size_text(rounded), (*place.pointer, "maximum_size"))
        if rounded != size:
            draft.notes.append(f"The file says {size} bytes; this is the next multiple of {SIZE_STEP_BYTES}.")
    draft.put("labels", {"name": name}, place.pointer)
    fields.finish()
    return None if mountpoint is None else draft.volume(mountpoint, (*place.pointer, "mountpoint"))


def _read_mountpoint(place: Place) -> str | None:
    path = read_text(place)
    if path is not None and not path.isascii():
        place.complain(f"must be ASCII, not {shown(path)}")
        return None
    return path


def _read_size(place: Place) -> int | None:
    written = place.value
    match = _SIZE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        place.complain(f"must be a number with K, M, G or T, powers of 1024, as in 100M, not {shown(written)}")
        return None
    unit: int = 1024 ** _POWERS[match[2].upper()]
    size = math.ceil(Fraction(match[1]) * unit)
    if size == 0:
        place.complain("must be more than zero")
        return None
    return size

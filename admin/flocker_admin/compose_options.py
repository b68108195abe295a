"""
Fields of Compose's services that ``cluster.yml`` has under the same name, or nearly: health, limits, rights, logs.

What they can hold is checked once, when the document that they become is read: there, every value knows its place in
the file that it came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flocker_py.documents import Fields, Place, Pointer
from flocker_py.foreign import Draft

# Compose's name of a field, and that of cluster.yml.
SAME_FIELDS: Mapping[str, str] = {
    "pull_policy": "pull_policy",
    "entrypoint": "entrypoint",
    "stop_signal": "stop_signal",
    "stop_grace_period": "stop_grace",
    "healthcheck": "healthcheck",
    "logging": "logging",
    "read_only": "read_only",
    "user": "user",
    "cap_add": "cap_add",
    "cap_drop": "cap_drop",
    "security_opt": "security_opt",
    "cpu_shares": "cpu_shares",
    "pids_limit": "pids_limit",
    "mem_swappiness": "swappiness",
}
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)


def read_options(fields: Fields, draft: Draft, pointer: Pointer) -> None:
    """
    Put all of these fields of a service into the draft of an app.

    :param pointer: of the service.
    """
    for theirs, ours in SAME_FIELDS.items():
        _put(draft, ours, fields.take(theirs, _read_whole), (*pointer, theirs))
    _put(draft, "cpus", fields.take("cpus", read_cpus), (*pointer, "cpus"))


def _put(draft: Draft, field: str, found: Any, pointer: Pointer) -> None:
    draft.put(field, found, pointer)
    if found is not None:
        draft.pointers.update({(field, *below): (*pointer, *below) for below in _places(found)})


def _places(found: Any) -> list[Pointer]:
    match found:
        case Mapping():
            inside = list(found.items())
        case list():
            inside = list(enumerate(found))
        case _:
            return []
    return [(key, *below) for key, item in inside for below in ((), *_places(item))]


def _read_whole(place: Place) -> Any:
    # What lacks a part that was complained about would be complained about again.
    before = len(place.complaints)
    found = read_filled_value(place)
    return found if len(place.complaints) == before else None


def read_filled_value(place: Place) -> Any:
    """
    Any value, in the texts of which Compose would have filled in variables: here they must have none.
    """
    found = place.value
    if isinstance(found, str):
        if "$" in found.replace("$$", ""):
            place.complain("variables are not filled in: write the value; for the character itself write $$")
            return None
        return found.replace("$$", "$")
    if isinstance(found, Mapping):
        return {str(key): read_filled_value(place.below(str(key), item)) for key, item in found.items()}
    if isinstance(found, list):
        return [read_filled_value(place.below(index, item)) for index, item in enumerate(found)]
    return found


def read_cpus(place: Place) -> Any:
    """
    A number of processors, which Compose lets be a text.
    """
    if isinstance(place.value, str) and _NUMBER.fullmatch(place.value):
        return float(place.value)
    return read_filled_value(place)

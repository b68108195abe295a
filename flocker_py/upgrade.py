"""
The formats that persisted texts have had, and the steps from each to the next.

A step is a function from the JSON object of one record, as the older version wrote it, to what the next version would
have written; ``type`` tells it which record it has. Steps are only ever added: a text of any age is brought up one
format at a time.

To change a field of a persisted record: add one to ``FORMAT``, put the step from the previous format into ``STEPS``,
keep a golden file of the old format with a test that reads it, and rewrite ``tests/unit/golden/fields.lock.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from flocker_py.errors import FlockerError

Document = dict[str, Any]
Step = Callable[[Document], Document]

FORMAT = 5
"""
The format that this version writes.
"""

# What format 2 added: per record, its new fields with what they are where nobody ever set them.
_NEW_IN_2: Mapping[str, Document] = MappingProxyType(
    {
        "Node": {"draining": False, "removed": False, "lease_seconds": 0.0},
        "Dataset": {"on_start_failure": "go-back", "on_partition": "keep"},
        "Move": {"returns": False, "running_since_seconds": None, "restarts": 0, "failover": False},
        "FinishedMove": {"failover": False},
        "Ownership": {"leased_epoch": 0, "deposed": {}, "bases": {}, "from_stash": None},
        "Own": {"leased": False, "keep_guids": [], "from_stash": None},
        "Receive": {"base_guid": None},
        "NodeAssignment": {"stashes": {}},
    }
)
# The fields of a record of format 1 that hold one other record, and its type.
_ONE_IN_1: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"Ownership": {"move": "Move", "last_move": "FinishedMove"}}
)
# Those that hold a map of others, and their type; None: each says its own.
_MANY_IN_1: Mapping[str, Mapping[str, str | None]] = MappingProxyType(
    {"NodeAssignment": {"datasets": None, "containers": "Container"}}
)


def _to_2(document: Document) -> Document:
    upgraded_document: Document = _with_new_in_2(document, document.get("type"))
    return upgraded_document


def _with_new_in_2(found: Any, kind: Any) -> Any:
    # What isn't as format 1 had it is left alone: reading it says what is wrong, and where.
    if not isinstance(found, dict) or not isinstance(kind, str):
        return found
    result = {**found, **_NEW_IN_2.get(kind, {})}
    for field, inner in _ONE_IN_1.get(kind, {}).items():
        result[field] = _with_new_in_2(found.get(field), inner)
    for field, each in _MANY_IN_1.get(kind, {}).items():
        items = found.get(field)
        if isinstance(items, dict):
            result[field] = {
                key: _with_new_in_2(item, each or (item.get("type") if isinstance(item, dict) else None))
                for key, item in items.items()
            }
    return result


def _to_3(document: Document) -> Document:
    # Leases of datasets came with format 3, too: a program that knows none must not take a store that has some.
    return {**document, "destroyed_at_seconds": None} if document.get("type") == "Ownership" else document


# What format 4 added, in the same way.
_NEW_IN_4: Mapping[str, Document] = MappingProxyType(
    {
        "Container": {
            "pull": "missing",
            "entrypoint": [],
            "environment_file": None,
            "stop_signal": None,
            "cpus": None,
            "pids_limit": None,
            "health": None,
            "log_driver": None,
            "log_options": {},
            "read_only": False,
            "user": None,
            "capabilities_add": [],
            "capabilities_drop": [],
            "security_options": [],
        },
        "Mount": {"read_only": False},
        "Port": {"host_address": None},
    }
)
_PARTS_OF_A_CONTAINER = MappingProxyType({"mounts": "Mount", "ports": "Port"})


def _to_4(document: Document) -> Document:
    match document.get("type"):
        case "Container":
            container: Document = _container_of_4(document)
            return container
        case "NodeAssignment":
            return _assignment_of_4(document)
        case "Remembered" if isinstance(document.get("assignment"), dict):
            return {**document, "assignment": _assignment_of_4(document["assignment"])}
        case _:
            return document


def _assignment_of_4(found: Document) -> Document:
    found = {**found, "forwards": {}, "preparing": {}}
    containers = found.get("containers")
    if not isinstance(containers, dict):
        return found
    return {**found, "containers": {name: _container_of_4(each) for name, each in containers.items()}}


def _container_of_4(found: Any) -> Any:
    # As above, what isn't as it was before is left alone.
    if not isinstance(found, dict):
        return found
    result = {**found, **_NEW_IN_4["Container"]}
    for field, kind in _PARTS_OF_A_CONTAINER.items():
        parts = found.get(field)
        if isinstance(parts, list):
            result[field] = [{**part, **_NEW_IN_4[kind]} if isinstance(part, dict) else part for part in parts]
    return result


def _to_5(document: Document) -> Document:
    # Datasets that begin as a snapshot of another.
    match document.get("type"):
        case "Dataset":
            return {**document, "origin": None}
        case "NodeAssignment":
            return _assignment_of_5(document)
        case "Remembered" if isinstance(document.get("assignment"), dict):
            return {**document, "assignment": _assignment_of_5(document["assignment"])}
        case _:
            return document


def _assignment_of_5(found: Document) -> Document:
    datasets = found.get("datasets")
    if not isinstance(datasets, dict):
        return found
    return {**found, "datasets": {key: _asked_of_5(asked) for key, asked in datasets.items()}}


def _asked_of_5(found: Any) -> Any:
    is_own = isinstance(found, dict) and found.get("type") == "Own"
    return {**found, "origin": None} if is_own else found


STEPS: Mapping[int, Step] = MappingProxyType({1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5})
"""
Per older format, how to get from it to the next.
"""


class FormatTooNew(FlockerError):
    """
    It was written by a newer version of flocker_py. Install that version or a later one; nothing was changed.
    """

    lasting = True


class FormatUnknown(FlockerError):
    """
    It was written in a format that no version of flocker_py ever had. Restore it from the newest backup.
    """

    lasting = True


def upgraded(document: Document, written: int, *, steps: Mapping[int, Step] = STEPS, current: int = FORMAT) -> Document:
    """
    A document as the present version would have written it.

    :param document: one record's JSON object; it is not changed.
    :param written: the format it is in.
    :raises FormatTooNew: a newer version wrote it.
    :raises FormatUnknown: there is no such format, and none of the steps was tried.
    """
    if written > current:
        raise FormatTooNew(f"format {written} is newer than format {current}, the newest known here")
    if any(older not in steps for older in range(max(written, 1), current)) or written < 1:
        raise FormatUnknown(f"there is no way from format {written} to format {current}")
    for older in range(written, current):
        document = steps[older](dict(document))
    return document

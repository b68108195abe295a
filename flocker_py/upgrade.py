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

FORMAT = 2
"""
The format that this version writes.
"""

# What records of format 1 lack, with the value that means what they meant then.
_NEW_IN_2: Mapping[str, Document] = MappingProxyType(
    {
        "Node": {"draining": False, "removed": False, "lease_seconds": 0.0},
        "Dataset": {"on_start_failure": "go-back", "on_partition": "keep"},
        "Ownership": {"leased_epoch": 0},
        "Own": {"leased": False},
        "Move": {"returns": False, "running_since_seconds": None, "restarts": 0},
    }
)


def _to_2(document: Document) -> Document:
    document |= _NEW_IN_2.get(str(document.get("type")), {})
    # These two are kept inside of others.
    if isinstance(document.get("move"), dict):
        document["move"] = {**document["move"], **_NEW_IN_2["Move"]}
    if document.get("type") == "NodeAssignment" and isinstance(document.get("datasets"), dict):
        document["datasets"] = {key: _role_of_2(role) for key, role in document["datasets"].items()}
    return document


def _role_of_2(role: Any) -> Any:
    return {**role, **_NEW_IN_2["Own"]} if isinstance(role, dict) and role.get("type") == "Own" else role


STEPS: Mapping[int, Step] = MappingProxyType({1: _to_2})
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

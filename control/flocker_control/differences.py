"""
What changes of a container, field by field, in the words of ``cluster.yml``.

Values that can hold secrets are never shown: of the environment and of options of logs, names alone; of commands, that
they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flocker_py.model import Container, Port, PullPolicy, RestartPolicy
from flocker_py.published_ports import port_text

# Their names in the document, in its order; ``node_id`` is told by where the container goes.
_WORDS: Mapping[str, str] = {
    "image": "image",
    "pull": "pull_policy",
    "entrypoint": "entrypoint",
    "command": "command",
    "environment": "env",
    "environment_file": "env_file",
    "mounts": "mounts",
    "ports": "ports",
    "links": "links",
    "restart": "restart",
    "memory_bytes": "memory",
    "cpu_shares": "cpu_shares",
    "cpus": "cpus",
    "pids_limit": "pids_limit",
    "swappiness": "swappiness",
    "stop_signal": "stop_signal",
    "stop_grace_seconds": "stop_grace",
    "health": "healthcheck",
    "log_driver": "logging.driver",
    "log_options": "logging.options",
    "read_only": "read_only",
    "user": "user",
    "capabilities_add": "cap_add",
    "capabilities_drop": "cap_drop",
    "security_options": "security_opt",
    "labels": "labels",
}
_SHOWN = frozenset(
    {"image", "pull", "environment_file", "memory_bytes", "cpu_shares", "cpus", "pids_limit", "swappiness"}
    | {"stop_signal", "stop_grace_seconds", "log_driver", "read_only", "user", "restart"}
)
_NAMES = frozenset({"environment", "log_options", "labels"})
_LISTS = frozenset({"ports", "capabilities_add", "capabilities_drop", "security_options"})


def difference_texts(present: Container, wanted: Container) -> list[str]:
    """
    A text for each field that differs, but for the node.
    """
    return [
        f"{word} {_difference(field, getattr(present, field), getattr(wanted, field))}"
        for field, word in _WORDS.items()
        if getattr(present, field) != getattr(wanted, field)
    ]


def _difference(field: str, before: Any, after: Any) -> str:
    if field in _SHOWN:
        return f"{_shown(before)} -> {_shown(after)}"
    if field in _NAMES:
        return _changes(
            added=sorted(set(after) - set(before)),
            removed=sorted(set(before) - set(after)),
            changed=sorted(name for name in set(before) & set(after) if before[name] != after[name]),
        )
    if field in _LISTS:
        old, new = [_item(item) for item in before], [_item(item) for item in after]
        changes = _changes(
            added=[item for item in new if item not in old], removed=[item for item in old if item not in new]
        )
        return changes or "in another order"
    return "changed"


def _changes(*, added: list[str], removed: list[str], changed: list[str] | None = None) -> str:
    signs = (("+", added), ("-", removed), ("~", changed or []))
    return " ".join(f"{sign}{each}" for sign, several in signs for each in several)


def _item(item: Any) -> str:
    return f"{port_text(item)}:{item.internal}" if isinstance(item, Port) else str(item)


def _shown(found: object) -> str:
    match found:
        case None:
            return "default"
        case bool():
            return str(found).lower()
        case PullPolicy():
            return found.value
        case RestartPolicy(maximum_retry_count=None):
            return found.name.value
        case RestartPolicy():
            return f"{found.name.value}:{found.maximum_retry_count}"
        case _:
            return str(found)

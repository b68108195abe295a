"""
The form of a deployment document as JSON Schema, draft 2020-12, for editors and for the API's description.

Whatever ``flocker_py.deployment.parse`` accepts has this form; what has this form can still break a rule.
"""

from __future__ import annotations

from typing import Any

from flocker_py.container_values import (
    HIGHEST_CPUS,
    HIGHEST_HEALTH_RETRIES,
    HIGHEST_PIDS,
    HIGHEST_SWAPPINESS,
    LOG_DRIVER_PATTERN,
    LOG_OPTIONS,
    LOWEST_CPUS,
    OPTION_PATTERN,
    USER_PATTERN,
)
from flocker_py.deployment import VERSION
from flocker_py.deployment_values import (
    ALIAS_PATTERN,
    APP_NAME_PATTERN,
    ARGUMENT_CHARACTERS,
    ARGUMENTS,
    HIGHEST_CPU_SHARES,
    HIGHEST_RETRY_COUNT,
    LABEL_CHARACTERS,
    LABELS,
    NAME_PATTERN,
    UUID_PATTERN,
)
from flocker_py.images import LONGEST_IMAGE
from flocker_py.model import OverrunPolicy, PartitionPolicy, PullPolicy, RestartName, StartFailurePolicy
from flocker_py.published_ports import HIGHEST_PORT, MOST_PORTS, PORTS_PATTERN
from flocker_py.units import MAXIMUM_SIZE_BYTES

Schema = dict[str, Any]


def _object(properties: Schema, *, required: tuple[str, ...] = (), null: bool = False) -> Schema:
    result: Schema = {
        "type": ["object", "null"] if null else "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        result["required"] = list(required)
    return result


def _by_name(pattern: str, item: Schema) -> Schema:
    return {"type": ["object", "null"], "propertyNames": {"pattern": f"^{pattern}$"}, "additionalProperties": item}


_TEXT: Schema = {"type": "string", "minLength": 1}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_UUID: Schema = {"type": "string", "pattern": f"^{UUID_PATTERN}$"}
_PORT_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": HIGHEST_PORT}
_SIZE: Schema = {
    "description": "Bytes, or a number with K, M, G, T, P or E, powers of 1024: 20G, 512MiB.",
    "oneOf": [
        {"type": "integer", "minimum": 1, "maximum": MAXIMUM_SIZE_BYTES},
        {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)? ?([KMGTPEkmgtpe](i[Bb]|I[Bb])?|[Bb])?\s*$"},
    ],
}
_DURATION: Schema = {
    "description": "Seconds, or numbers with ms, s, m, h or d: 500ms, 2s, 1h30m.",
    "oneOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*[0-9][0-9a-z. ]*\s*$"},
    ],
}
_RESTART_NAME: Schema = {"enum": [name.value for name in RestartName]}
_RESTART: Schema = {
    "oneOf": [
        _RESTART_NAME,
        _object(
            {
                "name": _RESTART_NAME,
                "maximum_retry_count": {"type": "integer", "minimum": 1, "maximum": HIGHEST_RETRY_COUNT},
            },
            required=("name",),
        ),
    ]
}
_OVERRUN: Schema = {"enum": [policy.value for policy in OverrunPolicy]}
_START_FAILURE: Schema = {"enum": [policy.value for policy in StartFailurePolicy]}
_PARTITION: Schema = {"enum": [policy.value for policy in PartitionPolicy]}
_LABELS: Schema = {
    "type": "object",
    "maxProperties": LABELS,
    "propertyNames": {"minLength": 1, "maxLength": LABEL_CHARACTERS},
    "additionalProperties": {"type": "string", "maxLength": LABEL_CHARACTERS},
}
_NODE_REFERENCE: Schema = {"description": "A name in nodes, a UUID, or an IP address.", **_TEXT}
_ARGUMENT: Schema = {"type": "string", "maxLength": ARGUMENT_CHARACTERS}
_COMMAND: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _ARGUMENT, "minItems": 1, "maxItems": ARGUMENTS}]}
_HEALTH = _object(
    {
        "test": {
            "description": "A text for /bin/sh; or [CMD, program, argument...], or [CMD-SHELL, text].",
            **_COMMAND,
        },
        "interval": _DURATION,
        "timeout": _DURATION,
        "start_period": {"oneOf": [{"type": "number", "minimum": 0}, _DURATION["oneOf"][1]]},
        "retries": {"type": "integer", "minimum": 1, "maximum": HIGHEST_HEALTH_RETRIES},
    },
    required=("test",),
)
_LOGGING = _object(
    {
        "driver": {"type": "string", "pattern": f"^{LOG_DRIVER_PATTERN}$"},
        "options": {
            "type": "object",
            "maxProperties": LOG_OPTIONS,
            "propertyNames": {"pattern": f"^{OPTION_PATTERN}$"},
            "additionalProperties": {"type": "string"},
        },
    },
    required=("driver",),
)
_SIGNAL: Schema = {"oneOf": [_TEXT, {"type": "integer", "minimum": 1, "maximum": 64}]}
_NAMES: Schema = {"type": "array", "items": _TEXT}

_CLUSTER = _object(
    {
        "name": _NAME,
        "control": _object({"host": _TEXT, "api_port": _PORT_NUMBER, "agent_port": _PORT_NUMBER}, required=("host",)),
    },
    required=("name",),
)

_NODE = _object({"uuid": _UUID, "address": _TEXT, "labels": _LABELS}, null=True)

_VOLUME = _object(
    {
        "id": _UUID,
        "primary": _NODE_REFERENCE,
        "size": _SIZE,
        "labels": _LABELS,
        "max_downtime": _DURATION,
        "on_overrun": _OVERRUN,
        "on_start_failure": _START_FAILURE,
        "on_partition": _PARTITION,
        "renamed_from": _NAME,
        "state": {"enum": ["present", "deleted"]},
    },
    null=True,
)

_APP = _object(
    {
        "node": _NODE_REFERENCE,
        "image": {"maxLength": LONGEST_IMAGE, **_TEXT},
        "pull_policy": {"enum": [policy.value for policy in PullPolicy]},
        "entrypoint": _COMMAND,
        "command": _COMMAND,
        "env": {"type": "object", "propertyNames": {"pattern": "^[^=]+$"}, "additionalProperties": {"type": "string"}},
        "env_file": {"description": "A file on the node of the app.", "type": "string", "pattern": "^/"},
        "mounts": {
            "type": "array",
            "items": {
                "oneOf": [
                    {"type": "string", "pattern": "^[^:]+:/[^:]*(:(ro|rw))?$"},
                    _object(
                        {
                            "volume": _TEXT,
                            "path": {"type": "string", "pattern": "^/"},
                            "read_only": {"type": "boolean"},
                        },
                        required=("volume",),
                    ),
                ]
            },
        },
        "ports": {
            "type": "array",
            "maxItems": MOST_PORTS,
            "items": {
                "oneOf": [
                    {"type": "string", "pattern": f"^{PORTS_PATTERN}$"},
                    _object(
                        {
                            "internal": _PORT_NUMBER,
                            "external": _PORT_NUMBER,
                            "protocol": {"enum": ["tcp", "udp"]},
                            "host_ip": _TEXT,
                        },
                        required=("internal", "external"),
                    ),
                ]
            },
        },
        "links": {
            "type": "array",
            "items": _object(
                {
                    "alias": {"type": "string", "pattern": f"^{ALIAS_PATTERN}$"},
                    "local_port": _PORT_NUMBER,
                    "remote_port": _PORT_NUMBER,
                },
                required=("alias", "local_port", "remote_port"),
            ),
        },
        "restart": _RESTART,
        "memory": _SIZE,
        "cpu_shares": {"type": "integer", "minimum": 1, "maximum": HIGHEST_CPU_SHARES},
        "cpus": {"type": "number", "minimum": LOWEST_CPUS, "maximum": HIGHEST_CPUS},
        "pids_limit": {"type": "integer", "minimum": 1, "maximum": HIGHEST_PIDS},
        "swappiness": {"type": "integer", "minimum": 0, "maximum": HIGHEST_SWAPPINESS},
        "stop_signal": _SIGNAL,
        "stop_grace": _DURATION,
        "healthcheck": _HEALTH,
        "logging": _LOGGING,
        "read_only": {"type": "boolean"},
        "user": {"type": "string", "pattern": f"^{USER_PATTERN}$"},
        "cap_add": _NAMES,
        "cap_drop": _NAMES,
        "security_opt": _NAMES,
        "labels": _LABELS,
        "state": {"enum": ["running", "deleted"]},
    },
    null=True,
)

_DEFAULTS = _object(
    {
        "size": _SIZE,
        "restart": _RESTART,
        "max_downtime": _DURATION,
        "on_overrun": _OVERRUN,
        "on_start_failure": _START_FAILURE,
        "on_partition": _PARTITION,
        "stop_grace": _DURATION,
    },
    null=True,
)

DEPLOYMENT_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Deployment",
    "description": "Nodes, volumes and apps of a cluster, as wanted. What is not named stays as it is.",
    **_object(
        {
            "version": {"const": VERSION},
            "cluster": _CLUSTER,
            "defaults": _DEFAULTS,
            "nodes": _by_name(NAME_PATTERN, _NODE),
            "volumes": _by_name(NAME_PATTERN, _VOLUME),
            "apps": _by_name(APP_NAME_PATTERN, _APP),
        },
        required=("version", "cluster"),
    ),
}
"""
The whole document.
"""

"""
Schemas of ``/v1``: what clients of Flocker 1.x send and expect.
"""

from __future__ import annotations

from collections.abc import Mapping

from flocker_control import limits
from flocker_control.http.schemas import (
    BOOLEAN,
    METADATA,
    SIZE,
    TEXT,
    UUID_4,
    UUID_TEXT,
    Schema,
    array,
    closed,
    integer,
    nullable,
    number,
    one_of,
    ref,
    text,
    texts_by_name,
)
from flocker_py.units import MAXIMUM_SIZE_BYTES

_EXPIRES = nullable(number("seconds from now; null: when it is released"))

_PORT_NUMBER = integer(1, limits.PORT_HIGHEST)
_CONTAINER_NAME = text(pattern=r"^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$", maxLength=129)
_RESTART_POLICY: Schema = {
    "oneOf": [
        closed({"name": one_of("on-failure")}, {"maximum_retry_count": integer(1, 10**9)}),
        closed({"name": one_of("never", "always")}),
    ]
}
_PORTS = array(
    closed({"internal": _PORT_NUMBER, "external": _PORT_NUMBER}), minItems=1, uniqueItems=True, maxItems=1024
)
_LINKS = array(
    closed({"alias": text(pattern=limits.ALIAS_PATTERN), "local_port": _PORT_NUMBER, "remote_port": _PORT_NUMBER}),
    minItems=1,
    uniqueItems=True,
    maxItems=1024,
)
_ENVIRONMENT = texts_by_name(TEXT, propertyNames={"minLength": 1})
_CONTAINER_FIELDS: Mapping[str, Schema] = {
    "ports": _PORTS,
    "links": _LINKS,
    "environment": _ENVIRONMENT,
    "cpu_shares": integer(1, limits.CPU_SHARES_HIGHEST),
    "memory_limit": integer(limits.MEMORY_MINIMUM_BYTES, MAXIMUM_SIZE_BYTES),
    "command_line": array(text(maxLength=limits.ARGUMENT_CHARACTERS), maxItems=limits.ARGUMENTS),
}
_VOLUME_SHOWN = closed({"dataset_id": UUID_TEXT, "mountpoint": TEXT})
_CONTAINER_SHOWN: Mapping[str, Schema] = {**_CONTAINER_FIELDS, "volumes": array(_VOLUME_SHOWN)}
_CONTAINER: Mapping[str, Schema] = {
    "node_uuid": UUID_TEXT,
    "name": TEXT,
    "image": text("with its tag; empty where a plain process runs"),
    "restart_policy": _RESTART_POLICY,
}

V1_SCHEMAS: Mapping[str, Schema] = {
    "V1Version": closed({"flocker": TEXT}),
    "V1Node": closed({"host": TEXT, "uuid": UUID_TEXT}),
    "V1Nodes": array(ref("V1Node")),
    "V1NodeOfEra": closed({"uuid": UUID_TEXT}),
    "V1Dataset": closed(
        {"dataset_id": UUID_TEXT, "primary": UUID_TEXT, "deleted": BOOLEAN, "metadata": METADATA},
        {"maximum_size": SIZE},
    ),
    "V1Datasets": array(ref("V1Dataset")),
    "V1CreateDataset": closed(
        {"primary": UUID_4},
        {
            "dataset_id": UUID_4,
            "maximum_size": nullable(SIZE),
            "metadata": METADATA,
            "deleted": {"type": "boolean", "const": False},
        },
    ),
    "V1ChangeDataset": closed({}, {"primary": UUID_4}),
    "V1DatasetState": closed(
        {"dataset_id": UUID_TEXT}, {"primary": UUID_TEXT, "path": TEXT, "maximum_size": {"type": "integer"}}
    ),
    "V1Lease": closed({"dataset_id": UUID_TEXT, "node_uuid": UUID_TEXT, "expires": _EXPIRES}),
    "V1Leases": array(ref("V1Lease")),
    "V1AcquireLease": closed({"dataset_id": UUID_TEXT, "node_uuid": UUID_4, "expires": _EXPIRES}),
    "V1Container": closed(_CONTAINER, _CONTAINER_SHOWN),
    "V1Containers": array(ref("V1Container")),
    "V1ContainerState": closed({**_CONTAINER, "running": BOOLEAN}, _CONTAINER_SHOWN),
    "V1ContainerStates": array(ref("V1ContainerState")),
    "V1CreateContainer": closed(
        {"node_uuid": UUID_4, "name": _CONTAINER_NAME, "image": text(minLength=1, maxLength=1024, pattern="^[^:]")},
        {
            **_CONTAINER_FIELDS,
            "restart_policy": _RESTART_POLICY,
            "swappiness": integer(0, limits.SWAPPINESS_HIGHEST),
            "volumes": array(closed({"dataset_id": UUID_4, "mountpoint": text(pattern="^/")}), maxItems=1),
        },
    ),
    "V1MoveContainer": closed({"node_uuid": UUID_4}),
    "V1Compose": closed(
        {
            "applications": {"type": "object", "description": "application.yml, as JSON"},
            "deployment": {"type": "object", "description": "deployment.yml, as JSON"},
        }
    ),
    "V1Nothing": {"type": "null"},
    "V1DatasetStates": array(ref("V1DatasetState")),
}

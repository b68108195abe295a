"""
Schemas of ``/v1``: what clients of Flocker 1.x send and expect.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    nullable,
    number,
    ref,
)

_EXPIRES = nullable(number("seconds from now; null: when it is released"))

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
    "V1DatasetStates": array(ref("V1DatasetState")),
}

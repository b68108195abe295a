"""
Questions to the control service of a local cluster, one at a time, with the cluster's own user certificate.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from flocker_admin.devcluster_layout import CONTROL_ADDRESS, USER_FOLDER, DevCluster
from flocker_py.errors import FlockerError

_MOST_BYTES = 64 * 1024 * 1024


class ControlSilent(FlockerError):
    """
    The control service did not answer, or not as it should. It may be starting or not be running: look at
    flocker-devcluster status, and at its log with flocker-devcluster logs control.
    """


def answered(cluster: DevCluster, folder: Path, path: str, *, timeout_seconds: float = 5.0) -> Any:
    """
    The JSON value that the REST API answers with.

    :param folder: the cluster's.
    :param path: as ``/v2/nodes``.
    :raises ControlSilent: there is no such answer.
    """
    user = folder / USER_FOLDER
    try:
        context = ssl.create_default_context(cafile=str(user / "cluster.crt"))
        context.load_cert_chain(user / "user.crt", user / "user.key")
        connection = http.client.HTTPSConnection(
            CONTROL_ADDRESS, cluster.port, timeout=timeout_seconds, context=context
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read(_MOST_BYTES)
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ControlSilent(f"GET {path} at {cluster.control}: status {response.status}")
        return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ControlSilent(f"GET {path} at {cluster.control}: {error}") from error


def connected_nodes(cluster: DevCluster, folder: Path) -> set[str]:
    """
    The ids of the nodes whose agents are connected.

    :raises ControlSilent: as ``answered``.
    """
    nodes = answered(cluster, folder, "/v2/nodes")["nodes"]
    return {node["node_id"] for node in nodes if node["connected"]}

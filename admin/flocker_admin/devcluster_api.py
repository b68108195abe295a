"""
Questions to the control service of a local cluster, one at a time, with the cluster's own user certificate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyrsistent import pvector

from flocker_admin.devcluster_layout import CONTROL_ADDRESS, USER_FOLDER, DevCluster
from flocker_py.client.addresses import ControlAddress
from flocker_py.client.blocking import BlockingClient
from flocker_py.client.retrying import Patience
from flocker_py.credentials import load_credential
from flocker_py.errors import FlockerError

# It is on this host, and whoever asks looks again.
_PATIENCE = Patience(connect_seconds=5.0, answer_seconds=5.0, pauses_seconds=pvector())


class ControlSilent(FlockerError):
    """
    The control service did not answer, or not as it should. It may be starting or not be running: look at
    flocker-devcluster status, and at its log with flocker-devcluster logs control.
    """


@contextmanager
def control_of(cluster: DevCluster, folder: Path) -> Iterator[BlockingClient]:
    """
    A client of the cluster's control service.

    :param folder: the cluster's.
    :raises ControlSilent: it doesn't answer as it should.
    """
    address = ControlAddress(host=CONTROL_ADDRESS, port=cluster.port)
    try:
        with BlockingClient(load_credential(folder / USER_FOLDER, "user"), address, patience=_PATIENCE) as control:
            yield control
    except FlockerError as error:
        raise ControlSilent(f"at {cluster.control}: {error}") from error


def connected_nodes(cluster: DevCluster, folder: Path) -> set[str]:
    """
    The ids of the nodes whose agents are connected.

    :param folder: the cluster's.
    :raises ControlSilent: the control service doesn't say.
    """
    with control_of(cluster, folder) as control:
        nodes = control.wait(control.client.nodes()).nodes
    return {str(node.node_id) for node in nodes if node.connected}

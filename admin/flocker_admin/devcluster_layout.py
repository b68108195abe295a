"""
What a local cluster for trying consists of, and what the files say that its programs are started with. Pure.

Below the cluster's folder:

==========================  ========================================================================================
``devcluster.json``         the record ``DevCluster``; a folder without it is not ours
``cluster.yml``             a deployment to begin with, for the user to edit
``env``                     for a shell to read: where the cluster is, and who you are
``authority/``              the cluster's certificate and key
``user/``                   what flocker-deploy and flockerctl prove themselves with
``control/``                certificate, log, process id and data of the control service
``n1/``, ``n2/``, …         the same of each node's agent, its ``agent.yml``, volumes, and logs of its applications
==========================  ========================================================================================
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import yaml
from pyrsistent import PVector

from flocker_py.model import NodeId
from flocker_py.records import Record, sequence, value

_NONE = type(None)
CONTROL = "control"
CONTROL_ADDRESS = "127.0.0.1"
STANDARD_PORT = 4523
"""Of the REST API; the agents' link has the next one, and transfers have the one after that."""
_PORT_STEP = 10
# Linux gives ports to outgoing connections from 32768 on (ip_local_port_range).
_HIGHEST_PORT = 32767
MOST_NODES = 250
"""Loopback addresses 127.0.0.2 to 127.0.0.251."""

CLUSTER_FILE = "devcluster.json"
DEPLOYMENT_FILE = "cluster.yml"
ENVIRONMENT_FILE = "env"
LOCK_FILE = "lock"
AUTHORITY_FOLDER = "authority"
USER_FOLDER = "user"
STORAGE_FOLDER = "storage"
MOUNT_FOLDER = "volumes"
STATE_FOLDER = "state"
RUNTIME_FOLDER = "runtime"
POOL_FILE = "pool.img"
SETTINGS_FILE = "agent.yml"

AUTO = "auto"
DIRECTORY = "directory"
ZFS = "zfs"
PROCESS = "process"
DOCKER = "docker"
_IN_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own in it, which only root makes


class DevNode(Record):
    """
    One node of a local cluster.

    :param pool: of ZFS; None with another backend.
    :param pool_is_ours: made with the cluster, on a file in the node's folder, and destroyed with it.
    """

    name: str = value(str)
    node_id: NodeId = value(UUID)
    address: str = value(str)
    pool: str | None = value((str, _NONE), default=None)
    pool_is_ours: bool = value(bool, default=False)


class DevCluster(Record):
    """
    A local cluster, as it is remembered.

    :param port: of the REST API, at 127.0.0.1; the agents' link is at the next one, and transfers are at the one after
        that, at each node's own address.
    :param docker: where the Docker Engine listens that runs the applications; None: they are plain processes.
    """

    cluster_id: UUID = value(UUID)
    backend: str = value(str)
    port: int = value(int, default=STANDARD_PORT)
    docker: str | None = value((str, _NONE), default=None)
    nodes: PVector[DevNode] = sequence(DevNode, default=())

    @property
    def agent_port(self) -> int:
        """
        Where agents call the control service.
        """
        return self.port + 1

    @property
    def transfer_port(self) -> int:
        """
        Where agents call one another.
        """
        return self.port + 2

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """
        Every address and port that the cluster listens at.
        """
        control = [(CONTROL_ADDRESS, self.port), (CONTROL_ADDRESS, self.agent_port)]
        return control + [(node.address, self.transfer_port) for node in self.nodes]

    @property
    def control(self) -> str:
        """
        Address and port of the REST API, as flocker-deploy and flockerctl take them.
        """
        return f"{CONTROL_ADDRESS}:{self.port}"

    @property
    def program_names(self) -> list[str]:
        """
        Of the control service and each agent.
        """
        return [CONTROL, *(node.name for node in self.nodes)]


def node_name(number: int) -> str:
    """
    What a node is called.

    :param number: counts from 1.
    """
    return f"n{number}"


def node_address(number: int) -> str:
    """
    The loopback address of a node.

    :param number: counts from 1, up to ``MOST_NODES``.
    """
    return f"127.0.0.{number + 1}"


def candidate_ports(first: int) -> Iterable[int]:
    """
    Ports at which a cluster could begin, the wanted one first.
    """
    return range(first, _HIGHEST_PORT - 1, _PORT_STEP)


def agent_settings(cluster: DevCluster, node: DevNode, folder: Path) -> str:
    """
    The agent.yml of a node.

    :param folder: the node's own, absolute.
    """
    dataset: dict[str, str] = {"backend": cluster.backend, "mount_root": str(folder / MOUNT_FOLDER)}
    if node.pool is None:
        dataset["root_path"] = str(folder / STORAGE_FOLDER)
    else:
        dataset["pool"] = node.pool
    runtime = {"backend": PROCESS, "state_path": str(folder / RUNTIME_FOLDER)}
    if cluster.docker is not None:
        runtime |= {
            "backend": DOCKER,
            "socket": cluster.docker,
            "network": docker_name(cluster),
            "grants_path": str(grants_path(cluster)),
        }
    return yaml.safe_dump(
        {
            "version": 1,
            "control-service": {"hostname": CONTROL_ADDRESS, "port": cluster.agent_port},
            "dataset": dataset,
            "runtime": runtime,
            "transfer": {"address": node.address, "port": cluster.transfer_port},
            "state_path": str(folder / STATE_FOLDER),
        },
        sort_keys=False,
    )


def docker_name(cluster: DevCluster) -> str:
    """
    What is called after a cluster where it has to share: its network in Docker.
    """
    return f"flockerdev-{cluster.cluster_id.hex[:8]}"


def grants_path(cluster: DevCluster) -> Path:
    """
    Where agents keep what says that Docker may start a container.
    """
    return _IN_MEMORY / docker_name(cluster)


def sample_deployment(cluster: DevCluster) -> str:
    """
    A cluster.yml to begin with: an application on the first node, with a volume.
    """
    nodes = "".join(f"  {node.name}: {{uuid: {node.node_id}}}\n" for node in cluster.nodes)
    first, other = cluster.nodes[0].name, cluster.nodes[-1].name
    in_docker = cluster.docker is not None
    # A plain process begins in its volume.
    image, folder, path = ("    image: busybox\n", "/data/", "\n        path: /data") if in_docker else ("", "", "")
    return f"""\
# What the cluster is to look like. Show and apply it with: flocker-deploy {DEPLOYMENT_FILE}
# Then change the app's node to {other}, run that again, and the volume follows.
version: 2
cluster:
  name: devcluster
nodes:
{nodes}volumes:
  notes:
    size: 256M
apps:
  clock:
    node: {first}
{image}    command: [sh, -c, "while :; do date >> {folder}times.txt; sleep 1; done"]
    mounts:
      - volume: notes{path}
    restart: always
    stop_grace: 2s
"""


def environment(cluster: DevCluster, folder: Path) -> dict[str, str]:
    """
    The variables that lead flocker-deploy and flockerctl to the cluster.
    """
    return {"FLOCKER_CONTROL": cluster.control, "FLOCKER_CERTIFICATES": str(folder / USER_FOLDER)}


def environment_text(cluster: DevCluster, folder: Path) -> str:
    """
    The same for a shell to read.
    """
    return "".join(f"export {name}={shlex.quote(content)}\n" for name, content in environment(cluster, folder).items())


def control_arguments(cluster: DevCluster, folder: Path) -> list[str]:
    """
    What flocker-control is started with.

    :param folder: the control service's own.
    """
    return [
        f"--data-path={folder / 'data'}",
        f"--certificates={folder}",
        f"--address={CONTROL_ADDRESS}",
        f"--port={cluster.port}",
        f"--agent-port={cluster.agent_port}",
        # Each node of one host mounts elsewhere; this is what they have in common.
        f"--mount-root={folder.parent}",
    ]


def agent_arguments(folder: Path) -> list[str]:
    """
    What flocker-agent is started with.

    :param folder: the node's own.
    """
    return [f"--agent-config={folder / SETTINGS_FILE}"]

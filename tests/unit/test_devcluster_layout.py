"""
What the files of a local cluster say.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from uuid import UUID

import pytest

from flocker_admin.devcluster_layout import (
    DevCluster,
    DevNode,
    agent_arguments,
    agent_settings,
    candidate_ports,
    control_arguments,
    environment_text,
    node_address,
    node_name,
    sample_deployment,
)
from flocker_admin.manifest import ManifestDeployment, deployment
from flocker_agent.settings import read_settings
from flocker_py.model import ContainerName, NodeId
from flocker_py.wire import from_text, to_text

NODES = [
    DevNode(name=node_name(number), node_id=NodeId(UUID(int=number)), address=node_address(number)) for number in (1, 2)
]
CLUSTER = DevCluster(cluster_id=UUID(int=7), backend="directory", port=5000).set(nodes=NODES)

ON_DOCKER = CLUSTER.set(docker="unix:///run/engine.sock")


def test_agent_reads_its_settings(tmp_path: Path) -> None:
    """
    The agent.yml of a node is one that the agent accepts, with the node's own address.
    """
    file = tmp_path / "agent.yml"
    file.write_text(agent_settings(CLUSTER, NODES[1], Path("/c/n2")))

    settings = read_settings(file)

    assert (
        settings.control_port,
        settings.address,
        settings.transfer_port,
        settings.backend_settings["root_path"],
    ) == (
        5001,
        "127.0.0.3",
        5002,
        "/c/n2/storage",
    )


def test_agent_on_a_pool(tmp_path: Path) -> None:
    """
    A node that has a pool is told of it, and of no folder.
    """
    file = tmp_path / "agent.yml"
    node = NODES[0].set(pool="tank")
    file.write_text(agent_settings(CLUSTER.set(backend="zfs"), node, Path("/c/n1")))

    assert dict(read_settings(file).backend_settings) == {"pool": "tank", "mount_root": "/c/n1/volumes"}


def test_agent_on_docker(tmp_path: Path) -> None:
    """
    A node of a cluster on Docker is told of the engine, and of what it shares with the other nodes alone.
    """
    file = tmp_path / "agent.yml"
    file.write_text(agent_settings(ON_DOCKER, NODES[0], Path("/c/n1")))

    read = read_settings(file)

    assert (read.runtime, dict(read.runtime_settings)) == (
        "docker",
        {
            "state_path": "/c/n1/runtime",
            "socket": "unix:///run/engine.sock",
            "network": "flockerdev-00000000",
            "grants_path": "/dev/shm/flockerdev-00000000",
        },
    )


def test_sample_deployment_on_docker() -> None:
    """
    In a cluster on Docker the application has an image, and its volume a place.
    """
    read = deployment(sample_deployment(ON_DOCKER))

    assert isinstance(read, ManifestDeployment)
    app = read.deployment.apps[ContainerName("clock")]
    assert (app.image, [mount.path for mount in app.mounts]) == ("busybox", ["/data"])


def test_sample_deployment() -> None:
    """
    The cluster.yml to begin with is sound, and names every node.
    """
    read = deployment(sample_deployment(CLUSTER))

    assert isinstance(read, ManifestDeployment)
    nodes = {name: node.node_id for name, node in read.deployment.nodes.items()}
    assert nodes == {"n1": UUID(int=1), "n2": UUID(int=2)}


def test_sample_deployment_runs_something() -> None:
    """
    The cluster.yml to begin with has an application with a volume.
    """
    read = deployment(sample_deployment(CLUSTER))

    assert isinstance(read, ManifestDeployment)
    assert [mount.volume for mount in read.deployment.apps[ContainerName("clock")].mounts] == ["notes"]


def test_environment_in_odd_folder() -> None:
    """
    A folder with spaces and quotes in its name arrives whole in a shell.
    """
    words = shlex.split(environment_text(CLUSTER, Path("/it's a $HOME")))

    assert words == [
        "export",
        "FLOCKER_CONTROL=127.0.0.1:5000",
        "export",
        "FLOCKER_CERTIFICATES=/it's a $HOME/user",
    ]


def test_remembered() -> None:
    """
    A cluster that was written down is read as it was.
    """
    assert from_text(DevCluster, to_text(CLUSTER)) == CLUSTER


@pytest.mark.parametrize("number", [1, 2, 250])
def test_addresses_are_loopback(number: int) -> None:
    """
    Every node has a loopback address, and none has the control service's.
    """
    assert node_address(number).startswith("127.0.0.") and node_address(number) != "127.0.0.1"


def test_every_candidate_leaves_room() -> None:
    """
    Ports that are tried never touch one another, or those that Linux gives to outgoing connections.
    """
    tried = list(candidate_ports(4523))
    used = [port + offset for port in tried for offset in range(3)]

    assert (tried[0], len(set(used)), max(used) < 32768) == (4523, len(used), True)


def test_everybody_listens_somewhere_else() -> None:
    """
    No two programs of a cluster are given the same address and port, and users are told that of the REST API.
    """
    assert CLUSTER.addresses == [
        ("127.0.0.1", 5000),
        ("127.0.0.1", 5001),
        ("127.0.0.2", 5002),
        ("127.0.0.3", 5002),
    ]
    assert (CLUSTER.control, CLUSTER.program_names) == ("127.0.0.1:5000", ["control", "n1", "n2"])


def test_arguments_of_programs() -> None:
    """
    Programs are told where their files are, and what the nodes' mounts have in common.
    """
    control = control_arguments(CLUSTER, Path("/c/control"))

    assert {"--data-path=/c/control/data", "--certificates=/c/control", "--port=5000", "--mount-root=/c"} <= set(
        control
    )
    assert agent_arguments(Path("/c/n1")) == ["--agent-config=/c/n1/agent.yml"]

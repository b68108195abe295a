"""
The ``cluster.yml`` of the unofficial Flocker tools.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flocker_admin import deploy
from flocker_admin.exits import Exit
from flocker_admin.manifest import ManifestDeployment, deployment
from flocker_admin.unofficial import converted
from flocker_py.documents import Complaint

# As the documentation of these tools shows it.
FILE = """\
cluster_name: fun-cluster
agent_nodes:
 - {public: 198.51.100.1, private: 192.0.2.1}
 - {public: 192.0.2.2, private: 192.0.2.2}
 - 192.0.2.3
control_node: ctl.example
users:
 - user
os: ubuntu
private_key_path: /home/somebody/.ssh/id_rsa
agent_config:
  version: 1
  control-service: {hostname: ctl.example, port: 4524}
  dataset: {backend: zfs, pool: flocker}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The current folder, with the file.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yml").write_text(FILE)
    return tmp_path


def flocker_deploy(*arguments: str) -> Result:
    return CliRunner().invoke(deploy.main, arguments)


def test_deploying_it_is_explained() -> None:
    """
    Somebody who deploys it is told what it is and what to do.
    """
    result = flocker_deploy("old.yml")

    assert (result.exit_code, result.stderr.splitlines()) == (
        Exit.USAGE,
        [
            (
                "old.yml:2:1: agent_nodes: this is the cluster.yml of the unofficial Flocker tools, or of Flocker's"
                " benchmark: it lists the addresses of hosts and nothing that runs on them. flocker-deploy convert FILE"
                " writes the beginning of a cluster.yml of version 2 from it"
            ),
            "1 mistake; nothing was changed.",
        ],
    )


def test_its_nodes_are_taken() -> None:
    """
    Nodes, the cluster's name and the control service are in the new file; what has no place in it is in a comment.
    """
    result = flocker_deploy("convert", "old.yml")

    assert result.stdout == (
        "# The nodes of old.yml. Add volumes and apps.\n"
        "# users: make their certificates with flocker-ca create-api-certificate USER.\n"
        "# os: the programs are installed as the installation guide says.\n"
        "# private_key_path: hosts are not reached by SSH.\n"
        "# agent_config: what agents need is in agent.yml on each node; its backend is named there.\n"
        "version: 2\n"
        "cluster:\n"
        "  name: fun-cluster\n"
        "  control:\n"
        "    host: ctl.example\n"
        "# The names are made up. Deploying the file gives them to the nodes: choose better ones.\n"
        "nodes:\n"
        "  # From outside: 198.51.100.1.\n"
        "  n1:\n"
        "    address: 192.0.2.1\n"
        "  n2:\n"
        "    address: 192.0.2.2\n"
        "  n3:\n"
        "    address: 192.0.2.3\n"
    )


def test_new_file_can_be_deployed() -> None:
    """
    What is written is a good cluster.yml.
    """
    assert isinstance(deployment(flocker_deploy("convert", "old.yml").stdout), ManifestDeployment)


def test_benchmarks_file() -> None:
    """
    That of Flocker's benchmarks has two fields only.
    """
    document, notes = converted({"control_node": "192.0.2.9"}, [])

    assert (document, notes) == (
        {"version": 2, "cluster": {"name": "flocker", "control": {"host": "192.0.2.9"}}, "nodes": {}},
        {},
    )


def test_what_is_wrong_with_it(folder: Path) -> None:
    """
    All mistakes are told with line and column.
    """
    (folder / "old.yml").write_text(
        "agent_nodes: [x, {public: 192.0.2.1}, {private: y}, 3]\ncluster_name: ''\nmore: 1\n"
    )
    result = flocker_deploy("convert", "old.yml")

    assert (result.exit_code, result.stderr.splitlines()) == (
        Exit.USAGE,
        [
            "old.yml:1:15: agent_nodes[0]: must be an IP address, not 'x'",
            "old.yml:1:18: agent_nodes[1]: a node needs private, the address at which other nodes reach it",
            "old.yml:1:40: agent_nodes[2].private: must be an IP address, not 'y'",
            "old.yml:1:53: agent_nodes[3]: a node must be a mapping, not 3",
            "old.yml:2:1: cluster_name: must not be empty",
            "old.yml:3:1: more: a cluster.yml of the unofficial tools has no field 'more'",
            "6 mistakes; nothing was changed.",
        ],
    )


def test_name_that_no_cluster_can_have() -> None:
    """
    The name of a cluster stands in certificates; one that can't is a mistake.
    """
    complaints: list[Complaint] = []
    converted({"agent_nodes": [], "cluster_name": "a\nb"}, complaints)

    assert [complaint.pointer for complaint in complaints] == [("cluster_name",)]


def test_control_service_may_be_unknown() -> None:
    """
    Without control_node the new file says nothing of it.
    """
    document, _ = converted({"agent_nodes": ["192.0.2.1"]}, [])

    assert document == {"version": 2, "cluster": {"name": "flocker"}, "nodes": {"n1": {"address": "192.0.2.1"}}}

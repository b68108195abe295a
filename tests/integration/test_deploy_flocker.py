"""
``flocker-deploy`` with Flocker's files against a real control service.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyrsistent import pvector

from flocker_admin.deploy import main
from flocker_admin.exits import Exit
from flocker_py.foreign import dataset_id_of
from flocker_py.model import Container, Dataset
from flocker_py.records import field_names
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.rest import A, B, RestCluster, rest_cluster
from tests.integration.tools import Ended, run_tool

DEPLOYMENT = "version: 1\nnodes:\n  192.0.2.10: [web]\n  192.0.2.11: [db]\n  192.0.2.12: []\n"
WITHOUT = DEPLOYMENT.replace("  192.0.2.12: []\n", "")
APPLICATION = """\
version: 1
applications:
  web:
    image: nginx
    ports: [{internal: 80, external: 8080}]
    links: [{local_port: 5432, remote_port: 5433, alias: pg}]
    environment: {MODE: fast}
    restart_policy: {name: on-failure, maximum_retry_count: 3}
  db:
    image: postgres:9
    ports: [{internal: 5432, external: 5433}]
    volume: {mountpoint: /var/lib/postgresql, maximum_size: 20G}
    mem_limit: 134217728
    cpu_shares: 512
"""
EVERYTHING = pvector((*field_names(Container), "mounts.path"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Where the files are.
    """
    (tmp_path / "deployment.yml").write_text(DEPLOYMENT)
    (tmp_path / "application.yml").write_text(APPLICATION)
    return tmp_path


def cluster_at(folder: Path, certificates: ClusterCertificates) -> Any:
    return rest_cluster(folder, certificates=certificates)


@pytest.fixture
def cluster(folder: Path, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service with three nodes whose runtime can do everything.
    """
    with cluster_at(folder, certificates) as running:
        with_nodes(running)
        yield running


def with_nodes(cluster: RestCluster, **fields: Any) -> None:
    fields.setdefault("container_fields", EVERYTHING)
    cluster.report(A, address="192.0.2.10", **fields)
    cluster.report(B, address="192.0.2.11", **fields)


def flocker_deploy(cluster: RestCluster, certificates: ClusterCertificates, folder: Path, *arguments: str) -> Ended:
    more = ("--certificates-directory", str(certificates.directory / "user"), "--no-wait")
    return run_tool("flocker-deploy", *arguments, *more, folder=folder)


def flockers(cluster: RestCluster) -> tuple[str, ...]:
    return (f"127.0.0.1:{cluster.port}", "deployment.yml", "application.yml")


def wanted(cluster: RestCluster) -> tuple[dict[str, Container], list[Dataset]]:
    """
    All that the cluster wants, but for when.
    """
    state = cluster.service.state
    return {str(name): one for name, one in state.containers.items()}, sorted(
        state.datasets.values(), key=lambda one: str(one.dataset_id)
    )


def test_nodes_that_are_not_there(cluster: RestCluster, certificates: ClusterCertificates, folder: Path) -> None:
    """
    Each address must be a node's, even if nothing is to run there; all are told at once, and nothing is changed.
    """
    (folder / "deployment.yml").write_text(DEPLOYMENT.replace("192.0.2.10", "192.0.2.20"))
    ended = flocker_deploy(cluster, certificates, folder, *flockers(cluster))

    assert (ended.status, [line.split(" no node")[0] for line in ended.err.splitlines()], wanted(cluster)) == (
        Exit.USAGE,
        [
            "deployment.yml:3:16: nodes.192.0.2.20[0]:",
            "deployment.yml:5:3: nodes.192.0.2.12:",
            "2 mistakes; nothing was changed.",
        ],
        ({}, []),
    )


def test_converted_file_leads_to_the_same_cluster(
    cluster: RestCluster, certificates: ClusterCertificates, folder: Path, tmp_path: Path
) -> None:
    """
    Deploying what convert wrote leads to the same as deploying the two files; and the files find nothing left to do.
    """
    (folder / "deployment.yml").write_text(WITHOUT)
    control = f"127.0.0.1:{cluster.port}"
    files = [str(folder / name) for name in ("deployment.yml", "application.yml")]
    CliRunner().invoke(main, ["convert", "--control", control, "-o", str(folder / "cluster.yml"), *files])
    flocker_deploy(cluster, certificates, folder, "cluster.yml")
    by_one = wanted(cluster)
    again = flocker_deploy(cluster, certificates, folder, *flockers(cluster))
    (tmp_path / "other").mkdir()
    with cluster_at(tmp_path / "other", certificates) as other:
        with_nodes(other)
        flocker_deploy(other, certificates, folder, *flockers(other))
        by_two = wanted(other)

    assert (len(by_one[0]), by_one) == (2, by_two)
    assert "Nothing to change: everything is wanted as the file says." in again.out


def test_runtime_that_can_not_do_it(folder: Path, certificates: ClusterCertificates) -> None:
    """
    What the runtime of a node can't do is refused with the reason, at the application's place, and nothing is changed.
    """
    (folder / "deployment.yml").write_text("version: 1\nnodes: {192.0.2.10: [web]}\n")
    with cluster_at(folder, certificates) as running:
        with_nodes(running, container_fields=pvector(["command", "environment", "mounts"]))
        ended = flocker_deploy(running, certificates, folder, *flockers(running))
        state = wanted(running)

    refused = [line for line in ended.err.splitlines() if line.startswith("application.yml:3:3: applications.web: ")]
    assert (ended.status, [word for word in ("image", "ports", "links") if word not in " ".join(refused)], state) == (
        Exit.USAGE,
        [],
        ({}, []),
    )


def test_files_are_deployed(cluster: RestCluster, certificates: ClusterCertificates, folder: Path) -> None:
    """
    What the files say is wanted of the cluster: apps on the nodes at their addresses, and the volume under the id that
    Flocker gave it. An application that no node has any more is ended, and its volume stays.
    """
    (folder / "deployment.yml").write_text(WITHOUT)
    deployed = flocker_deploy(cluster, certificates, folder, *flockers(cluster))
    containers, datasets = wanted(cluster)
    (folder / "deployment.yml").write_text(WITHOUT.replace("[db]", "[]"))
    flocker_deploy(cluster, certificates, folder, *flockers(cluster))
    left, kept = wanted(cluster)

    assert (deployed.status, "Warning: web: no app of its node has the external port 5433" in deployed.err) == (0, True)
    assert {name: one.node_id for name, one in containers.items()} == {"web": A, "db": B}
    assert [(one.dataset_id, one.name, one.maximum_size_bytes, dict(one.metadata)) for one in datasets] == [
        (dataset_id_of("db"), "db", 20 * 1024**3, {"name": "db"})
    ]
    assert (set(left), kept) == ({"web"}, datasets)

"""
Nodes that are drained, removed and let in again, by the REST API and by ``flockerctl``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyrsistent import pmap

from flocker_admin.exits import Exit
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.rest import A, B, rest_cluster
from tests.integration.test_ctl import RUNNING, Ctl


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def ctl(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[Ctl]:
    """
    flockerctl, and a cluster in which alpha owns the volume pg and runs the app db.
    """
    with rest_cluster(tmp_path, certificates=certificates) as cluster:
        cluster.report(A)
        cluster.report(B)
        yield Ctl(cluster, certificates, tmp_path)


def test_drain(ctl: Ctl) -> None:
    """
    What a node has is sent to others, and nothing new is put there until that is ended.
    """
    planned = ctl.run("drain", "alpha", "--dry-run")
    assert (planned.status, planned.out) == (Exit.DONE, "app db with volume pg would move to beta\n")
    assert not ctl.cluster.get("/v2/nodes").body["nodes"][0]["draining"]

    drained = ctl.run("drain", "alpha")
    assert (drained.status, drained.out.splitlines()) == (
        Exit.DONE,
        ["app db with volume pg moves to beta", "Node alpha takes nothing new until flockerctl undrain alpha."],
    )
    dataset = ctl.cluster.get("/v2/datasets/pg").body
    assert (dataset["primary"], dataset["move"]["target"]) == (str(B), str(B))
    assert ctl.run("drain", "alpha").out.splitlines()[0] == "app db with volume pg is leaving already"
    assert "connected, draining" in ctl.run("nodes").out
    refused = ctl.cluster.post("/v2/datasets", {"primary": "alpha"})
    assert (refused.status, refused.body["code"]) == (409, "NodeDraining")

    ended = ctl.run("undrain", "alpha")
    assert (ended.status, ended.out) == (Exit.DONE, "Node alpha is used again; nothing is moved back to it.\n")
    assert ctl.cluster.post("/v2/datasets", {"primary": "alpha"}).status == 201


def test_drain_what_finds_no_place(ctl: Ctl) -> None:
    """
    What finds no place stays, is named with the reasons, and the exit status tells; another time there may be room.
    """
    ctl.cluster.report(B, free_bytes=10)
    remedy = "make room there, or choose another node"

    ended = ctl.run("drain", "alpha")
    assert (ended.status, ended.out.splitlines()) == (
        Exit.FAILED,
        [
            "app db with volume pg stays:",
            f"    the dataset pg holds 1 KiB, and node beta has room for 10 B only: {remedy}",
            "Node alpha takes nothing new until flockerctl undrain alpha, and what stays can be asked for again.",
        ],
    )
    assert ctl.cluster.get("/v2/datasets/pg").body["primary"] == str(A)
    ctl.cluster.report(B)
    assert json.loads(ctl.run("drain", "alpha", "--json").out)["placed"][0]["target"] == str(B)


def test_deployment_onto_a_drained_node(ctl: Ctl) -> None:
    """
    A deployment that wants something on a drained node is refused at the place where it does.
    """
    ctl.run("drain", "beta")
    document = {
        "version": 2,
        "cluster": {"name": "test"},
        "nodes": {"alpha": {}, "beta": {}},
        "apps": {"web": {"node": "beta", "command": "serve"}},
    }

    reply = ctl.cluster.post("/v2/plan", {"deployment": document})
    assert reply.status == 422
    assert [(error["pointer"], "is being drained" in error["text"]) for error in reply.body["errors"]] == [
        (["apps", "web"], True)
    ]


def test_remove_and_readmit(ctl: Ctl) -> None:
    """
    A node that has something is not removed; one that has nothing is, is called by its name no more, and can be let in
    again.
    """
    refused = ctl.run("remove", "alpha")
    assert refused.status == Exit.FAILED
    for held in ("owned by it: dataset pg", "wanted there: container db", "running there: container db"):
        assert held in refused.err

    removed = ctl.run("remove", "beta")
    assert (removed.status, removed.out) == (
        Exit.DONE,
        f"Node beta is removed. Stop its agent; to let it in again: flockerctl readmit {B}\n",
    )
    node = next(node for node in ctl.cluster.get("/v2/nodes").body["nodes"] if node["node_id"] == str(B))
    assert (node["removed"], node["connected"]) == (True, False)
    assert ctl.run("nodes").out.splitlines()[2].split()[2] == "removed"
    assert ctl.cluster.post("/v2/moves", {"dataset": "pg", "target": "beta"}).status == 404
    by_id = ctl.cluster.post("/v2/moves", {"dataset": "pg", "target": str(B)})
    assert (by_id.status, by_id.body["code"]) == (409, "NodeRemoved")

    again = ctl.run("readmit", "beta")
    assert (again.status, again.out) == (
        Exit.DONE,
        "Node beta is part of the cluster again, as soon as its agent connects.\n",
    )


@pytest.mark.parametrize("command", ["drain", "undrain", "remove", "readmit"])
def test_unknown_node(ctl: Ctl, command: str) -> None:
    """
    A node that nobody knows is named, with those that there are.
    """
    ended = ctl.run(command, "gamma")

    assert (ended.status, "There is no node 'gamma'. The nodes of this cluster: alpha, beta." in ended.err) == (
        Exit.FAILED,
        True,
    )


def test_as_json(ctl: Ctl) -> None:
    """
    With --json each of the commands answers what the service does.
    """
    ctl.report(containers=pmap({RUNNING.name: RUNNING}))
    answers = [json.loads(ctl.run(command, "beta", "--json").out) for command in ("undrain", "remove", "readmit")]

    assert [(answer["draining"], answer["removed"]) for answer in answers] == [
        (False, False),
        (False, True),
        (False, False),
    ]

"""
``_compose``, with the formats of sections 3.1 to 3.3.
"""

from __future__ import annotations

from typing import Any

import pytest

from flocker_py.foreign import dataset_id_of
from tests.cluster import Cluster
from tests.v1.client import Client, Reply, unused_port
from tests.v1.test_containers import CONTAINERS, STATES, listed, name, running

COMPOSE = "/v1/configuration/_compose"


def sent(client: Client, app: str, fields: Any, *nodes: str) -> Reply:
    """
    The answer to one application, on some nodes or none.
    """
    addresses = client.cluster.addresses
    deployment = {"version": 1, "nodes": {addresses[node]: [app] for node in nodes}}
    return client.post(
        COMPOSE, {"applications": {"version": 1, "applications": {app: fields}}, "deployment": deployment}
    )


def test_runs_and_moves_and_ends(client: Client, cluster: Cluster) -> None:
    """
    An application runs where the files say, with a dataset of the id that Flocker made of its name; it moves with that;
    and when it is on no node any more it ends, and its dataset stays.
    """
    app, number = name(), unused_port()
    fields = {
        "image": "postgres:9.4",
        "volume": {"mountpoint": "/data", "maximum_size": "100M"},
        "ports": [{"internal": 5432, "external": number}],
        "environment": {"A": "1"},
        "restart_policy": {"name": "always"},
        "mem_limit": 2**25,
        "cpu_shares": 512,
    }
    reply = sent(client, app, fields, "n1")
    dataset_id = str(dataset_id_of(app))

    assert (200, "null") == (reply.status, reply.text.strip())
    assert {
        "node_uuid": client.node("n1"),
        "name": app,
        "image": "postgres:9.4",
        "restart_policy": {"name": "always"},
        "ports": [{"internal": 5432, "external": number}],
        "environment": {"A": "1"},
        "volumes": [{"dataset_id": dataset_id, "mountpoint": "/data"}],
        "memory_limit": 2**25,
        "cpu_shares": 512,
    } == listed(client, CONTAINERS, app)
    running(client, app, "n1")
    assert 100 * 1024**2 == client.on(dataset_id, "n1")["maximum_size"]
    assert {"name": app} == (client.wanted(dataset_id) or {})["metadata"]
    client.unhurried(dataset_id)

    assert 200 == sent(client, app, fields, "n2").status
    running(client, app, "n2")
    client.on(dataset_id, "n2")

    assert 200 == sent(client, app, fields).status
    cluster.wait(lambda: listed(client, STATES, app) is None)
    assert client.on(dataset_id, "n2")


def test_fig(client: Client) -> None:
    """
    A file of fig will do as well.
    """
    web, db, number = name(), name(), unused_port()
    reply = client.post(
        COMPOSE,
        {
            "applications": {
                web: {"image": "nginx", "links": [f"{db}:db"], "environment": ["A=1", "B"]},
                db: {"image": "postgres", "ports": [f"{number}:5432"], "volumes": ["/data"], "mem_limit": 2**25},
            },
            "deployment": {"version": 1, "nodes": {client.cluster.addresses["n1"]: [web, db]}},
        },
    )

    assert 200 == reply.status, reply.text
    shown = listed(client, CONTAINERS, web)
    assert shown is not None
    assert (
        [{"alias": "db", "local_port": 5432, "remote_port": number}],
        {"A": "1", "B": ""},
    ) == (shown["links"], shown["environment"])


def test_what_is_not_named_stays(client: Client) -> None:
    """
    What the files don't name is left alone.
    """
    first, second = name(), name()
    sent(client, first, {"image": "nginx"}, "n1")
    sent(client, second, {"image": "nginx"}, "n1")

    assert listed(client, CONTAINERS, first)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        {"image": 1},
        {"image": ":latest"},
        {"image": "x", "ports": [{"internal": 1}]},
        {"image": "x", "ports": [{"external": 1}]},
        {"image": "x", "ports": [{"internal": 1, "external": 1, "more": 1}]},
        {"image": "x", "ports": [{"internal": "x", "external": 1}]},
        {"image": "x", "links": "x"},
        {"image": "x", "links": ["x"]},
        {"image": "x", "links": [{"local_port": 1, "remote_port": 1}]},
        {"image": "x", "links": [{"local_port": 1, "alias": "a"}]},
        {"image": "x", "links": [{"remote_port": 1, "alias": "a"}]},
        {"image": "x", "links": [{"local_port": "x", "remote_port": 1, "alias": "a"}]},
        {"image": "x", "links": [{"local_port": 1, "remote_port": 1, "alias": 1}]},
        {"image": "x", "links": [{"local_port": 1, "remote_port": 1, "alias": "a-b"}]},
        {"image": "x", "volume": "x"},
        {"image": "x", "volume": {}},
        {"image": "x", "volume": {"mountpoint": 1}},
        {"image": "x", "volume": {"mountpoint": "/é"}},
        {"image": "x", "volume": {"mountpoint": "x"}},
        {"image": "x", "volume": {"mountpoint": "/x", "maximum_size": 1}},
        {"image": "x", "volume": {"mountpoint": "/x", "maximum_size": "much"}},
        {"image": "x", "volume": {"mountpoint": "/x", "maximum_size": "0K"}},
        {"image": "x", "volume": {"mountpoint": "/x", "more": 1}},
        {"image": "x", "environment": []},
        {"image": "x", "environment": {"A": 1}},
        {"image": "x", "mem_limit": "x"},
        {"image": "x", "cpu_shares": "x"},
        {"image": "x", "restart_policy": "always"},
        {"image": "x", "restart_policy": {}},
        {"image": "x", "restart_policy": {"name": "x"}},
        {"image": "x", "restart_policy": {"name": "never", "maximum_retry_count": 1}},
        {"image": "x", "restart_policy": {"name": "on-failure", "maximum_retry_count": 0}},
        {"image": "x", "restart_policy": {"name": "always", "more": 1}},
        {"image": "x", "command_line": []},
        {"image": "x", "swappiness": 1},
    ],
)
def test_application_error(client: Client, fields: Any) -> None:
    """
    What is wrong with an application is told, with its name, and nothing is changed.
    """
    app = name()
    reply = sent(client, app, fields, "n1")

    assert (400, True, None) == (reply.status, app in reply.body["description"], listed(client, CONTAINERS, app))


@pytest.mark.parametrize(
    "deployment",
    [
        {},
        {"version": 1},
        {"nodes": {}},
        {"version": 2, "nodes": {}},
        {"version": 1, "nodes": {"n1": []}},
        {"version": 1, "nodes": {"192.0.2.77": []}},
        {"version": 1, "nodes": {"127.0.0.1": "web"}},
        {"version": 1, "nodes": {"127.0.0.1": ["nobody"]}},
        {"version": 1, "nodes": {"127.0.0.1": ["web", "web"]}},
        {"version": 1, "nodes": {}, "more": 1},
    ],
)
def test_deployment_error(client: Client, deployment: dict[str, Any]) -> None:
    """
    So is what is wrong with the deployment.
    """
    # The one address that is there stands for that of a node.
    nodes = {
        client.cluster.addresses["n1"] if a == "127.0.0.1" else a: n for a, n in deployment.get("nodes", {}).items()
    }
    deployment = {**deployment, "nodes": nodes} if "nodes" in deployment else deployment
    applications = {"version": 1, "applications": {"web": {"image": "nginx"}}}
    reply = client.post(COMPOSE, {"applications": applications, "deployment": deployment})

    assert (400, True) == (reply.status, bool(reply.body["description"]))


@pytest.mark.parametrize(
    "body", [{}, [], {"applications": {}}, {"deployment": {}}, {"applications": [], "deployment": {}}]
)
def test_no_files(client: Client, body: object) -> None:
    """
    Both files are needed.
    """
    assert 400 == client.post(COMPOSE, body).status


def test_what_the_runtime_cannot_do(client: Client) -> None:
    """
    What the cluster can't do is told, too.
    """
    reply = sent(client, name(), {"image": "nginx"}, "n3")

    assert (400, True) == (reply.status, "image can't be done by the runtime process" in reply.body["description"])

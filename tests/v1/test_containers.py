"""
Section 2.8, and 2.9 of containers: configuration, state, and what becomes of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import Cluster
from tests.v1.client import DATASETS, UNKNOWN, Client, Reply, unused_id, unused_port

CONTAINERS = "/v1/configuration/containers"
STATES = "/v1/state/containers"
LINK = {"alias": "db", "local_port": 5432, "remote_port": 15432}


def name() -> str:
    """
    A name that no other container has.
    """
    return f"c{unused_id()[:8]}"


def wanted(client: Client, node: str = "n1", **fields: Any) -> dict[str, Any]:
    """
    The least that a container needs, and these fields.
    """
    return {"node_uuid": client.node(node), "name": name(), "image": "nginx", **fields}


def created(client: Client, node: str = "n1", **fields: Any) -> dict[str, Any]:
    """
    A new container, as it was answered.
    """
    reply = client.post(CONTAINERS, wanted(client, node, **fields))
    assert 201 == reply.status, reply.text
    answered: dict[str, Any] = reply.body
    return answered


def listed(client: Client, path: str, container: str) -> dict[str, Any] | None:
    """
    A container as it is listed; None: it isn't.
    """
    found = [each for each in client.get(path).body if each["name"] == container]
    assert len(found) < 2
    return found[0] if found else None


def running(client: Client, container: str, node: str) -> dict[str, Any]:
    """
    Wait until a container runs on a node; its state then.
    """

    def there() -> dict[str, Any] | None:
        state = listed(client, STATES, container)
        return state if state and state["running"] and state["node_uuid"] == client.node(node) else None

    found: dict[str, Any] = client.cluster.wait(there)
    return found


class TestCreate:
    """
    POST configuration/containers.
    """

    def test_least(self, client: Client) -> None:
        """
        Node, name and image are enough; the image gets its tag, and the policy is never.
        """
        container = wanted(client)
        reply = client.post(CONTAINERS, container)

        assert (201, {**container, "image": "nginx:latest", "restart_policy": {"name": "never"}}) == (
            reply.status,
            reply.body,
        )

    def test_most(self, client: Client) -> None:
        """
        All that can be asked for is answered; aliases in lower case, ports and links sorted, swappiness never.
        """
        first, second = unused_port(), unused_port()
        fields: dict[str, Any] = {
            "image": "registry:5000/app:1.2",
            "restart_policy": {"name": "on-failure", "maximum_retry_count": 3},
            "ports": [{"internal": 81, "external": second}, {"internal": 80, "external": first}],
            "links": [{**LINK, "alias": "WEB", "local_port": 80}, LINK],
            "environment": {"A": "1", "é": ""},
            "volumes": [{"dataset_id": client.create()["dataset_id"], "mountpoint": "/data"}],
            "cpu_shares": 512,
            "memory_limit": 1048576,
            "command_line": ["serve", "--all", ""],
        }
        container = created(client, **fields, swappiness=10)

        assert {
            **fields,
            "node_uuid": client.node("n1"),
            "name": container["name"],
            "ports": [{"internal": 80, "external": first}, {"internal": 81, "external": second}],
            "links": [LINK, {**LINK, "alias": "web", "local_port": 80}],
        } == container

    def test_is_listed(self, client: Client) -> None:
        """
        A container is listed as it was answered.
        """
        container = created(client, environment={"A": "1"})

        assert container == listed(client, CONTAINERS, container["name"])

    @pytest.mark.parametrize(
        ("image", "shown"),
        [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("registry:5000/nginx", "registry:5000/nginx:latest"),
            ("registry:5000/nginx:1", "registry:5000/nginx:1"),
            (f"nginx@sha256:{'0123456789abcdef' * 4}", f"nginx@sha256:{'0123456789abcdef' * 4}"),
        ],
    )
    def test_tag(self, client: Client, image: str, shown: str) -> None:
        """
        An image without a tag is the latest; the port of a registry is no tag.
        """
        assert shown == created(client, image=image)["image"]

    def test_leading_slash(self, client: Client) -> None:
        """
        A slash before the name is no part of it, so that the container can be addressed.
        """
        container = name()
        created(client, name=f"/{container}")

        assert 200 == client.delete(f"{CONTAINERS}/{container}").status

    def test_ids_in_capitals(self, client: Client) -> None:
        """
        Ids are the same in any case.
        """
        dataset_id = client.create()["dataset_id"]
        container = created(
            client,
            node_uuid=client.node("n1").upper(),
            volumes=[{"dataset_id": dataset_id.upper(), "mountpoint": "/data"}],
        )

        assert (client.node("n1"), dataset_id) == (container["node_uuid"], container["volumes"][0]["dataset_id"])

    def test_unknown_node(self, client: Client) -> None:
        """
        A node that isn't there yet is accepted.
        """
        assert 201 == client.post(CONTAINERS, wanted(client, node_uuid=unused_id())).status

    def test_no_condition(self, client: Client) -> None:
        """
        Conditions are for datasets, and containers leave their tag as it is.
        """
        tag = client.tag()
        reply = client.post(CONTAINERS, wanted(client), headers=(("X-If-Configuration-Matches", "0" * 32),))

        assert (201, tag) == (reply.status, client.tag())

    @pytest.mark.parametrize(
        "policy",
        [
            {"name": "never"},
            {"name": "always"},
            {"name": "on-failure"},
            {"name": "on-failure", "maximum_retry_count": 1},
        ],
    )
    def test_restart_policy(self, client: Client, policy: dict[str, Any]) -> None:
        """
        Policies are kept as they are.
        """
        assert policy == created(client, restart_policy=policy)["restart_policy"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"cpu_shares": 1},
            {"cpu_shares": 1024},
            {"memory_limit": 1048576},
            {"swappiness": 0},
            {"swappiness": 100},
            {"command_line": []},
            {"command_line": ["x" * 4096]},
            {"command_line": ["x"] * 4096},
            {"volumes": []},
            {"environment": {}},
            {"links": [{"alias": "a", "local_port": 1, "remote_port": 65535}]},
        ],
    )
    def test_at_the_limit(self, client: Client, fields: dict[str, Any]) -> None:
        """
        What is just within the limits is accepted.
        """
        assert 201 == client.post(CONTAINERS, wanted(client, **fields)).status

    @pytest.mark.parametrize(
        "fields",
        [
            {"node_uuid": None},
            {"node_uuid": "x" * 36},
            {"node_uuid": "11111111-1111-1111-8111-111111111111"},
            {"name": None},
            {"name": ""},
            {"name": "x"},
            {"name": "-xx"},
            {"name": "a b"},
            {"name": "//aa"},
            {"name": "aa\n"},
            {"image": None},
            {"image": ""},
            {"image": ":latest"},
            {"image": 1},
            {"ports": []},
            {"ports": {}},
            {"ports": [{"internal": 1}]},
            {"ports": [{"external": 1}]},
            {"ports": [{}]},
            {"ports": [{"internal": "1", "external": 1}]},
            {"ports": [{"internal": 0, "external": 1}]},
            {"ports": [{"internal": 1, "external": 65536}]},
            {"ports": [{"internal": 1, "external": 1, "protocol": "tcp"}]},
            {"ports": [{"internal": 1, "external": 7}, {"internal": 1, "external": 7}]},
            {"links": []},
            {"links": [LINK, LINK]},
            {"links": [{"alias": "a", "local_port": 1}]},
            {"links": [{**LINK, "alias": "a-b"}]},
            {"links": [{**LINK, "alias": ""}]},
            {"links": [{**LINK, "local_port": 0}]},
            {"links": [{**LINK, "remote_port": 65536}]},
            {"environment": []},
            {"environment": {"": "x"}},
            {"environment": {"A": 1}},
            {"restart_policy": {}},
            {"restart_policy": "never"},
            {"restart_policy": {"name": "sometimes"}},
            {"restart_policy": {"name": "never", "maximum_retry_count": 1}},
            {"restart_policy": {"name": "always", "maximum_retry_count": 1}},
            {"restart_policy": {"name": "on-failure", "maximum_retry_count": 0}},
            {"restart_policy": {"name": "on-failure", "maximum_retry_count": "1"}},
            {"volumes": {}},
            {"volumes": [{"dataset_id": UNKNOWN}]},
            {"volumes": [{"mountpoint": "/x"}]},
            {"volumes": [{"dataset_id": UNKNOWN, "mountpoint": "x"}]},
            {"volumes": [{"dataset_id": "x", "mountpoint": "/x"}]},
            {"volumes": [{"dataset_id": UNKNOWN, "mountpoint": f"/{n}"} for n in range(2)]},
            {"cpu_shares": 0},
            {"cpu_shares": 1025},
            {"cpu_shares": 1.0},
            {"memory_limit": 1048575},
            {"memory_limit": "1G"},
            {"command_line": "serve"},
            {"command_line": [1]},
            {"command_line": ["x" * 4097]},
            {"command_line": ["x"] * 4097},
            {"swappiness": -1},
            {"swappiness": 101},
            {"running": True},
            {"more": 1},
        ],
    )
    def test_refused(self, client: Client, fields: dict[str, Any]) -> None:
        """
        What the types don't allow is refused, and nothing is made.
        """
        before = client.get(CONTAINERS).body
        reply = client.post(CONTAINERS, wanted(client, **fields))

        assert (400, True) == (reply.status, bool(reply.body["description"])), reply.text
        assert before == client.get(CONTAINERS).body

    @pytest.mark.parametrize("field", ["node_uuid", "name", "image"])
    def test_needed(self, client: Client, field: str) -> None:
        """
        Node, name and image are needed.
        """
        container = wanted(client)
        del container[field]

        assert 400 == client.post(CONTAINERS, container).status


def refused(client: Client, **fields: Any) -> tuple[int, str]:
    """
    Status and description of a refusal.
    """
    reply = client.post(CONTAINERS, wanted(client, **fields))
    return reply.status, reply.body["description"]


class TestConflicts:
    """
    What a container can't have, since others have it, in Flocker's words and order.
    """

    @pytest.fixture
    def user(self, client: Client) -> dict[str, Any]:
        """
        A container that uses a dataset and a port.
        """
        return created(
            client,
            ports=[{"internal": 80, "external": unused_port()}],
            volumes=[{"dataset_id": client.create()["dataset_id"], "mountpoint": "/data"}],
        )

    def test_name(self, client: Client, user: dict[str, Any]) -> None:
        """
        Names are unique, with a slash or without.
        """
        assert [(409, "The container name already exists.")] * 2 == [
            refused(client, name=user["name"]),
            refused(client, name=f"/{user['name']}"),
        ]

    @pytest.mark.parametrize("is_deleted", [False, True])
    def test_dataset_missing(self, client: Client, is_deleted: bool) -> None:
        """
        The dataset has to be there, and not deleted.
        """
        dataset_id = UNKNOWN
        if is_deleted:
            dataset_id = client.create()["dataset_id"]
            client.delete(f"{DATASETS}/{dataset_id}")

        assert (404, "Dataset not found.") == refused(
            client, volumes=[{"dataset_id": dataset_id, "mountpoint": "/data"}]
        )

    def test_dataset_elsewhere(self, client: Client) -> None:
        """
        It has to be wanted on the container's node.
        """
        volume = {"dataset_id": client.create("n2")["dataset_id"], "mountpoint": "/data"}

        assert (409, "The dataset is on another node.") == refused(client, volumes=[volume])

    def test_dataset_in_use(self, client: Client, user: dict[str, Any]) -> None:
        """
        And used by no other container.
        """
        assert (409, "The dataset is being used by another container.") == refused(client, volumes=user["volumes"])

    @pytest.mark.parametrize("node", ["n1", "n2"])
    def test_port_in_use(self, client: Client, user: dict[str, Any], node: str) -> None:
        """
        An external port is used once in the cluster.
        """
        assert (409, "A specified external port is already in use.") == refused(
            client, node_uuid=client.node(node), ports=user["ports"]
        )

    def test_link_aliases(self, client: Client) -> None:
        """
        Aliases are unique, in any case.
        """
        links = [LINK, {**LINK, "alias": "DB", "local_port": 1}]

        assert (409, "Link aliases must be unique.") == refused(client, links=links)

    def test_local_ports_of_links(self, client: Client) -> None:
        """
        So are the local ports of links.
        """
        assert (409, "The local ports in a container's links must be unique.") == refused(
            client, links=[LINK, {**LINK, "alias": "other"}]
        )

    def test_order(self, client: Client, user: dict[str, Any]) -> None:
        """
        Of several conflicts, the first of name, volume, ports and links is told.
        """
        links = [LINK, {**LINK, "alias": "other"}]
        wrong: dict[str, Any] = {
            "links": links, "ports": user["ports"], "volumes": user["volumes"], "name": user["name"],
        }  # fmt: skip
        told = []
        for field in ("name", "volumes", "ports", "links"):
            told.append(refused(client, **wrong)[1].split()[-1])
            del wrong[field]

        assert ["exists.", "container.", "use.", "unique."] == told

    def test_what_the_runtime_cannot_do(self, client: Client) -> None:
        """
        A field that the node's runtime can't do is refused with the reason, not stored.
        """
        container = wanted(client, "n3")
        reply = client.post(CONTAINERS, container)

        assert (409, "FieldNotSupported", True) == (
            reply.status,
            reply.body["code"],
            "image can't be done by the runtime process" in reply.body["description"],
        )
        assert None is listed(client, CONTAINERS, container["name"])


class TestDatasetInUse:
    """
    A dataset that a container uses stays with it: Flocker answered with 500.
    """

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_refused(self, client: Client, method: str) -> None:
        """
        It is neither moved alone nor deleted; the container is named.
        """
        dataset_id = client.create()["dataset_id"]
        container = created(client, volumes=[{"dataset_id": dataset_id, "mountpoint": "/data"}])
        reply = client.call(method, f"{DATASETS}/{dataset_id}", {"primary": client.node("n2")})

        assert (409, True) == (reply.status, container["name"] in reply.body["description"])


class TestMove:
    """
    POST configuration/containers/NAME.
    """

    def test_container_and_dataset(self, client: Client, cluster: Cluster) -> None:
        """
        The container's dataset goes with it, with all that was written.
        """
        dataset_id = client.made("n1")
        client.unhurried(dataset_id)
        (cluster.folder / "n1" / "flocker" / dataset_id / "file").write_text("precious")
        container = created(client, volumes=[{"dataset_id": dataset_id, "mountpoint": "/data"}])
        running(client, container["name"], "n1")
        reply = client.post(f"{CONTAINERS}/{container['name']}", {"node_uuid": client.node("n2")})

        assert (200, {**container, "node_uuid": client.node("n2")}) == (reply.status, reply.body)
        assert client.node("n2") == (client.wanted(dataset_id) or {})["primary"]
        running(client, container["name"], "n2")
        client.on(dataset_id, "n2")
        assert "precious" == (cluster.folder / "n2" / "flocker" / dataset_id / "file").read_text()

    def test_same_node(self, client: Client) -> None:
        """
        A move to where it is changes nothing.
        """
        container = created(client)
        reply = client.post(f"{CONTAINERS}/{container['name']}", {"node_uuid": client.node("n1")})

        assert (200, container) == (reply.status, reply.body)

    def test_unknown_node(self, client: Client) -> None:
        """
        A node that isn't there yet is accepted.
        """
        container, node_id = created(client), unused_id()
        reply = client.post(f"{CONTAINERS}/{container['name']}", {"node_uuid": node_id})

        assert (200, node_id) == (reply.status, reply.body["node_uuid"])

    def test_unknown(self, client: Client) -> None:
        """
        What isn't there can't be moved.
        """
        reply = client.post(f"{CONTAINERS}/{name()}", {"node_uuid": client.node("n1")})

        assert (404, "Container not found.") == (reply.status, reply.body["description"])

    @pytest.mark.parametrize(
        "body", [{}, {"node_uuid": None}, {"node_uuid": "x"}, {"node_uuid": UNKNOWN, "image": "x"}]
    )
    def test_refused(self, client: Client, body: dict[str, Any]) -> None:
        """
        The node is needed, and nothing else can be changed.
        """
        container = created(client)

        assert 400 == client.post(f"{CONTAINERS}/{container['name']}", body).status

    def test_runtime_that_cannot(self, client: Client) -> None:
        """
        A container isn't sent where it could not run.
        """
        container = created(client)
        reply = client.post(f"{CONTAINERS}/{container['name']}", {"node_uuid": client.node("n3")})

        assert (409, container) == (reply.status, listed(client, CONTAINERS, container["name"]))

    def test_leased(self, client: Client) -> None:
        """
        A leased dataset keeps its container where it is.
        """
        dataset_id = client.create()["dataset_id"]
        container = created(client, volumes=[{"dataset_id": dataset_id, "mountpoint": "/data"}])
        lease = {"dataset_id": dataset_id, "node_uuid": client.node("n1"), "expires": None}
        client.post("/v1/configuration/leases", lease)
        reply = client.post(f"{CONTAINERS}/{container['name']}", {"node_uuid": client.node("n2")})

        assert (409, client.node("n1")) == (reply.status, reply.body["holder"])

    def test_leased_and_forced(self, client: Client) -> None:
        """
        Unless version 2 asks for it by force.
        """
        dataset_id = client.made("n1")
        client.unhurried(dataset_id)
        container = created(client, volumes=[{"dataset_id": dataset_id, "mountpoint": "/data"}])["name"]
        lease = {"dataset_id": dataset_id, "node_uuid": client.node("n1"), "expires": None}
        client.post("/v1/configuration/leases", lease)
        body = {
            "node": client.node("n2"), "image": "nginx", "mounts": [{"dataset": dataset_id, "path": "/data"}],
        }  # fmt: skip
        statuses = [client.call("PUT", f"/v2/containers/{container}{how}", body).status for how in ("", "?force=true")]

        assert [409, 200] == statuses
        running(client, container, "n2")


class TestDelete:
    """
    DELETE configuration/containers/NAME.
    """

    def test_delete(self, client: Client, cluster: Cluster) -> None:
        """
        The container is gone, from the configuration and then from its node; its dataset stays.
        """
        dataset_id = client.made("n1")
        container = created(client, volumes=[{"dataset_id": dataset_id, "mountpoint": "/data"}])["name"]
        running(client, container, "n1")
        reply: Reply = client.delete(f"{CONTAINERS}/{container}")

        assert (200, "null", None) == (reply.status, reply.text.strip(), listed(client, CONTAINERS, container))
        cluster.wait(lambda: listed(client, STATES, container) is None)
        assert client.on(dataset_id, "n1")["path"]

    def test_unknown(self, client: Client) -> None:
        """
        What isn't there can't be deleted, twice neither.
        """
        reply = client.delete(f"{CONTAINERS}/{name()}")

        assert (404, "Container not found.") == (reply.status, reply.body["description"])


class TestState:
    """
    GET state/containers.
    """

    def test_running(self, client: Client) -> None:
        """
        A container that runs is shown as it was asked for, and that it runs.
        """
        container = created(client, environment={"A": "1"}, ports=[{"internal": 80, "external": unused_port()}])

        assert {**container, "running": True} == running(client, container["name"], "n1")

    def test_nowhere(self, client: Client) -> None:
        """
        One that is nowhere isn't shown.
        """
        container = created(client, node_uuid=unused_id())

        assert None is listed(client, STATES, container["name"])


class TestV2:
    """
    Both versions show the same containers.
    """

    def test_made_by_v1(self, client: Client) -> None:
        """
        What version 1 makes version 2 shows.
        """
        container = created(client, memory_limit=1048576, command_line=["serve"])
        shown = client.get(f"/v2/containers/{container['name']}").body

        assert (["serve"], 1048576, "nginx") == (shown["command"], shown["memory_bytes"], shown["image"])

    def test_made_by_v2(self, client: Client) -> None:
        """
        And the reverse: of a process without an image there is none, and its dataset is where it sees it.
        """
        dataset_id, container = client.create("n3")["dataset_id"], name()
        body = {"node": client.node("n3"), "command": ["true"], "mounts": [{"dataset": dataset_id}]}
        assert 201 == client.call("PUT", f"/v2/containers/{container}", body).status

        assert {
            "node_uuid": client.node("n3"),
            "name": container,
            "image": "",
            "restart_policy": {"name": "never"},
            "command_line": ["true"],
            "volumes": [{"dataset_id": dataset_id, "mountpoint": f"/flocker/{dataset_id}"}],
        } == listed(client, CONTAINERS, container)

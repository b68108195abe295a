"""
Sections 2.5, 2.7 and 2.9 of datasets: types, configuration, state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster import CONTROL, Cluster
from tests.v1.client import CONDITION, DATASET_STATES, DATASETS, MIB, UNKNOWN, Client, unused_id


class TestCreate:
    """
    POST configuration/datasets.
    """

    def test_least(self, client: Client) -> None:
        """
        A primary is enough; what has no size shows none.
        """
        created = client.create()

        assert {
            "dataset_id": created["dataset_id"],
            "primary": client.node("n1"),
            "deleted": False,
            "metadata": {},
        } == created

    def test_most(self, client: Client) -> None:
        """
        All that can be asked for is answered.
        """
        dataset_id = unused_id()
        fields: dict[str, Any] = {
            "dataset_id": dataset_id,
            "maximum_size": 64 * MIB,
            "metadata": {"name": "db", "é": "ü"},
        }
        created = client.create(**fields)

        assert {**fields, "primary": client.node("n1"), "deleted": False} == created

    def test_is_listed(self, client: Client) -> None:
        """
        What was created is listed as it was answered.
        """
        created = client.create(maximum_size=64 * MIB, metadata={"name": "db"})

        assert created == client.wanted(created["dataset_id"])

    def test_generated_id(self, client: Client) -> None:
        """
        A generated id is a UUID of version 4, in lower case, and new each time.
        """
        ids = [client.create()["dataset_id"] for _ in range(2)]

        assert (2, {("4", 36)}, ids) == (
            len(set(ids)),
            {(text[14], len(text)) for text in ids},
            [text.lower() for text in ids],
        )

    def test_id_in_capitals(self, client: Client) -> None:
        """
        An id is kept in lower case.
        """
        dataset_id = unused_id()

        assert dataset_id == client.create(dataset_id=dataset_id.upper())["dataset_id"]

    def test_primary_in_capitals(self, client: Client) -> None:
        """
        So is the primary.
        """
        reply = client.post(DATASETS, {"primary": client.node("n1").upper()})

        assert (201, client.node("n1")) == (reply.status, reply.body["primary"])

    @pytest.mark.parametrize("case", [str.lower, str.upper])
    def test_id_in_use(self, client: Client, case: Callable[[str], str]) -> None:
        """
        An id is used once.
        """
        dataset_id = client.create()["dataset_id"]

        reply = client.post(DATASETS, {"primary": client.node("n2"), "dataset_id": case(dataset_id)})
        assert (409, "The provided dataset_id is already in use.") == (reply.status, reply.body["description"])

    def test_id_of_a_deleted_dataset(self, client: Client) -> None:
        """
        It is never used again, even if it never was made.
        """
        dataset_id = client.create()["dataset_id"]
        client.delete(f"{DATASETS}/{dataset_id}")

        reply = client.post(DATASETS, {"primary": client.node("n1"), "dataset_id": dataset_id})
        assert (409, "The provided dataset_id is already in use.") == (reply.status, reply.body["description"])

    def test_unknown_primary(self, client: Client) -> None:
        """
        A primary that is no node yet is accepted.
        """
        reply = client.post(DATASETS, {"primary": unused_id()})

        assert 201 == reply.status

    def test_not_deleted(self, client: Client) -> None:
        """
        ``deleted: false`` is what every new dataset is. Flocker answered with 500.
        """
        assert False is client.create(deleted=False)["deleted"]

    def test_no_size(self, client: Client) -> None:
        """
        A size of null is none.
        """
        assert "maximum_size" not in client.create(maximum_size=None)

    @pytest.mark.parametrize(
        "fields",
        [
            {"maximum_size": 67108864},
            {"maximum_size": 67109888},
            {"metadata": {str(number): "" for number in range(16)}},
            {"metadata": {"k" * 256: "v" * 256}},
            {"metadata": {"k": ""}},
        ],
    )
    def test_at_the_limit(self, client: Client, fields: dict[str, Any]) -> None:
        """
        What is just within the limits is accepted.
        """
        assert 201 == client.post(DATASETS, {"primary": client.node("n1"), **fields}).status

    @pytest.mark.parametrize(
        "fields",
        [
            {"primary": None},
            {"primary": 1},
            {"primary": ""},
            {"primary": "192.0.2.1"},
            {"primary": "11111111-1111-1111-8111-111111111111"},
            {"primary": "11111111-1111-4111-1111-111111111111"},
            {"primary": "11111111111141118111111111111111"},
            {"primary": "{11111111-1111-4111-8111-1111111111"},
            {"primary": "11111111-1111-4111-8111-11111111111\n"},
            {"primary": "11111111-1111-4111-8111-111111111111\n"},
            {"dataset_id": None},
            {"dataset_id": "x" * 36},
            {"dataset_id": "11111111-1111-5111-8111-111111111111"},
            {"maximum_size": 67108863},
            {"maximum_size": 67108865},
            {"maximum_size": 67108864.0},
            {"maximum_size": 0},
            {"maximum_size": -67108864},
            {"maximum_size": "67108864"},
            {"maximum_size": True},
            {"metadata": None},
            {"metadata": []},
            {"metadata": {str(number): "" for number in range(17)}},
            {"metadata": {"": "v"}},
            {"metadata": {"k" * 257: "v"}},
            {"metadata": {"k": "v" * 257}},
            {"metadata": {"k": 1}},
            {"metadata": {"k": None}},
            {"deleted": True},
            {"deleted": None},
            {"deleted": "false"},
            {"path": "/flocker/x"},
            {"owner": "me"},
        ],
    )
    def test_refused(self, client: Client, fields: dict[str, Any]) -> None:
        """
        What the types don't allow is refused, and nothing is made.
        """
        before = client.tag()
        reply = client.post(DATASETS, {"primary": client.node("n1"), **fields})

        assert (400, True, True) == (reply.status, bool(reply.body["description"]), bool(reply.body["errors"]))
        assert before == client.tag()

    def test_size_beyond_all_limits(self, client: Client) -> None:
        """
        A size that no integer of 64 bits holds is refused.
        """
        assert 400 == client.post(DATASETS, {"primary": client.node("n1"), "maximum_size": 2**70}).status

    @pytest.mark.parametrize("body", [{}, [], "x", 1, None, True])
    def test_no_dataset(self, client: Client, body: object) -> None:
        """
        Neither is anything that isn't an object with a primary.
        """
        raw = b"null" if body is None else None

        assert 400 == client.post(DATASETS, body, raw=raw).status


class TestChange:
    """
    POST configuration/datasets/ID.
    """

    @pytest.mark.parametrize("case", [str.lower, str.upper])
    def test_nothing(self, client: Client, case: Callable[[str], str]) -> None:
        """
        No change is one, too; the id in any case.
        """
        created = client.create()
        reply = client.post(f"{DATASETS}/{case(created['dataset_id'])}", {})

        assert (200, created) == (reply.status, reply.body)

    def test_unknown_primary(self, client: Client) -> None:
        """
        A primary that is no node is accepted.
        """
        dataset_id, primary = client.create()["dataset_id"], unused_id()
        reply = client.post(f"{DATASETS}/{dataset_id}", {"primary": primary})

        assert (200, primary) == (reply.status, reply.body["primary"])

    @pytest.mark.parametrize("dataset_id", [UNKNOWN, "x", "x" * 36, f"{UNKNOWN}x", "%00", "a b"])
    @pytest.mark.parametrize("body", [{}, {"primary": UNKNOWN}])
    def test_unknown(self, client: Client, dataset_id: str, body: dict[str, Any]) -> None:
        """
        What isn't there can't be changed.
        """
        reply = client.post(f"{DATASETS}/{dataset_id.replace(' ', '%20')}", body)

        assert (404, "Dataset not found.") == (reply.status, reply.body["description"])

    @pytest.mark.parametrize("body", [{}, {"primary": UNKNOWN}])
    def test_deleted(self, client: Client, body: dict[str, Any]) -> None:
        """
        What was deleted can't be changed.
        """
        path = f"{DATASETS}/{client.create()['dataset_id']}"
        client.delete(path)

        reply = client.post(path, body)
        assert (405, "The dataset has been deleted.") == (reply.status, reply.body["description"])

    @pytest.mark.parametrize(
        "body",
        [
            {"maximum_size": 128 * MIB},
            {"metadata": {}},
            {"deleted": True},
            {"deleted": False},
            {"dataset_id": UNKNOWN},
            {"primary": None},
            {"primary": "x" * 36},
        ],
    )
    def test_refused(self, client: Client, body: dict[str, Any]) -> None:
        """
        Nothing but the primary can be changed.
        """
        created = client.create()
        reply = client.post(f"{DATASETS}/{created['dataset_id']}", body)

        assert (400, created) == (reply.status, client.wanted(created["dataset_id"]))


class TestDelete:
    """
    DELETE configuration/datasets/ID.
    """

    @pytest.mark.parametrize("case", [str.lower, str.upper])
    def test_delete(self, client: Client, case: Callable[[str], str]) -> None:
        """
        A deleted dataset is answered, and listed, as deleted.
        """
        created = client.create(maximum_size=64 * MIB, metadata={"name": "db"})
        reply = client.delete(f"{DATASETS}/{case(created['dataset_id'])}")

        assert (200, {**created, "deleted": True}) == (reply.status, reply.body)
        assert {**created, "deleted": True} == client.wanted(created["dataset_id"])

    def test_twice(self, client: Client) -> None:
        """
        Twice is as once.
        """
        path = f"{DATASETS}/{client.create()['dataset_id']}"

        assert client.delete(path).body == client.delete(path).body

    @pytest.mark.parametrize("dataset_id", [UNKNOWN, "x", "x" * 36])
    def test_unknown(self, client: Client, dataset_id: str) -> None:
        """
        What isn't there can't be deleted.
        """
        reply = client.delete(f"{DATASETS}/{dataset_id}")

        assert (404, "Dataset not found.") == (reply.status, reply.body["description"])

    def test_is_destroyed(self, client: Client) -> None:
        """
        What was made is destroyed, and still listed as deleted after that.
        """
        dataset_id = client.made()
        client.delete(f"{DATASETS}/{dataset_id}")
        client.cluster.wait(lambda: client.state(dataset_id) is None)
        wanted = client.wanted(dataset_id)

        assert wanted is not None
        assert True is wanted["deleted"]


class TestState:
    """
    GET state/datasets.
    """

    def test_where_it_is(self, client: Client) -> None:
        """
        A dataset is at the path that all clients know, on its primary, without metadata or a flag.
        """
        dataset_id = client.create(maximum_size=64 * MIB, metadata={"name": "db"})["dataset_id"]
        client.on(dataset_id, "n1")

        assert {
            "dataset_id": dataset_id,
            "primary": client.node("n1"),
            "path": f"/flocker/{dataset_id}",
            "maximum_size": 64 * MIB,
        } == client.state(dataset_id)

    def test_without_a_size(self, client: Client) -> None:
        """
        What has no size shows none.
        """
        assert {"dataset_id", "primary", "path"} == set(client.state(client.made()) or {})

    def test_unknown_primary(self, client: Client) -> None:
        """
        What is wanted on a node that isn't there is nowhere.
        """
        dataset_id = client.post(DATASETS, {"primary": unused_id()}).body["dataset_id"]

        assert None is client.state(dataset_id)

    def test_node_that_is_gone(self, client: Client, cluster: Cluster) -> None:
        """
        While nobody knows whether a dataset can be used, it has neither primary nor path: what is v2's *unavailable*
        is no manifest dataset. It is still wanted where it was, and is there again when its node is.
        """
        dataset_id = client.made("n3")
        cluster.kill("n3")
        gone = cluster.wait(lambda: (state := client.state(dataset_id)) and "primary" not in state and state)
        status, wanted = cluster.dataset(dataset_id)["status"], client.wanted(dataset_id)
        cluster.start("n3")
        back = client.on(dataset_id, "n3")

        assert ({"dataset_id": dataset_id}, "unavailable") == (gone, status)
        assert wanted is not None
        assert (client.node("n3"), f"/flocker/{dataset_id}") == (wanted["primary"], back["path"])

    def test_move(self, client: Client) -> None:
        """
        A dataset that moves is shown once, with one primary or none, and arrives.
        """
        dataset_id = client.made("n1")
        reply = client.post(f"{DATASETS}/{dataset_id}", {"primary": client.node("n2")})

        assert (200, client.node("n2")) == (reply.status, reply.body["primary"])
        # Each look on the way sees one entry: ``state`` would complain of two.
        client.on(dataset_id, "n2")
        client.post(f"{DATASETS}/{dataset_id}", {"primary": client.node("n3")})
        assert f"/flocker/{dataset_id}" == client.on(dataset_id, "n3")["path"]

    def test_data_goes_with_it(self, client: Client, cluster: Cluster) -> None:
        """
        What was written is where the dataset is.
        """
        dataset_id = client.made("n1")
        (cluster.folder / "n1" / "flocker" / dataset_id / "file").write_text("precious")
        client.post(f"{DATASETS}/{dataset_id}", {"primary": client.node("n2")})
        client.on(dataset_id, "n2")

        assert "precious" == (cluster.folder / "n2" / "flocker" / dataset_id / "file").read_text()

    def test_both_versions_show_the_same(self, client: Client) -> None:
        """
        What version 1 makes version 2 shows, and the reverse.
        """
        first = client.create(metadata={"name": "db"})
        second = client.post("/v2/datasets", {"primary": "n1", "maximum_size_bytes": 64 * MIB})
        if second.status == 404:
            # Nobody has given the nodes names yet.
            second = client.post("/v2/datasets", {"primary": client.node("n1"), "maximum_size_bytes": 64 * MIB})

        assert {"name": "db"} == client.get(f"/v2/datasets/{first['dataset_id']}").body["metadata"]
        wanted = client.wanted(second.body["dataset_id"])
        assert wanted is not None
        assert 64 * MIB == wanted["maximum_size"]


def test_known_clients_calls(client: Client) -> None:
    """
    The calls that every known client makes, in their order: look, create, wait, use, delete.
    """
    nodes = client.get("/v1/state/nodes").body
    listed = client.get(DATASETS)
    name = unused_id()
    assert not [d for d in listed.body if d["metadata"].get("name") == name]
    reply = client.post(
        DATASETS,
        {"primary": nodes[0]["uuid"], "maximum_size": 64 * MIB, "metadata": {"name": name}},
        headers=((CONDITION, listed.headers["x-configuration-tag"]), ("Content-Type", "application/json")),
    )
    dataset_id = reply.body["dataset_id"]
    client.cluster.wait(
        lambda: [d for d in client.get(DATASET_STATES).body if d["dataset_id"] == dataset_id and "path" in d]
    )

    assert True is client.delete(f"{DATASETS}/{dataset_id}").body["deleted"]


def test_restart(client: Client, cluster: Cluster) -> None:
    """
    A restart of the control service changes neither what is wanted nor its tag.
    """
    client.create(maximum_size=64 * MIB, metadata={"b": "1", "a": "2"})
    client.delete(f"{DATASETS}/{client.create()['dataset_id']}")
    before = client.get(DATASETS)
    cluster.kill(CONTROL)
    cluster.start(CONTROL)
    cluster.wait(lambda: len(client.get("/v1/state/nodes").body) == 3)
    after = client.get(DATASETS)

    assert (before.headers["x-configuration-tag"], before.body) == (after.headers["x-configuration-tag"], after.body)

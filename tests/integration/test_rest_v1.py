"""
Flocker's API of version 1, as its clients know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pyrsistent import pvector
from twisted.internet import reactor

from flocker_control.commands import PutContainer
from flocker_control.http.views_v1 import DELETED_SHOWN_SECONDS
from flocker_control.sqlite_store import open_store
from flocker_py.model import Container, ContainerName, DatasetId, Mount
from flocker_py.storage import Role
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import ERA, MIB, A, B, C, Reply, RestCluster, owned, rest_cluster

DATASETS = "/v1/configuration/datasets"
TAG = "x-configuration-tag"
CONDITION = "X-If-Configuration-Matches"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service with the node A.
    """
    with rest_cluster(tmp_path, certificates=certificates) as running:
        running.report(A)
        yield running


def created(cluster: RestCluster, **fields: object) -> str:
    """
    The id of a new dataset on node A.
    """
    reply = cluster.post(DATASETS, {"primary": str(A), **fields})
    assert 201 == reply.status
    dataset_id: str = reply.body["dataset_id"]
    return dataset_id


def tag(cluster: RestCluster) -> str:
    """
    The present tag.
    """
    return cluster.get(DATASETS).headers[TAG][0]


def run_container(cluster: RestCluster, dataset_id: str) -> None:
    """
    Let a container on node A use a dataset.
    """
    container = Container(
        name=ContainerName("web"),
        node_id=A,
        command=pvector(["/bin/serve"]),
        mounts=pvector([Mount(dataset_id=DatasetId(UUID(dataset_id)))]),
    )
    in_reactor(lambda: cluster.service.submit(PutContainer(container=container)))


class TestVersionAndNodes:
    """
    Versions and nodes.
    """

    def test_version(self, cluster: RestCluster) -> None:
        """
        The version is that of the Flocker release whose API this is.
        """
        assert {"flocker": "1.15.0"} == cluster.get("/v1/version").body

    def test_nodes(self, cluster: RestCluster) -> None:
        """
        Connected nodes are listed with address and id.
        """
        assert [{"host": "192.0.2.1", "uuid": str(A)}] == cluster.get("/v1/state/nodes").body

    def test_nodes_that_left(self, cluster: RestCluster) -> None:
        """
        Nodes without a session are not listed.
        """
        cluster.leave(A)

        assert [] == cluster.get("/v1/state/nodes").body

    @pytest.mark.parametrize("era", [str(ERA), str(ERA).upper()])
    def test_era(self, cluster: RestCluster, era: str) -> None:
        """
        A node is found by the era in which it booted.
        """
        assert {"uuid": str(A)} == cluster.get(f"/v1/state/nodes/by_era/{era}").body

    def test_unknown_era(self, cluster: RestCluster) -> None:
        """
        An era that no node has is not found.
        """
        reply = cluster.get(f"/v1/state/nodes/by_era/{uuid4()}")

        assert (404, "No node found with given era.") == (reply.status, reply.body["description"])

    def test_era_that_is_none(self, cluster: RestCluster) -> None:
        """
        What isn't a UUID is no era, and says so.
        """
        assert 400 == cluster.get("/v1/state/nodes/by_era/yesterday").status


class TestCreate:
    """
    New datasets.
    """

    def test_minimal(self, cluster: RestCluster) -> None:
        """
        A dataset needs a primary alone; it gets an id, and without a maximum size there is none in the answer.
        """
        reply = cluster.post(DATASETS, {"primary": str(A)})

        dataset_id = reply.body.pop("dataset_id")
        assert (201, {"primary": str(A), "deleted": False, "metadata": {}}) == (reply.status, reply.body)
        assert 4 == UUID(dataset_id).version

    def test_everything(self, cluster: RestCluster) -> None:
        """
        What was asked for is answered, the id in lower case.
        """
        dataset_id = str(uuid4())
        body = {
            "primary": str(A),
            "dataset_id": dataset_id.upper(),
            "maximum_size": 64 * MIB,
            "metadata": {"name": "größe"},
            "deleted": False,
        }

        reply = cluster.post(DATASETS, body)
        assert (201, {**body, "dataset_id": dataset_id}) == (reply.status, reply.body)

    def test_is_listed(self, cluster: RestCluster) -> None:
        """
        A new dataset is listed as it was answered.
        """
        reply = cluster.post(DATASETS, {"primary": str(A), "maximum_size": 64 * MIB})

        assert [reply.body] == cluster.get(DATASETS).body

    def test_no_maximum_size(self, cluster: RestCluster) -> None:
        """
        A maximum size of null is none.
        """
        assert "maximum_size" not in cluster.post(DATASETS, {"primary": str(A), "maximum_size": None}).body

    def test_unknown_primary(self, cluster: RestCluster) -> None:
        """
        The primary may be a node that nobody knows yet.
        """
        assert 201 == cluster.post(DATASETS, {"primary": str(C)}).status

    def test_id_in_use(self, cluster: RestCluster) -> None:
        """
        An id is used once, whatever its case.
        """
        dataset_id = created(cluster)

        reply = cluster.post(DATASETS, {"primary": str(A), "dataset_id": dataset_id.upper()})
        assert (409, "The provided dataset_id is already in use.") == (reply.status, reply.body["description"])

    def test_id_of_a_deleted_one(self, cluster: RestCluster) -> None:
        """
        The id of a deleted dataset is never used again.
        """
        dataset_id = created(cluster)
        cluster.call("DELETE", f"{DATASETS}/{dataset_id}")

        assert 409 == cluster.post(DATASETS, {"primary": str(A), "dataset_id": dataset_id}).status

    @pytest.mark.parametrize(
        "wrong",
        [
            {"primary": None},
            {"primary": "alpha"},
            {"primary": str(UUID(int=1))},
            {"primary": f"{A}\n"},
            {"dataset_id": 1},
            {"dataset_id": "x" * 36},
            {"maximum_size": 64 * MIB - 1024},
            {"maximum_size": 64 * MIB + 1},
            {"maximum_size": float(64 * MIB)},
            {"maximum_size": "1G"},
            {"maximum_size": True},
            {"maximum_size": 2**63},
            {"metadata": []},
            {"metadata": {"": "x"}},
            {"metadata": {"x" * 257: "x"}},
            {"metadata": {"x": "x" * 257}},
            {"metadata": {"x": 1}},
            {"metadata": {str(number): "" for number in range(17)}},
            {"deleted": True},
            {"deleted": 0},
            {"name": "pg"},
        ],
        ids=str,
    )
    def test_schema(self, cluster: RestCluster, wrong: dict[str, object]) -> None:
        """
        What doesn't fit the schema is refused, with the reasons, and nothing is made.
        """
        reply = cluster.post(DATASETS, {"primary": str(A), **wrong})

        assert (400, "SchemaViolation", True) == (reply.status, reply.body["code"], bool(reply.body["errors"]))
        assert [] == cluster.get(DATASETS).body

    def test_primary_is_needed(self, cluster: RestCluster) -> None:
        """
        Without a primary there is no dataset.
        """
        assert ["'primary' is a required property"] == cluster.post(DATASETS, {}).body["errors"]

    def test_metadata_that_cannot_be_passed_on(self, cluster: RestCluster) -> None:
        """
        A NUL in metadata is refused.
        """
        assert 400 == cluster.post(DATASETS, {"primary": str(A), "metadata": {"x": "a\0b"}}).status

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"nonsense",
            b"\xff",
            b'{"primary": NaN}',
            b'{"primary": "a", "primary": "b"}',
            b"[" * 5000,
            b"[" * 100 + b"]" * 100,
            b'{"metadata": {"x": "\\ud800"}}',
            b'{"maximum_size": 1' + b"0" * 40 + b"}",
            b'{"maximum_size": 1e999}',
        ],
    )
    def test_not_json(self, cluster: RestCluster, raw: bytes) -> None:
        """
        A body that is no JSON, or none that can be kept, is refused with a description.
        """
        reply = cluster.call("POST", DATASETS, raw=raw)

        assert (400, {"code", "description"}) == (reply.status, reply.body.keys())

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
    def test_content_type_is_not_looked_at(self, cluster: RestCluster, content_type: str) -> None:
        """
        A JSON body is one whatever its content type says.
        """
        assert 201 == cluster.post(DATASETS, {"primary": str(A)}, headers={"Content-Type": content_type}).status


class TestChange:
    """
    Datasets that are there.
    """

    def test_move(self, cluster: RestCluster) -> None:
        """
        A dataset can be wanted on another node, known or not.
        """
        dataset_id = created(cluster)

        reply = cluster.post(f"{DATASETS}/{dataset_id}", {"primary": str(B)})
        assert (200, str(B)) == (reply.status, reply.body["primary"])

    def test_path_in_capitals(self, cluster: RestCluster) -> None:
        """
        An id in the path is found in any case.
        """
        dataset_id = created(cluster)

        assert 200 == cluster.post(f"{DATASETS}/{dataset_id.upper()}", {"primary": str(B)}).status

    def test_nothing(self, cluster: RestCluster) -> None:
        """
        A change of nothing changes nothing.
        """
        dataset_id = created(cluster)
        before = cluster.get(DATASETS).body

        assert before == [cluster.post(f"{DATASETS}/{dataset_id}", {}).body]

    @pytest.mark.parametrize("dataset_id", ["d055b171-d526-4f36-b607-3d91a5b69437", "nonsense", "x" * 36])
    @pytest.mark.parametrize("body", [{"primary": str(B)}, {}], ids=str)
    def test_unknown(self, cluster: RestCluster, dataset_id: str, body: dict[str, str]) -> None:
        """
        What isn't there is not found, however it is written.
        """
        reply = cluster.post(f"{DATASETS}/{dataset_id}", body)

        assert (404, "Dataset not found.") == (reply.status, reply.body["description"])

    @pytest.mark.parametrize("body", [{"primary": str(B)}, {}], ids=str)
    def test_deleted(self, cluster: RestCluster, body: dict[str, str]) -> None:
        """
        A deleted dataset can't be changed.
        """
        dataset_id = created(cluster)
        cluster.call("DELETE", f"{DATASETS}/{dataset_id}")

        reply = cluster.post(f"{DATASETS}/{dataset_id}", body)
        assert (405, "The dataset has been deleted.") == (reply.status, reply.body["description"])

    @pytest.mark.parametrize("body", [{"maximum_size": 64 * MIB}, {"metadata": {}}, {"deleted": True}], ids=str)
    def test_primary_alone(self, cluster: RestCluster, body: dict[str, object]) -> None:
        """
        Nothing but the primary can be changed.
        """
        dataset_id = created(cluster)

        assert 400 == cluster.post(f"{DATASETS}/{dataset_id}", body).status

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_used_by_a_container(self, cluster: RestCluster, method: str) -> None:
        """
        A dataset that a container uses is neither moved alone nor deleted, and the container is named.
        """
        dataset_id = created(cluster)
        run_container(cluster, dataset_id)

        reply = cluster.call(method, f"{DATASETS}/{dataset_id}", {"primary": str(B)})
        assert (409, True) == (reply.status, "container web" in reply.body["description"])


class TestDelete:
    """
    Deletion.
    """

    def test_delete(self, cluster: RestCluster) -> None:
        """
        A deleted dataset is answered, and listed, as deleted.
        """
        dataset_id = created(cluster)

        reply = cluster.call("DELETE", f"{DATASETS}/{dataset_id}")
        assert (200, True) == (reply.status, reply.body["deleted"])
        assert [reply.body] == cluster.get(DATASETS).body

    def test_twice(self, cluster: RestCluster) -> None:
        """
        Deleting twice is as deleting once, in any case of the path.
        """
        dataset_id = created(cluster)
        first = cluster.call("DELETE", f"{DATASETS}/{dataset_id}")

        assert first.body == cluster.call("DELETE", f"{DATASETS}/{dataset_id.upper()}").body

    @pytest.mark.parametrize(
        ("seconds", "listed"), [(0, True), (DELETED_SHOWN_SECONDS - 1, True), (DELETED_SHOWN_SECONDS, False)]
    )
    def test_is_forgotten(
        self, tmp_path: Path, certificates: ClusterCertificates, seconds: float, listed: bool
    ) -> None:
        """
        A deleted dataset is listed until a while after every node has destroyed it, and its id refused for ever.
        """
        day_seconds = [1e9]
        with rest_cluster(tmp_path, certificates=certificates, now_seconds=lambda: day_seconds[0]) as cluster:
            cluster.report(A)
            dataset_id = DatasetId(UUID(created(cluster)))
            cluster.report(A, owned(dataset_id))
            cluster.until(lambda: cluster.service.state.ownerships[dataset_id].created)
            cluster.call("DELETE", f"{DATASETS}/{dataset_id}")
            before = tag(cluster)
            day_seconds[0] += 2 * DELETED_SHOWN_SECONDS
            not_confirmed = [dataset["deleted"] for dataset in cluster.get(DATASETS).body]
            cluster.report(A)
            cluster.until(lambda: cluster.service.state.ownerships[dataset_id].destroyed)
            day_seconds[0] += seconds
            reply = cluster.post(DATASETS, {"primary": str(A), "dataset_id": str(dataset_id)})

            assert ([True], listed, 409) == (not_confirmed, bool(cluster.get(DATASETS).body), reply.status)
            assert before == tag(cluster)

    def test_name_is_free_again(self, cluster: RestCluster) -> None:
        """
        The name of a deleted dataset can be given to another at once.
        """
        wanted = {"primary": str(A), "name": "db"}
        dataset_id = cluster.post("/v2/datasets", wanted).body["dataset_id"]
        cluster.call("DELETE", f"{DATASETS}/{dataset_id}")

        assert 201 == cluster.post("/v2/datasets", wanted).status

    def test_body_is_ignored(self, cluster: RestCluster) -> None:
        """
        Whatever body comes with a deletion is not looked at.
        """
        dataset_id = created(cluster)

        reply = cluster.call(
            "DELETE", f"{DATASETS}/{dataset_id}", raw=b"{no json", headers={"Content-Type": "application/json"}
        )
        assert 200 == reply.status

    def test_unknown(self, cluster: RestCluster) -> None:
        """
        What isn't there can't be deleted.
        """
        reply = cluster.call("DELETE", f"{DATASETS}/{uuid4()}")

        assert (404, "Dataset not found.") == (reply.status, reply.body["description"])


class TestConditions:
    """
    Requests that are made for one configuration.
    """

    def conditional(
        self, cluster: RestCluster, *conditions: str, body: object = None, raw: bytes | None = None
    ) -> Reply:
        """
        A creation on conditions.
        """
        body = {"primary": str(A)} if raw is None else None
        return cluster.call("POST", DATASETS, body, raw=raw, headers={CONDITION: list(conditions)})

    def test_holds(self, cluster: RestCluster) -> None:
        """
        A request made for the present configuration is carried out.
        """
        assert 201 == self.conditional(cluster, tag(cluster)).status

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_does_not_hold(self, cluster: RestCluster, method: str) -> None:
        """
        A request made for another configuration is refused, saying which is the present one.
        """
        dataset_id = created(cluster)

        reply = cluster.call(method, f"{DATASETS}/{dataset_id}", {"primary": str(B)}, headers={CONDITION: "0123"})
        expected = f"Tag doesn't match. Required: 0123, current: {tag(cluster)}"
        assert (412, expected) == (reply.status, reply.body["description"])

    def test_any_of_several(self, cluster: RestCluster) -> None:
        """
        Of several tags, in one header or many, one has to be the present one.
        """
        assert 201 == self.conditional(cluster, "0123", f"4567, {tag(cluster)}").status

    def test_before_the_body(self, cluster: RestCluster) -> None:
        """
        The condition is looked at before the body is.
        """
        assert 412 == self.conditional(cluster, "0123", raw=b"no json").status

    def test_form(self, cluster: RestCluster) -> None:
        """
        A tag is 32 digits of lower-case hexadecimal.
        """
        assert (32, True) == (len(tag(cluster)), set(tag(cluster)) <= set("0123456789abcdef"))

    def test_changes_with_datasets(self, cluster: RestCluster) -> None:
        """
        Each change of what is wanted of datasets changes the tag.
        """
        tags = [tag(cluster)]
        dataset_id = created(cluster)
        tags.append(tag(cluster))
        cluster.post(f"{DATASETS}/{dataset_id}", {"primary": str(B)})
        tags.append(tag(cluster))
        cluster.call("DELETE", f"{DATASETS}/{dataset_id}")
        tags.append(tag(cluster))

        assert 4 == len(set(tags))

    def test_undisturbed_by_everything_else(self, cluster: RestCluster) -> None:
        """
        Nodes, containers and the making of datasets leave the tag as it is.
        """
        dataset_id = created(cluster)
        before = tag(cluster)
        run_container(cluster, dataset_id)
        cluster.report(A, owned(DatasetId(UUID(dataset_id))))
        cluster.report(B)
        cluster.until(lambda: cluster.service.state.ownerships[DatasetId(UUID(dataset_id))].created)

        assert before == tag(cluster)

    def test_survives_a_restart(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        The tag after a restart is that before it.
        """
        tags: list[str] = []
        for _ in range(2):
            store = in_reactor(lambda: open_store(reactor, tmp_path / "data"))
            with rest_cluster(tmp_path, store=store, certificates=certificates) as running:
                if not tags:
                    for number in range(5):
                        created(running, metadata={str(number): "x", "b": "y"})
                tags.append(tag(running))

        assert tags[0] == tags[1]


class TestStates:
    """
    Where datasets are.
    """

    def made(self, cluster: RestCluster, **fields: Any) -> DatasetId:
        """
        A dataset that node A has made and mounted.
        """
        dataset_id = DatasetId(UUID(created(cluster)))
        cluster.report(A, owned(dataset_id, **fields))
        cluster.until(lambda: cluster.service.state.ownerships[dataset_id].created)
        return dataset_id

    def test_not_made_yet(self, cluster: RestCluster) -> None:
        """
        A dataset that is only wanted isn't anywhere.
        """
        created(cluster)

        assert [] == cluster.get("/v1/state/datasets").body

    def test_mounted(self, cluster: RestCluster) -> None:
        """
        A dataset is where its owner mounted it, at the path that all clients know.
        """
        dataset_id = self.made(cluster, maximum_size_bytes=64 * MIB)

        expected = {
            "dataset_id": str(dataset_id),
            "primary": str(A),
            "path": f"/flocker/{dataset_id}",
            "maximum_size": 64 * MIB,
        }
        assert [expected] == cluster.get("/v1/state/datasets").body

    def test_not_mounted(self, cluster: RestCluster) -> None:
        """
        A dataset that nobody can write to at present has neither primary nor path.
        """
        dataset_id = self.made(cluster)
        cluster.report(A, owned(dataset_id, mounted=False))

        assert [{"dataset_id": str(dataset_id)}] == cluster.get("/v1/state/datasets").body

    def test_owner_is_away(self, cluster: RestCluster) -> None:
        """
        While its owner has no session, nothing is known but that the dataset exists.
        """
        dataset_id = self.made(cluster)
        cluster.leave(A)

        assert [{"dataset_id": str(dataset_id)}] == cluster.get("/v1/state/datasets").body

    def test_never_two_primaries(self, cluster: RestCluster) -> None:
        """
        Whatever other nodes report, the owner alone is primary.
        """
        dataset_id = self.made(cluster)
        cluster.report(B, owned(dataset_id, role=Role.OWNER, epoch=1))

        states = cluster.get("/v1/state/datasets").body
        assert [(str(dataset_id), str(A))] == [(state["dataset_id"], state["primary"]) for state in states]


class TestHTTP:
    """
    What holds for all paths.
    """

    @pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1//version", "/v1/version/", "/v1/%2e%2e", "/%00"])
    def test_unknown_path(self, cluster: RestCluster, path: str) -> None:
        """
        An unknown path is a JSON error.
        """
        reply = cluster.get(path)

        assert (404, "PathUnknown") == (reply.status, reply.body["code"])

    def test_wrong_method(self, cluster: RestCluster) -> None:
        """
        A known path with a wrong method is a JSON error that names the right ones.
        """
        reply = cluster.call("PUT", DATASETS, {})

        assert (405, "MethodNotAllowed") == (reply.status, reply.body["code"])
        assert ["GET, HEAD, OPTIONS, POST"] == reply.headers["allow"]

    def test_options(self, cluster: RestCluster) -> None:
        """
        OPTIONS says what can be done.
        """
        reply = cluster.call("OPTIONS", f"{DATASETS}/{uuid4()}")

        assert (204, ["DELETE, OPTIONS, POST"]) == (reply.status, reply.headers["allow"])

    def test_head(self, cluster: RestCluster) -> None:
        """
        HEAD answers as GET does, without the body.
        """
        got = cluster.get(DATASETS)

        reply = cluster.call("HEAD", DATASETS)
        assert (200, "", got.headers[TAG]) == (reply.status, reply.text, reply.headers[TAG])

    def test_get_with_a_body(self, cluster: RestCluster) -> None:
        """
        Whatever body comes with a GET is not looked at.
        """
        reply = cluster.call("GET", DATASETS, raw=b"{no json", headers={"Content-Type": "application/json"})

        assert (200, []) == (reply.status, reply.body)

    @pytest.mark.parametrize("size_bytes", [1024 * 1024 + 1, 5 * 1024 * 1024])
    def test_body_too_large(self, cluster: RestCluster, size_bytes: int) -> None:
        """
        A body of more than 1 MiB is refused.
        """
        reply = cluster.call("POST", DATASETS, raw=b" " * size_bytes)

        assert (413, "BodyTooLarge") == (reply.status, reply.body["code"])

    def test_body_as_large_as_may_be(self, cluster: RestCluster) -> None:
        """
        A body of exactly 1 MiB is read.
        """
        body = f'{{"primary": "{A}"}}'.encode("ascii")

        assert 201 == cluster.call("POST", DATASETS, raw=body + b" " * (1024 * 1024 - len(body))).status

    @pytest.mark.parametrize("task", ["nonsense", "\xe9", "x@/a", "@", "2b9e9c1e-0000-0000-0000-000000000000@/1/2"])
    def test_task_id(self, cluster: RestCluster, task: str) -> None:
        """
        Whatever task a client says it continues, it is answered.
        """
        assert 200 == cluster.get("/v1/version", headers={"X-Eliot-Task-Id": task}).status

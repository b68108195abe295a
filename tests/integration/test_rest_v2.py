"""
The API of version 2: nodes, datasets, containers, moves, deployments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from jsonschema import Draft202012Validator
from pyrsistent import pmap, pvector

from flocker_control.http.site import ROUTES
from flocker_py.definitions import definition_digest, started_digest
from flocker_py.model import Container, ContainerName, DatasetId, Guid, MoveId, MovePhase
from flocker_py.observed import (
    ContainerObservation,
    ContainerPhase,
    DatasetObservation,
    Health,
    ReportedError,
    SendProgress,
    SendVerdict,
)
from flocker_py.storage import Role
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.rest import ERA, MIB, A, B, C, Reply, RestCluster, owned, rest_cluster


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service with the nodes alpha and beta.
    """
    with rest_cluster(tmp_path, certificates=certificates) as running:
        running.report(A)
        running.report(B)
        nodes = {"alpha": {"uuid": str(A)}, "beta": {"uuid": str(B)}}
        revision = running.post("/v2/plan", {"deployment": deployment(nodes=nodes)}).body["revision"]
        running.post("/v2/apply", {"deployment": deployment(nodes=nodes), "revision": revision})
        yield running


def deployment(**sections: Any) -> dict[str, Any]:
    """
    A deployment document.
    """
    return {"version": 2, "cluster": {"name": "test"}, **sections}


def created(cluster: RestCluster, **fields: Any) -> DatasetId:
    """
    A new dataset on alpha.
    """
    reply = cluster.post("/v2/datasets", {"primary": "alpha", **fields})
    assert 201 == reply.status, reply.text
    return DatasetId(UUID(reply.body["dataset_id"]))


def made(cluster: RestCluster, **fields: Any) -> DatasetId:
    """
    A dataset that alpha has made and mounted.
    """
    dataset_id = created(cluster, **fields)
    cluster.report(A, owned(dataset_id, used_bytes=1000))
    cluster.until(lambda: cluster.service.state.ownerships[dataset_id].created)
    return dataset_id


def code(reply: Reply) -> tuple[int, str]:
    """
    What an error says to programs.
    """
    return reply.status, reply.body["code"]


class TestNodes:
    """
    Version and nodes.
    """

    def test_version(self, cluster: RestCluster) -> None:
        """
        The version and the versions of the API are told.
        """
        assert ["v1", "v2"] == cluster.get("/v2/version").body["api"]

    def test_connected(self, cluster: RestCluster) -> None:
        """
        A connected node is shown with all that it says of itself.
        """
        failure = ReportedError(code="PoolFull", text="full", at_seconds=5.0)
        cluster.report(A, failures=pmap({"web": failure}))

        expected = {
            "node_id": str(A),
            "name": "alpha",
            "address": "192.0.2.1",
            "labels": {},
            "draining": False,
            "removed": False,
            "connected": True,
            "storage": "memory",
            "runtime": "process",
            "free_bytes": 10**9,
            "version": "0.1.0",
            "era": str(ERA),
            "failures": [{"about": "web", "code": "PoolFull", "text": "full", "at_seconds": 5.0}],
        }
        before_seconds = cluster.service.lease_left_seconds(A)
        node = cluster.get("/v2/nodes").body["nodes"][0]
        after_seconds = cluster.service.lease_left_seconds(A)
        left_seconds = node.pop("lease_left_seconds")
        assert before_seconds is not None
        assert after_seconds is not None
        # Nobody can have had a lease that is longer than those that are granted, and the margin.
        assert after_seconds <= left_seconds <= before_seconds < 40
        assert {**expected, "lease_expired": left_seconds <= 0} == node

    def test_away(self, cluster: RestCluster) -> None:
        """
        A node that is away is remembered, and what it said of itself is not passed off as true.
        """
        cluster.leave(A)

        node = cluster.get("/v2/nodes").body["nodes"][0]
        assert (False, "192.0.2.1", None) == (node["connected"], node["address"], node["free_bytes"])


class TestDatasets:
    """
    Datasets.
    """

    def test_create(self, cluster: RestCluster) -> None:
        """
        A new dataset is answered as it is wanted, and as it is: not made yet.
        """
        dataset_id = str(uuid4())
        body = {
            "dataset_id": dataset_id,
            "primary": "192.0.2.1",
            "name": "pg",
            "maximum_size_bytes": 64 * MIB,
            "metadata": {"a": "b"},
            "max_downtime_seconds": 3.5,
            "on_overrun": "cut-over",
            "on_start_failure": "stay",
            "on_partition": "keep",
        }

        reply = cluster.post("/v2/datasets", body)
        expected = {
            **body,
            "primary": str(A),
            "owner": str(A),
            "epoch": 1,
            "created": False,
            "deleted": False,
            "origin": None,
            "move": None,
            "last_move": None,
            "status": "creating",
            "waiting_for": None,
            "last_error": None,
            "used_bytes": None,
            "path": f"/flocker/{dataset_id}",
            "mounted": False,
            "settling": [],
            "deposed": [],
            "lease": None,
            "unavailable_since_seconds": None,
        }
        assert (201, expected) == (reply.status, reply.body)

    def test_made(self, cluster: RestCluster) -> None:
        """
        A dataset that its owner has mounted is well.
        """
        dataset_id = made(cluster)

        dataset = cluster.get(f"/v2/datasets/{dataset_id}").body
        assert (True, "ok", 1000) == (dataset["created"], dataset["status"], dataset["used_bytes"])

    def test_made_from_a_snapshot(self, cluster: RestCluster) -> None:
        """
        A new dataset may begin as a snapshot of another one, which is named by name or id.
        """
        origin = made(cluster)

        reply = cluster.post(
            "/v2/datasets", {"primary": str(A), "origin": {"dataset": str(origin).upper(), "snapshot": "monday"}}
        )

        assert (201, {"dataset_id": str(origin), "snapshot": "monday"}) == (reply.status, reply.body["origin"])

    @pytest.mark.parametrize(
        ("origin", "expected"),
        [
            ({"dataset": "nothing", "snapshot": "monday"}, (404, "DatasetUnknown")),
            ({"dataset": "pg", "snapshot": "a@b"}, (400, "SchemaViolation")),
            ({"dataset": "pg"}, (400, "SchemaViolation")),
            ({"dataset": "pg", "snapshot": "monday"}, (409, "NeverMade")),
        ],
    )
    def test_no_such_origin(self, cluster: RestCluster, origin: dict[str, str], expected: tuple[int, str]) -> None:
        """
        What it could not begin as is refused, and nothing is made.
        """
        created(cluster, name="pg")

        assert expected == code(cluster.post("/v2/datasets", {"primary": str(A), "name": "copy", "origin": origin}))
        assert (404, "DatasetUnknown") == code(cluster.call("GET", "/v2/datasets/copy", None))

    @pytest.mark.parametrize("named", ["pg", "id", "ID"])
    def test_found_by_name_and_id(self, cluster: RestCluster, named: str) -> None:
        """
        A dataset is found by its name, and by its id in any case.
        """
        dataset_id = created(cluster, name="pg")
        path = {"pg": "pg", "id": str(dataset_id), "ID": str(dataset_id).upper()}[named]

        assert str(dataset_id) == cluster.get(f"/v2/datasets/{path}").body["dataset_id"]

    @pytest.mark.parametrize("path", ["nothing", str(UUID(int=1)), "x" * 36])
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_unknown(self, cluster: RestCluster, method: str, path: str) -> None:
        """
        What isn't there is not found.
        """
        assert (404, "DatasetUnknown") == code(cluster.call(method, f"/v2/datasets/{path}", {}))

    def test_unknown_primary(self, cluster: RestCluster) -> None:
        """
        A dataset can't be made on a node that isn't there; the answer lists those that are.
        """
        reply = cluster.post("/v2/datasets", {"primary": "gamma"})

        assert (404, "NodeUnknown") == code(reply)
        assert "alpha, beta" in reply.body["description"]

    def test_name_in_use(self, cluster: RestCluster) -> None:
        """
        A name belongs to one dataset.
        """
        created(cluster, name="pg")

        assert (409, "NameInUse") == code(cluster.post("/v2/datasets", {"primary": "alpha", "name": "pg"}))

    def test_schema(self, cluster: RestCluster) -> None:
        """
        Every place where a body doesn't fit is named.
        """
        reply = cluster.post("/v2/datasets", {"primary": "alpha", "maximum_size_bytes": "1G", "metadata": {"a": 1}})

        assert (400, "SchemaViolation") == code(reply)
        pointers = sorted(mistake["pointer"] for mistake in reply.body["errors"])
        assert [["maximum_size_bytes"], ["metadata", "a"]] == pointers

    @pytest.mark.parametrize("method", ["PATCH", "POST"])
    def test_change(self, cluster: RestCluster, method: str) -> None:
        """
        What is given is changed, and everything else stays.
        """
        dataset_id = created(cluster, name="pg", metadata={"a": "b"}, max_downtime_seconds=9)
        change = {"name": "postgres", "maximum_size_bytes": 64 * MIB, "on_overrun": "cut-over"}
        change |= {"on_start_failure": "stay"}

        reply = cluster.call(method, "/v2/datasets/pg", change)
        expected = {**change, "dataset_id": str(dataset_id), "metadata": {"a": "b"}, "max_downtime_seconds": 9}
        assert expected == {name: reply.body[name] for name in expected}

    def test_fence(self, cluster: RestCluster) -> None:
        """
        A dataset can be fenced where the runtime of its node can do that, and is refused where it can't.
        """
        created(cluster, name="pg")
        refused = cluster.call("PATCH", "/v2/datasets/pg", {"on_partition": "fence"})
        cluster.report(A, container_fields=pvector(["on_partition.fence"]))
        changed = cluster.call("PATCH", "/v2/datasets/pg", {"on_partition": "fence"})

        assert (409, "FieldNotSupported") == code(refused)
        assert (200, "fence") == (changed.status, changed.body["on_partition"])

    def test_change_of_metadata(self, cluster: RestCluster) -> None:
        """
        New metadata replaces the old; a size of null is no limit.
        """
        created(cluster, name="pg", metadata={"a": "b"}, maximum_size_bytes=64 * MIB)

        reply = cluster.call("PATCH", "/v2/datasets/pg", {"metadata": {"c": "d"}, "maximum_size_bytes": None})
        assert ({"c": "d"}, None) == (reply.body["metadata"], reply.body["maximum_size_bytes"])

    def test_change_of_primary(self, cluster: RestCluster) -> None:
        """
        Another primary starts a move; the same one again changes nothing.
        """
        dataset_id = made(cluster)

        first = cluster.call("PATCH", f"/v2/datasets/{dataset_id}", {"primary": "beta"}).body
        assert (str(B), str(A), "copying") == (first["primary"], first["owner"], first["move"]["phase"])
        assert first == cluster.call("PATCH", f"/v2/datasets/{dataset_id}", {"primary": "beta"}).body

    def test_delete(self, cluster: RestCluster) -> None:
        """
        A deleted dataset is being deleted until its owner has done it; then it is listed only on demand.
        """
        dataset_id = made(cluster, name="pg")

        assert "deleting" == cluster.call("DELETE", "/v2/datasets/pg").body["status"]
        cluster.report(A)
        cluster.until(lambda: cluster.service.state.ownerships[dataset_id].destroyed)
        assert [] == cluster.get("/v2/datasets").body["datasets"]
        [dataset] = cluster.get("/v2/datasets?deleted=true").body["datasets"]
        assert ("deleted", True) == (dataset["status"], dataset["deleted"])

    def test_change_of_a_deleted_one(self, cluster: RestCluster) -> None:
        """
        A deleted dataset can't be changed.
        """
        dataset_id = created(cluster)
        cluster.call("DELETE", f"/v2/datasets/{dataset_id}")

        reply = cluster.call("PATCH", f"/v2/datasets/{dataset_id}", {"name": "x"})
        assert (409, "DatasetDeleted") == code(reply)

    def test_last_error(self, cluster: RestCluster) -> None:
        """
        What went wrong last is shown, with the node where it did.
        """
        dataset_id = created(cluster)
        failure = ReportedError(code="PoolFull", text="there is no room", at_seconds=7.0)
        cluster.report(A, failures=pmap({str(dataset_id): failure}))

        dataset = cluster.get(f"/v2/datasets/{dataset_id}").body
        expected = {"code": "PoolFull", "text": "there is no room", "at_seconds": 7.0, "node_id": str(A)}
        assert ("error", expected) == (dataset["status"], dataset["last_error"])

    def test_newest_error_counts(self, cluster: RestCluster) -> None:
        """
        Of errors on several nodes the newest is shown.
        """
        dataset_id = made(cluster)
        cluster.post("/v2/moves", {"dataset": str(dataset_id), "target": "beta"})
        for node_id, at_seconds in ((A, 7.0), (B, 9.0)):
            failure = ReportedError(code="StreamCut", text="cut", at_seconds=at_seconds)
            cluster.report(node_id, owned(dataset_id), failures=pmap({str(dataset_id): failure}))

        assert str(B) == cluster.get(f"/v2/datasets/{dataset_id}").body["last_error"]["node_id"]

    def test_explain(self, cluster: RestCluster) -> None:
        """
        A dataset explains where it is and what stands in its way.
        """
        dataset_id = made(cluster)
        cluster.leave(A)

        explanation = cluster.get(f"/v2/datasets/{dataset_id}/explain").body
        assert (str(dataset_id), False) == (explanation["dataset_id"], explanation["converged"])
        assert "no connection" in explanation["lines"][-1]

    def test_explain_what_is_well(self, cluster: RestCluster) -> None:
        """
        A dataset that is as it is wanted has converged.
        """
        dataset_id = made(cluster)

        assert cluster.get(f"/v2/datasets/{dataset_id}/explain").body["converged"]


class TestContainers:
    """
    Containers.
    """

    def put(self, cluster: RestCluster, name: str = "web", **fields: Any) -> Reply:
        """
        A container on alpha.
        """
        return cluster.call("PUT", f"/v2/containers/{name}", {"node": "alpha", "command": ["/bin/serve"], **fields})

    def test_put(self, cluster: RestCluster) -> None:
        """
        A new container is answered with its whole definition, and why it doesn't run yet.
        """
        dataset_id = created(cluster, name="pg")

        reply = self.put(cluster, mounts=[{"dataset": "pg"}], environment={"A": "b"}, labels={"tier": "front"})
        expected = {
            "name": "web",
            "node_id": str(A),
            "runs_on": None,
            "state": "waiting",
            "exit_status": None,
            "health": None,
            "image_digest": None,
            "restarts": 0,
            "outdated": False,
            "waiting_for": "dataset pg to be made",
            "last_error": None,
            "warnings": [],
            "mounts": [{"dataset_id": str(dataset_id), "name": "pg", "path": None, "read_only": False}],
            "image": None,
            "command": ["/bin/serve"],
            "environment": {"A": "b"},
            "ports": [],
            "links": [],
            "restart": {"name": "never", "maximum_retry_count": None},
            "memory_bytes": None,
            "cpu_shares": None,
            "swappiness": None,
            "stop_grace_seconds": 10.0,
            "labels": {"tier": "front"},
            "pull": "missing",
            "entrypoint": [],
            "environment_file": None,
            "stop_signal": None,
            "cpus": None,
            "pids_limit": None,
            "healthcheck": None,
            "log_driver": None,
            "log_options": {},
            "read_only": False,
            "user": None,
            "capabilities_add": [],
            "capabilities_drop": [],
            "security_options": [],
        }
        assert (201, expected) == (reply.status, reply.body)

    def test_put_again(self, cluster: RestCluster) -> None:
        """
        Putting replaces the definition; what is left out gets its default.
        """
        self.put(cluster, environment={"A": "b"}, stop_grace_seconds=3)

        reply = self.put(cluster, restart={"name": "on-failure", "maximum_retry_count": 3})
        assert (200, {}, 10.0) == (reply.status, reply.body["environment"], reply.body["stop_grace_seconds"])
        assert {"name": "on-failure", "maximum_retry_count": 3} == reply.body["restart"]

    def test_link_that_leads_nowhere(self, cluster: RestCluster) -> None:
        """
        A link to a port that is published on another node, where the container's own doesn't lead ports there, is
        warned of in the answer; no more once the node does, or both are on one node.
        """
        fields = pvector(["command", "links", "ports"])
        for node_id in (A, B):
            cluster.report(node_id, container_fields=fields)
        self.put(cluster, "db", node="beta", ports=[{"internal": 1, "external": 5432}])
        warned = self.put(cluster, links=[{"alias": "db", "local_port": 1, "remote_port": 5432}]).body["warnings"]
        self.put(cluster, "db", ports=[{"internal": 1, "external": 5432}])
        together = cluster.get("/v2/containers/web").body["warnings"]
        self.put(cluster, "db", node="beta", ports=[{"internal": 1, "external": 5432}])
        apart = cluster.get("/v2/containers/web").body["warnings"]

        assert ([], warned) == (together, apart)
        assert "port 5432 is published by container db on node beta, and node alpha doesn't lead" in warned[0]

    def test_everything(self, cluster: RestCluster) -> None:
        """
        On a node whose runtime isn't known yet, all that a definition can have is accepted.
        """
        cluster.leave(A)
        fields: dict[str, Any] = {
            "image": "nginx:1",
            "ports": [{"internal": 80, "external": 8080, "protocol": "udp", "host_address": "192.0.2.1"}],
            "links": [{"alias": "db", "local_port": 1, "remote_port": 2}],
            "memory_bytes": 64 * MIB,
            "cpu_shares": 512,
            "swappiness": 10,
            "pull": "always",
            "entrypoint": ["/entry", ""],
            "environment_file": "/etc/flocker/web.env",
            "stop_signal": "SIGINT",
            "cpus": 0.5,
            "pids_limit": 100,
            "healthcheck": {
                "command": ["true"],
                "interval_seconds": 1.5,
                "timeout_seconds": 2.0,
                "start_period_seconds": 0.0,
                "retries": 4,
            },
            "log_driver": "json-file",
            "log_options": {"max-size": "1m"},
            "read_only": True,
            "user": "999:999",
            "capabilities_add": ["NET_ADMIN"],
            "capabilities_drop": ["ALL"],
            "security_options": ["no-new-privileges"],
        }

        reply = self.put(cluster, **fields)
        assert (201, fields) == (reply.status, {name: reply.body[name] for name in fields})
        assert ("unknown", True) == (reply.body["state"], "no connection" in reply.body["waiting_for"])

    def test_version_1_keeps_what_it_has_no_words_for(self, cluster: RestCluster) -> None:
        """
        A container with fields that version 1 doesn't know is listed there, and moved there without losing them.
        """
        for node in (A, B):
            cluster.leave(node)
        fields: dict[str, Any] = {
            "image": "registry:5000/nginx",
            "read_only": True,
            "healthcheck": {"command": ["true"]},
            "user": "999",
        }
        before = self.put(cluster, ports=[{"internal": 80, "external": 80, "host_address": "::1"}], **fields).body
        listed = cluster.get("/v1/configuration/containers")
        moved = cluster.call("POST", "/v1/configuration/containers/web", {"node_uuid": str(B)})
        after = cluster.get("/v2/containers/web").body

        assert (200, ["registry:5000/nginx:latest"]) == (listed.status, [each["image"] for each in listed.body])
        assert (200, str(B)) == (moved.status, after["node_id"])
        assert {**before, "node_id": str(B), "runs_on": str(B)} == {**after, "waiting_for": before["waiting_for"]}

    def test_one_spelling(self, cluster: RestCluster) -> None:
        """
        Signals, capabilities, options and addresses are kept in one spelling, however they were sent.
        """
        cluster.leave(A)
        reply = self.put(
            cluster,
            stop_signal="2",
            capabilities_add=["cap_net_admin"],
            security_options=["no-new-privileges:true"],
            ports=[{"internal": 80, "external": 80, "host_address": "2001:DB8::1"}],
        )

        spelled = (reply.body["stop_signal"], reply.body["capabilities_add"], reply.body["security_options"])
        assert ("SIGINT", ["NET_ADMIN"], ["no-new-privileges"]) == spelled
        assert "2001:db8::1" == reply.body["ports"][0]["host_address"]

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"image": "Nginx"}, "capital letter"),
            ({"stop_signal": "SIGNAL"}, "stop_signal: must be a signal"),
            ({"capabilities_drop": ["NET"]}, "capabilities_drop: must be a capability"),
            ({"security_options": ["seccomp=/a"]}, "security_options: seccomp"),
            ({"ports": [{"internal": 1, "external": 1, "host_address": "x"}]}, "ports: 'x' is not an IP address"),
            ({"environment_file": "/a/../b"}, "environment_file"),
        ],
    )
    def test_value_that_no_runtime_takes(self, cluster: RestCluster, fields: dict[str, Any], reason: str) -> None:
        """
        A value that the form allows and nothing could run is refused with its field.
        """
        reply = self.put(cluster, **fields)

        assert (400, True) == (reply.status, reason in reply.text)

    def test_field_that_the_node_can_not_do(self, cluster: RestCluster) -> None:
        """
        What the runtime of the node can't do is refused by the name of the field.
        """
        reply = self.put(cluster, read_only=True)

        assert (409, True) == (reply.status, "read_only can't be done by the runtime" in reply.text)

    def test_runs(self, cluster: RestCluster) -> None:
        """
        A container is shown as its node reports it.
        """
        self.put(cluster)
        seen = ContainerObservation(
            name=ContainerName("web"),
            phase=ContainerPhase.EXITED,
            exit_status=-9,
            restarts=2,
            image_digest="sha256:0123",
        )
        cluster.report(A, containers=pmap({seen.name: seen}))

        shown = cluster.get("/v2/containers/web").body
        assert ("exited", -9, "sha256:0123", 2, str(A)) == (
            shown["state"],
            shown["exit_status"],
            shown["image_digest"],
            shown["restarts"],
            shown["runs_on"],
        )

    def test_outdated(self, cluster: RestCluster) -> None:
        """
        A container that has been changed is outdated until its node has started it anew; where it is wanted makes no
        difference.
        """
        self.put(cluster)
        before = cluster.service.state.containers[ContainerName("web")]
        seen = ContainerObservation(name=before.name, phase=ContainerPhase.RUNNING)
        cluster.report(A, containers=pmap({seen.name: seen.set(started_digest=started_digest(before))}))
        as_wanted = cluster.get("/v2/containers/web").body["outdated"]
        self.put(cluster, environment={"A": "b"})
        changed = cluster.get("/v2/containers/web").body["outdated"]
        after = cluster.service.state.containers[ContainerName("web")].set(node_id=B)
        cluster.report(A, containers=pmap({seen.name: seen.set(started_digest=started_digest(after))}))

        assert (False, True, False) == (as_wanted, changed, cluster.get("/v2/containers/web").body["outdated"])

    def test_leaving(self, cluster: RestCluster) -> None:
        """
        A container that was removed is listed apart until its node has it no more.
        """
        self.put(cluster)
        seen = ContainerObservation(name=ContainerName("web"), phase=ContainerPhase.STOPPING)
        wrong = ReportedError(code="ContainerStillRunning", text="frozen", at_seconds=5.0)
        cluster.report(
            A,
            containers=pmap({seen.name: seen}),
            failures=pmap({seen.name: wrong}),
            waiting=pmap({seen.name: "word of it"}),
        )
        there = cluster.get("/v2/containers").body["leaving"]
        cluster.call("DELETE", "/v2/containers/web")
        removed = cluster.get("/v2/containers").body
        cluster.report(A, containers=pmap())
        gone = cluster.get("/v2/containers").body["leaving"]
        expected = {
            "name": "web",
            "node_id": str(A),
            "state": "stopping",
            "waiting_for": "word of it",
            "last_error": {"code": wrong.code, "text": "frozen", "at_seconds": 5.0, "node_id": str(A)},
        }

        assert ([], [], [], [expected]) == (there, removed["containers"], gone, removed["leaving"])

    def test_unknown_nodes(self, cluster: RestCluster) -> None:
        """
        Nodes that have not told what they run are named.
        """
        known = cluster.get("/v2/containers").body["unknown_nodes"]
        cluster.report(B, runtime_known=False)
        silent = cluster.get("/v2/containers").body["unknown_nodes"]
        cluster.leave(A)
        away = cluster.get("/v2/containers").body["unknown_nodes"]

        assert ([], [str(B)], [str(A), str(B)]) == (known, silent, away)

    @pytest.mark.parametrize("health", list(Health))
    def test_health(self, cluster: RestCluster, health: Health) -> None:
        """
        What the check of a container says is shown.
        """
        self.put(cluster)
        seen = ContainerObservation(name=ContainerName("web"), phase=ContainerPhase.RUNNING, health=health)
        cluster.report(A, containers=pmap({seen.name: seen}))

        assert health.value == cluster.get("/v2/containers/web").body["health"]

    def test_listed(self, cluster: RestCluster) -> None:
        """
        All containers are listed, by name.
        """
        self.put(cluster, "b")
        self.put(cluster, "a")

        assert ["a", "b"] == [shown["name"] for shown in cluster.get("/v2/containers").body["containers"]]

    def test_waits_for_a_move(self, cluster: RestCluster) -> None:
        """
        A container whose dataset is about to change hands says that it waits for it.
        """
        dataset_id = made(cluster, name="pg")
        self.put(cluster, mounts=[{"dataset": "pg"}])
        cluster.post("/v2/moves", {"dataset": "pg", "target": "beta"})
        report_ready(cluster, dataset_id)

        assert "dataset pg, which is moving to node beta" == cluster.get("/v2/containers/web").body["waiting_for"]

    def test_waits_for_its_other_copy(self, cluster: RestCluster) -> None:
        """
        A container that changes its node is not started before it has ended where it was.
        """
        self.put(cluster)
        seen = ContainerObservation(name=ContainerName("web"), phase=ContainerPhase.RUNNING)
        cluster.report(A, containers=pmap({seen.name: seen}))

        self.put(cluster, node="beta")
        shown = cluster.get("/v2/containers/web").body
        assert (None, "running", True) == (
            shown["runs_on"],
            shown["state"],
            "no other copy of it to run" in shown["waiting_for"],
        )

    def test_other_copy_ended_unseen(self, cluster: RestCluster) -> None:
        """
        It is started, too, if its other copy ended while that node was away.
        """
        self.put(cluster)
        seen = ContainerObservation(name=ContainerName("web"), phase=ContainerPhase.RUNNING)
        cluster.report(A, containers=pmap({seen.name: seen}))
        self.put(cluster, node="beta")
        cluster.leave(A)
        cluster.report(A)

        cluster.until(lambda: cluster.service.runs_on(seen.name) == B)

    def test_datasets_apart(self, cluster: RestCluster) -> None:
        """
        A container whose datasets are on two nodes says which one it waits for.
        """
        one, two = created(cluster, name="one"), created(cluster, name="two")
        cluster.report(A, owned(one), owned(two))
        cluster.until(lambda: cluster.service.state.ownerships[two].created)
        cluster.post("/v2/moves", {"dataset": "two", "target": "beta"})

        reply = self.put(cluster, node="beta", mounts=[{"dataset": "two"}, {"dataset": "one"}])
        assert (409, "DatasetElsewhere") == code(reply)

    def test_remove(self, cluster: RestCluster) -> None:
        """
        A removed container is answered once more, and is gone.
        """
        self.put(cluster)

        assert "web" == cluster.call("DELETE", "/v2/containers/web").body["name"]
        assert (404, "ContainerUnknown") == code(cluster.get("/v2/containers/web"))

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_unknown(self, cluster: RestCluster, method: str) -> None:
        """
        What doesn't run is not found.
        """
        assert (404, "ContainerUnknown") == code(cluster.call(method, "/v2/containers/web"))

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"node": "gamma"}, (404, "NodeUnknown")),
            ({"mounts": [{"dataset": "nothing"}]}, (404, "DatasetUnknown")),
            ({"mounts": [{"dataset": "pg"}], "node": "beta"}, (409, "DatasetElsewhere")),
            ({"memory_bytes": 64 * MIB}, (409, "FieldNotSupported")),
            ({"ports": [{"internal": 1, "external": 0}]}, (400, "SchemaViolation")),
            ({"command": []}, (400, "ValueRefused")),
            ({"privileged": True}, (400, "SchemaViolation")),
        ],
        ids=str,
    )
    def test_refused(self, cluster: RestCluster, fields: dict[str, Any], expected: tuple[int, str]) -> None:
        """
        What can't be run is refused, with a code for each reason.
        """
        created(cluster, name="pg")

        assert expected == code(self.put(cluster, **fields))


def move_id_of(cluster: RestCluster, dataset_id: DatasetId) -> MoveId:
    """
    The move that is under way.
    """
    move = cluster.service.state.ownerships[dataset_id].move
    assert move is not None
    return move.move_id


def progress(cluster: RestCluster, dataset_id: DatasetId, verdict: SendVerdict) -> SendProgress:
    """
    What the source of a move says of it.
    """
    return SendProgress(
        move_id=move_id_of(cluster, dataset_id),
        round=2,
        round_bytes=50,
        total_bytes=100,
        sent_bytes=1050,
        rate_bytes_per_second=25.0,
        eta_seconds=2.0,
        predicted_downtime_seconds=0.5,
        verdict=verdict,
    )


def report_ready(cluster: RestCluster, dataset_id: DatasetId) -> None:
    """
    The source says that the application may be stopped, and the target, that it has what the application needs.
    """
    sending = progress(cluster, dataset_id, SendVerdict.READY)
    cluster.report(A, owned(dataset_id, sending=sending))
    cluster.report(B, prepared=pmap({c.name: definition_digest(c) for c in asked_to_prepare(cluster)}))
    cluster.until(lambda: phase_of(cluster, dataset_id) is MovePhase.RELEASING)


def asked_to_prepare(cluster: RestCluster) -> list[Container]:
    """
    The containers that the target is told will run there.
    """
    assigned = cluster.assigned(B)
    return [] if assigned is None else list(assigned.preparing.values())


def phase_of(cluster: RestCluster, dataset_id: DatasetId) -> MovePhase | None:
    """
    How far the move is.
    """
    move = cluster.service.state.ownerships[dataset_id].move
    return None if move is None else move.phase


def report_committed(cluster: RestCluster, dataset_id: DatasetId) -> None:
    """
    Source and target report all that it takes to commit.
    """
    report_ready(cluster, dataset_id)
    guid = Guid(2**64 - 1)
    cluster.report(
        A, DatasetObservation(dataset_id=dataset_id, role=Role.RELEASED, epoch=1, newest_guid=guid, final_guid=guid)
    )
    cluster.report(B, DatasetObservation(dataset_id=dataset_id, role=Role.REPLICA, epoch=0, newest_guid=guid))
    cluster.until(lambda: phase_of(cluster, dataset_id) is MovePhase.TAKING)


class TestMoves:
    """
    Moves.
    """

    def start(self, cluster: RestCluster, dataset: object, target: str = "beta") -> Reply:
        """
        Ask for a move.
        """
        return cluster.post("/v2/moves", {"dataset": str(dataset), "target": target})

    def test_start(self, cluster: RestCluster) -> None:
        """
        A move that is asked for has begun when the answer comes.
        """
        dataset_id = made(cluster, name="pg")

        reply = self.start(cluster, "pg")
        assert (202, str(A), str(B), "copying") == (
            reply.status,
            reply.body["source"],
            reply.body["target"],
            reply.body["phase"],
        )
        assert str(move_id_of(cluster, dataset_id)) == reply.body["move_id"]

    def test_start_twice(self, cluster: RestCluster) -> None:
        """
        Asking again is answered with the same move.
        """
        made(cluster, name="pg")

        assert self.start(cluster, "pg").body == self.start(cluster, "pg").body

    def test_progress(self, cluster: RestCluster) -> None:
        """
        A move shows how far it is, how fast it goes, and how long the application would stand still.
        """
        dataset_id = made(cluster)
        move_id = self.start(cluster, dataset_id).body["move_id"]
        cluster.report(A, owned(dataset_id, sending=progress(cluster, dataset_id, SendVerdict.CATCHING_UP)))

        move = cluster.get(f"/v2/moves/{move_id}").body
        expected = {
            "round": 2,
            "round_bytes": 50,
            "total_bytes": 100,
            "sent_bytes": 1050,
            "rate_bytes_per_second": 25.0,
            "eta_seconds": 2.0,
            "predicted_downtime_seconds": 0.5,
            "outcome": None,
            "ended_at_seconds": None,
        }
        assert expected == {name: move[name] for name in expected}

    def test_to_its_end(self, cluster: RestCluster) -> None:
        """
        A move that has ended is still found under its id, and says what it took.
        """
        dataset_id = made(cluster)
        move_id = self.start(cluster, dataset_id).body["move_id"]
        report_committed(cluster, dataset_id)
        cluster.report(B, owned(dataset_id, epoch=2))
        cluster.until(lambda: phase_of(cluster, dataset_id) is None)

        move = cluster.get(f"/v2/moves/{move_id}").body
        assert ("done", None, 2, 1050) == (move["outcome"], move["phase"], move["round"], move["sent_bytes"])
        assert move["downtime_seconds"] >= 0
        dataset = cluster.get(f"/v2/datasets/{dataset_id}").body
        assert (str(B), 2, [str(A)], move) == (
            dataset["owner"],
            dataset["epoch"],
            dataset["settling"],
            dataset["last_move"],
        )

    def test_listed(self, cluster: RestCluster) -> None:
        """
        All moves that are remembered are listed: the present one of each dataset, and the one before.
        """
        dataset_id = made(cluster)
        first = self.start(cluster, dataset_id).body["move_id"]
        cluster.call("DELETE", f"/v2/moves/{first}")
        second = self.start(cluster, dataset_id).body["move_id"]

        assert [second, first] == [move["move_id"] for move in cluster.get("/v2/moves").body["moves"]]

    def test_cancel(self, cluster: RestCluster) -> None:
        """
        A cancelled move has ended, and the dataset is wanted where it is.
        """
        dataset_id = made(cluster)
        move_id = self.start(cluster, dataset_id).body["move_id"]

        reply = cluster.call("DELETE", f"/v2/moves/{move_id}")
        assert (200, "cancelled", "cancelled") == (reply.status, reply.body["outcome"], reply.body["reason"])
        assert str(A) == cluster.get(f"/v2/datasets/{dataset_id}").body["primary"]

    def test_one_of_several(self, cluster: RestCluster) -> None:
        """
        A move is found among those of other datasets.
        """
        one, two = created(cluster), created(cluster)
        cluster.report(A, owned(one), owned(two))
        cluster.until(lambda: all(ownership.created for ownership in cluster.service.state.ownerships.values()))
        moves = {dataset_id: self.start(cluster, dataset_id).body["move_id"] for dataset_id in (one, two)}

        for dataset_id, move_id in moves.items():
            assert str(dataset_id) == cluster.get(f"/v2/moves/{move_id}").body["dataset_id"]

    def test_cancel_twice(self, cluster: RestCluster) -> None:
        """
        What has ended can't be cancelled.
        """
        move_id = self.start(cluster, made(cluster)).body["move_id"]
        cluster.call("DELETE", f"/v2/moves/{move_id}")

        assert (409, "MoveEnded") == code(cluster.call("DELETE", f"/v2/moves/{move_id}"))

    def test_cancel_too_late(self, cluster: RestCluster) -> None:
        """
        After the commit point a move goes to its end.
        """
        dataset_id = made(cluster)
        move_id = self.start(cluster, dataset_id).body["move_id"]
        report_committed(cluster, dataset_id)

        assert (409, "MoveCommitted") == code(cluster.call("DELETE", f"/v2/moves/{move_id}"))

    @pytest.mark.parametrize("move_id", ["nonsense", "36b30d47-e4e1-4fc3-94ac-92a0b136b087"])
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_unknown(self, cluster: RestCluster, method: str, move_id: str) -> None:
        """
        A move that nobody remembers is not found.
        """
        assert (404, "MoveUnknown") == code(cluster.call(method, f"/v2/moves/{move_id}"))

    def test_not_made_yet(self, cluster: RestCluster) -> None:
        """
        A dataset that isn't made yet moves later: the answer has no id, and says what it waits for.
        """
        created(cluster, name="pg")

        reply = self.start(cluster, "pg")
        assert (202, None, None) == (reply.status, reply.body["move_id"], reply.body["phase"])
        assert reply.body["waiting_for"]

    def test_sent_back(self, cluster: RestCluster) -> None:
        """
        A dataset that is sent back before it has gone is answered with the end of its move.
        """
        dataset_id = made(cluster)
        first = self.start(cluster, dataset_id)

        reply = self.start(cluster, dataset_id, "alpha")
        assert (first.body["move_id"], "cancelled") == (reply.body["move_id"], reply.body["outcome"])

    def test_container_comes_along(self, cluster: RestCluster) -> None:
        """
        The container that uses a dataset moves with it.
        """
        made(cluster, name="pg")
        body = {"node": "alpha", "command": ["/bin/serve"], "mounts": [{"dataset": "pg"}]}
        cluster.call("PUT", "/v2/containers/web", body)

        self.start(cluster, "pg")
        assert str(B) == cluster.get("/v2/containers/web").body["node_id"]

    @pytest.mark.parametrize(
        ("dataset", "target", "expected"),
        [
            ("pg", "alpha", (409, "AlreadyThere")),
            ("pg", "gamma", (404, "NodeUnknown")),
            ("nothing", "beta", (404, "DatasetUnknown")),
            ("pg", str(C), (404, "NodeUnknown")),
        ],
    )
    def test_refused(self, cluster: RestCluster, dataset: str, target: str, expected: tuple[int, str]) -> None:
        """
        A move that can't be is refused, with a code for each reason.
        """
        made(cluster, name="pg")

        assert expected == code(self.start(cluster, dataset, target))

    def test_deleted(self, cluster: RestCluster) -> None:
        """
        A deleted dataset doesn't move.
        """
        dataset_id = made(cluster)
        cluster.call("DELETE", f"/v2/datasets/{dataset_id}")

        assert (409, "DatasetDeleted") == code(self.start(cluster, dataset_id))

    def test_no_room(self, cluster: RestCluster) -> None:
        """
        A dataset doesn't move where there is no room for it.
        """
        dataset_id = made(cluster)
        cluster.report(A, owned(dataset_id, used_bytes=2 * 10**9))

        reply = self.start(cluster, dataset_id)
        assert (409, "TargetWithoutRoom") == code(reply)
        assert "beta" in reply.body["description"]


DOCUMENT = deployment(
    nodes={"alpha": {}, "beta": {}},
    volumes={"pg": {"size": "64M"}},
    apps={"db": {"command": ["/bin/serve"], "node": "alpha", "mounts": [{"volume": "pg"}]}},
)


class TestDeployments:
    """
    Deployment documents.
    """

    def plan(self, cluster: RestCluster, document: object = DOCUMENT) -> Reply:
        """
        The plan of a document.
        """
        return cluster.post("/v2/plan", {"deployment": document})

    def apply(self, cluster: RestCluster, revision: int, document: object = DOCUMENT) -> Reply:
        """
        Apply a document.
        """
        return cluster.post("/v2/apply", {"deployment": document, "revision": revision})

    def test_plan(self, cluster: RestCluster) -> None:
        """
        A plan says what would change, and changes nothing.
        """
        reply = self.plan(cluster)

        assert ["create volume pg on alpha, 64 MiB", "start db on alpha"] == [
            step["text"] for step in reply.body["steps"]
        ]
        assert (cluster.service.state.revision, {}) == (reply.body["revision"], dict(cluster.service.state.datasets))

    def test_apply(self, cluster: RestCluster) -> None:
        """
        An applied document is done, and nothing is left to do.
        """
        plan = self.plan(cluster).body

        reply = self.apply(cluster, plan["revision"])
        assert (200, plan["steps"], plan["revision"] + 1) == (reply.status, reply.body["steps"], reply.body["revision"])
        assert [] == self.plan(cluster).body["steps"]

    def test_apply_nothing(self, cluster: RestCluster) -> None:
        """
        Applying what is so already is no commit.
        """
        self.apply(cluster, self.plan(cluster).body["revision"])
        revision = self.plan(cluster).body["revision"]

        assert (revision, []) == tuple(self.apply(cluster, revision).body[name] for name in ("revision", "steps"))

    def test_apply_to_another_revision(self, cluster: RestCluster) -> None:
        """
        A plan that was made before something else was committed is not applied.
        """
        revision = self.plan(cluster).body["revision"]
        created(cluster, name="meanwhile")

        assert (409, "RevisionConflict") == code(self.apply(cluster, revision))
        assert ["meanwhile"] == [dataset["name"] for dataset in cluster.get("/v2/datasets").body["datasets"]]

    def test_unmanaged(self, cluster: RestCluster) -> None:
        """
        What the document doesn't name is listed, and stays when it is applied.
        """
        created(cluster, name="other")

        plan = self.plan(cluster).body
        assert ["other"] == [thing["name"] for thing in plan["unmanaged"]]
        self.apply(cluster, plan["revision"])
        assert ["other", "pg"] == sorted(dataset["name"] for dataset in cluster.get("/v2/datasets").body["datasets"])

    def test_mistakes(self, cluster: RestCluster) -> None:
        """
        All mistakes of a document are told at once, each with its place.
        """
        document = deployment(
            nodes={"alpha": {}},
            volumes={"pg": {"size": "1.5 bananas", "primary": "alpha"}},
            apps={"db": {"command": ["x"], "node": "gamma"}},
        )

        reply = self.plan(cluster, document)
        assert (422, "DeploymentRefused") == code(reply)
        pointers = [mistake["pointer"] for mistake in reply.body["errors"]]
        assert [["volumes", "pg", "size"], ["apps", "db", "node"]] == pointers

    @pytest.mark.parametrize("call", ["plan", "apply"])
    def test_unknown_node(self, cluster: RestCluster, call: str) -> None:
        """
        A node that the cluster doesn't have is an error, in the plan and when it is applied.
        """
        document = deployment(nodes={"gamma": {}})
        revision = cluster.service.state.revision

        reply = self.plan(cluster, document) if call == "plan" else self.apply(cluster, revision, document)
        assert (422, [["nodes", "gamma"]]) == (reply.status, [mistake["pointer"] for mistake in reply.body["errors"]])

    @pytest.mark.parametrize("document", [None, [], "x", {}, {"version": 3}], ids=str)
    def test_nonsense(self, cluster: RestCluster, document: object) -> None:
        """
        What is no document is refused as one.
        """
        assert self.plan(cluster, document).status in (400, 422)


class TestOpenAPI:
    """
    The description of the API.
    """

    def test_every_route(self, cluster: RestCluster) -> None:
        """
        Every route is described, under a name of its own.
        """
        document = cluster.get("/v2/openapi.json").body

        operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
        assert (len(ROUTES), len(ROUTES), "3.1.0") == (len(operations), len(set(operations)), document["openapi"])

    def test_references(self, cluster: RestCluster) -> None:
        """
        Every reference leads to a schema, and every schema is one.
        """
        document = cluster.get("/v2/openapi.json").body

        def references(part: Any) -> Iterator[str]:
            match part:
                case dict():
                    if isinstance(part.get("$ref"), str):
                        yield part["$ref"]
                    for below in part.values():
                        yield from references(below)
                case list():
                    for below in part:
                        yield from references(below)
                case _:
                    pass

        schemas = document["components"]["schemas"]
        assert {name.removeprefix("#/components/schemas/") for name in references(document)} <= schemas.keys()
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)

    def test_path_parameters(self, cluster: RestCluster) -> None:
        """
        Every variable part of a path is described as a parameter.
        """
        operation = cluster.get("/v2/openapi.json").body["paths"]["/v2/moves/{move_id}"]["get"]

        assert [("move_id", "path")] == [(parameter["name"], parameter["in"]) for parameter in operation["parameters"]]

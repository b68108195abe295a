"""
Who may speak, in what form, and what is answered to what can't be understood.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from flocker_py.identity import NodeIdentity
from flocker_py.model import NodeId
from flocker_py.testing.certificates import install
from tests.cluster import AGENT_PORT, API_PORT, CONTROL, Cluster
from tests.v1.client import CONDITION, DATASETS, UNKNOWN, Client, Reply, unused_id


def connected(cluster: Cluster, port: int, files: tuple[str, str] | None) -> None:
    """
    Shake hands, and see whether anything can be said.

    :param files: of a certificate and its key.
    """
    context = ssl.create_default_context(cafile=str(cluster.certificates.user.ca_path))
    context.check_hostname = False
    if files is not None:
        context.load_cert_chain(*files)
    connection = http.client.HTTPSConnection(cluster.addresses[CONTROL], port, context=context, timeout=30)
    try:
        connection.request("GET", "/v1/version")
        connection.getresponse()
    finally:
        connection.close()


class TestTls:
    """
    Section 2.1.
    """

    @pytest.fixture
    def user(self, cluster: Cluster) -> tuple[str, str]:
        """
        A user's certificate and key.
        """
        user = cluster.certificates.user
        return str(user.certificate_path), str(user.key_path)

    def test_certificate_is_needed(self, cluster: Cluster) -> None:
        """
        Without a certificate there is no answer of HTTP.
        """
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connected(cluster, API_PORT, None)

    def test_users_certificate(self, cluster: Cluster, user: tuple[str, str]) -> None:
        """
        With a user's certificate there is one.
        """
        connected(cluster, API_PORT, user)

    def test_nodes_certificate_opens_no_api(self, cluster: Cluster, tmp_path: Any) -> None:
        """
        A node's certificate is none of a user's.
        """
        identity = NodeIdentity(node_id=NodeId(cluster.node_ids["n1"]))
        install(tmp_path, cluster.certificates.authority, identity)

        with pytest.raises((ssl.SSLError, ConnectionError)):
            connected(cluster, API_PORT, (str(tmp_path / "node.crt"), str(tmp_path / "node.key")))

    def test_users_certificate_opens_no_agents_port(self, cluster: Cluster, user: tuple[str, str]) -> None:
        """
        A user's certificate is none of a node's.
        """
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connected(cluster, AGENT_PORT, user)

    def test_name_that_flockers_clients_verify(self, cluster: Cluster, user: tuple[str, str]) -> None:
        """
        The service's certificate is for ``control-service``, whatever its host is called.
        """
        context = ssl.create_default_context(cafile=str(cluster.certificates.user.ca_path))
        context.load_cert_chain(*user)

        # It complains of a certificate for another name.
        with (
            socket.create_connection((cluster.addresses[CONTROL], API_PORT)) as plain,
            context.wrap_socket(plain, server_hostname="control-service") as secured,
        ):
            assert secured.getpeercert()


class TestConventions:
    """
    Section 2.2, and the first rows of 2.3.
    """

    def test_answers_are_json(self, client: Client) -> None:
        """
        Every answer says that it is JSON.
        """
        assert "application/json" == client.get("/v1/version").headers["content-type"]

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_content_type_of_requests(self, client: Client, content_type: str) -> None:
        """
        What a request says of its body's type isn't looked at.
        """
        body = {"primary": client.node("n1")}

        assert 201 == client.post(DATASETS, body, headers=(("Content-Type", content_type),)).status

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_bodies_that_are_ignored(self, client: Client, method: str) -> None:
        """
        Whatever comes as body of a GET or DELETE is ignored, with a content type or without.
        """
        path = "/v1/version" if method == "GET" else f"{DATASETS}/{client.create()['dataset_id']}"

        assert 200 == client.call(method, path, raw=b"{", headers=(("Content-Type", "application/json"),)).status

    @pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/datasets", "/v1/version/", "/v3/version"])
    def test_unknown_path(self, client: Client, path: str) -> None:
        """
        Where there is nothing, 404.
        """
        reply = client.get(path)

        assert (404, True) == (reply.status, bool(reply.body["description"]))

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", DATASETS, {"GET", "POST"}),
            ("POST", "/v1/version", {"GET"}),
            ("DELETE", "/v1/state/datasets", {"GET"}),
            ("GET", f"{DATASETS}/{UNKNOWN}", {"POST", "DELETE"}),
            ("PATCH", f"{DATASETS}/{UNKNOWN}", {"POST", "DELETE"}),
        ],
    )
    def test_wrong_method(self, client: Client, method: str, path: str, allowed: set[str]) -> None:
        """
        Where something else can be done, 405, and what.
        """
        reply = client.call(method, path)

        assert (405, allowed) == (reply.status, {*reply.headers["allow"].split(", ")} - {"HEAD", "OPTIONS"})

    @pytest.mark.parametrize("path", ["/v1/version", "/v1/state/nodes", DATASETS, "/v1/state/datasets"])
    def test_head(self, client: Client, cluster: Cluster, path: str) -> None:
        """
        HEAD is answered as GET, without the body.
        """

        def between_equal_answers() -> tuple[Reply, Reply] | None:
            # The agents go on reporting: what is answered may change between two requests.
            before, head, got = client.get(path), client.call("HEAD", path), client.get(path)
            return (head, got) if before.text == got.text else None

        head, got = cluster.wait(between_equal_answers)

        assert (200, "", got.headers.get("content-length")) == (
            head.status,
            head.text,
            head.headers.get("content-length"),
        )

    @pytest.mark.parametrize("path", [DATASETS, f"{DATASETS}/{UNKNOWN}"])
    def test_options(self, client: Client, path: str) -> None:
        """
        OPTIONS says what can be done.
        """
        reply = client.call("OPTIONS", path)

        assert (204, "", True) == (reply.status, reply.text, "POST" in reply.headers["allow"])

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"{'a': 1}", b"[1,]", b'{"primary": NaN}'])
    def test_no_json(self, client: Client, raw: bytes) -> None:
        """
        A body that is no JSON is refused with a description, and no list of errors.
        """
        reply = client.post(DATASETS, raw=raw)

        assert (400, {"description", "code"}) == (reply.status, set(reply.body))

    def test_schema_violation(self, client: Client) -> None:
        """
        A body of the wrong form is refused with a description and the validator's messages.
        """
        reply = client.post(DATASETS, {"primary": 1, "more": 2})

        assert 400 == reply.status
        assert {"description", "errors", "code"} == set(reply.body)
        assert [str] * len(reply.body["errors"]) == [type(error) for error in reply.body["errors"]]

    def test_several_mistakes_are_all_told(self, client: Client) -> None:
        """
        Each thing that is wrong is told.
        """
        errors = client.post(DATASETS, {"primary": 1, "more": 2}).body["errors"]

        assert (True, True) == (any("more" in error for error in errors), any("1" in error for error in errors))


class TestTaskId:
    """
    ``X-Eliot-Task-Id``.
    """

    @pytest.fixture
    def log(self, cluster: Cluster) -> Iterator[Any]:
        """
        The tasks that the control service logs from now on.
        """
        begin = cluster.log(CONTROL).stat().st_size

        def tasks() -> set[str]:
            return {message["task_uuid"] for message in cluster.logged(CONTROL, begin)}

        yield tasks

    def test_is_continued(self, client: Client, cluster: Cluster, log: Any) -> None:
        """
        What a request leads to is logged as part of the client's task.
        """
        task = unused_id()

        assert 200 == client.get("/v1/version", headers=(("X-Eliot-Task-Id", f"{task}@/2/1"),)).status
        cluster.wait(lambda: task in log())

    @pytest.mark.parametrize("task", ["", "nothing", "@", "a@b@c", f"{UNKNOWN}@", f"{UNKNOWN}@/x", "\xe9@/1"])
    def test_malformed(self, client: Client, task: str) -> None:
        """
        What names no task is ignored.
        """
        assert 200 == client.get("/v1/version", headers=(("X-Eliot-Task-Id", task),)).status


class TestPrecondition:
    """
    The last row of 2.3, and 2.4.
    """

    @pytest.mark.parametrize(
        ("method", "of_one"), [("POST", False), ("POST", True), ("DELETE", True)], ids=["create", "change", "delete"]
    )
    def test_must_hold(self, client: Client, method: str, of_one: bool) -> None:
        """
        A request for another configuration is refused, with both tags.
        """
        path = f"{DATASETS}/{client.create()['dataset_id']}" if of_one else DATASETS
        current = client.tag()

        reply = client.call(method, path, {"primary": client.node("n1")}, headers=((CONDITION, "0" * 32),))
        assert (412, f"Tag doesn't match. Required: {'0' * 32}, current: {current}", current) == (
            reply.status,
            reply.body["description"],
            client.tag(),
        )

    @pytest.mark.parametrize(
        ("method", "of_one", "status"),
        [("POST", False, 201), ("POST", True, 200), ("DELETE", True, 200)],
        ids=["create", "change", "delete"],
    )
    def test_holds(self, client: Client, method: str, of_one: bool, status: int) -> None:
        """
        A request for the present configuration is carried out.
        """
        path = f"{DATASETS}/{client.create()['dataset_id']}" if of_one else DATASETS

        reply = client.call(method, path, {"primary": client.node("n1")}, headers=((CONDITION, client.tag()),))
        assert status == reply.status

    def test_any_of_several(self, client: Client) -> None:
        """
        Of several values of the header, one has to be the present tag.
        """
        headers = ((CONDITION, "0" * 32), (CONDITION, client.tag()), (CONDITION, "1" * 32))

        assert 201 == client.post(DATASETS, {"primary": client.node("n1")}, headers=headers).status

    def test_none_of_several(self, client: Client) -> None:
        """
        If none is, the request is refused.
        """
        headers = ((CONDITION, "0" * 32), (CONDITION, "1" * 32))

        assert 412 == client.post(DATASETS, {"primary": client.node("n1")}, headers=headers).status

    @pytest.mark.parametrize("raw", [b"{", b"{}"])
    def test_comes_before_the_body(self, client: Client, raw: bytes) -> None:
        """
        The condition is looked at before the body is.
        """
        assert 412 == client.post(DATASETS, raw=raw, headers=((CONDITION, "0" * 32),)).status

    def test_comes_before_the_dataset(self, client: Client) -> None:
        """
        And before it is looked whether there is such a dataset.
        """
        assert 412 == client.delete(f"{DATASETS}/{unused_id()}", headers=((CONDITION, "0" * 32),)).status

    def test_form(self, client: Client) -> None:
        """
        A tag is 32 digits of lower-case hexadecimal.
        """
        tag = client.tag()

        assert (32, True) == (len(tag), set(tag) <= set("0123456789abcdef"))

    def test_conditional_create(self, client: Client) -> None:
        """
        Of two clients that both saw no dataset of a name, one makes it and the other is told to look again.
        """
        tag = client.tag()
        wanted = {"primary": client.node("n1"), "metadata": {"name": unused_id()}}

        statuses = [client.post(DATASETS, wanted, headers=((CONDITION, tag),)).status for _ in range(2)]
        assert [201, 412] == statuses

    def test_unchanged_by_reading(self, client: Client) -> None:
        """
        Reading changes no tag.
        """
        tag = client.tag()
        client.get("/v1/state/datasets")

        assert tag == client.tag()

    def test_changes_with_each_change(self, client: Client) -> None:
        """
        Each change of what is wanted of datasets changes it.
        """
        tags = [client.tag()]
        path = f"{DATASETS}/{client.create(maximum_size=64 * 1024**2)['dataset_id']}"
        tags.append(client.tag())
        client.post(path, {"primary": client.node("n2")})
        tags.append(client.tag())
        client.delete(path)
        tags.append(client.tag())

        assert 4 == len(set(tags))

    def test_changes_of_nothing(self, client: Client) -> None:
        """
        What changes nothing doesn't.
        """
        path = f"{DATASETS}/{client.create()['dataset_id']}"
        tag = client.tag()
        client.post(path, {})
        client.post(path, {"primary": client.node("n1")})

        assert tag == client.tag()

    def test_what_becomes_of_datasets(self, client: Client) -> None:
        """
        That a dataset is made is no change of what is wanted.
        """
        dataset_id = client.create()["dataset_id"]
        tag = client.tag()
        client.on(dataset_id, "n1")

        assert tag == client.tag()

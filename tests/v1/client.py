"""
A client of the REST API that knows no more of ours than Flocker's clients do: HTTPS, JSON, a certificate.
"""

from __future__ import annotations

import http.client
import json
import ssl
from itertools import count
from typing import Any
from uuid import uuid4

from flocker_py.records import Record, mapping, value
from tests.cluster import API_PORT, CONTROL, Cluster

DATASETS = "/v1/configuration/datasets"
DATASET_STATES = "/v1/state/datasets"
TAG = "x-configuration-tag"
CONDITION = "X-If-Configuration-Matches"
MIB = 1024**2
UNKNOWN = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"
"""A UUID that never names anything."""
_PORTS = count(20000)


class Reply(Record):
    """
    What came back.

    :param headers: by name in lower case; of several with one name, the last.
    :param body: parsed; None where there was none.
    """

    status: int = value(int)
    headers: dict[str, str] = mapping(str, str, default={})
    body: Any = value(object, default=None)
    text: str = value(str, default="")


class Client:
    """
    A user of a cluster. Its connection is kept, as those of most clients are.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        user = cluster.certificates.user
        context = ssl.create_default_context(cafile=str(user.ca_path))
        context.load_cert_chain(user.certificate_path, user.key_path)
        self._connection = http.client.HTTPSConnection(
            cluster.addresses[CONTROL], API_PORT, context=context, timeout=60
        )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Reply:
        """
        One request.

        :param body: sent as JSON, unless None; ``raw``, as it is.
        :param headers: names and values; a name may come several times.
        """
        data = raw if body is None else json.dumps(body).encode("ascii")
        try:
            return self._call(method, path, data, headers)
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
            # The service was restarted since the last request, or closed an idle connection. Having been closed for 15
            # seconds it is reset: then writing fails, which with TLS is no ConnectionError.
            self.close()
            return self._call(method, path, data, headers)
        except BaseException:
            # Half a request or answer leaves a connection that can't be used any more.
            self.close()
            raise

    def _call(self, method: str, path: str, data: bytes | None, headers: tuple[tuple[str, str], ...]) -> Reply:
        connection = self._connection
        connection.putrequest(method, path)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        for name, text in headers:
            connection.putheader(name, text)
        connection.endheaders(data)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8")
        return Reply(
            status=answer.status,
            headers={name.lower(): text for name, text in answer.getheaders()},
            body=json.loads(text) if text else None,
            text=text,
        )

    def get(self, path: str, **more: Any) -> Reply:
        """
        A GET.
        """
        return self.call("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> Reply:
        """
        A POST.
        """
        return self.call("POST", path, body, **more)

    def delete(self, path: str, **more: Any) -> Reply:
        """
        A DELETE.
        """
        return self.call("DELETE", path, **more)

    def close(self) -> None:
        """
        End the connection.
        """
        self._connection.close()

    # -- what many tests need --------------------------------------------------------------------------------------

    def node(self, name: str) -> str:
        """
        The id of a node of the cluster.
        """
        return str(self.cluster.node_ids[name])

    def create(self, node: str = "n1", **fields: object) -> dict[str, Any]:
        """
        A new dataset, wanted on a node, as it was answered.
        """
        reply = self.post(DATASETS, {"primary": self.node(node), **fields})
        assert 201 == reply.status, reply.text
        created: dict[str, Any] = reply.body
        return created

    def made(self, node: str = "n1", **fields: object) -> str:
        """
        The id of a new dataset, which is there.
        """
        dataset_id: str = self.create(node, **fields)["dataset_id"]
        self.on(dataset_id, node)
        return dataset_id

    def unhurried(self, dataset_id: str) -> None:
        """
        Let a dataset that a container uses move however slow the disks are: Flocker's API has no word for it.
        """
        reply = self.call("PATCH", f"/v2/datasets/{dataset_id}", {"on_overrun": "cut-over"})
        assert 200 == reply.status, reply.text

    def wanted(self, dataset_id: str) -> dict[str, Any] | None:
        """
        A dataset as it is configured; None: it isn't listed.
        """
        return next((d for d in self.get(DATASETS).body if d["dataset_id"] == dataset_id), None)

    def state(self, dataset_id: str) -> dict[str, Any] | None:
        """
        Where a dataset is; None: nowhere.
        """
        found = [d for d in self.get(DATASET_STATES).body if d["dataset_id"] == dataset_id]
        assert len(found) < 2, f"{dataset_id} is shown twice: {found}"
        return found[0] if found else None

    def on(self, dataset_id: str, node: str) -> dict[str, Any]:
        """
        Wait until a dataset can be used on a node; its state then.
        """

        def there() -> dict[str, Any] | None:
            state = self.state(dataset_id)
            return state if state is not None and state.get("primary") == self.node(node) else None

        found: dict[str, Any] = self.cluster.wait(there)
        return found

    def tag(self) -> str:
        """
        The present tag of the configuration.
        """
        return self.get(DATASETS).headers[TAG]


def unused_id() -> str:
    """
    A UUID that names nothing.
    """
    return str(uuid4())


def unused_port() -> int:
    """
    A port that no container of this process's cluster has; never one of those that tests name.
    """
    return next(_PORTS)

"""
Section 2.7, leases: who holds a dataset, and what can't be done meanwhile.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster import CONTROL, Cluster
from tests.v1.client import DATASETS, MIB, UNKNOWN, Client, Reply, unused_id

LEASES = "/v1/configuration/leases"


def acquired(client: Client, dataset_id: str, node: str = "n1", expires: float | None = 600) -> Reply:
    """
    The answer to a request for a lease.
    """
    return client.post(LEASES, {"dataset_id": dataset_id, "node_uuid": client.node(node), "expires": expires})


def listed(client: Client, dataset_id: str) -> dict[str, Any] | None:
    """
    The lease of a dataset as it is listed; None: it isn't.
    """
    return next((lease for lease in client.get(LEASES).body if lease["dataset_id"] == dataset_id), None)


class TestAcquire:
    """
    POST configuration/leases.
    """

    @pytest.mark.parametrize("expires", [600, 0.5, 1e12, None])
    def test_new(self, client: Client, expires: float | None) -> None:
        """
        What nobody holds is to be had, with 201; neither dataset nor node has to be there.
        """
        lease = {"dataset_id": unused_id(), "node_uuid": unused_id(), "expires": expires}
        reply = client.post(LEASES, lease)

        assert (201, lease) == (reply.status, reply.body)

    def test_is_listed(self, client: Client) -> None:
        """
        What is left of it is listed.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id)
        lease = listed(client, dataset_id)

        assert lease is not None
        assert (client.node("n1"), True) == (lease["node_uuid"], 0 < lease["expires"] <= 600)

    def test_without_an_end(self, client: Client) -> None:
        """
        One that ends when it is released is listed with null.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id, expires=None)

        assert {"dataset_id": dataset_id, "node_uuid": client.node("n1"), "expires": None} == listed(client, dataset_id)

    def test_renewed(self, client: Client) -> None:
        """
        Its holder renews it, with 200.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id)
        reply = acquired(client, dataset_id, expires=None)

        assert (200, None, None) == (reply.status, reply.body["expires"], (listed(client, dataset_id) or {})["expires"])

    def test_held_by_another(self, client: Client) -> None:
        """
        Nobody else gets it; the answer names the holder.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id)
        reply = acquired(client, dataset_id, "n2")

        assert (409, "Lease already held.", client.node("n1")) == (
            reply.status,
            reply.body["description"],
            reply.body["holder"],
        )

    def test_ids_in_capitals(self, client: Client) -> None:
        """
        Ids are the same in any case.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id.upper())
        reply = client.post(LEASES, {"dataset_id": dataset_id, "node_uuid": client.node("n1").upper(), "expires": None})

        assert (200, dataset_id, client.node("n1")) == (
            reply.status,
            reply.body["dataset_id"],
            reply.body["node_uuid"],
        )

    @pytest.mark.parametrize(
        "fields",
        [
            {"dataset_id": "x" * 36},
            {"dataset_id": "x"},
            {"dataset_id": 1},
            {"dataset_id": None},
            {"node_uuid": "x" * 36},
            {"node_uuid": "11111111-1111-1111-8111-111111111111"},
            {"expires": "1"},
            {"expires": True},
            {"expires": []},
            {"more": 1},
        ],
    )
    def test_refused(self, client: Client, fields: dict[str, Any]) -> None:
        """
        What the types don't allow is refused.
        """
        body = {"dataset_id": UNKNOWN, "node_uuid": UNKNOWN, "expires": None, **fields}
        reply = client.post(LEASES, body)

        assert (400, True, True) == (reply.status, bool(reply.body["description"]), bool(reply.body["errors"]))

    @pytest.mark.parametrize("field", ["dataset_id", "node_uuid", "expires"])
    def test_all_three_are_needed(self, client: Client, field: str) -> None:
        """
        No field may be left out.
        """
        body: dict[str, Any] = {"dataset_id": UNKNOWN, "node_uuid": UNKNOWN, "expires": None}
        del body[field]

        assert 400 == client.post(LEASES, body).status

    @pytest.mark.parametrize("expires", [0, -1, -0.5])
    def test_in_the_past(self, client: Client, expires: float) -> None:
        """
        One that has ended before it began is answered, and not held.
        """
        dataset_id = unused_id()

        assert (201, None) == (acquired(client, dataset_id, expires=expires).status, listed(client, dataset_id))

    def test_tag(self, client: Client) -> None:
        """
        Leases are no change of what is wanted of datasets, and know no condition.
        """
        dataset_id = client.create()["dataset_id"]
        tag = client.tag()
        acquired(client, dataset_id)
        client.delete(f"{LEASES}/{dataset_id}", headers=(("X-If-Configuration-Matches", "0" * 32),))

        assert (tag, None) == (client.tag(), listed(client, dataset_id))


class TestRelease:
    """
    DELETE configuration/leases/ID.
    """

    @pytest.mark.parametrize("case", [str.lower, str.upper])
    def test_released(self, client: Client, case: Callable[[str], str]) -> None:
        """
        Any user releases any lease, and is answered which it was.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id, expires=None)
        reply = client.delete(f"{LEASES}/{case(dataset_id)}")

        assert (200, {"dataset_id": dataset_id, "node_uuid": client.node("n1"), "expires": None}) == (
            reply.status,
            reply.body,
        )
        assert None is listed(client, dataset_id)

    def test_not_held(self, client: Client) -> None:
        """
        What nobody holds can't be released.
        """
        reply = client.delete(f"{LEASES}/{unused_id()}")

        assert (404, "Lease not found.") == (reply.status, reply.body["description"])

    @pytest.mark.parametrize("dataset_id", ["x", "x" * 36, f"{UNKNOWN}x"])
    def test_no_id(self, client: Client, dataset_id: str) -> None:
        """
        What is no UUID is told so: Flocker answered with 500.
        """
        reply = client.delete(f"{LEASES}/{dataset_id}")

        assert (400, True) == (reply.status, bool(reply.body["description"]))

    def test_another_holder_after_it(self, client: Client) -> None:
        """
        Then another may have it.
        """
        dataset_id = unused_id()
        acquired(client, dataset_id)
        client.delete(f"{LEASES}/{dataset_id}")

        assert 201 == acquired(client, dataset_id, "n2").status


def moved(client: Client, dataset_id: str, words: str) -> Reply:
    body = {"dataset": dataset_id, "target": client.node("n2"), **({words: True} if words else {})}
    return client.post("/v2/moves", body)


def resized(client: Client, dataset_id: str, words: str) -> Reply:
    body = {"maximum_size_bytes": 128 * MIB, **({words: True} if words else {})}
    return client.call("PATCH", f"/v2/datasets/{dataset_id}", body)


def deleted(client: Client, dataset_id: str, words: str) -> Reply:
    return client.delete(f"/v2/datasets/{dataset_id}{f'?{words}=true' if words else ''}")


AGAINST = [moved, resized, deleted]


class TestInTheWay:
    """
    A held lease makes moves, changes of size and deletions fail, saying who holds it.
    """

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_v1(self, client: Client, method: str) -> None:
        """
        By version 1, which has no way around it.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id, "n3")
        before = client.wanted(dataset_id)
        reply = client.call(method, f"{DATASETS}/{dataset_id}", {"primary": client.node("n2")})

        assert (409, client.node("n3"), True) == (
            reply.status,
            reply.body["holder"],
            client.node("n3") in reply.body["description"],
        )
        assert before == client.wanted(dataset_id)

    @pytest.mark.parametrize("body", [{}, {"primary": None}])
    def test_v1_no_change(self, client: Client, body: dict[str, Any]) -> None:
        """
        What changes nothing isn't refused.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id)
        body = {"primary": client.node("n1")} if body else body

        assert 200 == client.post(f"{DATASETS}/{dataset_id}", body).status

    @pytest.mark.parametrize("call", AGAINST)
    def test_v2(self, client: Client, call: Callable[[Client, str, str], Reply]) -> None:
        """
        By version 2.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id)
        reply = call(client, dataset_id, "")

        assert (409, "DatasetLeased", client.node("n1")) == (reply.status, reply.body["code"], reply.body["holder"])

    def test_after_the_end(self, client: Client) -> None:
        """
        Once it is released, it is in nobody's way.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id)
        client.delete(f"{LEASES}/{dataset_id}")

        assert 200 == client.delete(f"{DATASETS}/{dataset_id}").status

    def test_after_expiry(self, client: Client, cluster: Cluster) -> None:
        """
        Nor once it has expired.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id, expires=0.5)
        cluster.wait(lambda: client.delete(f"{DATASETS}/{dataset_id}").status == 200)

        assert None is listed(client, dataset_id)


class TestForce:
    """
    What is asked for with ``force`` is done.
    """

    @pytest.mark.parametrize("call", AGAINST)
    def test_is_accepted(self, client: Client, call: Callable[[Client, str, str], Reply]) -> None:
        """
        Whatever it is.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id)

        assert call(client, dataset_id, "force").status in (200, 202)

    def test_move(self, client: Client) -> None:
        """
        The dataset moves, and is leased all the same.
        """
        dataset_id = client.made()
        acquired(client, dataset_id)
        moved(client, dataset_id, "force")
        client.on(dataset_id, "n2")

        assert client.node("n1") == (listed(client, dataset_id) or {})["node_uuid"]

    def test_deletion(self, client: Client) -> None:
        """
        What is deleted is not leased any more.
        """
        dataset_id = client.made()
        acquired(client, dataset_id)
        deleted(client, dataset_id, "force")
        client.cluster.wait(lambda: client.state(dataset_id) is None)

        assert None is listed(client, dataset_id)

    def test_not_both(self, client: Client) -> None:
        """
        One can't have it now and later.
        """
        dataset_id = client.create()["dataset_id"]
        reply = client.delete(f"/v2/datasets/{dataset_id}?force=true&when_released=true")

        assert 400 == reply.status


class TestWhenReleased:
    """
    What is asked for with ``when_released`` waits for the end of the lease.
    """

    @pytest.mark.parametrize("call", AGAINST)
    def test_waits(self, client: Client, call: Callable[[Client, str, str], Reply]) -> None:
        """
        It is wanted, not done, and says for what it waits.
        """
        dataset_id = client.made(maximum_size=64 * MIB)
        before = client.state(dataset_id)
        acquired(client, dataset_id)
        assert call(client, dataset_id, "when_released").status in (200, 202)
        shown = client.get(f"/v2/datasets/{dataset_id}").body

        assert ("waiting", True, True) == (
            shown["status"],
            shown["lease"]["is_waited_for"],
            "lease" in shown["waiting_for"],
        )
        assert before == client.state(dataset_id)

    def test_move(self, client: Client) -> None:
        """
        The dataset moves when its lease is released, by itself.
        """
        dataset_id = client.made()
        acquired(client, dataset_id, expires=None)
        reply = moved(client, dataset_id, "when_released")
        assert (client.node("n1"), client.node("n2")) == (reply.body["source"], reply.body["target"])
        client.delete(f"{LEASES}/{dataset_id}")

        assert client.node("n2") == client.on(dataset_id, "n2")["primary"]

    def test_resize(self, client: Client, cluster: Cluster) -> None:
        """
        It gets another size.
        """
        dataset_id = client.made(maximum_size=64 * MIB)
        acquired(client, dataset_id, expires=None)
        resized(client, dataset_id, "when_released")
        client.delete(f"{LEASES}/{dataset_id}")

        assert cluster.wait(lambda: (client.state(dataset_id) or {}).get("maximum_size") == 128 * MIB)

    def test_delete(self, client: Client, cluster: Cluster) -> None:
        """
        Or is deleted, when the lease expires.
        """
        dataset_id = client.made()
        acquired(client, dataset_id, expires=0.5)
        deleted(client, dataset_id, "when_released")

        assert cluster.wait(lambda: client.state(dataset_id) is None)


class TestV2:
    """
    Both versions show the same leases.
    """

    def test_made_by_v1(self, client: Client) -> None:
        """
        What version 1 makes version 2 shows, with the dataset and by itself.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id, expires=None)
        expected = {
            "dataset_id": dataset_id,
            "node_id": client.node("n1"),
            "left_seconds": None,
            "is_waited_for": False,
        }

        assert expected == client.get(f"/v2/datasets/{dataset_id}").body["lease"]
        assert expected in client.get("/v2/leases").body["leases"]

    def test_made_by_v2(self, client: Client) -> None:
        """
        And the reverse.
        """
        dataset_id = client.create()["dataset_id"]
        statuses = [
            client.call("PUT", f"/v2/leases/{dataset_id}", {"node": client.node(node)}).status
            for node in ("n1", "n1", "n2")
        ]

        assert ([201, 200, 409], client.node("n1")) == (statuses, (listed(client, dataset_id) or {})["node_uuid"])

    def test_released_by_v2(self, client: Client) -> None:
        """
        What version 2 releases is gone from version 1.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id)
        statuses = [client.delete(f"/v2/leases/{dataset_id}").status for _ in range(2)]

        assert ([200, 404], None) == (statuses, listed(client, dataset_id))

    def test_released_for_one_node_only(self, client: Client) -> None:
        """
        Whoever names the node for which a lease is held ends no other.
        """
        dataset_id = client.create()["dataset_id"]
        acquired(client, dataset_id, "n1")
        statuses = [client.delete(f"/v2/leases/{dataset_id}?node={client.node(node)}").status for node in ("n2", "n1")]

        assert ([409, 200], None) == (statuses, listed(client, dataset_id))


def test_restarts_of_everything(client: Client, cluster: Cluster) -> None:
    """
    Leases, and what waits for them, survive that every program is killed; and one that ends meanwhile has ended.
    """
    kept, waits, ends = client.made(), client.made(), unused_id()
    acquired(client, kept, expires=600)
    acquired(client, waits, expires=None)
    moved(client, waits, "when_released")
    acquired(client, ends, expires=1)
    began = time.monotonic()
    names = (CONTROL, *cluster.node_ids)
    for name in names:
        cluster.kill(name, signal.SIGKILL)
    # So long that it has ended by any clock.
    cluster.wait(lambda: time.monotonic() - began > 1)
    for name in names:
        cluster.start(name)
    cluster.wait(lambda: len(client.get("/v1/state/nodes").body) == 3)
    lease = listed(client, kept)

    assert lease is not None
    assert (client.node("n1"), True) == (lease["node_uuid"], lease["expires"] < 600)
    assert None is listed(client, ends)
    assert 409 == client.delete(f"{DATASETS}/{kept}").status
    client.delete(f"{LEASES}/{waits}")
    client.on(waits, "n2")

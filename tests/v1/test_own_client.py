"""
Our own client, with the cluster that Flocker's clients are tried with.

It calls through a relay, so that answers can be lost at will; what came of a request is then seen by another client.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from pyrsistent import pvector
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults

from flocker_py.client.blocking import BlockingClient
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import (
    ConfigurationChanged,
    ControlNotTrusted,
    ControlUnreachable,
    NameTaken,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
)
from flocker_py.client.retrying import Patience
from flocker_py.client.views import OriginView
from flocker_py.client.views_v1 import V1Container, V1Volume
from flocker_py.identity import NodeIdentity
from flocker_py.model import DatasetId, NodeId, Origin
from flocker_py.testing.certificates import install, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.cluster import API_PORT, CONTROL, Cluster
from tests.integration.loopback import dead_port
from tests.relay import Failing, Fault, Relay, Way
from tests.v1.client import DATASETS, MIB, Client, unused_id

T = TypeVar("T")
REACTOR: Any = reactor
ONCE = Patience(pauses_seconds=pvector())


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    """
    The way to the control service.
    """
    with Relay(cluster.addresses[CONTROL], API_PORT) as running:
        yield running


@pytest.fixture
def control(cluster: Cluster, relay: Relay) -> Iterator[BlockingClient]:
    """
    A client of ours that calls through the relay.
    """
    with BlockingClient(cluster.certificates.user, f"127.0.0.1:{relay.port}") as running:
        yield running


@pytest.fixture
def node(client: Client) -> NodeId:
    """
    A node of the cluster.
    """
    return NodeId(UUID(client.node("n1")))


def with_lost_answer(
    cluster: Cluster, relay: Relay, control: BlockingClient, request: Coroutine[Any, Any, T], done: Callable[[], object]
) -> T:
    """
    What a request comes to whose first answer is lost.

    :param done: whether the control service has carried it out.
    """
    # So that what comes next is sent over a connection that is open.
    control.wait(control.client.v1.version())
    relay.hold({Way.BACK})
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(control.wait, request)
        cluster.wait(done)
        relay.cut()
        relay.heal()
        return outcome.result()


class TestLostAnswers:
    """
    A create whose answer was lost is found out about, and never made twice.
    """

    def test_dataset(
        self, cluster: Cluster, relay: Relay, control: BlockingClient, client: Client, node: NodeId
    ) -> None:
        """
        A dataset of API v1 is found by its id.
        """
        metadata = {"test": unused_id()}

        def made() -> list[Any]:
            return [each for each in client.get(DATASETS).body if each["metadata"] == metadata]

        request = control.client.v1.create_dataset(node, metadata=metadata)
        answer = with_lost_answer(cluster, relay, control, request, made)
        assert [each["dataset_id"] for each in made()] == [str(answer.dataset_id)]

    def test_named_dataset(
        self, cluster: Cluster, relay: Relay, control: BlockingClient, client: Client, node: NodeId
    ) -> None:
        """
        One that was to be the only one of its name isn't taken for somebody else's.
        """
        name = unused_id()
        with BlockingClient(cluster.certificates.user, f"127.0.0.1:{relay.port}") as other:
            other.wait(other.client.v1.datasets())
        # Before that, not all of it may have been counted.
        cluster.wait(lambda: relay.carried[0].over)
        # As far into the answer to what comes after that.
        at_byte = relay.carried[0].bytes[Way.BACK] + 100
        relay.plan([Fault(way=Way.BACK, at_byte=at_byte, failing=Failing.RESET)])

        answer = control.wait(control.client.v1.create_dataset_named(name, node))
        made = [each["dataset_id"] for each in client.get(DATASETS).body if each["metadata"].get("name") == name]
        assert (made, relay.carried[1].failed is not None) == ([str(answer.dataset_id)], True)

    def test_dataset_of_v2(
        self, cluster: Cluster, relay: Relay, control: BlockingClient, client: Client, node: NodeId
    ) -> None:
        """
        So with API v2.
        """
        name = f"a{uuid4().hex}"

        def made() -> list[Any]:
            return [each for each in client.get("/v2/datasets").body["datasets"] if each["name"] == name]

        request = control.client.create_dataset(str(node), name=name, maximum_size_bytes=64 * MIB)
        answer = with_lost_answer(cluster, relay, control, request, made)
        assert [each["dataset_id"] for each in made()] == [str(answer.dataset_id)]

    def test_dataset_from_a_snapshot(
        self, cluster: Cluster, relay: Relay, control: BlockingClient, client: Client, node: NodeId
    ) -> None:
        """
        One that begins as a snapshot is found by the caller's id, although the other one has gone meanwhile.
        """
        wanted_id, other_id = DatasetId(uuid4()), DatasetId(UUID(client.made()))

        def made() -> bool:
            found = any(each["dataset_id"] == str(wanted_id) for each in client.get("/v2/datasets").body["datasets"])
            if found:
                client.delete(f"/v2/datasets/{other_id}")
            return found

        origin = Origin(dataset_id=other_id, snapshot="monday")
        request = control.client.create_dataset(str(node), dataset_id=wanted_id, origin=origin)
        answer = with_lost_answer(cluster, relay, control, request, made)
        client.delete(f"/v2/datasets/{wanted_id}")
        assert (answer.dataset_id, answer.origin) == (wanted_id, OriginView(dataset_id=other_id, snapshot="monday"))

    def test_container(
        self, cluster: Cluster, relay: Relay, control: BlockingClient, client: Client, node: NodeId
    ) -> None:
        """
        A container is found by its name and by all that it is.
        """
        dataset_id = DatasetId(UUID(client.made()))
        name = f"a{uuid4().hex}"
        wanted = V1Container(
            node_uuid=node,
            name=name,
            image="postgres",
            volumes=pvector([V1Volume(dataset_id=dataset_id, mountpoint="/data")]),
        )

        def made() -> list[Any]:
            return [each for each in client.get("/v1/configuration/containers").body if each["name"] == name]

        answer = with_lost_answer(cluster, relay, control, control.client.v1.create_container(wanted), made)
        client.delete(f"/v1/configuration/containers/{name}")
        assert (answer.name, answer.image, answer.volumes) == (name, "postgres:latest", wanted.volumes)

    def test_nobody_can_be_asked(self, cluster: Cluster, relay: Relay, client: Client, node: NodeId) -> None:
        """
        If the service is gone before that can be found out, the error says by which id it can be.
        """
        metadata = {"test": unused_id()}

        def made() -> list[Any]:
            return [each for each in client.get(DATASETS).body if each["metadata"] == metadata]

        with BlockingClient(cluster.certificates.user, f"127.0.0.1:{relay.port}", patience=ONCE) as control:
            request = control.client.v1.create_dataset(node, metadata=metadata)
            with pytest.raises(OutcomeUnknown) as caught:
                with_lost_answer(cluster, relay, control, request, made)

            again = control.client.v1.create_dataset(node, dataset_id=DatasetId(UUID(caught.value.key)))
            with pytest.raises(RequestRefused, match="already in use"):
                control.wait(again)

        assert [each["dataset_id"] for each in made()] == [caught.value.key]

    def test_what_is_not_asked_again(
        self, cluster: Cluster, relay: Relay, control: BlockingClient, client: Client, node: NodeId
    ) -> None:
        """
        What could do harm the second time is left to the caller, who is told that it may have been done.
        """
        dataset_id = DatasetId(UUID(client.made()))
        control.wait(control.client.v1.acquire_lease(dataset_id, node, None))

        def released() -> bool:
            leases = client.get("/v1/configuration/leases").body
            return all(each["dataset_id"] != str(dataset_id) for each in leases)

        with pytest.raises(ControlUnreachable) as caught:
            with_lost_answer(cluster, relay, control, control.client.v1.release_lease(dataset_id), released)

        assert caught.value.arrived


class TestAddresses:
    """
    Several addresses of one control service.
    """

    def test_first_is_dead(self, cluster: Cluster) -> None:
        """
        Where nothing listens, the next address is tried; and remembered.
        """
        with dead_port() as port:
            addresses = [f"127.0.0.1:{port}", f"{cluster.addresses[CONTROL]}:{API_PORT}"]
            with BlockingClient(cluster.certificates.user, addresses) as control:
                control.wait(control.client.nodes())

                assert control.client.address == addresses[1]

    def test_first_is_silent(self, cluster: Cluster) -> None:
        """
        So where somebody listens and says nothing.
        """
        with socket.create_server(("127.0.0.1", 0)) as silent:
            addresses = f"127.0.0.1:{silent.getsockname()[1]},{cluster.addresses[CONTROL]}"
            patience = Patience(answer_seconds=2.0)
            with BlockingClient(cluster.certificates.user, addresses, patience=patience) as control:
                assert len(control.wait(control.client.nodes()).nodes) == 3

    def test_all_are_dead(self, cluster: Cluster) -> None:
        """
        If none answers, each is told.
        """
        with dead_port() as first, dead_port() as second:
            addresses = [f"127.0.0.1:{port}" for port in (first, second)]
            with (
                BlockingClient(cluster.certificates.user, addresses, patience=ONCE) as control,
                pytest.raises(ControlUnreachable) as caught,
            ):
                control.wait(control.client.nodes())

        told = "; ".join(f"{address}: nothing is listening there" for address in addresses)
        assert (str(caught.value), caught.value.arrived) == (told, False)


class TestTrust:
    """
    Whoever answers must be the control service of the user's cluster, and know the user.
    """

    def test_another_authority(self, cluster: Cluster, tmp_path: Path) -> None:
        """
        A user of another cluster and this control service don't trust one another.
        """
        other = make_cluster(tmp_path)

        with (
            BlockingClient(other.user, f"{cluster.addresses[CONTROL]}:{API_PORT}") as control,
            pytest.raises(ControlNotTrusted),
        ):
            control.wait(control.client.nodes())

    def test_no_user(self, cluster: Cluster, tmp_path: Path) -> None:
        """
        A certificate of a node opens nothing here.
        """
        node = NodeIdentity(node_id=NodeId(cluster.node_ids["n1"]))

        with (
            BlockingClient(
                install(tmp_path, cluster.certificates.authority, node), f"{cluster.addresses[CONTROL]}:{API_PORT}"
            ) as control,
            pytest.raises(ControlNotTrusted),
        ):
            control.wait(control.client.nodes())


def _dataset_id(good: bool, outcome: Any) -> Any:
    return outcome.dataset_id if good else outcome.value.dataset.dataset_id


class TestConditionalCreate:
    """
    One dataset of a name, whoever asks.
    """

    def test_is_made(self, control: BlockingClient, client: Client, node: NodeId) -> None:
        """
        A name that is free is taken, and is in the metadata with whatever else is said.
        """
        name = unused_id()
        request = control.client.v1.create_dataset_named(name, node, maximum_size=64 * MIB, metadata={"a": "b"})

        made = control.wait(request)
        assert client.wanted(str(made.dataset_id)) == {
            "dataset_id": str(made.dataset_id),
            "primary": str(node),
            "deleted": False,
            "metadata": {"name": name, "a": "b"},
            "maximum_size": 64 * MIB,
        }

    def test_is_there(self, control: BlockingClient, node: NodeId) -> None:
        """
        If the name is taken, the error has the dataset that it belongs to.
        """
        name = unused_id()
        first = control.wait(control.client.v1.create_dataset_named(name, node))

        with pytest.raises(NameTaken) as caught:
            control.wait(control.client.v1.create_dataset_named(name, node))
        assert caught.value.dataset == first

    def test_deleted_one_is_in_nobodys_way(self, control: BlockingClient, node: NodeId) -> None:
        """
        The name of a deleted dataset is free.
        """
        name = unused_id()
        first = control.wait(control.client.v1.create_dataset_named(name, node))
        control.wait(control.client.v1.delete_dataset(first.dataset_id))

        second = control.wait(control.client.v1.create_dataset_named(name, node))
        assert second.dataset_id != first.dataset_id

    def test_race(self, cluster: Cluster, client: Client, node: NodeId) -> None:
        """
        Of many clients that ask for one name at once, one makes it, and the others are told which.
        """
        name = unused_id()
        address = f"{cluster.addresses[CONTROL]}:{API_PORT}"

        async def raced() -> list[tuple[bool, Any]]:
            clients = [ControlClient(REACTOR, cluster.certificates.user, address) for _ in range(6)]
            asked = [each.v1.create_dataset_named(name, node) for each in clients]
            outcomes = await DeferredList([Deferred.fromCoroutine(each) for each in asked], consumeErrors=True)
            for each in clients:
                await each.close()
            return [(good, _dataset_id(good, found)) for good, found in outcomes]

        outcomes = in_reactor(raced)
        made = [each["dataset_id"] for each in client.get(DATASETS).body if each["metadata"].get("name") == name]
        assert (sorted(good for good, _ in outcomes), [str(found) for _, found in outcomes]) == (
            [*[False] * 5, True],
            made * 6,
        )

    def test_races_about_other_names(self, cluster: Cluster, node: NodeId) -> None:
        """
        Clients that ask for different names at once all get theirs: who has to look again does so.
        """
        names = [unused_id() for _ in range(6)]
        address = f"{cluster.addresses[CONTROL]}:{API_PORT}"

        async def raced() -> list[str | None]:
            clients = [ControlClient(REACTOR, cluster.certificates.user, address) for _ in names]
            asked = [each.v1.create_dataset_named(name, node) for each, name in zip(clients, names, strict=True)]
            made = await gatherResults([Deferred.fromCoroutine(each) for each in asked])
            for each in clients:
                await each.close()
            return [dataset.metadata.get("name") for dataset in made]

        assert in_reactor(raced) == names

    def test_old_tag(self, control: BlockingClient, node: NodeId) -> None:
        """
        Who asks with a tag of before is told that it is another by now.
        """
        tag = control.wait(control.client.v1.datasets()).tag
        control.wait(control.client.v1.create_dataset(node, tag=tag))

        with pytest.raises(ConfigurationChanged, match="Tag doesn't match"):
            control.wait(control.client.v1.create_dataset(node, tag=tag))


class TestVersion1:
    """
    What Flocker's clients do, with types.
    """

    def test_what_there_is(self, control: BlockingClient, cluster: Cluster) -> None:
        """
        Version and nodes.
        """
        nodes = control.wait(control.client.v1.nodes())

        assert control.wait(control.client.v1.version()) == "1.15.0"
        assert {node.uuid for node in nodes} == set(cluster.node_ids.values())

    def test_dataset(self, control: BlockingClient, cluster: Cluster, node: NodeId) -> None:
        """
        A dataset is made, seen where it is, moved and deleted.
        """
        v1, target = control.client.v1, NodeId(cluster.node_ids["n2"])
        dataset_id = control.wait(v1.create_dataset(node)).dataset_id

        def primary() -> NodeId | None:
            found = [state.primary for state in control.wait(v1.dataset_states()) if state.dataset_id == dataset_id]
            return found[0] if found else None

        cluster.wait(lambda: primary() == node)
        assert control.wait(v1.move_dataset(dataset_id, target)).primary == target
        cluster.wait(lambda: primary() == target)
        assert control.wait(v1.delete_dataset(dataset_id)).deleted

    def test_lease(self, control: BlockingClient, client: Client, node: NodeId) -> None:
        """
        A lease is held, listed and released.
        """
        v1, dataset_id = control.client.v1, DatasetId(UUID(client.made()))
        control.wait(v1.acquire_lease(dataset_id, node, 1000.5))

        held = [lease.node_uuid for lease in control.wait(v1.leases()) if lease.dataset_id == dataset_id]
        assert (held, control.wait(v1.release_lease(dataset_id)).dataset_id) == ([node], dataset_id)

    def test_container(self, control: BlockingClient, client: Client, cluster: Cluster, node: NodeId) -> None:
        """
        A container is made, seen running, moved and deleted.
        """
        v1, target = control.client.v1, NodeId(cluster.node_ids["n2"])
        name = f"a{uuid4().hex}"
        made = control.wait(v1.create_container(V1Container(node_uuid=node, name=name, image="postgres:16")))

        def runs_on() -> NodeId | None:
            found = [each for each in control.wait(v1.container_states()) if each.name == name and each.running]
            return found[0].node_uuid if found else None

        assert made in control.wait(v1.containers())
        cluster.wait(lambda: runs_on() == node)
        assert control.wait(v1.move_container(name, target)).node_uuid == target
        cluster.wait(lambda: runs_on() == target)
        control.wait(v1.delete_container(name))
        with pytest.raises(NotFound):
            control.wait(v1.delete_container(name))


class TestVersion2:
    """
    The same with API v2.
    """

    def test_dataset(self, control: BlockingClient, node: NodeId) -> None:
        """
        A dataset is made, changed and deleted.
        """
        name, other = f"a{uuid4().hex}", f"b{uuid4().hex}"
        made = control.wait(
            control.client.create_dataset(str(node), name=name, metadata={"a": "b"}, on_partition="fence")
        )

        changed = control.wait(control.client.change_dataset(made.dataset_id, name=other, maximum_size_bytes=64 * MIB))
        assert (made.name, dict(made.metadata)) == (name, {"a": "b"})
        assert (changed.name, changed.maximum_size_bytes) == (other, 64 * MIB)
        assert control.wait(control.client.delete_dataset(made.dataset_id, force=True)).deleted

    def test_name_in_use(self, control: BlockingClient, node: NodeId) -> None:
        """
        A refusal has the service's code and text.
        """
        name = f"a{uuid4().hex}"
        control.wait(control.client.create_dataset(str(node), name=name))

        with pytest.raises(RequestRefused) as caught:
            control.wait(control.client.create_dataset(str(node), name=name))
        assert (caught.value.status, caught.value.code) == (409, "NameInUse")

    def test_container(self, control: BlockingClient, node: NodeId) -> None:
        """
        A container is put, seen and removed.
        """
        name = f"a{uuid4().hex}"
        put = control.wait(control.client.put_container(name, {"node": str(node), "image": "postgres:16"}))
        seen = control.wait(control.client.container(name))
        control.wait(control.client.remove_container(name))

        assert (put.name, seen.node_id) == (name, node)
        with pytest.raises(NotFound):
            control.wait(control.client.container(name))

    def test_status(self, control: BlockingClient) -> None:
        """
        The service says how it does.
        """
        assert control.wait(control.client.status()).nodes_known == 3

    def test_events(self, control: BlockingClient, node: NodeId) -> None:
        """
        Events can be waited for one by one.
        """
        before = control.wait(control.client.datasets()).revision
        control.wait(control.client.create_dataset(str(node)))

        events = control.each(control.client.events(before))
        assert int(next(events).event_id) == before + 1
        events.close()


SCRIPT = """
import sys
from pathlib import Path
from flocker_py.client.blocking import BlockingClient
from flocker_py.client.errors import NotFound
from flocker_py.credentials import load_credential

with BlockingClient(load_credential(Path(sys.argv[1]), "user"), sys.argv[2:]) as control:
    print(len(control.wait(control.client.nodes()).nodes))
    try:
        control.wait(control.client.dataset("none"))
    except NotFound as error:
        print(error.code)
"""


INTERRUPTED = """
import sys
from pathlib import Path
from flocker_py.client.blocking import BlockingClient
from flocker_py.credentials import load_credential

user = load_credential(Path(sys.argv[1]), "user")
with BlockingClient(user, f"127.0.0.1:{sys.argv[2]}") as control:
    try:
        control.wait(control.client.nodes())
    except KeyboardInterrupt:
        print("interrupted")
with BlockingClient(user, sys.argv[3]) as control:
    print(len(control.wait(control.client.nodes()).nodes))
"""


class TestBlocking:
    """
    For those who have no reactor.
    """

    def test_script(self, cluster: Cluster) -> None:
        """
        A script of plain Python gets answers and errors, by an address that has to be looked up, and ends.
        """
        folder = cluster.certificates.user.certificate_path.parent
        with Relay(cluster.addresses[CONTROL], API_PORT) as relayed, dead_port() as dead:
            ended = subprocess.run(
                [sys.executable, "-c", SCRIPT, folder, f"127.0.0.1:{dead}", f"localhost:{relayed.port}"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        assert (ended.stdout, ended.stderr, ended.returncode) == ("3\nDatasetUnknown\n", "", 0)

    def test_interrupted(self, cluster: Cluster) -> None:
        """
        A script that is interrupted while it waits can go on.
        """
        folder = cluster.certificates.user.certificate_path.parent
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            subprocess.Popen(
                [sys.executable, "-c", INTERRUPTED, folder, str(silent.getsockname()[1]), cluster.addresses[CONTROL]],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as script,
        ):
            silent.settimeout(60)
            try:
                # By then it waits.
                with silent.accept()[0]:
                    script.send_signal(signal.SIGINT)
                    out, err = script.communicate(timeout=60)
            finally:
                script.kill()

        assert (out, err, script.returncode) == ("interrupted\n3\n", "", 0)

    def test_in_the_reactor(self, cluster: Cluster) -> None:
        """
        The reactor's own thread is told that it would wait for itself.
        """

        async def waiting() -> None:
            control = BlockingClient(cluster.certificates.user, cluster.addresses[CONTROL])
            control.wait(control.client.nodes())

        with pytest.raises(RuntimeError, match="would wait for itself"):
            in_reactor(waiting)

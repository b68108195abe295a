"""
What the agents' port makes of agents that lie, break the rules or send rubbish: a real control service, a real agent
that it must not disturb, and one that is spoken by hand.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import pytest

from flocker_py.credentials import Credential, CredentialUnusable
from flocker_py.identity import NodeIdentity
from flocker_py.messages import LINK_VERSION, NodeReport
from flocker_py.model import NodeId
from flocker_py.observed import NodeObservation
from flocker_py.testing.certificates import install, make_cluster
from flocker_py.wire import to_text
from tests.cluster import AGENT_PORT, API_PORT, CONTROL, Cluster
from tests.integration.loopback import addresses

SECONDS = 30.0
LIMIT_BYTES = 32 * 2**20
GHOST = NodeId(UUID("99999999-9999-4999-8999-999999999999"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("link")

    def dataset(name: str) -> dict[str, str]:
        return {
            "backend": "directory",
            "root_path": str(folder / name / "pool"),
            "mount_root": str(folder / name / "flocker"),
        }

    with Cluster(folder, dataset, addresses=addresses("n1")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def ghost(cluster: Cluster) -> Credential:
    """
    A node with a good certificate whose agent is this test.
    """
    return install(cluster.folder / "ghost", cluster.certificates.authority, NodeIdentity(node_id=GHOST))


def context(ca: Path, certificate: Path | None, key: Path | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(ca))
    made.check_hostname = False
    if certificate is not None:
        made.load_cert_chain(certificate, key)
    return made


def credential_context(credential: Credential) -> ssl.SSLContext:
    return context(credential.ca_path, credential.certificate_path, credential.key_path)


class RawAgent:
    """
    AMP by hand.
    """

    def __init__(self, cluster: Cluster, credential: Credential) -> None:
        plain = socket.create_connection((cluster.addresses[CONTROL], AGENT_PORT), timeout=SECONDS)
        self.socket = credential_context(credential).wrap_socket(plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, command: str, **values: bytes) -> dict[bytes, bytes]:
        """
        Ask, and answer with the box that comes back; nothing: the other side has hung up.
        """
        box = {b"_ask": b"7", b"_command": command.encode(), **{k.encode(): v for k, v in values.items()}}
        self.socket.sendall(boxed(box))
        while True:
            answer = self.box()
            if not answer or b"7" in (answer.get(b"_answer"), answer.get(b"_error")):
                return answer

    def refusal(self, command: str, **values: bytes) -> str:
        """
        Ask something that shall be refused: the reason that comes back.
        """
        answer = self.ask(command, **values)
        return f"{answer[b'_error_code'].decode()}: {answer[b'_error_description'].decode()}"

    def box(self) -> dict[bytes, bytes]:
        """
        The next box.
        """
        box: dict[bytes, bytes] = {}
        while key := self._string():
            box[key] = self._string()
        return box

    def _string(self) -> bytes:
        header = self._exactly(2)
        return self._exactly(struct.unpack(">H", header)[0]) if header else b""

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except (ConnectionError, ssl.SSLError):
                return b""
            if not part:
                return b""
            data += part
        return data

    def is_hung_up_on(self) -> bool:
        """
        Whether the other side ends the connection, by itself, whatever it still says before.
        """
        while self.box():
            pass
        return True


def boxed(box: dict[bytes, bytes]) -> bytes:
    return (
        b"".join(
            struct.pack(">H", len(k)) + k + struct.pack(">H", len(v)) + v for k, v in sorted(box.items(), reverse=True)
        )
        + b"\0\0"
    )


def packed(text: str | bytes, name: str = "report") -> dict[str, bytes]:
    data = zlib.compress(text.encode() if isinstance(text, str) else text)
    return {f"{name}.{number}": data[at : at + 65_000] for number, at in enumerate(range(0, len(data), 65_000))}


def node(node_id: UUID = GHOST, **changes: Any) -> NodeObservation:
    return NodeObservation(
        node_id=NodeId(node_id),
        era=UUID(int=1),
        address="192.0.2.9",
        transfer_port=4525,
        version="9",
        storage="directory",
        runtime="process",
    ).set(**changes)


def greeting(report: str | bytes, version: int = LINK_VERSION) -> dict[str, bytes]:
    return {"version": str(version).encode(), "task": b"", **packed(report)}


def whole(node_id: UUID = GHOST) -> str:
    return to_text(NodeReport(node_id=NodeId(node_id), whole=node(node_id)))


def memory_bytes(cluster: Cluster) -> int:
    lines = Path(f"/proc/{cluster.pid(CONTROL)}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def assert_next_is_served(cluster: Cluster, ghost: Credential) -> None:
    """
    The real agent is still connected, and an agent that keeps to the rules is greeted.
    """
    with RawAgent(cluster, ghost) as agent:
        assert b"control_version" in agent.ask("Greet", **greeting(whole()))
        assert cluster.nodes()[str(cluster.node_ids["n1"])]["connected"]


REFUSED: dict[str, tuple[Callable[[UUID], dict[str, bytes]], str]] = {
    "another node's report": (
        lambda n1: greeting(whole(n1)),
        f"REFUSED: the certificate of node {GHOST} doesn't speak for node",
    ),
    "another node in its own report": (
        lambda n1: greeting(to_text(NodeReport(node_id=GHOST, whole=node(n1)))),
        "each node needs a certificate of its own",
    ),
    "another version of the link": (
        lambda _: greeting(whole(), LINK_VERSION + 1),
        f"agent version {LINK_VERSION + 1}: install the same release of flocker_py on both",
    ),
    "a first report that is not whole": (
        lambda _: greeting(to_text(NodeReport(node_id=GHOST))),
        "the first report of a session must be whole",
    ),
    "what is not JSON": (lambda _: greeting('{"node_id": '), "expected a JSON text"),
    "what is not a report": (lambda _: greeting('{"node_id": 7}'), "REFUSED: $"),
    "JSON nested without end": (lambda _: greeting("[" * 1_000_000), "nested too deeply"),
    "half a character": (lambda _: greeting(b"\xc3"), "can't be unpacked"),
    "what is not packed": (
        lambda _: {"version": str(LINK_VERSION).encode(), "task": b"", "report.0": b"plain"},
        "a message that can't be unpacked",
    ),
    "nothing": (lambda _: {"version": str(LINK_VERSION).encode(), "task": b""}, "cut short"),
    "what is cut short": (
        lambda _: {
            "version": str(LINK_VERSION).encode(),
            "task": b"",
            "report.0": zlib.compress(whole().encode())[:-9],
        },
        "cut short",
    ),
    "what unpacks to more than the limit": (
        lambda _: greeting(b" " * (LIMIT_BYTES + 1)),
        f"unpacks to more than {LIMIT_BYTES} bytes",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_greeting_is_refused(cluster: Cluster, ghost: Credential, what: str) -> None:
    """
    An agent that begins with anything but a report of its own node is told why it is refused, and hung up on.
    """
    make, reason = REFUSED[what]
    before = memory_bytes(cluster)
    with RawAgent(cluster, ghost) as agent:
        refusal = agent.refusal("Greet", **make(cluster.node_ids["n1"]))

        assert refusal.startswith("REFUSED: ")
        assert reason in refusal
        assert agent.is_hung_up_on()
    assert memory_bytes(cluster) < before + 4 * LIMIT_BYTES
    assert cluster.nodes()[str(cluster.node_ids["n1"])]["address"] == cluster.addresses["n1"]
    assert_next_is_served(cluster, ghost)


def test_report_for_another_node_changes_nothing(cluster: Cluster, ghost: Credential) -> None:
    """
    A session that has begun well speaks for its own node only; what it says of another is refused and ends it.
    """
    with RawAgent(cluster, ghost) as agent:
        agent.ask("Greet", **greeting(whole()))
        refusal = agent.refusal("Report", task=b"", **packed(whole(cluster.node_ids["n1"])))

        assert "doesn't speak for node" in refusal
        assert agent.is_hung_up_on()
    assert cluster.nodes()[str(cluster.node_ids["n1"])]["address"] == cluster.addresses["n1"]
    assert_next_is_served(cluster, ghost)


def test_report_before_the_greeting(cluster: Cluster, ghost: Credential) -> None:
    """
    Nothing is heard before the greeting.
    """
    with RawAgent(cluster, ghost) as agent:
        assert "must be a greeting" in agent.refusal("Report", task=b"", **packed(whole()))


def test_command_that_does_not_exist(cluster: Cluster, ghost: Credential) -> None:
    """
    A command that nobody knows is answered with an error.
    """
    with RawAgent(cluster, ghost) as agent:
        assert agent.ask("Reboot")[b"_error_code"] == b"UNHANDLED"
    assert_next_is_served(cluster, ghost)


def test_malformed_task_is_no_reason_to_refuse(cluster: Cluster, ghost: Credential) -> None:
    """
    A task id of the log that can't be read doesn't keep a message from being heard.
    """
    with RawAgent(cluster, ghost) as agent:
        answer = agent.ask("Greet", **{**greeting(whole()), "task": "@/ü/@".encode()})

        assert b"control_version" in answer


def test_second_session_of_a_node(cluster: Cluster, ghost: Credential) -> None:
    """
    A new session of a node takes the place of the one before, which is ended.
    """
    with RawAgent(cluster, ghost) as first, RawAgent(cluster, ghost) as second:
        first.ask("Greet", **greeting(whole()))
        second.ask("Greet", **greeting(whole()))

        assert first.is_hung_up_on()
        assert b"_answer" in second.ask("Ping")


def test_second_host_with_the_same_certificate(cluster: Cluster, ghost: Credential) -> None:
    """
    A host that was cloned with its certificate gets no session beside the first: both would write the same datasets.
    Once the first is gone it is let in: it may be the same host after a boot.
    """
    clone = to_text(NodeReport(node_id=GHOST, whole=node(era=UUID(int=2), address="192.0.2.10")))

    def let_in() -> bool:
        with RawAgent(cluster, ghost) as again:
            return b"control_version" in again.ask("Greet", **greeting(clone))

    with RawAgent(cluster, ghost) as first:
        first.ask("Greet", **greeting(whole()))
        with RawAgent(cluster, ghost) as second:
            refusal = second.refusal("Greet", **greeting(clone))
            assert second.is_hung_up_on()
        assert b"_answer" in first.ask("Ping")

    assert "192.0.2.9" in refusal
    assert "flocker-ca create-node-certificate" in refusal
    assert cluster.wait(let_in)
    cluster.wait(lambda: not cluster.nodes()[str(GHOST)]["connected"])


def test_box_without_end(cluster: Cluster, ghost: Credential) -> None:
    """
    A box that never ends is hung up on before it fills the memory.
    """
    before = memory_bytes(cluster)
    value = os.urandom(65_000)
    sent = 0
    with RawAgent(cluster, ghost) as agent:
        try:
            while sent < 20 * LIMIT_BYTES:
                key = b"k%d" % sent
                agent.socket.sendall(struct.pack(">H", len(key)) + key + struct.pack(">H", len(value)) + value)
                sent += len(value)
        except (ConnectionError, ssl.SSLError):
            pass

    assert sent < 4 * LIMIT_BYTES
    assert memory_bytes(cluster) < before + 6 * LIMIT_BYTES
    assert_next_is_served(cluster, ghost)


def test_rubbish_inside_of_tls(cluster: Cluster, ghost: Credential) -> None:
    """
    What is no box at all ends the session.
    """
    with RawAgent(cluster, ghost) as agent:
        agent.socket.sendall(b"\xff" * 70_000)

        assert agent.is_hung_up_on()
    assert_next_is_served(cluster, ghost)


@pytest.mark.parametrize("port", [API_PORT, AGENT_PORT])
@pytest.mark.parametrize("rubbish", [b"\0" * 4096, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" * 99])
def test_rubbish_instead_of_tls(cluster: Cluster, ghost: Credential, port: int, rubbish: bytes) -> None:
    """
    Who doesn't even speak TLS is hung up on, on every port.
    """
    with socket.create_connection((cluster.addresses[CONTROL], port), timeout=SECONDS) as connection:
        connection.sendall(rubbish)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass

    assert_next_is_served(cluster, ghost)


def strangers(cluster: Cluster, folder: Path) -> dict[str, ssl.SSLContext]:
    """
    Certificates that open no port, or not this one.
    """
    own, other = cluster.certificates, make_cluster(folder / "other", node_ids=[uuid4()])
    long_ago = datetime.now(UTC) - timedelta(days=365)
    expired = folder / "expired"
    with pytest.raises(CredentialUnusable):
        install(expired, own.authority, NodeIdentity(node_id=GHOST), now=long_ago, lifetime_days=10)
    return {
        "none": context(own.user.ca_path, None),
        "foreign node": context(own.user.ca_path, other.nodes[0].certificate_path, other.nodes[0].key_path),
        "foreign user": context(own.user.ca_path, other.user.certificate_path, other.user.key_path),
        "expired node": context(own.user.ca_path, expired / "node.crt", expired / "node.key"),
        "control": credential_context(own.control),
        "user": credential_context(own.user),
        "node": credential_context(own.nodes[0]),
    }


@pytest.mark.parametrize(
    ("port", "who"),
    [
        *((AGENT_PORT, who) for who in ("none", "foreign node", "foreign user", "expired node", "control", "user")),
        *((API_PORT, who) for who in ("none", "foreign node", "foreign user", "expired node", "control", "node")),
    ],
)
def test_certificate_opens_no_other_port(
    cluster: Cluster, ghost: Credential, tmp_path: Path, port: int, who: str
) -> None:
    """
    Without a certificate, with an expired one, one of another cluster or one for another port, nobody gets an answer.
    """
    plain = socket.create_connection((cluster.addresses[CONTROL], port), timeout=SECONDS)
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),  # with TLS 1.3 a client is told only when it reads
        plain,
        strangers(cluster, tmp_path)[who].wrap_socket(plain) as connection,
    ):
        connection.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
        if not connection.recv(1):
            raise ConnectionResetError
    assert_next_is_served(cluster, ghost)


def test_refusals_are_in_the_log(cluster: Cluster, ghost: Credential) -> None:
    """
    The operator of the control service can read who spoke for whom.
    """
    n1 = str(cluster.node_ids["n1"])
    with RawAgent(cluster, ghost) as agent:
        agent.ask("Greet", **greeting(whole(UUID(n1))))

    def found() -> bool:
        return any(
            message.get("message_type") == "flocker:control:impostor"
            and (message["certificate_of"], message["speaks_for"]) == (str(GHOST), [n1])
            for message in cluster.logged(CONTROL)
        )

    assert cluster.wait(found)

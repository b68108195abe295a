"""
Who gets through a handshake, on real sockets: every port against every certificate that is not for it.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from treq.client import HTTPClient
from twisted.internet import reactor as platform_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import Site

from flocker_py.credentials import Credential, CredentialUnusable, load_credential
from flocker_py.identity import (
    CertificateRefused,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    identity_text,
)
from flocker_py.issuing import KeyedCertificate, issued
from flocker_py.model import NodeId
from flocker_py.revocations import revocations_path
from flocker_py.testing.certificates import ClusterCertificates, install, make_cluster, revoke, write_files
from flocker_py.testing.forgeries import Maker, strangers
from flocker_py.testing.reactor_thread import in_reactor
from flocker_py.tls import (
    ClientOptions,
    ServerOptions,
    agent_client_options,
    agents_server_options,
    api_server_options,
    peer_identity,
    tls_failure_text,
    user_client_options,
)

reactor: Any = platform_reactor

DEADLINE_SECONDS = 60.0
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=30)
SOON = NOW + timedelta(days=2)
SOMEBODY = NodeIdentity(node_id=NodeId(uuid4()))
ALICE = UserIdentity(name="alice")
CONTROL = ControlIdentity()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    The certificates of one cluster, called "production".
    """
    return make_cluster(tmp_path_factory.mktemp("cluster"), name="production")


MaybeMaker = Callable[[KeyedCertificate], KeyedCertificate | None]

USERS_PORT: dict[str, MaybeMaker] = {
    **strangers(ALICE),
    "none at all": lambda authority: None,
    "a node's": lambda authority: issued(authority, SOMEBODY, NOW),
    "the control service's": lambda authority: issued(authority, CONTROL, NOW),
}
AGENTS_PORT: dict[str, MaybeMaker] = {
    **strangers(SOMEBODY),
    "none at all": lambda authority: None,
    "a user's": lambda authority: issued(authority, ALICE, NOW),
    "the control service's": lambda authority: issued(authority, CONTROL, NOW),
}
NOT_CONTROL: dict[str, Maker] = {
    **strangers(CONTROL),
    "a node's": lambda authority: issued(authority, SOMEBODY, NOW),
    "a user's": lambda authority: issued(authority, ALICE, NOW),
}


# --- servers in the reactor, against plain clients ---


class Answering(Protocol):
    """
    Answers with who is calling, and remembers every byte that came through.
    """

    factory: Answers

    def dataReceived(self, data: bytes) -> None:
        self.factory.received.append(data)
        assert self.transport is not None
        self.transport.write(identity_text(peer_identity(self.transport)).encode())  # type: ignore[arg-type]
        self.transport.loseConnection()


class Answers(Factory):
    """
    A service behind one of our ports.
    """

    protocol = Answering  # type: ignore[assignment]

    def __init__(self) -> None:
        self.received: list[bytes] = []


# The port it listens on, and what it has received.
Service = tuple[int, Answers]


@contextmanager
def listening(options: ServerOptions) -> Iterator[Service]:
    """
    A service with these options on a free port of 127.0.0.1.
    """
    service = Answers()

    async def start() -> Any:
        endpoint: Any = SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1")  # type: ignore[no-untyped-call]
        return await endpoint.listen(service)

    port = in_reactor(start)

    async def stop() -> None:
        await port.stopListening()

    try:
        yield port.getHost().port, service
    finally:
        in_reactor(stop)


def plain_context(cluster: ClusterCertificates, shown: KeyedCertificate | None, directory: Path) -> ssl.SSLContext:
    """
    A client that trusts control and shows any certificate whatever.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cluster.user.ca_path)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if shown is not None:
        write_files(directory, "shown", cluster.authority, shown)
        context.load_cert_chain(directory / "shown.crt", directory / "shown.key")
    return context


def ask(port: int, context: ssl.SSLContext, name: str = "control-service") -> str:
    """
    Who the service says we are.
    """
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as bare,
        context.wrap_socket(bare, server_hostname=name) as connection,
    ):
        connection.sendall(b"who am I?")
        return connection.recv(1000).decode()


def refusal(port: int, context: ssl.SSLContext) -> ssl.SSLError:
    """
    The TLS error by which the service refuses us.
    """
    with pytest.raises(ssl.SSLError) as refused:
        ask(port, context)
    return refused.value


@pytest.fixture(scope="module")
def users_port(cluster: ClusterCertificates) -> Iterator[Service]:
    """
    What listens on 4523.
    """
    with listening(api_server_options(cluster.control)) as service:
        yield service


class TestUsersPort:
    """
    Port 4523: users of the cluster, and nobody else.
    """

    def good_client(self, cluster: ClusterCertificates, directory: Path) -> ssl.SSLContext:
        return plain_context(cluster, issued(cluster.authority, ALICE, NOW), directory)

    def test_a_user_is_let_in(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path) -> None:
        """
        A user of the cluster is let in, and known by name.
        """
        assert ask(users_port[0], self.good_client(cluster, tmp_path)) == "user alice"

    @pytest.mark.parametrize("shown", USERS_PORT)
    def test_refuses(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path, shown: str) -> None:
        """
        Anything else ends the handshake, no byte reaches the service, and the next client is answered.
        """
        port, answers = users_port
        answers.received.clear()

        refusal(port, plain_context(cluster, USERS_PORT[shown](cluster.authority), tmp_path / "bad"))
        received = list(answers.received)

        assert (received, ask(port, self.good_client(cluster, tmp_path))) == ([], "user alice")

    def test_garbage_is_refused(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path) -> None:
        """
        Who speaks no TLS gets no answer, and the next client is answered.
        """
        port, answers = users_port
        answers.received.clear()
        with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as bare:
            bare.sendall(b"GET /v1/version HTTP/1.1\r\nHost: control\r\n\r\n")
            while bare.recv(1000):
                pass
        received = list(answers.received)

        assert (received, ask(port, self.good_client(cluster, tmp_path))) == ([], "user alice")

    def test_refuses_tls_1_1(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path) -> None:
        """
        Nothing older than TLS 1.2 is spoken, however lenient the client.
        """
        context = self.good_client(cluster, tmp_path)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

        assert "PROTOCOL_VERSION" in str(refusal(users_port[0], context).reason)

    def test_speaks_tls_1_2(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path) -> None:
        """
        Clients as old as Flocker's own can still connect.
        """
        context = self.good_client(cluster, tmp_path)
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        assert ask(users_port[0], context) == "user alice"

    def test_refuses_during_the_handshake_of_tls_1_2(
        self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path
    ) -> None:
        """
        With TLS 1.2 the handshake itself fails at the client, before it can send anything.
        """
        context = plain_context(cluster, issued(cluster.authority, SOMEBODY, NOW), tmp_path)
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        with (
            socket.create_connection(("127.0.0.1", users_port[0]), DEADLINE_SECONDS) as bare,
            pytest.raises(ssl.SSLError),
        ):
            context.wrap_socket(bare, server_hostname="control-service")

    def test_a_session_is_not_resumed(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path) -> None:
        """
        Every connection shows its certificate again: a session kept from before is of no use.
        """
        context = self.good_client(cluster, tmp_path)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        reused = []
        session: ssl.SSLSession | None = None
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", users_port[0]), DEADLINE_SECONDS) as bare,
                context.wrap_socket(bare, server_hostname="control-service", session=session) as connection,
            ):
                connection.sendall(b"who am I?")
                connection.recv(1000)
                reused.append(connection.session_reused)
                session = connection.session

        assert reused == [False, False]

    def test_is_known_by_its_addresses(self, cluster: ClusterCertificates, users_port: Service, tmp_path: Path) -> None:
        """
        Clients that check where they connect to find the address in the certificate.
        """
        assert ask(users_port[0], self.good_client(cluster, tmp_path), "127.0.0.1") == "user alice"


@pytest.fixture(scope="module")
def agents_port(cluster: ClusterCertificates) -> Iterator[Service]:
    """
    What listens on 4524.
    """
    with listening(agents_server_options(cluster.control)) as service:
        yield service


class TestAgentsPort:
    """
    Port 4524: nodes of the cluster, and nobody else.
    """

    def good_client(self, cluster: ClusterCertificates, directory: Path) -> ssl.SSLContext:
        return plain_context(cluster, issued(cluster.authority, SOMEBODY, NOW), directory)

    def test_a_node_is_let_in(self, cluster: ClusterCertificates, agents_port: Service, tmp_path: Path) -> None:
        """
        A node of the cluster is let in, and known by its id.
        """
        assert ask(agents_port[0], self.good_client(cluster, tmp_path)) == f"node {SOMEBODY.node_id}"

    @pytest.mark.parametrize("shown", AGENTS_PORT)
    def test_refuses(self, cluster: ClusterCertificates, agents_port: Service, tmp_path: Path, shown: str) -> None:
        """
        Anything else ends the handshake, no byte reaches the service, and the next client is answered.
        """
        port, answers = agents_port
        answers.received.clear()

        refusal(port, plain_context(cluster, AGENTS_PORT[shown](cluster.authority), tmp_path / "bad"))
        received = list(answers.received)

        assert (received, ask(port, self.good_client(cluster, tmp_path))) == ([], f"node {SOMEBODY.node_id}")

    def test_refuses_tls_1_2(self, cluster: ClusterCertificates, agents_port: Service, tmp_path: Path) -> None:
        """
        Agents are ours, so nothing older than TLS 1.3 is spoken.
        """
        context = self.good_client(cluster, tmp_path)
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        assert "PROTOCOL_VERSION" in str(refusal(agents_port[0], context).reason)


REVOKING_PORTS: dict[str, tuple[Callable[[Credential], ServerOptions], Identity]] = {
    "users": (api_server_options, ALICE),
    "agents": (agents_server_options, SOMEBODY),
}
BAD_LISTS = {"rubbish": "no revocation list", "of another authority": "not signed by the authority"}


class TestRevoked:
    """
    Certificates that were shut out before they end.
    """

    @pytest.mark.parametrize("port", REVOKING_PORTS)
    def test_are_refused_from_the_next_connection_on(
        self, cluster: ClusterCertificates, tmp_path: Path, port: str
    ) -> None:
        """
        A running service takes the list up by itself: who was let in a moment ago is refused, and nobody else.
        """
        options, identity = REVOKING_PORTS[port]
        control = install(tmp_path / "control", cluster.authority, CONTROL, hosts=["localhost"])
        stolen, good = (issued(cluster.authority, identity, NOW) for _ in range(2))
        with listening(options(control)) as (number, _):
            before = ask(number, plain_context(cluster, stolen, tmp_path / "stolen"))
            revoke(cluster.authority, control, stolen.certificate)
            after = refusal(number, plain_context(cluster, stolen, tmp_path / "stolen"))
            others = ask(number, plain_context(cluster, good, tmp_path / "good"))

        assert (before, "CERTIFICATE_REVOKED" in str(after.reason), others) == (
            identity_text(identity),
            True,
            identity_text(identity),
        )

    def test_control_too(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        An agent that has the list refuses a control service whose key was stolen.
        """
        control = install(tmp_path / "control", cluster.authority, CONTROL)
        node = install(tmp_path / "node", cluster.authority, SOMEBODY)
        revoke(cluster.authority, node, load_certificate(control))
        with listening(agents_server_options(control)) as (port, _):
            _, ended = called(agent_client_options(node), port)

        assert "it has been revoked" in str(tls_failure_text(ended))

    def test_list_that_is_no_good_changes_nothing(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        A half-copied list neither lets anybody in again nor takes the service down.
        """
        control = install(tmp_path / "control", cluster.authority, CONTROL)
        stolen, good = (issued(cluster.authority, ALICE, NOW) for _ in range(2))
        revoke(cluster.authority, control, stolen.certificate)
        with listening(api_server_options(control)) as (port, _):
            path = revocations_path(control.ca_path)
            path.write_bytes(path.read_bytes()[:200])
            refusal(port, plain_context(cluster, stolen, tmp_path / "stolen"))

            assert ask(port, plain_context(cluster, good, tmp_path / "good")) == "user alice"

    @pytest.mark.parametrize("what", BAD_LISTS)
    def test_does_not_start_with_a_bad_list(self, cluster: ClusterCertificates, tmp_path: Path, what: str) -> None:
        """
        A program whose list of revoked certificates can't be trusted says so instead of letting everybody in.
        """
        control = install(tmp_path / "control", cluster.authority, CONTROL)
        if what == "rubbish":
            revocations_path(control.ca_path).write_text("rubbish")
        else:
            other = make_cluster(tmp_path / "other", name="production")
            revoke(other.authority, other.control)
            shutil.copy(revocations_path(other.control.ca_path), revocations_path(control.ca_path))

        with pytest.raises(CredentialUnusable, match=BAD_LISTS[what]):
            load_credential(tmp_path / "control", "control-service")

    def test_does_not_start_when_revoked_itself(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        A program whose own certificate was revoked says so.
        """
        control = install(tmp_path / "control", cluster.authority, CONTROL)
        revoke(cluster.authority, control, load_certificate(control))

        with pytest.raises(CredentialUnusable, match="revoked at"):
            load_credential(tmp_path / "control", "control-service")


def load_certificate(credential: Credential) -> x509.Certificate:
    """
    The certificate of a credential.
    """
    return x509.load_pem_x509_certificate(credential.certificate_path.read_bytes())


# --- clients in the reactor, against plain servers ---


class Asking(Protocol):
    """
    Says who we are to a server, at once, and keeps how it ended.
    """

    def __init__(self) -> None:
        self.ended: Deferred[tuple[bytes, BaseException]] = Deferred()
        self.got = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"secret")

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None
        assert reason.value is not None
        self.ended.callback((self.got, reason.value))


def called(options: ClientOptions, port: int) -> tuple[bytes, BaseException]:
    """
    What a server answered us, and how the connection ended.
    """

    async def call() -> tuple[bytes, BaseException]:
        endpoint = wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", port))
        protocol = await endpoint.connect(Factory.forProtocol(Asking))
        assert isinstance(protocol, Asking)
        return await protocol.ended

    return in_reactor(call)


@contextmanager
def impostor(
    cluster: ClusterCertificates, shown: KeyedCertificate, directory: Path
) -> Iterator[tuple[int, list[bytes]]]:
    """
    A server that shows any certificate, takes every client, and keeps what one connection brings.
    """
    write_files(directory, "shown", cluster.authority, shown)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "shown.crt", directory / "shown.key")
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_SECONDS)

        def serve() -> None:
            bare, _ = server.accept()
            bare.settimeout(DEADLINE_SECONDS)
            try:
                with bare, context.wrap_socket(bare, server_side=True) as connection:
                    received.append(connection.recv(1000))
                    connection.sendall(b"thanks")
            except OSError:
                # Also what TLS says: the client has left.
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], received
        finally:
            thread.join(DEADLINE_SECONDS)


class TestCallingControl:
    """
    Agents and users talk to their cluster's control service, and to nobody who says to be it.
    """

    @pytest.fixture(params=["agent", "user"])
    def options(self, cluster: ClusterCertificates, request: pytest.FixtureRequest) -> ClientOptions:
        """
        Either client's side.
        """
        if request.param == "agent":
            return agent_client_options(cluster.nodes[0])
        return user_client_options(cluster.user)

    def test_control_is_trusted(self, cluster: ClusterCertificates, options: ClientOptions, tmp_path: Path) -> None:
        """
        Control is known by its certificate, with no host name in it at all.
        """
        with impostor(cluster, issued(cluster.authority, CONTROL, NOW), tmp_path) as (port, received):
            answer, _ = called(options, port)

        assert (answer, received) == (b"thanks", [b"secret"])

    @pytest.mark.parametrize("shown", NOT_CONTROL)
    def test_anybody_else_is_not(
        self, cluster: ClusterCertificates, options: ClientOptions, tmp_path: Path, shown: str
    ) -> None:
        """
        Anybody else is told nothing, and the connection ends with what was wrong with the certificate.
        """
        certificate = NOT_CONTROL[shown](cluster.authority)
        assert certificate is not None
        with impostor(cluster, certificate, tmp_path) as (port, received):
            _, ended = called(options, port)

        assert (type(ended), [data for data in received if data]) == (CertificateRefused, [])

    def test_the_refusal_says_why(self, cluster: ClusterCertificates, options: ClientOptions, tmp_path: Path) -> None:
        """
        The error is in words an operator can act on.
        """
        expired = issued(cluster.authority, CONTROL, LONG_AGO, lifetime_days=10)
        with impostor(cluster, expired, tmp_path) as (port, _):
            _, ended = called(options, port)

        assert "CN=control-service is refused: it has expired; flocker-ca renew" in str(ended)

    def test_policy_for_https(self, cluster: ClusterCertificates) -> None:
        """
        An HTTP client takes the options as its policy, whatever host is in the URL.
        """
        options = user_client_options(cluster.user)

        assert options.creatorForNetloc(b"anything.example", 4523) is options


REFUSED_CLIENTS = [
    ("users", "a node's", "not for this port"),
    ("users", "expired", "has expired by its clock"),
    ("users", "another cluster's", "not signed by its cluster's authority"),
    ("users", "an impostor's of the same name and id", "not signed by its cluster's authority"),
    ("users", "not yet valid", "compare the clocks"),
    ("users", "none at all", "none was shown"),
    ("agents", "a user's", "not for this port"),
]


@pytest.mark.parametrize(("port_of", "shown", "words"), REFUSED_CLIENTS)
def test_the_refused_side_is_told_why(
    cluster: ClusterCertificates, tmp_path: Path, port_of: str, shown: str, words: str
) -> None:
    """
    From the alert alone, a client can tell its operator what is wrong with its certificate.
    """
    users = port_of == "users"
    options = api_server_options(cluster.control) if users else agents_server_options(cluster.control)
    certificate = (USERS_PORT if users else AGENTS_PORT)[shown](cluster.authority)
    with listening(options) as (port, _):
        refused = refusal(port, plain_context(cluster, certificate, tmp_path))

    assert words in str(tls_failure_text(refused))


def test_an_agent_is_told_why_it_was_refused(cluster: ClusterCertificates) -> None:
    """
    A client in the reactor learns the reason from how its connection ended.
    """
    with listening(api_server_options(cluster.control)) as (port, _):
        _, ended = called(agent_client_options(cluster.nodes[0]), port)

    assert "not for this port" in str(tls_failure_text(ended))


class Page(Resource):
    """
    Says who is asking.
    """

    isLeaf = True  # noqa: N815

    def render_GET(self, request: Any) -> bytes:
        return identity_text(peer_identity(request.channel.transport)).encode()


def fetched(server: Credential, options: ClientOptions) -> bytes:
    """
    What an HTTP client with these options as its policy gets from a REST API with that credential.
    """

    async def fetch() -> bytes:
        endpoint: Any = SSL4ServerEndpoint(reactor, 0, api_server_options(server), interface="127.0.0.1")  # type: ignore[no-untyped-call]
        port = await endpoint.listen(Site(Page()))  # type: ignore[no-untyped-call]
        try:
            url = f"https://127.0.0.1:{port.getHost().port}/"
            client = HTTPClient(Agent(reactor, contextFactory=options))  # type: ignore[no-untyped-call]
            return await (await client.get(url)).content()
        finally:
            await port.stopListening()

    return in_reactor(fetch)


class TestOverHttp:
    """
    The same with Twisted's HTTP client and server, which treq and klein are made of.
    """

    def test_a_user_is_answered(self, cluster: ClusterCertificates) -> None:
        """
        The options are an HTTP client's policy, and the server knows who asks.
        """
        assert fetched(cluster.control, user_client_options(cluster.user)) == b"user testing"

    def test_a_refusal_can_be_told(self, cluster: ClusterCertificates) -> None:
        """
        The wrong role gets no HTTP response, and the reason can be told from what the client raises.
        """
        with pytest.raises(ResponseNeverReceived) as never:
            fetched(cluster.control, agent_client_options(cluster.nodes[0]))

        assert "not for this port" in str(tls_failure_text(never.value))


# --- files ---


class TestRenewedFiles:
    """
    A service shows its renewed certificate at the next connection, without a restart.
    """

    def shown_serial(self, port: int, cluster: ClusterCertificates, directory: Path) -> int:
        context = plain_context(cluster, issued(cluster.authority, ALICE, NOW), directory)
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as bare,
            context.wrap_socket(bare, server_hostname="control-service") as connection,
        ):
            shown = connection.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)

    def test_are_taken_up(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        The renewed certificate is the one that clients see.
        """
        credential = install(tmp_path / "control", cluster.authority, CONTROL)
        with listening(api_server_options(credential)) as (port, _):
            self.shown_serial(port, cluster, tmp_path / "before")
            keyed = issued(cluster.authority, CONTROL, NOW)
            write_files(tmp_path / "control", "control-service", cluster.authority, keyed)

            assert self.shown_serial(port, cluster, tmp_path / "after") == keyed.certificate.serial_number

    def test_that_are_broken_change_nothing(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        A half-copied certificate does not take the service down: it goes on with what it had.
        """
        credential = install(tmp_path / "control", cluster.authority, CONTROL)
        with listening(api_server_options(credential)) as (port, _):
            before = self.shown_serial(port, cluster, tmp_path / "before")
            credential.certificate_path.write_bytes(credential.certificate_path.read_bytes()[:200])

            assert self.shown_serial(port, cluster, tmp_path / "after") == before

    def test_of_somebody_else_change_nothing(self, cluster: ClusterCertificates, tmp_path: Path) -> None:
        """
        A service does not become somebody else while it runs.
        """
        node = install(tmp_path / "node", cluster.authority, SOMEBODY)
        options = agent_client_options(node)
        write_files(
            tmp_path / "node",
            "node",
            cluster.authority,
            issued(cluster.authority, NodeIdentity(node_id=NodeId(uuid4())), NOW),
        )
        with listening(agents_server_options(cluster.control)) as (port, _):
            answer, _ = called(options, port)

        assert answer == f"node {SOMEBODY.node_id}".encode()

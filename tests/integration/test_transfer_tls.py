"""
Who gets through the handshake of a transfer between nodes, on real sockets.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography import x509

from flocker_py.credentials import Credential
from flocker_py.identity import CertificateRefused, ControlIdentity, NodeIdentity, UserIdentity
from flocker_py.issuing import KeyedCertificate, issued
from flocker_py.model import NodeId
from flocker_py.testing.certificates import ClusterCertificates, install, make_cluster, revoke, write_files
from flocker_py.testing.forgeries import strangers
from flocker_py.tls import transfer_client_context, transfer_server_context, verified_node

DEADLINE_SECONDS = 20.0
NOW = datetime.now(UTC)
SOMEBODY = NodeIdentity(node_id=NodeId(uuid4()))

NOT_NODES: dict[str, Callable[[KeyedCertificate], KeyedCertificate | None]] = {
    **strangers(SOMEBODY),
    "none at all": lambda _: None,
    "a user's": lambda authority: issued(authority, UserIdentity(name="alice"), NOW),
    "the control service's": lambda authority: issued(authority, ControlIdentity(), NOW),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    The certificates of one cluster.
    """
    return make_cluster(tmp_path_factory.mktemp("cluster"))


def transferred(
    cluster: ClusterCertificates,
    server: Callable[[], ssl.SSLContext],
    client: Callable[[], ssl.SSLContext],
    server_credential: Credential,
    client_credential: Credential,
) -> tuple[UUID | Exception, UUID | Exception]:
    """
    Whom each side of a transfer takes the other for, or why it does not: (server's view, client's view).
    """
    seen: list[UUID | Exception] = []

    def look(connection: ssl.SSLSocket, credential: Credential) -> UUID | Exception:
        try:
            other = verified_node(connection, credential)
            connection.sendall(b"!")
            # A refusal by the other side shows here, with TLS 1.3 not before.
            if connection.recv(1) != b"!":
                return ConnectionResetError("the other side left")
        except (OSError, CertificateRefused) as error:
            return error
        return other

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_SECONDS)

        def serve() -> None:
            bare, _ = listener.accept()
            bare.settimeout(DEADLINE_SECONDS)
            try:
                with bare, server().wrap_socket(bare, server_side=True) as connection:
                    seen.append(look(connection, server_credential))
            except OSError as error:
                seen.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), DEADLINE_SECONDS) as bare,
                client().wrap_socket(bare) as connection,
            ):
                client_view = look(connection, client_credential)
        except OSError as error:
            client_view = error
        thread.join(DEADLINE_SECONDS)
    return seen[0], client_view


def careless_context(
    protocol: int, cluster: ClusterCertificates, shown: KeyedCertificate | None, directory: Path
) -> ssl.SSLContext:
    """
    One side of a transfer that shows any certificate, and takes anybody.
    """
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if shown is not None:
        write_files(directory, "shown", cluster.authority, shown)
        context.load_cert_chain(directory / "shown.crt", directory / "shown.key")
    return context


class TestTransfers:
    """
    Port 4525: nodes of the cluster on both sides.
    """

    def test_two_nodes_know_each_other(self, cluster: ClusterCertificates) -> None:
        """
        Each side knows the other by its node id.
        """
        receiver, sender = cluster.nodes

        views = transferred(
            cluster,
            lambda: transfer_server_context(receiver),
            lambda: transfer_client_context(sender),
            receiver,
            sender,
        )

        assert [NodeIdentity(node_id=NodeId(view)) for view in views if isinstance(view, UUID)] == [
            sender.identity,
            receiver.identity,
        ]

    @pytest.mark.parametrize("shown", NOT_NODES)
    def test_a_receiver_takes_from_nodes_only(self, cluster: ClusterCertificates, tmp_path: Path, shown: str) -> None:
        """
        Nobody but a node of the cluster can send, and the refused side sees the connection end.
        """
        receiver, sender = cluster.nodes
        certificate = NOT_NODES[shown](cluster.authority)
        context = careless_context(ssl.PROTOCOL_TLS_CLIENT, cluster, certificate, tmp_path)

        view, _ = transferred(cluster, lambda: transfer_server_context(receiver), lambda: context, receiver, sender)

        assert isinstance(view, ssl.SSLError | CertificateRefused)

    @pytest.mark.parametrize("shown", [shown for shown in NOT_NODES if shown != "none at all"])
    def test_a_sender_sends_to_nodes_only(self, cluster: ClusterCertificates, tmp_path: Path, shown: str) -> None:
        """
        Nobody but a node of the cluster can receive.
        """
        receiver, sender = cluster.nodes
        certificate = NOT_NODES[shown](cluster.authority)
        context = careless_context(ssl.PROTOCOL_TLS_SERVER, cluster, certificate, tmp_path)

        _, view = transferred(cluster, lambda: context, lambda: transfer_client_context(sender), receiver, sender)

        assert isinstance(view, ssl.SSLError | CertificateRefused)

    @pytest.mark.parametrize("side", ["receiver", "sender"])
    def test_a_revoked_node_is_refused(self, cluster: ClusterCertificates, tmp_path: Path, side: str) -> None:
        """
        Neither does a node take from one whose certificate was revoked, nor send to it, once it has heard.
        """
        knowing = install(tmp_path / "knowing", cluster.authority, SOMEBODY)
        (revoked, _) = cluster.nodes
        stolen = x509.load_pem_x509_certificate(revoked.certificate_path.read_bytes())
        before = transferred(
            cluster,
            lambda: transfer_server_context(knowing),
            lambda: transfer_client_context(revoked),
            knowing,
            revoked,
        )
        revoke(cluster.authority, knowing, stolen)
        receiver, sender = (knowing, revoked) if side == "receiver" else (revoked, knowing)

        views = transferred(
            cluster,
            lambda: transfer_server_context(receiver),
            lambda: transfer_client_context(sender),
            receiver,
            sender,
        )

        assert isinstance(before[0], UUID)
        view = views[0 if side == "receiver" else 1]
        assert isinstance(view, ssl.SSLCertVerificationError)
        assert "revoked" in view.verify_message

    @pytest.mark.parametrize("side", ["receiver", "sender"])
    def test_nothing_older_than_tls_1_3(self, cluster: ClusterCertificates, side: str) -> None:
        """
        A node that offers TLS 1.2 at most is refused.
        """
        receiver, sender = cluster.nodes
        server, client = transfer_server_context(receiver), transfer_client_context(sender)
        old = server if side == "receiver" else client
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2

        views = transferred(cluster, lambda: server, lambda: client, receiver, sender)

        assert [type(view) for view in views] == [ssl.SSLError, ssl.SSLError]

    def test_no_session_tickets(self, cluster: ClusterCertificates) -> None:
        """
        The receiver sends no session tickets, which kernel TLS could not digest.
        """
        assert transfer_server_context(cluster.nodes[0]).num_tickets == 0

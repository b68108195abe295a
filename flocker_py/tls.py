"""
Mutual TLS between the programs of a cluster: who may connect is decided by certificates, during the handshake.

Two kinds of connection. Those of the reactor (REST and the agents' link) are made by the ``*_options`` functions, for
``SSL4ServerEndpoint``, ``wrapServerTLS`` and ``wrapClientTLS``; each looks for renewed files at every new connection.
Those of the data plane are blocking standard-library sockets; their contexts are read once.

========  ==================  ==================  =======
port      server              clients             TLS
========  ==================  ==================  =======
4523      control service     users               1.2, 1.3
4524      control service     nodes               1.3
4525      nodes               nodes               1.3
========  ==================  ==================  =======

TLS 1.2 on 4523 is for clients as old as Flocker's own, such as those in Go.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Protocol

from cryptography import x509
from eliot import log_message
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from flocker_py.certificates import CLIENT_AUTH, SERVER_AUTH, claimed_identity, identity_of
from flocker_py.credentials import (
    Credential,
    CredentialContents,
    CredentialUnusable,
    credential_from_files,
    load_credential,
    read_credential,
)
from flocker_py.errors import explanation
from flocker_py.handshake import tls_failure_text, verify_callback
from flocker_py.identity import (
    CONTROL_NAME,
    CertificateRefused,
    ControlIdentity,
    Identity,
    NodeIdentity,
    UserIdentity,
    identity_text,
    role_text,
)
from flocker_py.model import NodeId
from flocker_py.revocations import revocations_path

# Who needs TLS needs these too: one import for the programs.
__all__ = [
    "CertificateRefused",
    "ClientOptions",
    "ControlIdentity",
    "Credential",
    "CredentialUnusable",
    "Identity",
    "NodeIdentity",
    "ServerOptions",
    "UserIdentity",
    "agent_client_options",
    "agents_server_options",
    "api_server_options",
    "credential_from_files",
    "load_credential",
    "peer_identity",
    "tls_failure_text",
    "transfer_client_context",
    "transfer_server_context",
    "user_client_options",
    "verified_node",
]

# What the handshake of TLS 1.2 may agree on: forward secrecy and authenticated encryption only.
_TLS_1_2_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
# AES-128-GCM first: 4.5 GB/s against 4.2 of AES-256-GCM and 3.8 of ChaCha20 on one core (OpenSSL 3.0, 16 KiB blocks).
_TLS_1_3_CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


def api_server_options(credential: Credential) -> ServerOptions:
    """
    TLS of the REST API's port, 4523: lets in users of the cluster and nobody else.

    :param credential: the control service's.
    :raises CredentialUnusable: its files have changed since and are not good any more.
    """
    return ServerOptions(credential, UserIdentity, SSL.TLS1_2_VERSION)


def agents_server_options(credential: Credential) -> ServerOptions:
    """
    TLS of the agents' link, port 4524: lets in nodes of the cluster and nobody else.

    :param credential: the control service's.
    :raises CredentialUnusable: its files have changed since and are not good any more.
    """
    return ServerOptions(credential, NodeIdentity, SSL.TLS1_3_VERSION)


def agent_client_options(credential: Credential) -> ClientOptions:
    """
    TLS of an agent calling control: goes on only if the other side is the control service of the agent's cluster.

    :param credential: the node's.
    :raises CredentialUnusable: its files have changed since and are not good any more.
    """
    return ClientOptions(credential)


def user_client_options(credential: Credential) -> ClientOptions:
    """
    TLS of a user calling the REST API, also as the policy of a ``twisted.web.client.Agent`` or treq client.

    The host name in the URL is only where to connect: who answers must be this cluster's control service.

    :param credential: the user's.
    :raises CredentialUnusable: its files have changed since and are not good any more.
    """
    return ClientOptions(credential)


@implementer(IOpenSSLServerConnectionCreator)
class ServerOptions:
    """
    Server side of connections that only one role of the cluster can make.
    """

    def __init__(self, credential: Credential, admitted: type[Identity], minimum_version: int) -> None:
        self._source = _ContextSource(credential, minimum_version)
        self._cluster_id = credential.cluster_id
        self._admitted = admitted

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803  # Twisted's names
        """
        A connection whose handshake fails unless the client's certificate is of the admitted role.
        """
        connection = SSL.Connection(self._source.context())

        def refuse(refusal: CertificateRefused) -> None:
            # OpenSSL answers with an alert; the reason stays here, where the operator can read it.
            log_message(
                "flocker:tls:client_refused",
                peer=str(tlsProtocol.getPeer()),  # type: ignore[no-untyped-call]  # Twisted has no types for it
                admitted=role_text(self._admitted),
                reason=str(refusal),
            )

        connection.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
            verify_callback(self._cluster_id, self._admitted, CLIENT_AUTH, refuse),
        )
        return connection


@implementer(IOpenSSLClientConnectionCreator, IPolicyForHTTPS)
class ClientOptions:
    """
    Client side of connections to the control service of the cluster, wherever it runs.
    """

    def __init__(self, credential: Credential) -> None:
        self._source = _ContextSource(credential, SSL.TLS1_3_VERSION)
        self._cluster_id = credential.cluster_id

    def creatorForNetloc(self, hostname: bytes, port: int) -> ClientOptions:  # noqa: N802, ARG002  # Twisted's name
        """
        The same for every host: what counts is who answers.
        """
        return self

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803  # Twisted's names
        """
        A connection that is lost with :class:`CertificateRefused` unless control's certificate is what it must be.
        """
        connection = SSL.Connection(self._source.context())
        connection.set_tlsext_host_name(CONTROL_NAME.encode("ascii"))

        def refuse(refusal: CertificateRefused) -> None:
            tlsProtocol.failVerification(Failure(refusal))  # type: ignore[no-untyped-call]

        connection.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
            verify_callback(self._cluster_id, ControlIdentity, SERVER_AUTH, refuse),
        )
        return connection


def peer_identity(transport: _HasPeerCertificate | ssl.SSLSocket | ssl.SSLObject) -> Identity:
    """
    Who is at the other end of a connection made with these options, whose handshake is over.

    A Twisted protocol's ``connectionMade`` is too early; ``IHandshakeListener.handshakeCompleted`` and the first
    ``dataReceived`` are not.

    :raises CertificateRefused: the handshake is not over, or the peer's certificate spells no identity.
    """
    if isinstance(transport, ssl.SSLSocket | ssl.SSLObject):
        return claimed_identity(_peer_certificate(transport))
    certificate = transport.getPeerCertificate()
    if certificate is None:
        raise CertificateRefused("The other side has shown no certificate: the handshake is not over")
    return claimed_identity(certificate.to_cryptography())


def transfer_server_context(credential: Credential) -> ssl.SSLContext:
    """
    TLS of a node that takes transfers, port 4525. After the handshake, ask :func:`verified_node` before a byte is read.

    The files are read now: make a new context for each connection and renewed certificates are used without a restart.

    :param credential: the node's.
    :raises CredentialUnusable: its files have changed since and are not good any more.
    """
    context = _transfer_context(credential, ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    return context


def transfer_client_context(credential: Credential) -> ssl.SSLContext:
    """
    TLS of a node that sends to another. After the handshake, ask :func:`verified_node` before a byte is written.

    :param credential: the node's.
    :raises CredentialUnusable: its files have changed since and are not good any more.
    """
    context = _transfer_context(credential, ssl.PROTOCOL_TLS_CLIENT)
    # A node is who its certificate says, at whatever address.
    context.check_hostname = False
    return context


def verified_node(connection: ssl.SSLSocket | ssl.SSLObject, credential: Credential) -> NodeId:
    """
    The node at the other end of a data plane connection whose handshake is over.

    :param credential: the one the connection's context was made from.
    :raises CertificateRefused: the peer is not a node of the same cluster. Close the connection.
    """
    usage = CLIENT_AUTH if connection.server_side else SERVER_AUTH
    identity = identity_of(_peer_certificate(connection), credential.cluster_id, usage)
    if not isinstance(identity, NodeIdentity):
        raise CertificateRefused(f"The other side is {identity_text(identity)}, but only nodes may transfer data")
    return identity.node_id


class _HasPeerCertificate(Protocol):
    def getPeerCertificate(self) -> crypto.X509 | None: ...  # noqa: N802  # Twisted's name


class _ContextSource:
    """
    The context of the next connection: made again when one of the credential's files has changed.
    """

    def __init__(self, credential: Credential, minimum_version: int) -> None:
        self._credential = credential
        self._minimum_version = minimum_version
        self._seen = self._stamps()
        self._context = self._made()

    def context(self) -> SSL.Context:
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._context = self._made()
            except CredentialUnusable as error:
                # Half-copied files are the likely cause: the next connection looks again once they have changed.
                log_message("flocker:tls:renewal_unusable", reason=explanation(error))
        return self._context

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        credential = self._credential
        return tuple(
            _stamp(path)
            for path in (
                credential.ca_path,
                credential.certificate_path,
                credential.key_path,
                revocations_path(credential.ca_path),
            )
        )

    def _made(self) -> SSL.Context:
        was = self._credential
        contents = read_credential(was.ca_path, was.certificate_path, was.key_path, type(was.identity))
        if contents.credential != was:
            raise CredentialUnusable(
                f"{was.certificate_path}: this program started as {identity_text(was.identity)} of cluster "
                f"{was.cluster_id}, and the file is now for another. Restart the program to change that"
            )
        return _reactor_context(contents, self._minimum_version)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _reactor_context(contents: CredentialContents, minimum_version: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(minimum_version)
    context.set_cipher_list(_TLS_1_2_CIPHERS)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    # Every connection proves itself anew: a resumed session would skip the check of its certificate.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(contents.certificate)
    context.use_privatekey(contents.key)
    store = context.get_cert_store()
    assert store is not None  # noqa: S101  # only a context without a store has none
    store.add_cert(crypto.X509.from_cryptography(contents.authority))
    flags = crypto.X509StoreFlags.X509_STRICT
    if contents.revocations is not None:
        store.add_crl(contents.revocations)
        flags |= crypto.X509StoreFlags.CRL_CHECK
    store.set_flags(flags)
    context.add_client_ca(contents.authority)
    return context


def _transfer_context(credential: Credential, protocol: int) -> ssl.SSLContext:
    # Read for its checks; the standard library loads from files only.
    contents = read_credential(
        credential.ca_path, credential.certificate_path, credential.key_path, type(credential.identity)
    )
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(credential.ca_path)
        context.load_cert_chain(credential.certificate_path, credential.key_path)
        if contents.revocations is not None:
            context.load_verify_locations(revocations_path(credential.ca_path))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except OSError as error:
        # Good a moment ago, when they were read for their checks; ssl.SSLError is one of these too.
        raise CredentialUnusable(f"{credential.certificate_path}: it or its key has just changed ({error})") from error
    # Python 3.15 can choose; before, OpenSSL's own order decides (AES-256-GCM first).
    choose = getattr(context, "set_ciphersuites", None)
    if choose is not None:
        choose(_TLS_1_3_CIPHERS)
    return context


def _peer_certificate(connection: ssl.SSLSocket | ssl.SSLObject) -> x509.Certificate:
    encoded = connection.getpeercert(binary_form=True)
    if encoded is None:
        raise CertificateRefused("The other side has shown no certificate: the handshake is not over")
    return x509.load_der_x509_certificate(encoded)

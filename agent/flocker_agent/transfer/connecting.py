"""
Making the connections of transfers: TCP, mutual TLS, and who is at the other end.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable

from flocker_agent.transfer.errors import PeerLost, PeerSilent, PeerTrustless, PeerUnreachable, PeerWrong
from flocker_agent.transfer.wake import Wake
from flocker_py.credentials import Credential
from flocker_py.identity import CertificateRefused
from flocker_py.model import NodeId
from flocker_py.tls import transfer_client_context, transfer_server_context, verified_node


class Patience:
    """
    Waiting for one socket until a deadline, or until a thread is told to stop.

    :param wake: ends every wait.
    :param check: asked after every wait; raises what the thread should stop with.
    """

    def __init__(
        self, timeout_seconds: float, *, wake: Wake, check: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._clock = clock
        self._deadline_seconds = clock() + timeout_seconds
        self._wake = wake
        self._check = check

    def left_seconds(self) -> float:
        """
        Until the deadline; negative once it is over.
        """
        return self._deadline_seconds - self._clock()

    def wait(self, connection: socket.socket, events: int) -> bool:
        """
        Wait until the socket is ready, and say whether it became so before the deadline.
        """
        poll = select.poll()
        poll.register(connection, events)
        poll.register(self._wake, select.POLLIN)
        while True:
            left_seconds = self.left_seconds()
            if left_seconds <= 0:
                return False
            ready = dict(poll.poll(left_seconds * 1000))
            self._wake.clear()
            self._check()
            if connection.fileno() in ready:
                return True


def called(address: str, port: int, target: NodeId, credential: Credential, patience: Patience) -> ssl.SSLSocket:
    """
    A connection to the transfer port of a node, proven to be that node.

    :param address: an IP address.
    :raises PeerUnreachable: there was no connection within the time.
    :raises PeerTrustless: one side refused the other's certificate, or it is no TLS.
    :raises PeerSilent: there was no TLS within the time.
    :raises PeerLost: the connection broke.
    :raises PeerWrong: it is another node.
    :raises CredentialUnusable: this node's own files are not good any more.
    """
    connection = _secured(
        _connected(address, port, patience), transfer_client_context(credential), server_side=False, patience=patience
    )
    try:
        found = _node(connection, credential)
        if found != target:
            raise PeerWrong(f"At {address}, port {port}, is node {found}, but the transfer is for node {target}")
    except BaseException:
        connection.close()
        raise
    return connection


def answered(connection: socket.socket, credential: Credential, patience: Patience) -> tuple[ssl.SSLSocket, NodeId]:
    """
    A connection that was taken at the transfer port, and the node that it proves to come from.

    :param connection: not the caller's any more, whatever happens.
    :raises PeerTrustless: one side refused the other's certificate, or it is no TLS.
    :raises PeerSilent: there was no TLS within the time.
    :raises PeerLost: the connection broke.
    :raises CredentialUnusable: this node's own files are not good any more.
    """
    try:
        tune(connection)
        context = transfer_server_context(credential)
    except BaseException:
        connection.close()
        raise
    secured = _secured(connection, context, server_side=True, patience=patience)
    try:
        return secured, _node(secured, credential)
    except BaseException:
        secured.close()
        raise


def tune(connection: socket.socket) -> None:
    """
    Set a connection up for bulk data: small messages go at once, and a host that vanished is noticed by the kernel too.
    """
    connection.setblocking(False)
    # Buffers are left to the kernel, which makes them as large as bandwidth × delay asks for (tcp_wmem, tcp_rmem);
    # a size set here would stop that, and be cut to net.core.wmem_max, 208 KiB by default.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _connected(address: str, port: int, patience: Patience) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    place = f"{address}, port {port}"
    try:
        tune(connection)
        try:
            connection.connect((address, port))
        except BlockingIOError:
            if not patience.wait(connection, select.POLLOUT):
                raise PeerUnreachable(f"{place}: no answer within {patience.timeout_seconds:g} s") from None
            number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise PeerUnreachable(f"{place}: {os.strerror(number)}") from None
    except OSError as error:
        connection.close()
        raise PeerUnreachable(f"{place}: {error.strerror or error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _secured(
    connection: socket.socket, context: ssl.SSLContext, *, server_side: bool, patience: Patience
) -> ssl.SSLSocket:
    try:
        # Of a connection that has broken already, wrap_socket would keep the descriptor open for some time.
        connection.getpeername()
        secured = context.wrap_socket(connection, server_side=server_side, do_handshake_on_connect=False)
    except OSError as error:
        connection.close()
        raise PeerLost(f"The connection broke before TLS began: {error}") from error
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                ready = patience.wait(secured, select.POLLIN)
            except ssl.SSLWantWriteError:
                ready = patience.wait(secured, select.POLLOUT)
            else:
                return secured
            if not ready:
                raise PeerSilent(f"No TLS handshake within {patience.timeout_seconds:g} s")
    except OSError as error:
        secured.close()
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            raise PeerTrustless(f"The TLS handshake failed: {error}") from error
        # Certificates are refused by an alert: whatever ends a connection without one is the network.
        raise PeerLost(f"The connection broke in the TLS handshake: {error}") from error
    except BaseException:
        secured.close()
        raise


def _node(connection: ssl.SSLSocket, credential: Credential) -> NodeId:
    try:
        return verified_node(connection, credential)
    except CertificateRefused as error:
        raise PeerTrustless(str(error)) from error

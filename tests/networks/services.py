"""
Hosts as network namespaces for tests of forwarding, services on them that say where they are, and clients of those.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.zfs.namespaces import enter, hosts

NODES = ("n1", "n2", "n3")
CLIENT = "client"
APART = f"{os.getpid()}"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
SECONDS = 60.0
"""For an answer on one machine: more than enough, however busy that is."""


def namespace(name: str) -> str:
    """
    Of a host.
    """
    return f"fp-{APART}-{name}"


@contextmanager
def network(*others: str) -> Iterator[dict[str, str]]:
    """
    Three nodes that pass packets on, a client, and others: their addresses, by name.
    """
    with hosts([*NODES, CLIENT, *others], apart=APART) as addresses:
        for name in NODES:
            run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for number, name in enumerate(addresses, start=1):
            # Without duplicate address detection, which would have us wait.
            run(name, "ip", "addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
        yield dict(addresses)


def run(name: str, *command: str) -> str:
    """
    Run a command on a host, and answer with what it wrote.
    """
    inside = ["nsenter", f"--net=/run/netns/{namespace(name)}", *command]
    return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Service:
    """
    Answers everything with the name of its host, until it ends.

    :param address: at which it listens.
    """

    def __init__(self, name: str, port: int, *, protocol: str = "tcp", address: str = "0.0.0.0") -> None:  # noqa: S104
        with enter(namespace(name)):
            self._socket = socket.socket(_family(address), _KINDS[protocol])
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        self._answer = name.encode()
        self._open: list[socket.socket] = []
        work = self._serve_streams if protocol == "tcp" else self._serve_datagrams
        if protocol == "tcp":
            self._socket.listen()
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def _serve_streams(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while connection.recv(100):
                connection.sendall(self._answer)

    def _serve_datagrams(self) -> None:
        with suppress(OSError):
            while True:
                data, sender = self._socket.recvfrom(100)
                if not data:
                    return
                self._socket.sendto(self._answer, sender)

    def end(self) -> None:
        """
        Nobody listens there any more, and what was open is closed.
        """
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(SECONDS)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Client:
    """
    Someone on a host who talks to an address and port, for as long as the socket lasts.
    """

    def __init__(self, name: str, address: str, port: int, *, protocol: str = "tcp", seconds: float = SECONDS) -> None:
        with enter(namespace(name)):
            self._socket = socket.socket(_family(address), _KINDS[protocol])
        self._socket.settimeout(seconds)
        try:
            self._socket.connect((address, port))
        except OSError:
            self._socket.close()
            raise

    def asks(self) -> str:
        """
        Who answers.
        """
        self._socket.send(b"who")
        return self._socket.recv(100).decode()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def who(name: str, address: str, port: int, *, protocol: str = "tcp", seconds: float = SECONDS) -> str:
    """
    Who answers a new client.

    :raises OSError: nobody does.
    """
    with Client(name, address, port, protocol=protocol, seconds=seconds) as client:
        return client.asks()

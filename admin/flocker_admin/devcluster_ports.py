"""
Which ports of the loopback addresses are free, and that no two clusters take the same.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flocker_admin.devcluster_layout import DevCluster, candidate_ports
from flocker_py.errors import FlockerError

_TURN = "\0flocker-devcluster"
_TURN_LOOK_SECONDS = 0.1


class PortsTaken(FlockerError):
    """
    No free ports were found. Begin the search elsewhere with --port, or end what listens there.
    """


class AddressUnusable(FlockerError):
    """
    A loopback address can't be used on this host. Linux has all of 127.0.0.0/8 once the interface lo is up.
    """

    lasting = True


@contextmanager
def turn(*, timeout_seconds: float) -> Iterator[None]:
    """
    While this lasts no other local cluster, whoever's, chooses ports. Waits for its turn, but goes on without it when
    that doesn't come: then two might choose the same ports, and one of them not start.
    """
    # An abstract socket (unix(7)) belongs to the network namespace, as ports do, and is gone with its process.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mine:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            try:
                mine.bind(_TURN)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                time.sleep(_TURN_LOOK_SECONDS)
        yield


def free(addresses: Iterable[tuple[str, int]]) -> bool:
    """
    Whether a program could listen at all of these now.

    :raises AddressUnusable: this host doesn't have one of the addresses.
    """
    for address, port in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As Twisted does: a port that only waits for lost packets is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                # Without this, a port bound by another that doesn't listen yet would count as free.
                probe.listen()
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise AddressUnusable(address) from error
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                return False
    return True


def with_free_ports(cluster: DevCluster) -> DevCluster:
    """
    The cluster with ports that are free: its own, or the next ones.

    :raises PortsTaken: there are none.
    :raises AddressUnusable: as ``free``.
    """
    for port in candidate_ports(cluster.port):
        moved = cluster.set(port=port)
        if free(moved.addresses):
            return moved
    raise PortsTaken(f"from {cluster.port} on")

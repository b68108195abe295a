"""
What the control service's ports take from whoever connects without end: a real control service.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flocker_control.main import AGENTS_LIMIT_PER_ADDRESS, USERS_LIMIT, USERS_LIMIT_PER_ADDRESS
from tests.cluster import AGENT_PORT, API_PORT, CONTROL, Cluster
from tests.integration.loopback import addresses

SECONDS = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """
    A control service and an agent.
    """

    def dataset(name: str) -> dict[str, str]:
        folder = tmp_path / name
        return {"backend": "directory", "root_path": str(folder / "pool"), "mount_root": str(folder / "flocker")}

    with Cluster(tmp_path, dataset, addresses=addresses("n1")) as cluster:
        yield cluster


def is_open(connection: socket.socket, seconds: float = 0.5) -> bool:
    """
    Whether the other side keeps a connection that says nothing.

    :param seconds: how long it may take to close it.
    """
    connection.settimeout(seconds)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def beside(cluster: Cluster, number: int) -> str:
    """
    An address in the network of a cluster that nobody there has.
    """
    assert number < 10
    return f"{cluster.addresses[CONTROL].rpartition('.')[0]}.{number}"


@pytest.mark.parametrize(
    ("port", "limit"), [(API_PORT, USERS_LIMIT_PER_ADDRESS), (AGENT_PORT, AGENTS_LIMIT_PER_ADDRESS)]
)
def test_one_address_takes_no_slots_of_others(cluster: Cluster, port: int, limit: int) -> None:
    """
    One connection too many from an address is closed; who comes from elsewhere is served, and the agent stays
    connected. Slots that were given back can be used again.
    """
    source = (beside(cluster, 1), 0)
    with contextlib.ExitStack() as stack:
        flood = [
            stack.enter_context(
                socket.create_connection((cluster.addresses[CONTROL], port), SECONDS, source_address=source)
            )
            for _ in range(limit + 1)
        ]
        kept = [is_open(flood[0]), is_open(flood[limit - 1]), is_open(flood[limit], SECONDS)]
        served = [node["connected"] for node in cluster.nodes().values()]
    cluster.wait(lambda: _takes(cluster, port, source))

    assert (kept, served) == ([True, True, False], [True])


def test_all_addresses_together(cluster: Cluster) -> None:
    """
    One connection too many in all is closed, though its address has no other; and the agent stays connected. A slot
    that was given back can be used again.
    """
    control = (cluster.addresses[CONTROL], API_PORT)
    late = (beside(cluster, 1), 0)
    with contextlib.ExitStack() as stack:
        flood = [
            stack.enter_context(
                socket.create_connection(
                    control, SECONDS, source_address=(beside(cluster, 2 + number // USERS_LIMIT_PER_ADDRESS), 0)
                )
            )
            for number in range(USERS_LIMIT)
        ]
        one_more = stack.enter_context(socket.create_connection(control, SECONDS, source_address=late))
        kept = [is_open(flood[0]), is_open(flood[-1]), is_open(one_more, SECONDS)]
        flood[0].close()
        cluster.wait(lambda: _takes(cluster, API_PORT, late))
    # Until the service has noticed that they are gone, some may yet be in the way.
    served = cluster.wait(lambda: [node["connected"] for node in cluster.nodes().values()])

    assert (kept, served) == ([True, True, False], [True])


def _takes(cluster: Cluster, port: int, source: tuple[str, int]) -> bool:
    with socket.create_connection((cluster.addresses[CONTROL], port), SECONDS, source_address=source) as connection:
        return is_open(connection)

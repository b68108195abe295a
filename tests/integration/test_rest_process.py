"""
The control service as a program: killed, started again, started twice.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from treq.client import HTTPClient
from twisted.internet.defer import Deferred

from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import A, user_client

DATASETS = "/v1/configuration/datasets"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


def command(data: Path, certificates: ClusterCertificates) -> list[str]:
    """
    The command line of a control service on any free ports of loopback.
    """
    program = Path(sys.executable).with_name("flocker-control")
    options = {
        "--data-path": data,
        "--certificates": certificates.directory / "control-service",
        "--address": "127.0.0.1",
        "--port": 0,
        "--agent-port": 0,
        "--log-file": data.with_suffix(".log"),
    }
    return [str(program), *(str(part) for option in options.items() for part in option)]


@contextmanager
def running(data: Path, certificates: ClusterCertificates) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """
    A control service that is ready, and where it is.
    """
    with subprocess.Popen(command(data, certificates), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            port = int(ready.split(" 127.0.0.1:")[1].split(",")[0])
            yield process, f"https://127.0.0.1:{port}"
        finally:
            process.kill()


def listed(client: HTTPClient, address: str) -> tuple[str, set[str]]:
    """
    The tag, and the ids of all datasets.
    """

    async def read() -> tuple[str, set[str]]:
        response: Any = await client.get(f"{address}{DATASETS}")
        datasets: Any = await response.json()
        tag = response.headers.getRawHeaders("X-Configuration-Tag")[0]
        return tag, {dataset["dataset_id"] for dataset in datasets}

    return in_reactor(read)


def created_until_killed(client: HTTPClient, address: str, process: subprocess.Popen[str], count: int) -> set[str]:
    """
    Create datasets, several at a time, and kill the service after so many answers; the ids that were acknowledged.
    """
    acknowledged: set[str] = set()

    async def create() -> None:
        response: Any = await client.post(f"{address}{DATASETS}", json={"primary": str(A)})
        body: Any = await response.json()
        acknowledged.add(body["dataset_id"])
        if len(acknowledged) == count:
            os.kill(process.pid, signal.SIGKILL)

    async def go_on() -> None:
        while process.poll() is None and len(acknowledged) < count:
            await create()

    async def together() -> None:
        creators = [Deferred.fromCoroutine(go_on()) for _ in range(4)]
        for creator in creators:
            # Those that were not answered fail; what counts is what was acknowledged.
            creator.addErrback(lambda _: None)
            await creator

    in_reactor(together)
    process.wait(60)
    return acknowledged


def test_acknowledged_is_kept(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    Killed over and over while it is written to, the service has everything that it ever acknowledged.
    """
    client = user_client(certificates)
    acknowledged: set[str] = set()
    for count in (1, 5, 12):
        with running(tmp_path / "data", certificates) as (process, address):
            acknowledged |= created_until_killed(client, address, process, count)

    with running(tmp_path / "data", certificates) as (_, address):
        _, found = listed(client, address)
    assert acknowledged <= found
    # At most the three that were under way besides at each kill were done without an answer.
    assert len(found) <= len(acknowledged) + 3 * 4


def test_tag_survives_kill_9(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    The configuration's tag is the same before a kill and after.
    """
    client = user_client(certificates)
    with running(tmp_path / "data", certificates) as (process, address):
        created_until_killed(client, address, process, 3)
    tags = []
    for _ in range(2):
        with running(tmp_path / "data", certificates) as (process, address):
            tags.append(listed(client, address))

    assert tags[0] == tags[1]


def test_second_is_refused(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    A second control service on the same data doesn't start, and says which process is in its way.
    """
    with running(tmp_path / "data", certificates) as (process, address):
        second = subprocess.run(
            command(tmp_path / "data", certificates), check=False, capture_output=True, text=True, timeout=60
        )
        listed(user_client(certificates), address)

    assert (1, True) == (second.returncode, f"process with id {process.pid}" in second.stderr)


def test_damaged_store(tmp_path: Path, certificates: ClusterCertificates) -> None:
    """
    On a damaged store the service doesn't start, and says what to do.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store.sqlite").write_bytes(b"nonsense" * 1000)

    refused = subprocess.run(
        command(tmp_path / "data", certificates), check=False, capture_output=True, text=True, timeout=60
    )
    assert (1, True) == (refused.returncode, "backup" in refused.stderr)

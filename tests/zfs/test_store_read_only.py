"""
The disk of the control service becomes read-only while it runs.

Linux refuses to make a file system read-only while files on it are open for writing, unless the file system itself
gives up. ZFS can be told to.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flocker_py.testing.certificates import make_cluster
from tests.integration.service_process import running
from tests.integration.test_store_room import DATASETS, LARGE, check_that_it_goes_on, ids
from tests.zfs.pools import temporary_pool

pytestmark = pytest.mark.timeout(400)


def zfs(*arguments: str) -> None:
    subprocess.run(["zfs", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """
    A file system by its name, and where it is mounted.
    """
    with temporary_pool() as pool:
        name, path = f"{pool.name}/control", tmp_path / "disk"
        zfs("create", "-o", f"mountpoint={path}", name)
        yield name, path


def test_read_only_while_it_runs(disk: tuple[str, Path], tmp_path: Path) -> None:
    """
    Changes are refused with the reason, nothing that was acknowledged is lost, and the service goes on by itself when
    the disk can be written again.
    """
    name, path = disk
    certificates = make_cluster(tmp_path / "certificates")
    with running(path / "data", certificates, log=tmp_path / "log") as service:
        check_that_it_goes_on(
            service, lambda: zfs("set", "readonly=on", name), lambda: zfs("set", "readonly=off", name)
        )
        expected = ids(service)
        zfs("set", "readonly=on", name)
        assert service.post(DATASETS, LARGE)[0] == 503
    # It was killed while it could not write.
    zfs("set", "readonly=off", name)
    with running(path / "data", certificates, log=tmp_path / "log") as service:
        assert expected == ids(service)
        assert service.post(DATASETS, LARGE)[0] == 201

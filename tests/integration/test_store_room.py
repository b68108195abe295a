"""
No room, no right to write, no disk: the control service says so, changes nothing, and goes on when it can.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.rest import A
from tests.integration.service_process import Service, refused_start, running

Require = Callable[..., None]

DATASETS = "/v1/configuration/datasets"
LARGE = {"primary": str(A), "metadata": {f"key-{number}": "x" * 200 for number in range(10)}}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def small_disk(tmp_path: Path, require: Require) -> Iterator[Path]:
    """
    A file system with room for 1 MiB.
    """
    require("root")
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        require("mount", f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


def fill(path: Path) -> None:
    """
    Take all the room that there is.
    """
    with pytest.raises(OSError, match="space"), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def ids(service: Service) -> set[str]:
    return {it["dataset_id"] for it in service.get(DATASETS)[1]}


def check_that_it_goes_on(service: Service, stop_room: Callable[[], None], give_room: Callable[[], None]) -> None:
    """
    While nothing can be written, changes are refused with the reason, and later the service goes on by itself.
    """
    status, first = service.post(DATASETS, {"primary": str(A)})
    assert status == 201
    stop_room()
    refused: list[tuple[int, Any]] = [service.post(DATASETS, LARGE) for _ in range(3)]
    told = service.get("/v2/status")[1]["store_error"]
    before = ids(service)
    give_room()
    accepted = service.post(DATASETS, LARGE)
    after = ids(service)

    assert {(503, "StoreFull")} == {(status, body["code"]) for status, body in refused}
    assert all("make room" in body["description"] for _, body in refused)
    assert told["code"] == "StoreFull"
    # What was refused is not there, now or later.
    assert ({first["dataset_id"]}, 201) == (before, accepted[0])
    assert {first["dataset_id"], accepted[1]["dataset_id"]} == after
    assert service.get("/v2/status")[1]["store_error"] is None


class TestRunning:
    """
    The disk becomes full while the service runs.
    """

    def test_limit_of_file_sizes(self, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        While files can't grow, changes are refused with the reason, and the service goes on by itself when they can.
        """
        with running(tmp_path / "data", certificates) as service:
            process_id = service.process.pid

            def stop_room() -> None:
                log = tmp_path / "data" / "store.sqlite-wal"
                resource.prlimit(process_id, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))

            def give_room() -> None:
                resource.prlimit(process_id, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

            check_that_it_goes_on(service, stop_room, give_room)
            expected = ids(service)
        with running(tmp_path / "data", certificates) as service:
            assert expected == ids(service)

    def test_full_disk(self, small_disk: Path, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        The same on a file system that is full.
        """
        with running(small_disk / "data", certificates, log=tmp_path / "log") as service:
            check_that_it_goes_on(service, lambda: fill(small_disk / "ballast"), (small_disk / "ballast").unlink)
            expected = ids(service)
        with running(small_disk / "data", certificates, log=tmp_path / "log") as service:
            assert expected == ids(service)

    def test_backups_that_have_no_room(
        self, small_disk: Path, tmp_path: Path, certificates: ClusterCertificates
    ) -> None:
        """
        Backups that find no room are told of, and don't disturb the service; with room again they are made.
        """
        fill(small_disk / "ballast")
        options = ["--backup-to", str(small_disk / "backups"), "--backup-every", "1s"]
        with running(tmp_path / "data", certificates, *options) as service:
            failed = service.until(lambda: service.get("/v2/status")[1]["backups"]["error"])
            assert service.post(DATASETS, {"primary": str(A)})[0] == 201
            (small_disk / "ballast").unlink()
            made = service.until(lambda: service.get("/v2/status")[1]["backups"]["newest"])
            service.until(lambda: service.get("/v2/status")[1]["backups"]["error"] is None)

        assert (failed["code"], 1) == ("BackupFailed", made["revision"])
        assert str(small_disk / "backups") in failed["text"]


class TestStart:
    """
    It can't be written when the service starts.
    """

    def test_full_disk(self, small_disk: Path, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        On a full disk a service says what, where and what to do; with room again it starts with all that it had.
        """
        with running(small_disk / "data", certificates, log=tmp_path / "log") as service:
            service.post(DATASETS, {"primary": str(A)})
            expected = ids(service)
        (small_disk / "data" / "store.sqlite-shm").unlink(missing_ok=True)
        fill(small_disk / "ballast")
        status, told = refused_start(small_disk / "data", certificates, log=tmp_path / "log")
        (small_disk / "ballast").unlink()

        assert (status, "make room" in told, str(small_disk / "data") in told) == (1, True, True)
        with running(small_disk / "data", certificates, log=tmp_path / "log") as service:
            assert expected == ids(service)

    def test_read_only_disk(self, small_disk: Path, tmp_path: Path, certificates: ClusterCertificates) -> None:
        """
        On a read-only disk a service says so, and nothing is changed.
        """
        with running(small_disk / "data", certificates, log=tmp_path / "log") as service:
            service.post(DATASETS, {"primary": str(A)})
        before = {path.name: path.read_bytes() for path in (small_disk / "data").iterdir()}
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        status, told = refused_start(small_disk / "data", certificates, log=tmp_path / "log")

        assert (status, "Read-only file system" in told, str(small_disk / "data") in told) == (1, True, True)
        assert before == {path.name: path.read_bytes() for path in (small_disk / "data").iterdir()}

    def test_foreign_files(self, tmp_path: Path, certificates: ClusterCertificates, require: Require) -> None:
        """
        A store that belongs to somebody else is refused with the file's name and what to do.
        """
        require("root")
        with running(tmp_path / "data", certificates):
            pass
        os.chown(tmp_path / "data" / "store.sqlite", 65534, 65534)
        # As any other user, root without these may not do what files' modes forbid.
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        status, told = refused_start(tmp_path / "data", certificates, prefix=prefix)

        assert (status, "store.sqlite: Permission denied" in told, "give the files" in told) == (1, True, True)

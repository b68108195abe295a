"""
The harness that runs commands on a ZFS kernel: statuses, outputs, clean endings and power cuts, on real guests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import pytest

from tests.conftest import require
from tests.zfs.harness.choice import is_built

CHECKOUT = Path(__file__).resolve().parents[2]
HARNESS = [sys.executable, str(CHECKOUT / "tests/zfs/harness/zfskernel.py"), "run", "--mem", "1G"]
# QEMU without KVM takes ten times as long: it gets the tests that depend most on the kind of guest.
BOTH_KINDS = pytest.mark.parametrize("kind", ["uml", "qemu"])
DEADLINE_SECONDS = 100.0


def require_guest(kind: Literal["uml", "qemu"]) -> None:
    """
    End the test here if there is no guest of this kind, and none can be booted.
    """
    if "FLOCKER_ZFS_KERNEL" in os.environ:
        require("zfs-guest", "this is a guest itself")
    if not is_built(kind):
        require("zfs-guest", f"its kernel is not built; run tests/zfs/harness/zfskernel.py build --kind {kind}")


def run(*words: str, kind: Literal["uml", "qemu"] = "uml") -> subprocess.CompletedProcess[str]:
    """
    A run of the harness to its end.
    """
    require_guest(kind)
    return subprocess.run(
        [*HARNESS, "--kind", kind, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@contextmanager
def running(
    marker: str, *words: str, kind: Literal["uml", "qemu"] = "uml"
) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """
    A harness whose command has printed a line, and all processes it has started.
    """
    require_guest(kind)
    with subprocess.Popen(
        [*HARNESS, "--kind", kind, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as harness:
        try:
            assert harness.stdout is not None
            assert next((line for line in harness.stdout if line.strip() == marker), None) is not None, "died early"
            yield harness, psutil.Process(harness.pid).children(recursive=True)
        finally:
            harness.kill()


def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """
    Those processes that are still there after a while.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (left := [one for one in processes if _is_alive(one)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.zfs
class TestRun:
    @BOTH_KINDS
    def test_status_and_outputs(self, kind: Literal["uml", "qemu"]) -> None:
        """
        The command's exit status, standard output and standard error come through, each as it is.
        """
        done = run("--", "sh", "-c", "echo to-out; echo to-err >&2; exit 7", kind=kind)

        assert (done.returncode, done.stdout, "to-err\n" in done.stderr) == (7, "to-out\n", True)

    def test_has_zfs(self) -> None:
        """
        The command finds a loaded ZFS module, as root, in the checkout.
        """
        done = run("--", "sh", "-c", "test -c /dev/zfs && zpool list -H && id -u && pwd")

        assert (done.returncode, done.stdout.splitlines()) == (0, ["0", str(CHECKOUT)])

    def test_only_given_folders_are_written(self, tmp_path: Path) -> None:
        """
        What the command writes reaches this machine only in the folder given for it.
        """
        script = f"echo x > $FLOCKER_ZFS_OUT/inside; echo x > {CHECKOUT}/zfs-guest-was-here"
        run("--out", str(tmp_path), "--", "sh", "-c", script)

        assert ((tmp_path / "inside").exists(), (CHECKOUT / "zfs-guest-was-here").exists()) == (True, False)

    def test_out_of_time(self) -> None:
        """
        A command that is out of time is ended, with an exit status of its own and the reason.
        """
        done = run("--timeout", "0.5", "--", "sleep", "1000")

        assert (done.returncode, "did not end within 0.5 s" in done.stderr) == (124, True)

    def test_guest_dies(self) -> None:
        """
        A guest that dies under the command is a failure of its own kind, with the end of the guest's console.
        """
        done = run("--", "sh", "-c", "echo c > /proc/sysrq-trigger; sleep 100")

        assert (done.returncode, "Kernel panic" in done.stderr) == (125, True)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_asked_to_end(self, number: signal.Signals) -> None:
        """
        A harness asked to end leaves no process and says by its status what ended it.
        """
        with running("up", "--", "sh", "-c", "echo up; sleep 1000") as (harness, processes):
            harness.send_signal(number)
            status = harness.wait(DEADLINE_SECONDS)
        left = left_of(processes)

        assert (status, left) == (128 + number, [])

    @BOTH_KINDS
    def test_power_cut(self, tmp_path: Path, kind: Literal["uml", "qemu"]) -> None:
        """
        When the harness is killed, so is every process of the guest, and what was synced to a pool is there afterwards.
        """
        make = (
            'cd "$FLOCKER_ZFS_DISKS"; truncate -s 128M cut.img; '
            'zpool create -O mountpoint=/mnt/cut cut "$PWD/cut.img"; '
            "echo synced > /mnt/cut/file; sync /mnt/cut/file; echo written; sleep 1000"
        )
        look = 'zpool import -f -d "$FLOCKER_ZFS_DISKS/cut.img" cut && zpool status -x && cat /mnt/cut/file'
        with running("written", "--disk-dir", str(tmp_path), "--", "sh", "-c", make, kind=kind) as (harness, processes):
            harness.kill()
        left = left_of(processes)
        after = run("--disk-dir", str(tmp_path), "--", "sh", "-c", look, kind=kind)

        assert (left, after.stdout) == ([], "all pools are healthy\nsynced\n")

"""
Booting the User Mode Linux guest.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.zfs.harness.job import Exited, Failed, Request, TimedOut, job_of, kernel_words, run_folder
from tests.zfs.harness.kernelcache import Built, in_use
from tests.zfs.harness.progress import say
from tests.zfs.harness.session import run_guest

_BOOT_SECONDS = 60.0
# Programs for the guest come from here, not from the run's folder: the kernel's own /dev hides /dev/shm.
_HERE = Path(__file__).resolve().parent
_MAP_COUNT = Path("/proc/sys/vm/max_map_count")
# At the usual 65530, a guest's process that touches 300 MiB here and there is killed: each page is a mapping.
_MAP_COUNT_NEEDED = 1_048_576


def run_in_uml(built: Built, request: Request, cpu_locks: Path) -> Exited | Failed | TimedOut:
    """
    Run a command in a fresh User Mode Linux guest.

    :param cpu_locks: a folder of lock files, by which several guests find a CPU each.
    """
    _raise_map_count()
    modules = next((built.folder / "lib/modules").iterdir())
    with ExitStack() as undo:
        undo.enter_context(in_use(built))
        cpu = undo.enter_context(_own_cpu(cpu_locks))
        folder = undo.enter_context(run_folder(request))
        shares = [{"kind": "hostfs", "name": str(host), "target": str(host)} for host in request.folders.values()]
        words: dict[str, str | Path] = {
            "init": _HERE / "uml-init.sh",
            "FLOCKER_ZFS_GUEST": _HERE / "guest.py",
            "FLOCKER_ZFS_SHARE": "hostfs",
            "FLOCKER_ZFS_CONTROL": folder / "control",
            "FLOCKER_ZFS_OVERLAY": modules / "kernel/fs/overlayfs/overlay.ko",
        }
        guest = [
            "taskset", "-c", str(cpu), str(built.folder / "linux.uml"),
            f"mem={request.memory_bytes >> 20}M", f"uml_dir={folder}/uml", "con=null", "con0=null,fd:1",
            "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
            *(f"ubd{number}={disk}" for number, disk in enumerate(request.disks)),
            *([] if request.tap is None else [f"vec0:transport=tap,ifname={request.tap}"]),
            *kernel_words(words),
        ]  # fmt: skip
        job = job_of(request, "uml", modules, shares, disk_prefix="ubd", network_device="vec0")
        # The guest's memory is a file in TMPDIR.
        return run_guest(guest, folder, request, job, _BOOT_SECONDS, environment={**os.environ, "TMPDIR": str(folder)})


def _raise_map_count() -> None:
    try:
        now = int(_MAP_COUNT.read_text())
        if now < _MAP_COUNT_NEEDED:
            _MAP_COUNT.write_text(str(_MAP_COUNT_NEEDED))
            say(
                f"set vm.max_map_count to {_MAP_COUNT_NEEDED} (was {now}) on this machine; it stays until the next boot"
            )
    except OSError:
        say(
            "vm.max_map_count is low and only root can change it: big processes in the guest may die. As root: "
            f"sysctl vm.max_map_count={_MAP_COUNT_NEEDED}"
        )


@contextmanager
def _own_cpu(locks: Path) -> Iterator[int]:
    """
    A CPU that no other guest is pinned to, if there is one: a UML guest that wanders between CPUs is half as fast.
    """
    locks.mkdir(parents=True, exist_ok=True)
    cpus = sorted(os.sched_getaffinity(0))
    for cpu in reversed(cpus):
        with (locks / f"cpu-{cpu}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield cpu
            return
    yield cpus[os.getpid() % len(cpus)]

"""
What is to be run in a guest: the request, the job file that the guest reads, the folders it needs, and how it can end.
"""

from __future__ import annotations

import os
import shutil
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.zfs.harness.progress import say

# Folders of the guest's own, which hide the host's.
_HIDDEN = ("/dev", "/proc", "/run", "/sys")
_GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Request:
    """
    What to run, and with what.

    :ivar folders: writable folders of the host, by the environment variable that tells the command where they are.
    :ivar timeout_seconds: for the command alone; None: as long as it takes.
    :ivar keep: keep the folder with the job, its output and the guest's console.
    :ivar disks: files that are the guest's disks, in this order named in the guest's `$FLOCKER_ZFS_BLOCK_DEVICES`.
    :ivar tap: a tap device of this network namespace that is the other end of the guest's network device; None: the
        guest has none.
    """

    command: Sequence[str]
    cwd: Path
    folders: Mapping[str, Path]
    timeout_seconds: float | None
    memory_bytes: int
    cpus: int
    keep: bool
    disks: Sequence[Path] = ()
    tap: str | None = None


@dataclass(frozen=True)
class Exited:
    """
    The command ran to its end.
    """

    status: int
    console_trouble: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Failed:
    """
    The command's status is unknown: the guest did not boot, or died before it could report.
    """

    reason: str
    booted: bool


@dataclass(frozen=True)
class TimedOut:
    """
    The command did not end in its time, and was ended with its guest.
    """

    timeout_seconds: float


class UnusableFolder(Exception):
    """
    A folder given is one that the guest can't see or make. Choose one elsewhere.
    """


def job_of(
    request: Request,
    kind: str,
    modules: Path,
    mounts: list[dict[str, str]],
    *,
    disk_prefix: str,
    network_device: str,
) -> dict[str, Any]:
    """
    The job as the guest reads it: the host's environment with what is different in the guest.

    :param modules: the module tree of the guest's kernel, on the host.
    :param mounts: the writable folders: kind of share, its name, where to mount it.
    :param disk_prefix: what its kernel calls disks, up to the letter.
    :param network_device: what its kernel calls its network device.
    """
    program = shutil.which(request.command[0])
    seen = [request.cwd, modules, *([Path(program)] if program else [])]
    environment = {**os.environ, **{name: str(folder) for name, folder in request.folders.items()}}
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET"):
        environment.pop(name, None)
    known = environment.get("PATH", "").split(":")
    environment["PATH"] = ":".join([*known, *(part for part in _GUEST_PATH.split(":") if part not in known)]).strip(":")
    environment["FLOCKER_ZFS_KERNEL"] = kind
    if request.disks:
        environment["FLOCKER_ZFS_BLOCK_DEVICES"] = " ".join(
            f"/dev/{disk_prefix}{letter}" for letter in string.ascii_lowercase[: len(request.disks)]
        )
    if request.tap is not None:
        environment["FLOCKER_ZFS_NETWORK"] = network_device
    return {
        "kind": kind,
        "command": list(request.command),
        "cwd": str(request.cwd),
        "environment": environment,
        "modules": str(modules),
        "mounts": mounts,
        "keep_tmp": any(path.absolute().is_relative_to("/tmp") for path in seen),
    }


def checked_folders(request: Request) -> None:
    """
    See that the guest will find the working directory, and make the writable folders.

    :raises UnusableFolder: if one lies where the guest has folders of its own.
    """
    if (hidden := _hidden_by_guest(request.cwd)) is not None:
        raise UnusableFolder(
            f"the working directory {request.cwd} is under {hidden}, which is the guest's own: move the checkout"
        )
    for disk in request.disks:
        # Both kinds of guest take a comma or a colon for the end of the name.
        if set(str(disk)) & set(",: ") or not disk.is_file():
            raise UnusableFolder(f"{disk} is no file that can be a disk, or has a comma, colon or space in its path")
    for name, folder in request.folders.items():
        if (hidden := _hidden_by_guest(folder)) is not None and not folder.is_relative_to("/dev/shm"):
            raise UnusableFolder(
                f"{folder} (for {name}) is under {hidden}, which is the guest's own: choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)


def _hidden_by_guest(path: Path) -> str | None:
    return next((folder for folder in _HIDDEN if path.resolve().is_relative_to(folder)), None)


def kernel_words(words: Mapping[str, str | Path]) -> list[str]:
    """
    Settings for the first process of a guest, as words of its kernel's command line.

    :raises UnusableFolder: if one holds white space: the kernel would take it apart.
    """
    for name, value in words.items():
        if len(str(value).split()) != 1:
            raise UnusableFolder(f"{value!s} (for {name}) has white space in its path: use a folder without")
    return [f"{name}={value}" for name, value in words.items()]


@contextmanager
def run_folder(request: Request) -> Iterator[Path]:
    """
    A private folder for one run, on a file system that may hold the guest's memory and allows programs.
    """
    folder = Path(tempfile.mkdtemp(prefix="flocker-zfs-", dir=_memory_folder(request.memory_bytes)))
    try:
        (folder / "control").mkdir()
        yield folder
    finally:
        if request.keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _memory_folder(memory_bytes: int) -> Path:
    """
    The first of the usual places that takes the guest's memory (a sparse file there, mapped with execute permission).
    """
    for name in ("/dev/shm", tempfile.gettempdir(), "/var/tmp"):
        try:
            facts = os.statvfs(name)
        except OSError:
            continue
        room_bytes = facts.f_bavail * facts.f_frsize
        if not facts.f_flag & os.ST_NOEXEC and room_bytes >= memory_bytes and os.access(name, os.W_OK):
            if name != "/dev/shm":
                say(
                    f"/dev/shm has no room for the guest's memory ({memory_bytes >> 20} MiB) or forbids programs: "
                    f"using {name}, which is slower"
                )
            return Path(name)
    raise UnusableFolder(
        f"no place for the guest's memory: /dev/shm has less than {memory_bytes >> 20} MiB free; give less with --mem"
    )

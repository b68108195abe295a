"""
Which kernel a command runs on: the machine's own, a User Mode Linux guest, or a QEMU guest; and what each needs.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, assert_never

from tests.zfs.harness import debian
from tests.zfs.harness.debian import NotDebian, PackagesMissing
from tests.zfs.harness.job import Exited, Failed, Request, TimedOut, UnusableFolder, checked_folders
from tests.zfs.harness.kernelcache import Built, cache_folder, newest_built, recipe_hash
from tests.zfs.harness.progress import StepFailed, say, step
from tests.zfs.harness.qemubuild import TOOLS as QEMU_TOOLS
from tests.zfs.harness.qemubuild import qemu_build
from tests.zfs.harness.qemuguest import run_in_qemu
from tests.zfs.harness.umlbuild import uml_build
from tests.zfs.harness.umlguest import run_in_uml

Kind = Literal["host", "uml", "qemu"]
GuestKind = Literal["uml", "qemu"]
_HERE = Path(__file__).parent
_RECIPES: dict[GuestKind, tuple[str, ...]] = {
    "uml": ("umlbuild.py", "symvers.py"),
    "qemu": ("qemubuild.py", "qemu-init.sh"),
}
_TRIAL_BYTES = 1 << 30
# What commands in the guest find on its root, which is this machine's. No part of a built kernel, whose cache may have
# come from another machine.
_USERLAND = ("zfsutils-linux", "python3-pyzfs", "iproute2", "iptables", "nftables")


def cache() -> Path:
    """
    The folder of built kernels for this user.
    """
    return cache_folder(os.environ, Path.home())


def host_has_zfs() -> bool:
    """
    Whether this very process may use a ZFS kernel module that is loaded here.
    """
    if os.geteuid() != 0 or not Path("/dev/zfs").exists():
        return False
    try:
        return (
            subprocess.run(["zpool", "list"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
            == 0
        )
    except FileNotFoundError:
        return False


def ensure_built(kind: GuestKind, *, newest: bool = False) -> Built:
    """
    The built guest of a kind; built now if need be.

    :param newest: look for newer packages too.
    :raises StepFailed: if a step of the build fails; PackagesMissing, NotDebian: if it can't be built here.
    """
    _check_machine()
    _install_packages([*_USERLAND, *(QEMU_TOOLS if kind == "qemu" else ())])
    match kind:
        case "uml":
            return uml_build(cache(), _recipe(kind), again=newest)
        case "qemu":
            return qemu_build(cache(), _recipe(kind), again=newest)
        case _:
            assert_never(kind)


def is_built(kind: GuestKind) -> bool:
    """
    Whether a guest of this kind is there, intact and by this recipe.
    """
    return newest_built(cache() / kind, _recipe(kind)) is not None


def run_on(kind: Kind, request: Request) -> Exited | Failed | TimedOut:
    """
    Run a command on one kind of kernel.
    """
    checked_folders(request)
    match kind:
        case "host":
            if _needs_guest(request):
                raise UnusableFolder("--disk and --tap are for guests: choose another --kind")
            return _run_here(request)
        case "uml":
            return run_in_uml(ensure_built("uml"), request, cache())
        case "qemu":
            return run_in_qemu(ensure_built("qemu"), request)
        case _:
            assert_never(kind)


def run_auto(request: Request) -> Exited | Failed | TimedOut:
    """
    Run a command on the machine's own ZFS, else in User Mode Linux, else (where that doesn't boot) in QEMU.
    """
    if host_has_zfs() and not _needs_guest(request):
        say("this machine has ZFS: running the command right here")
        return run_on("host", request)
    marker = _marker()
    if marker.exists():
        say(f"using QEMU: {marker.read_text().strip()} (zfskernel.py doctor tries again)")
        return run_on("qemu", request)
    outcome = run_on("uml", request)
    if isinstance(outcome, Failed) and not outcome.booted:
        say(outcome.reason)
        say("User Mode Linux did not boot; using QEMU (zfskernel.py doctor finds out whether it can, and remembers)")
        return run_on("qemu", request)
    return outcome


def _needs_guest(request: Request) -> bool:
    return bool(request.disks) or request.tap is not None


def doctor(kinds: Sequence[GuestKind] | None) -> bool:
    """
    Say what works on this machine, by booting; whether anything does.
    """
    say(f"the machine's own ZFS: {'works' if host_has_zfs() else 'none (no module loaded, or not root)'}")
    works = host_has_zfs()
    for kind in kinds or ("uml", "qemu"):
        try:
            built = newest_built(cache() / kind, _recipe(kind))
            say(
                f"{kind}: "
                + (f"built: {built.kernel_version}, ZFS {built.zfs_version}" if built else "not built yet; building")
            )
            with step(f"{kind}: boot, make a pool, halt"):
                outcome = run_on(kind, _trial())
        except (NotDebian, PackagesMissing, StepFailed, UnusableFolder) as failure:
            say(f"{kind}: does not work: {failure}")
            continue
        good = isinstance(outcome, Exited) and outcome.status == 0
        works = works or good
        say(f"{kind}: {'works' if good else f'does not work: {outcome}'}")
        if kind == "uml":
            _remember(good)
    return works


def _remember(boots: bool) -> None:
    if boots:
        _marker().unlink(missing_ok=True)
    else:
        _marker().write_text("User Mode Linux did not work here when the doctor tried\n")


def _trial() -> Request:
    script = (
        "set -e; truncate -s 128M /run/trial.img; zpool create trial /run/trial.img; zfs create trial/one; "
        "zfs snapshot trial/one@a; zpool destroy trial; rm /run/trial.img; zfs version"
    )
    return Request(
        command=["/bin/sh", "-c", script],
        cwd=Path("/"),
        folders={},
        timeout_seconds=60.0,
        memory_bytes=_TRIAL_BYTES,
        cpus=1,
        keep=False,
    )


def _install_packages(names: Sequence[str]) -> None:
    if debian.missing_packages(names):
        cache().mkdir(parents=True, exist_ok=True)
        log = cache() / "packages.log"
        with step("installing what the guest needs on this machine", log):
            debian.prepare_sources("contrib", log)
            debian.install(names, log)


def _run_here(request: Request) -> Exited | TimedOut:
    environment = {
        **os.environ,
        **{name: str(folder) for name, folder in request.folders.items()},
        "FLOCKER_ZFS_KERNEL": "host",
    }
    process = subprocess.Popen(
        list(request.command), cwd=request.cwd, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = process.wait(request.timeout_seconds)
        return Exited(status if status >= 0 else 128 - status)
    except subprocess.TimeoutExpired:
        return TimedOut(request.timeout_seconds or 0.0)
    finally:
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()


def _recipe(kind: GuestKind) -> str:
    return recipe_hash({name: (_HERE / name).read_bytes() for name in _RECIPES[kind]})


def _marker() -> Path:
    """
    Where it is remembered that User Mode Linux does not boot on this processor and kernel.
    """
    facts = "\n".join(
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("model name", "flags"))
    )
    name = hashlib.sha256(f"{facts}\n{platform.release()}".encode()).hexdigest()[:12]
    return cache() / f"uml-does-not-boot-{name}"


def _check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotDebian(f"the guests are for Linux on x86-64, and this is {sys.platform} on {platform.machine()}")

"""
Booting the QEMU guest.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.zfs.harness.job import Exited, Failed, Request, TimedOut, job_of, kernel_words, run_folder
from tests.zfs.harness.kernelcache import Built, in_use
from tests.zfs.harness.progress import say
from tests.zfs.harness.session import run_guest

_BOOT_SECONDS = 240.0
_HERE = Path(__file__).resolve().parent


def run_in_qemu(built: Built, request: Request) -> Exited | Failed | TimedOut:
    """
    Run a command in a fresh QEMU guest: with KVM where this machine has it, else on a processor made of software.
    """
    modules = next((built.folder / "lib/modules").iterdir())
    with in_use(built), run_folder(request) as folder:
        words: dict[str, str | Path] = {
            "FLOCKER_ZFS_GUEST": _HERE / "guest.py",
            "FLOCKER_ZFS_SHARE": "9p",
            "FLOCKER_ZFS_CONTROL": "control",
        }
        folders = {"control": folder / "control"}
        shares: list[dict[str, str]] = []
        for number, host in enumerate(request.folders.values()):
            folders[f"folder{number}"] = host
            shares.append({"kind": "9p", "name": f"folder{number}", "target": str(host)})
        guest = [
            "qemu-system-x86_64",
            *_accelerator(),
            *("-smp", str(request.cpus), "-m", f"{request.memory_bytes >> 20}M"),
            *(
                "-nographic",
                "-no-reboot",
                "-nodefaults",
                "-serial",
                "stdio",
                "-object",
                "rng-random,id=r,filename=/dev/urandom",
            ),
            *("-device", "virtio-rng-pci,rng=r"),
            *("-kernel", str(built.folder / "vmlinuz"), "-initrd", str(built.folder / "initramfs")),
            *("-append", " ".join(["console=ttyS0", "panic=-1", "quiet", *kernel_words(words)])),
            *_share("host", Path("/"), "readonly=on,multidevs=remap"),
            *(word for tag, path in folders.items() for word in _share(tag, path, "multidevs=remap")),
            *(word for disk in request.disks for word in ("-drive", f"file={disk},format=raw,if=virtio")),
            *([] if request.tap is None else ["-netdev", f"tap,id=net,ifname={request.tap},script=no,downscript=no"]),
            *([] if request.tap is None else ["-device", "virtio-net-pci,netdev=net,romfile="]),
        ]
        job = job_of(request, "qemu", modules, shares, disk_prefix="vd", network_device="eth0")
        return run_guest(guest, folder, request, job, _BOOT_SECONDS, environment=os.environ)


def _accelerator() -> list[str]:
    flags = Path("/proc/cpuinfo").read_text().split()
    # A /dev/kvm on a machine without either of these hangs at boot.
    if ("vmx" in flags or "svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    say("no KVM on this machine: the guest's processor is emulated, 10 to 40 times slower")
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


def _share(tag: str, path: Path, options: str) -> list[str]:
    # QEMU wants a comma in a value doubled.
    name = str(path).replace(",", ",,")
    return [
        *("-fsdev", f"local,id={tag},path={name},security_model=none,{options}"),
        *("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]

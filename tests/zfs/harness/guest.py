"""
The guest's side of the harness: runs as process 1 on the host's root, runs one command, reports, powers off.

It talks to the host through files in the control folder, a writable view of a folder of the host: `job.json` says what
to do, `started` appears when the command is about to run, `stdout` and `stderr` grow with its output, `result.json`
holds its exit status. Runs with the distribution's Python, standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_CONTROL = Path("/run/flocker-zfs/control")
_MS_BIND = 0x1000  # linux/mount.h
_POWER_OFF = 0x4321FEDC  # LINUX_REBOOT_CMD_POWER_OFF, linux/reboot.h
# udev(7) makes these; there is none here.
_DEVICE_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}
_PUMP_BYTES = 65536
# A process that the command left behind may hold its output open for ever.
_DRAIN_SECONDS = 3.0

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    # mount(2) rather than mount(8): a folder's name may hold commas and spaces.
    Path(target).mkdir(parents=True, exist_ok=True)
    status = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {data or source} at {target}: {os.strerror(number)}")


def _mount_share(kind: str, name: str, target: str) -> None:
    """
    Make a writable folder of the host visible.

    :param name: for `hostfs` the folder's path on the host, for `9p` the tag QEMU gives it.
    """
    if kind == "9p":
        _mount(name, target, "9p", 0, "trans=virtio,version=9p2000.L,msize=524288,cache=none")
    else:
        _mount("none", target, kind, 0, name)


def _lay_out() -> None:
    """
    The kernel's own file systems, and those in memory, on a root that has only /proc.
    """
    _mount("sysfs", "/sys", "sysfs")
    _mount("devtmpfs", "/dev", "devtmpfs")
    _mount("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666")
    _mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777")
    _mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    Path("/run/lock").mkdir()
    for target, link in _DEVICE_LINKS.items():
        if not os.path.lexists(target):
            Path(target).symlink_to(link)


def _prepare(job: dict[str, Any]) -> None:
    # A checkout beneath /tmp must stay visible; the overlay keeps it writable too.
    if not job["keep_tmp"]:
        _mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777")
    release = os.uname().release
    _mount(job["modules"], f"/lib/modules/{release}", "none", _MS_BIND)
    # The kernel itself asks modprobe for all others (veth, bridge, sch_netem, nf_tables ...) when they are first used.
    subprocess.run(["modprobe", "zfs"], check=True)
    # Nothing here loads the drivers of devices that are found, as udev(7) does. In User Mode Linux they are built in.
    if job["kind"] == "qemu":
        subprocess.run(["modprobe", "--all", "virtio_blk", "virtio_net"], check=True)
    socket.sethostname("flocker-zfs")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    try:
        _mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    except OSError as failure:
        print(f"guest: {failure}", flush=True)
    for mount in job["mounts"]:
        _mount_share(mount["kind"], mount["name"], mount["target"])


def _pump(source: int, path: Path) -> threading.Thread:
    """
    Copy what comes out of a pipe to a file of the host, as it comes.
    """

    def copy() -> None:
        sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        while piece := os.read(source, _PUMP_BYTES):
            view = memoryview(piece)
            while view:
                view = view[os.write(sink, view) :]

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def _run(job: dict[str, Any]) -> int:
    """
    The command's exit status as a shell gives it: 128 and the number of a signal that ended it, 127 if it isn't there.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    pumps = [_pump(out_read, _CONTROL / "stdout"), _pump(err_read, _CONTROL / "stderr")]
    (_CONTROL / "started").touch()
    try:
        command = subprocess.Popen(
            job["command"],
            cwd=job["cwd"],
            env=job["environment"],
            stdin=subprocess.DEVNULL,
            stdout=out_write,
            stderr=err_write,
            start_new_session=True,
        )
    except OSError as failure:
        os.write(err_write, f"guest: cannot run {job['command'][0]}: {failure}\n".encode())
        status = 127 if isinstance(failure, FileNotFoundError) else 126
    else:
        status = _waited_for(command.pid)
    os.close(out_write)
    os.close(err_write)
    deadline = time.monotonic() + _DRAIN_SECONDS
    for pump in pumps:
        pump.join(max(0.0, deadline - time.monotonic()))
    return status


def _waited_for(pid: int) -> int:
    """
    Wait for one process, collecting on the way the orphans that process 1 inherits.
    """
    while True:
        ended, code = os.wait()
        if ended == pid:
            status = os.waitstatus_to_exitcode(code)
            return status if status >= 0 else 128 - status


def main() -> None:
    _lay_out()
    _mount_share(os.environ["FLOCKER_ZFS_SHARE"], os.environ["FLOCKER_ZFS_CONTROL"], str(_CONTROL))
    job = json.loads((_CONTROL / "job.json").read_text())
    try:
        _prepare(job)
        result: dict[str, Any] = {"status": _run(job)}
    except Exception as failure:  # noqa: BLE001 - whatever it was, the host has to hear of it
        result = {"failure": f"{type(failure).__name__}: {failure}"}
    os.sync()
    # Written under another name first: the host must never read half of it.
    (_CONTROL / "result.part").write_text(json.dumps(result))
    (_CONTROL / "result.part").rename(_CONTROL / "result.json")
    os.sync()
    _libc.reboot(_POWER_OFF)


if __name__ == "__main__":
    main()
    sys.exit("the guest could not power itself off")

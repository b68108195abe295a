"""
The `zfs` command, for what libzfs_core has no call for: native properties of a dataset that exists.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from flocker_py.storage import BackendUnavailable, StorageError

# A service's PATH may lack the folders of the administrator's commands.
_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"])


def set_properties(name: str, properties: dict[str, str]) -> None:
    """
    Set properties of a dataset, native ones and user properties, in one transaction: `zfs set` hands them to the kernel
    in one call, which (zfs_set_prop_nvlist in zfs_ioctl.c) gives all those without side effects of their own to one
    synchronous task. If that fails it sets them one by one, in the order given here.

    :raises BackendUnavailable: there is no such command.
    :raises StorageError: it refused; its own words are in the message. Some may be set: look.
    """
    program = shutil.which("zfs", path=_PATH)
    if program is None:
        raise BackendUnavailable("the command zfs is not installed: apt-get install zfsutils-linux")
    done = subprocess.run(
        [program, "set", *(f"{key}={content}" for key, content in properties.items()), name],
        env={"LC_ALL": "C", "PATH": _PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise StorageError(f"zfs set of {', '.join(properties)} on {name} failed: {done.stderr.strip()}")

"""
The `zfs` command, for what libzfs_core has no call for: native properties of a dataset that exists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from flocker_py.storage import BackendUnavailable, StorageError

# A service's PATH may lack the folders of the administrator's commands.
_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"])


def properties(name: str, wanted: Sequence[str]) -> dict[str, str]:
    """
    Properties of a dataset as `zfs get` writes them for programs; ``-`` where it has none of the kind.

    :raises BackendUnavailable: there is no such command.
    :raises StorageError: it refused; its own words are in the message.
    """
    listed = _run(["get", "-Hp", "-o", "property,value", ",".join(wanted), name], f"zfs get of {name}")
    return dict(line.split("\t", 1) for line in listed.splitlines())


def set_properties(name: str, properties: dict[str, str]) -> None:
    """
    Set properties of a dataset, native ones and user properties, in one transaction: `zfs set` hands them to the kernel
    in one call, which (zfs_set_prop_nvlist in zfs_ioctl.c) gives all those without side effects of their own to one
    synchronous task. If that fails it sets them one by one, in the order given here.

    :raises BackendUnavailable: there is no such command.
    :raises StorageError: it refused; its own words are in the message. Some may be set: look.
    """
    changes = [f"{key}={content}" for key, content in properties.items()]
    _run(["set", *changes, name], f"zfs set of {', '.join(properties)} on {name}")


def _run(arguments: Sequence[str], doing: str) -> str:
    program = shutil.which("zfs", path=_PATH)
    if program is None:
        raise BackendUnavailable("the command zfs is not installed: apt-get install zfsutils-linux")
    done = subprocess.run(
        [program, *arguments],
        env={"LC_ALL": "C", "PATH": _PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise StorageError(f"{doing} failed: {done.stderr.strip()}")
    return done.stdout

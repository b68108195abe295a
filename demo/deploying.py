"""
The real flocker-deploy, run as a user would run it, with its output shown.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil

from flocker_admin.devcluster_making import Say
from flocker_py.errors import FlockerError

_CALL = "from flocker_admin.deploy import main; main(prog_name='flocker-deploy')"
_END_SECONDS = 10.0


class DeployFailed(FlockerError):
    """
    flocker-deploy did not do what the file says; its own words are above.
    """


def deploy(file: Path, environment: Mapping[str, str], *, say: Say, timeout_seconds: float) -> None:
    """
    Make the cluster as the file says, and wait until it is so.

    :param environment: leads to the cluster.
    :raises DeployFailed: it isn't so in the end, or in time.
    """
    say(f"$ flocker-deploy {file.name}")
    command = [sys.executable, "-P", "-c", _CALL, f"--timeout={timeout_seconds:g}s", file.name]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=file.parent,
        env={**os.environ, **environment},
        text=True,
        errors="replace",
    ) as process:
        # Its own --timeout comes first, unless it hangs.
        watchdog = threading.Timer(timeout_seconds + _END_SECONDS, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            assert process.stdout is not None  # noqa: S101  # tells type checkers what PIPE means
            for line in process.stdout:
                say(f"  {line.rstrip()}")
            process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            watchdog.cancel()
    if process.returncode != 0:
        raise DeployFailed(f"flocker-deploy {file.name}: exit status {process.returncode}")


def end_children() -> None:
    """
    End what was started here and left running by an interruption. A cluster's programs, which have sessions of their
    own, go on.
    """
    own = os.getpgrp()
    children = [child for child in psutil.Process().children() if _group(child.pid) == own]
    for child in children:
        child.terminate()
    for child in psutil.wait_procs(children, timeout=_END_SECONDS)[1]:
        child.kill()


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None

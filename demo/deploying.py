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
            _end(process)
            raise
        finally:
            watchdog.cancel()
    if process.returncode != 0:
        raise DeployFailed(f"flocker-deploy {file.name}: exit status {process.returncode}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()

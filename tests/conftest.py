"""
What all tests share: skipping where a machine lacks something, unless it was said to be required.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before they are imported: a contract that fails shall say what it saw.
pytest.register_assert_rewrite("flocker_py.testing")

# How fast the machine is at the moment says nothing about the code.
settings.register_profile("flocker", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flocker")

# A shell starts what it runs in the background with SIGINT ignored, and so would be what tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_VARIABLE = "FLOCKER_REQUIRE"

Require = Callable[..., None]


def _zfs_missing() -> str | None:
    return None if Path("/dev/zfs").exists() else "there is no /dev/zfs: the ZFS kernel module is not loaded"


def _docker_missing() -> str | None:
    from tests.engines import docker_missing

    return docker_missing()


def _root_missing() -> str | None:
    return None if os.geteuid() == 0 else "the tests don't run as root"


def _systemd_missing() -> str | None:
    return None if shutil.which("systemd-analyze") else "systemd-analyze is not installed"


def _nftables_missing() -> str | None:
    return None if shutil.which("nft") else "nft is not installed"


def _postgresql_missing() -> str | None:
    from tests.images import postgresql_missing

    return postgresql_missing()


def _podman_missing() -> str | None:
    from tests.podman import podman_missing

    return podman_missing()


def _compose_missing() -> str | None:
    from tests.compose import compose_missing

    return compose_missing()


_PROBES: Mapping[str, Callable[[], str | None]] = {
    "zfs": _zfs_missing,
    "docker": _docker_missing,
    "root": _root_missing,
    "systemd": _systemd_missing,
    "nftables": _nftables_missing,
    "postgresql": _postgresql_missing,
    "podman": _podman_missing,
    "compose": _compose_missing,
}


def require(name: str, missing: str | None = None) -> None:
    """
    End the test here if the machine lacks something: skipped with the reason, or, if the environment variable
    FLOCKER_REQUIRE (names with commas between) has the name, failed.

    :param name: one of ``zfs``, ``docker``, ``root``, ``systemd``, ``nftables``, ``postgresql``, ``podman``,
        ``compose``, or any other together with ``missing``.
    :param missing: why it is known to be lacking; None: look, for the names that can be looked for.
    """
    if missing is None:
        missing = _PROBES[name]()
    if missing is None:
        return
    required = {part.strip() for part in os.environ.get(REQUIRE_VARIABLE, "").split(",")}
    if name in required:
        pytest.fail(f"{REQUIRE_VARIABLE} names {name}, but {missing}", pytrace=False)
    pytest.skip(f"needs {name}: {missing}")


@pytest.fixture(name="require", scope="session")
def require_fixture() -> Require:
    """
    ``require(name)`` or ``require(name, missing)``, as above.
    """
    return require


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """
    Print the figures that tests have recorded as their property ``figures``: the heading, and lines below it.
    """
    for report in terminalreporter.stats.get("passed", []):
        for name, text in getattr(report, "user_properties", ()):
            if name == "figures" and report.when == "call":
                heading, _, lines = str(text).partition("\n")
                terminalreporter.section(heading)
                terminalreporter.write_line(lines)

"""
Debian's package system, as far as the harness needs it: sources, installs, downloads, versions.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.zfs.harness.aptsources import extended_deb822, extended_one_line, normal_uri
from tests.zfs.harness.progress import StepFailed, run_logged, say

_LOCK_WAIT_SECONDS = 900
_APT_GET = ("apt-get", "-o", f"DPkg::Lock::Timeout={_LOCK_WAIT_SECONDS}", "-y", "-q")
_SOURCES_LIST = Path("/etc/apt/sources.list")
_SOURCES_PARTS = Path("/etc/apt/sources.list.d")


class NotDebian(Exception):
    """
    This system is not Debian, or has no source for its packages. Use Debian 12 or later, or a machine that has ZFS.
    """


class PackagesMissing(Exception):
    """
    Debian packages are missing and this user may not install them. Run the command in the text as root, then try again.
    """


def codename() -> str:
    """
    The name of this Debian release, as in `bookworm`.

    :raises NotDebian: on another system.
    """
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    if facts.get("ID") != "debian" or "VERSION_CODENAME" not in facts:
        raise NotDebian("the guest's kernel and modules come from Debian packages, and this system is not Debian")
    return facts["VERSION_CODENAME"].strip('"')


def missing_packages(names: Sequence[str]) -> list[str]:
    """
    Those of the packages that are not installed.
    """
    answer = _output(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], check=False)
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install(names: Sequence[str], log: Path) -> None:
    """
    Install what is missing of the packages, without what they merely recommend.

    :raises PackagesMissing: if something is missing and this is not root.
    :raises StepFailed: if apt-get fails.
    """
    missing = missing_packages(names)
    if not missing:
        return
    command = [*_APT_GET, "install", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise PackagesMissing(
            f"missing Debian packages: {' '.join(missing)}. As root, with component contrib in the apt sources:\n"
            f"    {shlex.join(command)}\nor run this same command (zfskernel.py build) as root once."
        )
    say(f"installing {' '.join(missing)}")
    run_logged(command, log, environment={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, must_finish=True)


def prepare_sources(component: str, log: Path) -> None:
    """
    Make the package index hold a component of this release and of its backports.

    The entries that are there are extended, so that no host's name is needed.
    A file that has to change is kept beside itself with `.save` added to its name, which apt overlooks.

    :raises PackagesMissing: if the sources must change and this is not root.
    :raises NotDebian: if no source is Debian's archive.
    """
    release = codename()
    suite = f"{release}-backports"
    if _indexed(release, component) and _indexed(suite, component):
        # An index of last month names files that the archive no longer has.
        if os.geteuid() == 0:
            _update(log)
        return
    if os.geteuid() != 0:
        raise PackagesMissing(
            f"the apt sources lack component {component} or suite {suite}. Run this same command (zfskernel.py build) "
            f"as root once, or add them to the entries in {_SOURCES_PARTS} and run apt-get update."
        )
    if not _archive_uris():
        _update(log)
    uris = _archive_uris()
    if not uris:
        raise NotDebian(
            "none of the apt sources is Debian's own archive: cannot tell where to add its component contrib"
        )
    for path in (_SOURCES_LIST, *sorted(_SOURCES_PARTS.glob("*.list")), *sorted(_SOURCES_PARTS.glob("*.sources"))):
        if not path.exists():
            continue
        before = path.read_text()
        extended = extended_deb822 if path.suffix == ".sources" else extended_one_line
        after = extended(before, uris, release, component, suite)
        if after != before:
            say(f"adding {component} and {suite} to {path} (the file as it was: {path}.save)")
            shutil.copy2(path, f"{path}.save")
            path.write_text(after)
    _update(log)
    if not _indexed(release, component):
        raise StepFailed(f"after apt-get update there is still no component {component} of {release}: see {log}")


def newest_version(package: str) -> str:
    """
    The highest version of a package that any source offers, backports included.

    :raises StepFailed: if none does.
    """
    best = ""
    for line in _output(["apt-cache", "madison", package]).splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 3 or "Packages" not in fields[2]:
            continue
        if not best or _is_newer(fields[1], best):
            best = fields[1]
    if not best:
        raise StepFailed(
            f"no apt source offers the package {package}; run apt-get update, and see that contrib is among the sources"
        )
    return best


def candidate_version(package: str) -> str:
    """
    The version of a package that apt-get would install: backports only where nothing else has it.

    :raises StepFailed: if no source offers one.
    """
    for line in _output(["apt-cache", "policy", package]).splitlines():
        name, _, version = line.strip().partition(": ")
        if name == "Candidate" and version != "(none)":
            return version
    raise StepFailed(f"no apt source offers the package {package}; run apt-get update, and look at the sources")


def control_field(package: str, version: str, field: str) -> str:
    """
    A control field of one version of a package; empty if it has none.
    """
    for line in _output(["apt-cache", "show", f"{package}={version}"]).splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return ""


def download(package: str, version: str, folder: Path, log: Path) -> Path:
    """
    Fetch the file of one version of a package into a folder, verified by apt.

    :raises StepFailed: if it can't be had.
    """
    # Without this option apt-get warns for folders that its own user can't write to.
    run_logged([*_APT_GET, "-o", "APT::Sandbox::User=root", "download", f"{package}={version}"], log, cwd=folder)
    return next(folder.glob(f"{package}_*.deb"))


def unpack(package: Path, folder: Path, log: Path) -> None:
    """
    Lay out a package's files under a folder.
    """
    run_logged(["dpkg-deb", "-x", str(package), str(folder)], log)


def _is_newer(version: str, than: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", version, "gt", than], check=False).returncode == 0


def _index_targets(template: str) -> list[str]:
    return _output(["apt-get", "indextargets", "--format", template, "Created-By: Packages"]).splitlines()


def _archive_uris() -> set[str]:
    rows = (line.split("|") for line in _index_targets("$(REPO_URI)|$(ORIGIN)|$(LABEL)"))
    return {normal_uri(row[0]) for row in rows if row[1] == "Debian" and row[2] in {"Debian", "Debian-Security"}}


def _indexed(suite: str, component: str) -> bool:
    rows = _index_targets("$(CODENAME)|$(COMPONENT)|$(ORIGIN)")
    # The backports' origin is "Debian Backports".
    return any(row.startswith(f"{suite}|{component}|Debian") for row in rows)


def _update(log: Path) -> None:
    """
    Refresh the package index; wait while another process does: DPkg::Lock::Timeout doesn't cover the lists' lock.
    """
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            run_logged([*_APT_GET, "update"], log)
        except StepFailed as failure:
            if "/var/lib/apt/lists/lock" not in str(failure) or time.monotonic() > deadline:
                raise
            say("another process refreshes the package index; waiting for it")
            time.sleep(3)
        else:
            return


def _output(command: Sequence[str], *, check: bool = True) -> str:
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as missing:
        raise NotDebian(
            f"there is no {command[0]} on this system: the guest's kernel and modules come from Debian packages"
        ) from missing
    if check and answer.returncode != 0:
        raise StepFailed(f"`{shlex.join(command)}` failed with status {answer.returncode}: {answer.stderr.strip()}")
    return answer.stdout

"""
The files of a local cluster: made once, and made whole again where an earlier attempt was cut short.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from flocker_admin.ca import create, initialize, opened_authority
from flocker_admin.devcluster_layout import (
    AUTHORITY_FOLDER,
    CLUSTER_FILE,
    CONTROL,
    CONTROL_ADDRESS,
    DEPLOYMENT_FILE,
    ENVIRONMENT_FILE,
    LOCK_FILE,
    MOUNT_FOLDER,
    SETTINGS_FILE,
    STORAGE_FOLDER,
    USER_FOLDER,
    DevCluster,
    agent_settings,
    environment_text,
    sample_deployment,
)
from flocker_py.credentials import AUTHORITY_FILE
from flocker_py.errors import FlockerError
from flocker_py.identity import CONTROL_NAME, ControlIdentity, Identity, NodeIdentity, UserIdentity
from flocker_py.issuing import AUTHORITY_LIFETIME_DAYS, LEAF_LIFETIME_DAYS, KeyedCertificate
from flocker_py.wire import from_text, to_text

_LOCK_WAIT_SECONDS = 120.0
_LOCK_LOOK_SECONDS = 0.1


class ClusterMissing(FlockerError):
    """
    There is no local cluster in that folder. Make one with flocker-devcluster up, or name another with --directory.
    """

    lasting = True


class FolderTaken(FlockerError):
    """
    A local cluster is made in a new or empty folder only, so that nothing else is ever removed with it. Name another
    with --directory.
    """

    lasting = True


class ClusterBusy(FlockerError):
    """
    Another flocker-devcluster command is at work on this cluster. Wait until it has ended.
    """


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Alone with a cluster's files. The folder is made if it is not there.

    :raises ClusterBusy: another command does not end.
    :raises FolderTaken: the folder holds what is not a cluster's.
    """
    if not (folder / CLUSTER_FILE).exists() and _taken(folder):
        raise FolderTaken(f"{folder} is not empty and holds no cluster")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ClusterBusy(str(folder)) from None
                time.sleep(_LOCK_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def read_cluster(folder: Path) -> DevCluster:
    """
    The cluster in a folder.

    :raises ClusterMissing: there is none.
    :raises WireError: its file was damaged.
    """
    try:
        return from_text(DevCluster, (folder / CLUSTER_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ClusterMissing(str(folder)) from None


def write_cluster(cluster: DevCluster, folder: Path) -> None:
    """
    Remember a cluster, and put what its programs need where they look for it. What is there already stays, but for the
    files that follow from the cluster.
    """
    _write(folder / CLUSTER_FILE, to_text(cluster))
    authority = _authority(cluster, folder / AUTHORITY_FOLDER)
    authority_path = folder / AUTHORITY_FOLDER / AUTHORITY_FILE
    roles: list[tuple[str, str, Identity]] = [
        (USER_FOLDER, "user", UserIdentity(name="user")),
        (CONTROL, CONTROL_NAME, ControlIdentity()),
        *((node.name, "node", NodeIdentity(node_id=node.node_id)) for node in cluster.nodes),
    ]
    for folder_name, file_name, identity in roles:
        _issue(authority, authority_path, folder / folder_name, file_name, identity)
    for node in cluster.nodes:
        for name in (MOUNT_FOLDER, *(() if node.pool else (STORAGE_FOLDER,))):
            (folder / node.name / name).mkdir(mode=0o700, exist_ok=True)
        _write(folder / node.name / SETTINGS_FILE, agent_settings(cluster, node, folder / node.name))
    _write(folder / ENVIRONMENT_FILE, environment_text(cluster, folder))
    if not (folder / DEPLOYMENT_FILE).exists():
        _write(folder / DEPLOYMENT_FILE, sample_deployment(cluster))


def remove_files(cluster: DevCluster, folder: Path) -> None:
    """
    Remove all files of a cluster, its volumes too, and the folder if nothing else is in it.
    """
    ours = [AUTHORITY_FOLDER, USER_FOLDER, *cluster.program_names, DEPLOYMENT_FILE, ENVIRONMENT_FILE]
    # Last what says that the folder is ours: cut short, this can be done again.
    for name in (*ours, CLUSTER_FILE, LOCK_FILE):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            _make_removable(path)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _taken(folder: Path) -> bool:
    try:
        return any(entry.name != LOCK_FILE for entry in folder.iterdir())
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def _authority(cluster: DevCluster, folder: Path) -> KeyedCertificate:
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / AUTHORITY_FILE).exists():
        _clear(folder)
        initialize(folder, "devcluster", cluster.cluster_id, datetime.now(UTC), AUTHORITY_LIFETIME_DAYS)
    return opened_authority(folder)


def _issue(authority: KeyedCertificate, authority_path: Path, folder: Path, name: str, identity: Identity) -> None:
    """
    A credential in a folder of its own, as programs look for it; the certificate comes last.
    """
    if (folder / f"{name}.crt").exists():
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    for leftover in (*folder.glob("*.crt"), *folder.glob("*.key")):
        leftover.unlink()
    hosts = [CONTROL_ADDRESS, "localhost"] if isinstance(identity, ControlIdentity) else []
    files = create(
        authority, folder, identity, datetime.now(UTC), LEAF_LIFETIME_DAYS, ledger=authority_path.parent, hosts=hosts
    )
    shutil.copyfile(authority_path, folder / AUTHORITY_FILE)
    files.key_path.rename(folder / f"{name}.key")
    files.certificate_path.rename(folder / f"{name}.crt")


def _clear(folder: Path) -> None:
    for leftover in folder.iterdir():
        leftover.unlink()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)


def _make_removable(path: Path) -> None:
    """
    Applications may have made folders that even their owner can't look into.
    """
    for parent, folders, _ in os.walk(path):
        for name in folders:
            folder = Path(parent, name)
            if not folder.is_symlink():
                folder.chmod(0o700)

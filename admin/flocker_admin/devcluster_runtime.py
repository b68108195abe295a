"""
What a local cluster runs its applications with: as plain processes, or as containers of this machine's Docker Engine,
which all of its nodes share.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import AF_UNIX
from socket import socket as Socket  # noqa: N812  # what is called socket here is an address
from typing import Any

from flocker_admin.devcluster_layout import AUTO, DOCKER, PROCESS, DevCluster, docker_name, grants_path
from flocker_py.errors import FlockerError

RUNTIMES = (AUTO, PROCESS, DOCKER)
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_ANSWER_SECONDS = 10


class DockerMissing(FlockerError):
    """
    Docker Engine can't be used here. Take --runtime process, which needs nothing; or provide what the message names.
    """

    lasting = True


class NetworkRefused(FlockerError):
    """
    The cluster's network of Docker can't be removed: what Docker says is in the message. Correct that, then try again.
    """


def docker_socket() -> str:
    """
    Where Docker Engine listens, as Docker's own tools take it.
    """
    return os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET


def docker_missing(socket: str) -> str | None:
    """
    Why a cluster here can't run containers of Docker, or None if it can.
    """
    if not socket.startswith("unix:///"):
        return f"DOCKER_HOST is {socket}: an agent needs the engine of its own host, at unix:///…"
    path = socket.removeprefix("unix://")
    # Where nobody listens, the SDK leaves a socket open.
    with Socket(AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            return f"no engine listens at {path}: {error.strerror}"
    from docker.errors import DockerException

    try:
        with engine(socket) as client:
            client.ping()
    except (DockerException, OSError) as error:
        return f"the engine at {path} does not answer: {error}"
    return None if os.geteuid() == 0 else "volumes of containers belong to root, and so must the agents"


def chosen_runtime(wanted: str, socket: str) -> tuple[str, str]:
    """
    The runtime to take, and why.

    :param wanted: one of ``RUNTIMES``.
    :raises DockerMissing: Docker is wanted by name, and can't be had.
    """
    if wanted == PROCESS:
        return PROCESS, "as asked"
    missing = docker_missing(socket)
    if missing is None:
        return DOCKER, "as asked" if wanted == DOCKER else "this machine has Docker"
    if wanted == DOCKER:
        raise DockerMissing(missing)
    return PROCESS, f"no Docker: {missing}"


@contextmanager
def engine(socket: str) -> Iterator[Any]:
    """
    A client of the engine.

    :raises docker.errors.DockerException: it doesn't answer.
    """
    # Slow to load, and only few commands need it.
    import docker

    client = docker.APIClient(base_url=socket, version="auto", timeout=_ANSWER_SECONDS)
    try:
        yield client
    finally:
        client.close()


def forget_runtime(cluster: DevCluster) -> None:
    """
    Remove what is left of a cluster whose containers have ended: in Docker, and in memory. Harmless if nothing is.

    :raises NetworkRefused: Docker doesn't.
    """
    if cluster.docker is None:
        return
    from docker.errors import DockerException, NotFound

    try:
        with engine(cluster.docker) as client, suppress(NotFound):
            client.remove_network(docker_name(cluster))
    except (DockerException, OSError) as error:
        raise NetworkRefused(f"network {docker_name(cluster)}: {error}") from error
    shutil.rmtree(grants_path(cluster), ignore_errors=True)

"""
The container runtimes by name, and how ``agent.yml`` chooses one.

.. code-block:: yaml

   runtime:
     backend: process
     state_path: /var/lib/flocker/runtime

===========  ===============  =====================================================================
backend      key              what it says
===========  ===============  =====================================================================
``process``  state_path       folder that belongs to this agent alone, absolute; default as above
``process``  log_bytes        when a container's log is put aside, 4096 or more; default 16 MiB
``docker``   state_path       as above
``docker``   socket           where Docker Engine listens; default ``unix:///var/run/docker.sock``
``docker``   network          the network of the containers, made if there is none; ``flocker``
``docker``   credentials      a ``config.json`` of Docker, with what private registries ask for
``docker``   grants_path      folder on a file system in memory; default ``/run/flocker/docker``
``docker``   changed_by_hand  ``repair`` it while it runs, the default; or only ``show`` it
``memory``                    there are no keys; its containers end with the agent: for tests
===========  ===============  =====================================================================
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flocker_agent.runtime.docker import DEFAULT_GRANTS_PATH, DEFAULT_NETWORK, DockerRuntime
from flocker_agent.runtime.docker_engine import DEFAULT_SOCKET, DockerEngine
from flocker_agent.runtime.docker_grants import in_memory
from flocker_agent.runtime.memory import MemoryHost, MemoryRuntime
from flocker_agent.runtime.process import DEFAULT_LOG_BYTES, ProcessRuntime
from flocker_py.errors import FlockerError
from flocker_py.runtime import Runtime

DEFAULT_BACKEND = "process"
DEFAULT_STATE_PATH = "/var/lib/flocker/runtime"
_LEAST_LOG_BYTES = 4096
_REPAIR, _SHOW = "repair", "show"


class RuntimeSettingsWrong(FlockerError):
    """
    The part ``runtime`` of agent.yml can't be used. Correct it and start the agent again.
    """

    lasting = True


def opened_runtime(settings: object) -> Runtime:
    """
    The runtime that the part ``runtime`` of ``agent.yml`` asks for.

    :param settings: whatever is written there; None: nothing is.
    :raises RuntimeSettingsWrong: naming the key, what is wrong with it, and what it may be.
    :raises OSError: its folder can't be made.
    """
    if settings is not None and not isinstance(settings, Mapping):
        raise RuntimeSettingsWrong(f"runtime: must be a mapping with the key backend, not {settings!r}")
    rest = dict(settings or {})
    backend = rest.pop("backend", DEFAULT_BACKEND)
    if not isinstance(backend, str) or backend not in RUNTIMES:
        raise RuntimeSettingsWrong(f"runtime.backend: no runtime {backend!r}; there are: {', '.join(sorted(RUNTIMES))}")
    return RUNTIMES[backend](rest)


def _process(settings: dict[str, Any]) -> Runtime:
    state_path = _path(settings, "state_path", DEFAULT_STATE_PATH)
    log_bytes = settings.pop("log_bytes", DEFAULT_LOG_BYTES)
    _refuse_others(settings, known=("state_path", "log_bytes"))
    if type(log_bytes) is not int or log_bytes < _LEAST_LOG_BYTES:
        raise RuntimeSettingsWrong(f"runtime.log_bytes: must be a number from {_LEAST_LOG_BYTES} on, not {log_bytes!r}")
    return ProcessRuntime(state_path, log_bytes=log_bytes)


def _docker(settings: dict[str, Any]) -> Runtime:
    known = ("state_path", "socket", "network", "credentials", "grants_path", "changed_by_hand")
    state_path = _path(settings, "state_path", DEFAULT_STATE_PATH)
    grants_path = _path(settings, "grants_path", DEFAULT_GRANTS_PATH)
    credentials = None if settings.get("credentials") is None else _path(settings, "credentials", "")
    socket = settings.pop("socket", DEFAULT_SOCKET)
    network = settings.pop("network", DEFAULT_NETWORK)
    changed_by_hand = settings.pop("changed_by_hand", _REPAIR)
    settings.pop("credentials", None)
    _refuse_others(settings, known=known)
    if not isinstance(socket, str) or not socket.startswith("unix:///"):
        raise RuntimeSettingsWrong(f"runtime.socket: must be unix:// and an absolute path, not {socket!r}")
    if not isinstance(network, str) or not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", network):
        raise RuntimeSettingsWrong(f"runtime.network: must be the name of a network of Docker, not {network!r}")
    if changed_by_hand not in (_REPAIR, _SHOW):
        raise RuntimeSettingsWrong(f"runtime.changed_by_hand: must be repair or show, not {changed_by_hand!r}")
    if credentials is not None:
        _refuse_open(credentials)
    engine = DockerEngine(socket, credentials_path=None if credentials is None else str(credentials))
    if not in_memory(grants_path):
        raise RuntimeSettingsWrong(
            f"runtime.grants_path: {grants_path} is on a disk; what Docker may start must be forgotten when the host"
            " boots, so name a folder on a file system in memory, such as /dev/shm/flocker"
        )
    put_back = changed_by_hand == _REPAIR
    return DockerRuntime(engine, state_path, grants_path=grants_path, network=network, put_back=put_back)


def _path(settings: dict[str, Any], key: str, default: str) -> Path:
    path = settings.pop(key, default)
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise RuntimeSettingsWrong(f"runtime.{key}: must be an absolute path, not {path!r}")
    return Path(path)


def _refuse_open(credentials: Path) -> None:
    try:
        about = credentials.stat()
    except OSError as error:
        raise RuntimeSettingsWrong(f"runtime.credentials: {credentials} can't be read: {error.strerror}") from error
    if stat.S_IMODE(about.st_mode) & 0o077:
        raise RuntimeSettingsWrong(f"runtime.credentials: {credentials} can be read by others; chmod 600 {credentials}")


def _memory(settings: dict[str, Any]) -> Runtime:
    _refuse_others(settings, known=())
    return MemoryRuntime(MemoryHost())


def _refuse_others(settings: Mapping[str, Any], *, known: tuple[str, ...]) -> None:
    if settings:
        allowed = ", ".join(("backend", *known))
        raise RuntimeSettingsWrong(f"runtime.{min(settings, key=str)}: is unknown; there are: {allowed}")


RUNTIMES: Mapping[str, Callable[[dict[str, Any]], Runtime]] = {
    "process": _process,
    "docker": _docker,
    "memory": _memory,
}

"""
The container runtimes by name, and how ``agent.yml`` chooses one.

.. code-block:: yaml

   runtime:
     backend: process
     state_path: /var/lib/flocker/runtime

===========  ==========  ======================================================================
backend      key         what it says
===========  ==========  ======================================================================
``process``  state_path  folder that belongs to this agent alone, absolute; default as above
``process``  log_bytes   when a container's log is put aside, 4096 or more; default 16 MiB
``memory``               there are no keys; its containers end with the agent: for tests
===========  ==========  ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flocker_agent.runtime.memory import MemoryHost, MemoryRuntime
from flocker_agent.runtime.process import DEFAULT_LOG_BYTES, ProcessRuntime
from flocker_py.errors import FlockerError
from flocker_py.runtime import Runtime

DEFAULT_BACKEND = "process"
DEFAULT_STATE_PATH = "/var/lib/flocker/runtime"
_LEAST_LOG_BYTES = 4096


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
    state_path = settings.pop("state_path", DEFAULT_STATE_PATH)
    log_bytes = settings.pop("log_bytes", DEFAULT_LOG_BYTES)
    _refuse_others(settings, known=("state_path", "log_bytes"))
    if not isinstance(state_path, str) or not Path(state_path).is_absolute():
        raise RuntimeSettingsWrong(f"runtime.state_path: must be an absolute path, not {state_path!r}")
    if type(log_bytes) is not int or log_bytes < _LEAST_LOG_BYTES:
        raise RuntimeSettingsWrong(f"runtime.log_bytes: must be a number from {_LEAST_LOG_BYTES} on, not {log_bytes!r}")
    return ProcessRuntime(Path(state_path), log_bytes=log_bytes)


def _memory(settings: dict[str, Any]) -> Runtime:
    _refuse_others(settings, known=())
    return MemoryRuntime(MemoryHost())


def _refuse_others(settings: Mapping[str, Any], *, known: tuple[str, ...]) -> None:
    if settings:
        allowed = ", ".join(("backend", *known))
        raise RuntimeSettingsWrong(f"runtime.{min(settings, key=str)}: is unknown; there are: {allowed}")


RUNTIMES: Mapping[str, Callable[[dict[str, Any]], Runtime]] = {"process": _process, "memory": _memory}

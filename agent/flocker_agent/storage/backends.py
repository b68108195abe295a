"""
The storage backends by name, and what each needs of ``dataset`` in ``agent.yml``.

==============  ==========================================================================================
``backend``     further keys
==============  ==========================================================================================
``zfs``         ``pool``; ``mount_root`` (``/flocker``); ``volume_config_path`` of Flocker is taken and ignored
``directory``   ``root_path``; ``mount_root`` (``/flocker``)
``memory``      ``capacity_bytes`` and ``mount_root``, for tests: all is lost when the agent ends
==============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flocker_py.errors import FlockerError
from flocker_py.records import Record, value
from flocker_py.storage import Storage

DEFAULT_MOUNT_ROOT = "/flocker"
_DEFAULT_CAPACITY_BYTES = 1 << 40


class BackendRefused(FlockerError):
    """
    ``dataset`` in agent.yml names no storage backend, or not what the backend needs. Correct what the message names,
    and start the agent again.
    """

    lasting = True


class BackendKeys(Record):
    """
    One backend's keys.

    :param needed: must be given. :param taken: may be. :param opened: opens it.
    """

    needed: frozenset[str] = value(frozenset)
    taken: frozenset[str] = value(frozenset)
    opened: Callable[[Mapping[str, Any]], Storage] = value(object)


def _zfs(settings: Mapping[str, Any]) -> Storage:
    # Only here: its library is not on every host.
    from flocker_agent.storage.zfs import ZfsStorage

    return ZfsStorage(pool=settings["pool"], mount_root=_path(settings, "mount_root"))


def _directory(settings: Mapping[str, Any]) -> Storage:
    from flocker_agent.storage.directory import DirectoryStorage

    return DirectoryStorage(_path(settings, "root_path"), _path(settings, "mount_root"))


def _memory(settings: Mapping[str, Any]) -> Storage:
    from flocker_agent.storage.memory import MemoryPool, MemoryStorage

    capacity_bytes = settings.get("capacity_bytes", _DEFAULT_CAPACITY_BYTES)
    if type(capacity_bytes) is not int or capacity_bytes <= 0:
        raise BackendRefused(f"dataset.capacity_bytes: {capacity_bytes!r} is no number of bytes")
    return MemoryStorage(MemoryPool(capacity_bytes, _path(settings, "mount_root")))


BACKENDS: Mapping[str, BackendKeys] = {
    "zfs": BackendKeys(needed=frozenset({"pool"}), taken=frozenset({"mount_root", "volume_config_path"}), opened=_zfs),
    "directory": BackendKeys(needed=frozenset({"root_path"}), taken=frozenset({"mount_root"}), opened=_directory),
    "memory": BackendKeys(needed=frozenset(), taken=frozenset({"capacity_bytes", "mount_root"}), opened=_memory),
}


def opened_storage(backend: str, settings: Mapping[str, Any]) -> Storage:
    """
    Open a pool as ``agent.yml`` says.

    :param backend: its name.
    :param settings: the further keys of ``dataset``.
    :raises BackendRefused: there is no such backend, a key that it needs is missing, or one is unknown to it; all are
        named.
    :raises StorageError: the backend can't work here, or the pool can't be opened.
    """
    keys = BACKENDS.get(backend)
    if keys is None:
        raise BackendRefused(f"dataset.backend: {backend!r} is none of {', '.join(sorted(BACKENDS))}")
    complaints = [f"{name} is missing" for name in sorted(keys.needed - settings.keys())]
    complaints += [f"{name} is unknown" for name in sorted(settings.keys() - keys.needed - keys.taken)]
    texts = (keys.needed | keys.taken) - {"capacity_bytes"}
    complaints += [
        f"{name} must be a text, not {settings[name]!r}"
        for name in sorted(texts & settings.keys())
        if not isinstance(settings[name], str) or not settings[name]
    ]
    if complaints:
        raise BackendRefused(f"dataset, for the backend {backend}: {'; '.join(complaints)}")
    return keys.opened(settings)


def _path(settings: Mapping[str, Any], name: str) -> Path:
    path = Path(settings.get(name, DEFAULT_MOUNT_ROOT))
    if not path.is_absolute():
        raise BackendRefused(f"dataset.{name}: {path} is not an absolute path")
    return path

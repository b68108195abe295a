"""
The storage backends by their names in ``agent.yml``, and what each needs there.

=============  =====================================================================================
backend        keys
=============  =====================================================================================
``zfs``        ``pool``; ``mount_root`` (``/flocker``); ``volume_config_path`` is the ancestor's, and ignored
``directory``  ``root_path``; ``mount_root`` (``/flocker``)
=============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flocker_py.errors import FlockerError
from flocker_py.storage import Storage

DEFAULT_MOUNT_ROOT = "/flocker"
_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # The ancestor's agent.yml has volume_config_path: a file of its own bookkeeping, which we keep in the pool.
    "zfs": (("pool",), ("mount_root", "volume_config_path")),
    "directory": (("root_path",), ("mount_root",)),
}


class BackendSettingsWrong(FlockerError):
    """
    The section ``dataset`` of agent.yml can't be used. Correct it, and start the agent again.
    """

    lasting = True


def opened_storage(backend: str, settings: Mapping[str, Any]) -> Storage:
    """
    The storage that agent.yml asks for, opened.

    :raises BackendSettingsWrong: the backend is unknown, or a key is missing, wrong or unknown.
    :raises StorageError: the backend can't be opened.
    """
    if backend not in _KEYS:
        raise BackendSettingsWrong(f"dataset: there is no backend {backend!r}; there are {', '.join(sorted(_KEYS))}")
    needed, optional = _KEYS[backend]
    complaints = [f"{key} is missing" for key in needed if key not in settings]
    complaints += [f"{key} is not a key of backend {backend}" for key in settings if key not in needed + optional]
    complaints += [f"{key} must be text" for key, text in settings.items() if not isinstance(text, str) or not text]
    if complaints:
        raise BackendSettingsWrong(f"dataset: {'; '.join(complaints)}")
    mount_root = Path(settings.get("mount_root", DEFAULT_MOUNT_ROOT))
    if not mount_root.is_absolute():
        raise BackendSettingsWrong(f"dataset: mount_root must be an absolute path, not {str(mount_root)!r}")
    if backend == "zfs":
        from flocker_agent.storage.zfs import ZfsStorage

        return ZfsStorage(settings["pool"], mount_root)
    from flocker_agent.storage.directory import DirectoryStorage

    return DirectoryStorage(Path(settings["root_path"]), mount_root)

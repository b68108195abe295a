"""
libzfs_core, found and loaded when it is first needed, with its errors in the words of the storage protocol.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    DatasetDiverged,
    DatasetExists,
    DatasetMissing,
    KeyUnavailable,
    NameRefused,
    PoolFull,
    PoolMissing,
    PropertyRefused,
    SnapshotExists,
    SnapshotHeld,
    SnapshotMissing,
    StorageError,
    StreamCorrupt,
    StreamCut,
    WrongBase,
)

_MODULE = "libzfs_core"
DIST_PACKAGES = Path("/usr/lib/python3/dist-packages")
_INSTALL = "apt-get install zfsutils-linux python3-pyzfs (component contrib of Debian)"

# By name, so that this table can be read where libzfs_core isn't installed. Classes that are not here are looked up by
# their parents, and then by errno below. ZCPSpaceError is ENOSPC too, but of a program's memory, or of the pool: only
# the caller can tell.
_BY_CLASS: Mapping[str, type[StorageError]] = {
    "ZFSInitializationFailed": BackendUnavailable,
    "ZCPPermissionError": BackendUnavailable,
    "PoolNotFound": PoolMissing,
    "NoSpace": PoolFull,
    "QuotaExceeded": PoolFull,
    "ParentNotFound": DatasetMissing,
    "FilesystemNotFound": DatasetMissing,
    "SnapshotNotFound": SnapshotMissing,
    "DatasetNotFound": DatasetMissing,
    "FilesystemExists": DatasetExists,
    "SnapshotExists": SnapshotExists,
    "BookmarkExists": SnapshotExists,
    "DatasetExists": DatasetExists,
    "SnapshotIsCloned": DatasetBusy,
    "SnapshotIsHeld": SnapshotHeld,
    "DatasetBusy": DatasetBusy,
    "SnapshotMismatch": WrongBase,
    "StreamMismatch": WrongBase,
    "DestinationModified": DatasetDiverged,
    "StreamTruncated": StreamCut,
    "BadStream": StreamCorrupt,
    "StreamFeatureInvalid": StreamCorrupt,
    "NameInvalid": NameRefused,
    "NameTooLong": NameRefused,
    "PropertyInvalid": PropertyRefused,
    "EncryptionKeyNotLoaded": KeyUnavailable,
}

# For errors that say nothing but their number: StreamIOError, ZFSGenericError.
_BY_ERRNO: Mapping[int, type[StorageError]] = {
    errno.ENOENT: DatasetMissing,
    errno.EEXIST: DatasetExists,
    errno.EBUSY: DatasetBusy,
    errno.ENOSPC: PoolFull,
    errno.EDQUOT: PoolFull,
    errno.EACCES: KeyUnavailable,
    errno.ENAMETOOLONG: NameRefused,
    # The reader of a pipe is gone. 2.3 says EINTR: the writing thread was sent SIGPIPE.
    errno.EPIPE: StreamCut,
    errno.EINTR: StreamCut,
}

# ZFS_ERR_FROM_IVSET_GUID_MISSING and _MISMATCH in sys/fs/zfs.h: a raw increment on something else than its raw base.
_IVSET_ERRNOS = (1034, 1035)


def storage_error(error: Exception, what: str, said: Mapping[str, type[StorageError]] | None = None) -> StorageError:
    """
    What an error of libzfs_core means to a caller of the protocol.

    :param what: what was being done to which thing.
    :param said: classes of libzfs_core that mean something else in this call, by name.
    """
    table = {**_BY_CLASS, **(said or {})}
    first = (getattr(error, "errors", None) or [error])[0]
    number = getattr(first, "errno", None)
    found = next((table[kind.__name__] for kind in type(first).__mro__ if kind.__name__ in table), None)
    if found is None and number in _IVSET_ERRNOS:
        found = WrongBase
    if found is None and number is not None:
        found = _BY_ERRNO.get(number)
    details = getattr(first, "details", None)
    said_in_program = "" if details is None else f": {details!r}"
    reason = f"{getattr(first, 'message', first)} (errno {number}, {type(first).__name__}{said_in_program})"
    return (found or StorageError)(f"{what}: {reason}")


class ZfsCore:
    """
    The calls of libzfs_core. They block in C, without Python's global lock.

    :param dist_packages: where Debian puts modules for its own Python; looked in if a plain import fails.
    :raises BackendUnavailable: the library, its Python binding or the kernel module is missing, or we aren't root.
    """

    def __init__(self, dist_packages: Path = DIST_PACKAGES) -> None:
        self._module: Any = _loaded(dist_packages)
        try:
            # Any first call opens /dev/zfs.
            self._module.lzc_exists(b"none")
        except OSError as error:
            raise BackendUnavailable(f"the C library libzfs_core can't be loaded ({error}): {_INSTALL}") from error
        except self._module.exceptions.ZFSInitializationFailed as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise BackendUnavailable("/dev/zfs can't be opened: run as root") from error
            raise BackendUnavailable(
                f"the ZFS kernel module is not loaded (errno {error.errno}): modprobe zfs; if there is none, "
                "apt-get install zfs-dkms (component contrib of Debian)"
            ) from error

    def call(
        self,
        function: str,
        *arguments: Any,
        doing: str,
        said: Mapping[str, type[StorageError]] | None = None,
        **options: Any,
    ) -> Any:
        """
        Call a function of libzfs_core.

        :param doing: what it does to which thing, for the message of an error.
        :param said: as for ``storage_error``.
        :raises StorageError: what the table makes of its error.
        """
        try:
            return getattr(self._module, function)(*arguments, **options)
        except self._module.exceptions.ZFSError as error:
            raise storage_error(error, doing, said) from error

    def begin_record(self, header_pipe: int) -> Any:
        """
        The first record of a stream, as the receiving functions want it.

        :param header_pipe: a pipe that holds exactly that record already.
        """
        return self._module.receive_header(header_pipe)[1]


def _loaded(dist_packages: Path) -> ModuleType:
    try:
        module = importlib.import_module(_MODULE)
    except ImportError:
        # A virtual environment doesn't see the distribution's packages. Only this one is loaded from there: with the
        # whole folder on sys.path, all sorts of others would be found in the place of the environment's own.
        module = _loaded_from(dist_packages / _MODULE)
    # Not named by the package's __init__.
    importlib.import_module(f"{_MODULE}.exceptions")
    return module


def _loaded_from(package: Path) -> ModuleType:
    start = package / "__init__.py"
    if not start.exists():
        raise BackendUnavailable(f"Python's binding to libzfs_core is neither importable nor in {package}: {_INSTALL}")
    spec = importlib.util.spec_from_file_location(_MODULE, start, submodule_search_locations=[str(package)])
    if spec is None or spec.loader is None:
        raise BackendUnavailable(f"{start} can't be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[_MODULE]
        raise BackendUnavailable(f"libzfs_core in {package} can't be loaded ({error}): pip install cffi") from error
    return module

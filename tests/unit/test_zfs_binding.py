"""
Finding libzfs_core, and what its errors mean.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flocker_agent.storage.zfs import ZfsStorage
from flocker_agent.storage.zfs_binding import ZfsCore, storage_error
from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    DatasetMissing,
    PoolFull,
    StorageError,
    StreamCut,
    WrongBase,
)

EXCEPTIONS = """
class ZFSError(Exception):
    errno = None
    message = None

class ZFSInitializationFailed(ZFSError):
    def __init__(self, errno):
        self.errno = errno
"""


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    As if libzfs_core had never been imported, and could not be found by importing; all as before at the end.
    """
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "libzfs_core"}
    for name in kept:
        del sys.modules[name]
    monkeypatch.setitem(sys.modules, "libzfs_core", None)
    yield
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.partition(".")[0] == "libzfs_core"]:
        del sys.modules[name]
    sys.modules.update(kept)


def package(folder: Path, start: str) -> Path:
    """
    A folder of a distribution's packages, with a binding in it and something that must not be found.
    """
    (folder / "libzfs_core").mkdir()
    (folder / "libzfs_core" / "__init__.py").write_text(start)
    (folder / "libzfs_core" / "exceptions.py").write_text(EXCEPTIONS)
    (folder / "not_to_be_found.py").write_text("")
    return folder


class TestLoading:
    def test_binding_missing(self, tmp_path: Path) -> None:
        """
        Without the binding, the message says what to install.
        """
        with pytest.raises(BackendUnavailable, match="apt-get install zfsutils-linux python3-pyzfs"):
            ZfsCore(tmp_path)

    def test_cffi_missing(self, tmp_path: Path) -> None:
        """
        Where the binding is there but can't be loaded, the message says why.
        """
        with pytest.raises(BackendUnavailable, match=r"No module named 'no_cffi'.*pip install cffi"):
            ZfsCore(package(tmp_path, "import no_cffi"))

    def test_library_missing(self, tmp_path: Path) -> None:
        """
        Where the C library is missing, the message says so.
        """
        start = "def lzc_exists(name): raise OSError('cannot load library zfs_core')"

        with pytest.raises(BackendUnavailable, match=r"cannot load library zfs_core.*apt-get install"):
            ZfsCore(package(tmp_path, start))

    @pytest.mark.parametrize(("number", "remedy"), [(errno.ENOENT, "modprobe zfs"), (errno.EACCES, "run as root")])
    def test_kernel_refuses(self, tmp_path: Path, number: int, remedy: str) -> None:
        """
        Without the kernel module, or as an ordinary user, the message says what to do.
        """
        start = f"from . import exceptions\ndef lzc_exists(name): raise exceptions.ZFSInitializationFailed({number})"

        with pytest.raises(BackendUnavailable, match=remedy):
            ZfsCore(package(tmp_path, start))

    def test_nothing_else_is_found(self, tmp_path: Path) -> None:
        """
        Loading the distribution's binding does not bring in its other packages.
        """
        ZfsCore(package(tmp_path, "def lzc_exists(name): return False"))

        with pytest.raises(ModuleNotFoundError):
            __import__("not_to_be_found")

    def test_on_this_machine(self) -> None:
        """
        A machine without ZFS says so when the backend is asked for, not when its module is imported.
        """
        if Path("/dev/zfs").exists():
            pytest.skip("this machine has ZFS")

        with pytest.raises(BackendUnavailable, match=r"modprobe zfs|apt-get install"):
            ZfsStorage("tank")


def lzc_error(name: str, number: int | None, parent: type[Exception] = Exception, **more: object) -> Exception:
    """
    An error as libzfs_core raises it.
    """
    error = type(name, (parent,), {"errno": number, "message": "said the library", **more})()
    assert isinstance(error, Exception)
    return error


class TestStorageError:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (lzc_error("NoSpace", errno.ENOSPC), PoolFull),
            (lzc_error("Unheard", errno.EBADSLT, type("FilesystemNotFound", (Exception,), {})), DatasetMissing),
            (lzc_error("StreamIOError", errno.EPIPE), StreamCut),
            (lzc_error("StreamIOError", errno.EINTR), StreamCut),
            (lzc_error("StreamIOError", 1035), WrongBase),
            (lzc_error("ZFSGenericError", errno.EBUSY), DatasetBusy),
            (lzc_error("SuspendedPool", errno.EAGAIN), StorageError),
            (lzc_error("SnapshotFailure", 1, errors=[lzc_error("NoSpace", errno.ENOSPC)]), PoolFull),
        ],
        ids=lambda each: type(each).__name__ if isinstance(each, Exception) else each.__name__,
    )
    def test_class(self, error: Exception, expected: type[StorageError]) -> None:
        """
        An error means what its class says, else its parent's, else its number; one of several, the first.
        """
        assert type(storage_error(error, "doing")) is expected

    def test_said(self) -> None:
        """
        A call can say what a class means there.
        """
        found = storage_error(lzc_error("SnapshotIsHeld", errno.EBUSY), "doing", {"SnapshotIsHeld": DatasetBusy})

        assert type(found) is DatasetBusy

    def test_message(self) -> None:
        """
        The message says what was being done, and all that the library said.
        """
        error = lzc_error("ZCPRuntimeError", 44, details=b"line 5")

        assert str(storage_error(error, "listing pool tank")) == (
            "listing pool tank: said the library (errno 44, ZCPRuntimeError: b'line 5')"
        )

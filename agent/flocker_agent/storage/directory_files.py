"""
Durable small steps on a file system: what the directory backend does its writing with.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flocker_py.storage import PoolFull, StorageError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_COPY_BYTES = 1024 * 1024
# fallocate(2): FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_PUNCH = 0x01 | 0x02
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
IS_ROOT = os.geteuid() == 0


@contextmanager
def told(what: str) -> Iterator[None]:
    """
    Tell what the operating system refuses in our own words.

    :param what: which thing it is about.
    :raises PoolFull: there is no room.
    :raises StorageError: anything else.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        where = "" if error.filename is None else f" ({os.fsdecode(error.filename)})"
        message = f"{what}{where}: {error.strerror}"
        raise PoolFull(message) if error.errno in _NO_ROOM else StorageError(message) from error


def sync_folder(path: Path | str) -> None:
    """
    Make the names in a folder durable.
    """
    folder = os.open(path, FOLDER_FLAGS)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sync_file_system(descriptor: int) -> None:
    """
    Make all of the file system durable that a descriptor is on.
    """
    if _libc.syncfs(descriptor) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write_durably(path: Path, content: bytes) -> None:
    """
    Put content in the place of a file, at once: whoever reads it, after whatever mishap, reads the old or the new.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_tree(path: Path | str) -> None:
    """
    Remove a folder with all that is in it, even folders in it that their owner closed to himself. One that isn't there
    is harmless.
    """
    if not os.path.lexists(path):
        return
    if not IS_ROOT:
        for folder, names, _ in os.walk(path):
            os.chmod(folder, 0o700)
            for name in names:
                inner = os.path.join(folder, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)
    shutil.rmtree(path)


def open_folder(root: int, path: bytes, *, make_way: bool = False) -> int:
    """
    Open a folder below another, following no link on the way.

    :param root: descriptor of the one that the path begins in.
    :param make_way: open folders to their owner that he closed to himself; for who restores their modes later.
    :returns: a descriptor, the caller's to close.
    :raises OSError: ``ENOTDIR`` or ``ELOOP``, something on the way is no folder.
    """
    folder = os.open(b".", FOLDER_FLAGS, dir_fd=root)
    for name in path.split(b"/") if path else ():
        try:
            try:
                inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
            except PermissionError:
                if not make_way:
                    raise
                os.chmod(name, 0o700, dir_fd=folder)
                inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def below(folder: int, name: bytes) -> bytes:
    """
    A path by which calls that take no folder's descriptor reach a name in it. Whether it is a link is the caller's
    matter.
    """
    return b"/proc/self/fd/%d/%s" % (folder, name)


def remove_below(folder: int, name: bytes) -> None:
    """
    Remove whatever has a name in a folder; nothing having it is harmless.
    """
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        if not IS_ROOT:
            remove_tree(os.fsdecode(below(folder, name)))
        else:
            shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def copy_range(source: int, source_offset: int, target: int, target_offset: int, length: int) -> int:
    """
    Copy bytes from file to file, in the kernel and by sharing where it can.

    :returns: how many; fewer than asked if the source ends before.
    """
    copied = 0
    while copied < length:
        try:
            count = os.copy_file_range(source, target, length - copied, source_offset + copied, target_offset + copied)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            # Across file systems, or where the kernel can't: through our own memory.
            part = os.pread(source, min(length - copied, _COPY_BYTES), source_offset + copied)
            count = write_all(target, part, target_offset + copied)
        if count == 0:
            break
        copied += count
    return copied


def copy_durably(source: Path, target: Path) -> None:
    """
    Make a file that has another's content. Its name is made durable by whoever syncs the folder.
    """
    with source.open("rb") as reading, target.open("xb") as writing:
        size = os.fstat(reading.fileno()).st_size
        copy_range(reading.fileno(), 0, writing.fileno(), 0, size)
        os.fsync(writing.fileno())


def write_all(target: int, content: bytes | memoryview, offset: int) -> int:
    """
    Write all of something at a place in a file.

    :returns: how many bytes that was.
    """
    rest = memoryview(content)
    while rest:
        written = os.pwrite(target, rest, offset)
        offset += written
        rest = rest[written:]
    return len(content)


def punch(target: int, offset: int, length: int) -> None:
    """
    Make a range of a file zeros that take no room; where the file system can't, zeros that do.
    """
    if length > 0 and _libc.fallocate(target, _PUNCH, offset, length) != 0:
        zeros = bytes(min(length, _COPY_BYTES))
        for position in range(offset, offset + length, len(zeros)):
            write_all(target, zeros[: offset + length - position], position)


def release(target: int, offset: int, length: int) -> None:
    """
    Give back the room of a range that nobody will read again; where the file system can't, nothing happens.
    """
    if length > 0:
        _libc.fallocate(target, _PUNCH, offset, length)

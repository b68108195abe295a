"""
Replace a file as a whole, so that readers and crashes find the old content or the new.

Loaded by every supervisor: it imports only ``os``.
"""

from __future__ import annotations

import os

_NEW = ".new"


def replace_text(path: str, text: str) -> None:
    """
    Give a file new content, whole, readable by nobody else. It isn't forced to the disk: after a power cut there may be
    an empty file, which readers take for damage.

    :raises OSError: there is no room for it; the old content is untouched.
    """
    try:
        _write(path + _NEW, text, os.O_CREAT | os.O_TRUNC)
        os.rename(path + _NEW, path)  # noqa: PTH104  # pathlib is slow to load
    except OSError:
        _forget(path + _NEW)
        raise


def overwrite_text(path: str, text: str) -> None:
    """
    As ``replace_text``, but if the disk is full, write over the old content, which has room already. Only for a text of
    less than a block (512 bytes), and only where one who reads it half written does no harm.

    :raises OSError: there is no room for it, and there was no such file.
    """
    try:
        replace_text(path, text)
    except OSError:
        _write(path, text, 0)


def _write(path: str, text: str, flags: int) -> None:
    data = text.encode(errors="surrogateescape")
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        written = 0
        while written < len(data):
            written += os.write(file, data[written:])
        os.ftruncate(file, written)
    finally:
        os.close(file)


def _forget(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        pass

"""
The plugin's socket: one that systemd gives, or its own.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from flocker_py.errors import FlockerError


class SocketUnavailable(FlockerError):
    """
    The plugin can't listen for Docker. End whatever else listens there, or name another socket with --socket.
    """

    lasting = True


def listen(reactor: Any, path: Path, factory: Factory[Any]) -> Callable[[], Deferred[None] | None]:
    """
    Listen for Docker: where systemd says, or else at a path. Nobody but root, or who runs the plugin, can connect to a
    socket that is made here.

    :returns: what to call in the end.
    :raises SocketUnavailable: that can't be.
    """
    try:
        # Twisted has taken what systemd says out of the environment when it was imported.
        endpoint: Any = serverFromString(reactor, "systemd:domain=UNIX:index=0")  # type: ignore[no-untyped-call]
    except IndexError:
        listening: Callable[[], Deferred[None] | None] = _own(reactor, path, factory).stopListening
        return listening
    # It has a result at once.
    port = endpoint.listen(factory).result
    if isinstance(port, Failure):
        raise SocketUnavailable(f"the socket that systemd gives: {port.getErrorMessage()}")
    # Stopped in any other way, it would take systemd's socket off the file system, and Docker would find it no more.
    ignored: Callable[[], None] = port.stopReading
    return ignored


def _own(reactor: Any, path: Path, factory: Factory[Any]) -> Any:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_left_over(path)
        before = os.umask(0o177)
        try:
            return reactor.listenUNIX(str(path), factory, mode=0o600)
        finally:
            os.umask(before)
    except CannotListenError as error:
        raise SocketUnavailable(f"{path}: {error.socketError}") from error
    except OSError as error:
        raise SocketUnavailable(f"{path}: {error.strerror or error}") from error


def _remove_left_over(path: Path) -> None:
    """
    Remove the socket of a plugin that was killed.

    :raises OSError: something listens there, or it is no socket.
    """
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise OSError(errno.EEXIST, "there is something else than a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
    raise OSError(errno.EADDRINUSE, "something listens there already")

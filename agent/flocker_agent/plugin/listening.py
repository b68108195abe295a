"""
The plugin's socket: one that systemd gives, or its own.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.python.systemd import ListenFDs

from flocker_py.errors import FlockerError


class SocketUnavailable(FlockerError):
    """
    The plugin can't listen for Docker. End whatever else listens there, or name another socket with --socket.
    """

    lasting = True


def listen(reactor: Any, path: Path, factory: Factory[Any], environment: MutableMapping[str, str]) -> Any:
    """
    Listen for Docker. Nobody but root, or who runs the plugin, can connect to a socket that is made here.

    :param environment: of the process: systemd says there that it gives a socket, which is taken instead.
    :returns: a port of Twisted's.
    :raises SocketUnavailable: that can't be.
    """
    given = ListenFDs.fromEnvironment(environment).inheritedDescriptors()
    if given:
        try:
            return reactor.adoptStreamPort(given[0], socket.AF_UNIX, factory)
        finally:
            # It has been duplicated.
            os.close(given[0])
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

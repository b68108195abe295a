"""
Start one program as a child that cannot outlive its supervisor.

Loaded by every supervisor: ``signal`` would add a third to the time that loading takes (2025-11), so the C library is
asked directly.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping

# prctl(2)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
# signal(7)
_SIGKILL = 9
_SIGTERM = 15
_HIGHEST_SIGNAL = 64
_SIG_DFL = None
_SIG_BLOCK = 0
_SIG_SETMASK = 2
_SIGNAL_SET_BYTES = 128

_NOT_FOUND_STATUS = 127
_NOT_EXECUTABLE_STATUS = 126

_libc = ctypes.CDLL(None, use_errno=True)
_libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_libc.signal.restype = ctypes.c_void_p


class LaunchFailed(Exception):
    """
    The program could not be executed.

    :param number: errno.
    :param what: what was tried.
    """

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"{what}: {os.strerror(number)}")
        self.number = number

    @property
    def exit_status(self) -> int:
        """
        What a shell answers for this.
        """
        return _NOT_FOUND_STATUS if self.number == errno.ENOENT else _NOT_EXECUTABLE_STATUS


def adopt_orphans() -> None:
    """
    Make all processes that come from this one its children when their parents end, however they detach themselves.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def block_termination() -> None:
    """
    Let a request of the system to end wait until somebody unblocks SIGTERM.
    """
    blocked = bytearray(_SIGNAL_SET_BYTES)
    blocked[(_SIGTERM - 1) // 8] |= 1 << ((_SIGTERM - 1) % 8)
    _libc.sigprocmask(_SIG_BLOCK, bytes(blocked), None)


def show_as(name: str) -> None:
    """
    Let process lists show this process under a name, of which they keep 15 bytes.
    """
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()))


def launch(command: tuple[str, ...], environment: Mapping[str, str], *, folder: str, output: int) -> int:
    """
    Start a program in a session of its own. The kernel kills it when this process ends.

    :param environment: all of it; a command without a slash is looked for on its ``PATH``.
    :param output: file descriptor of its standard output and error.
    :returns: the child's process id, once it executes the program.
    :raises LaunchFailed: it could not be executed.
    """
    supervisor = os.getpid()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(command, environment, folder=folder, output=output, supervisor=supervisor, report=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        report = pipe.read()
    if report:
        os.waitpid(pid, 0)
        number, _, what = report.decode(errors="surrogateescape").partition(" ")
        raise LaunchFailed(int(number), what)
    return pid


def _become(
    command: tuple[str, ...], environment: Mapping[str, str], *, folder: str, output: int, supervisor: int, report: int
) -> None:
    step = f"entering {folder}"
    try:
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != supervisor:
            os._exit(_NOT_EXECUTABLE_STATUS)
        os.setsid()
        os.umask(0o022)
        _default_signals()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        step = f"executing {command[0]}"
        _execute(command, environment)
    except OSError as error:
        os.write(report, f"{error.errno} {step}".encode(errors="surrogateescape"))
    finally:
        os._exit(_NOT_EXECUTABLE_STATUS)


def _default_signals() -> None:
    # Ignored signals stay ignored over execve(2), and Python ignores SIGPIPE.
    for number in range(1, _HIGHEST_SIGNAL + 1):
        _libc.signal(number, _SIG_DFL)
    _libc.sigprocmask(_SIG_SETMASK, bytes(_SIGNAL_SET_BYTES), None)


def _execute(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    # As execvpe(3) does it; os.execvpe loads more modules.
    if "/" in command[0]:
        os.execve(command[0], command, environment)  # noqa: S606  # no shell is wanted
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in environment.get("PATH", "").split(":"):
        try:
            os.execve(f"{folder or '.'}/{command[0]}", command, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error
    raise failure


def _prctl(option: int, value: object) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")

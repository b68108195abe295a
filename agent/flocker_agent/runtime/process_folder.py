"""
The folder of one container: who holds it, how its run is going, and the supervisor that is started and asked there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flocker_agent.runtime.process_ending import process_handle, send
from flocker_agent.runtime.process_files import (
    CONTROL_PIPE,
    DEFINITION_FILE,
    EXITED,
    LEASED_FILE,
    LOCK_FILE,
    RUN_FILE,
    STATUS_FILE,
    STOP_FILE,
    STOPPING,
    TOKEN_VARIABLE,
    FileDamaged,
    Run,
    Status,
    StopRequest,
)
from flocker_agent.runtime.process_table import SUSPENDED, boot_id, process_entry
from flocker_agent.runtime.process_writing import overwrite_text, replace_text
from flocker_py.model import Container
from flocker_py.upgrade import FormatTooNew
from flocker_py.wire import WireError, from_text, to_text

# Where the package flocker_agent is found: the supervisor's Python looks nowhere else but in its own library.
_SOURCE_ROOT = Path(__file__).parents[2]
_BECOME_SUPERVISOR = (
    "import sys; sys.path.append(sys.argv.pop(1)); from flocker_agent.runtime.process_supervisor import main; main()"
)
# struct flock of fcntl(2): l_type, l_whence, l_start, l_len, l_pid.
_LOCK_REQUEST = "hhqqi4x"
_WHOLE_FILE = struct.pack(_LOCK_REQUEST, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_BRIEFLY_SECONDS = 0.001
_STARTED = b"started"
_FAILED = b"failed "


class ProcessFolder:
    """
    The folder of one container, there or not.

    :param path: of the folder.
    :param trash: a folder of the same file system, for what is being removed.
    """

    def __init__(self, path: Path, *, trash: Path) -> None:
        self._path = path
        self._trash = trash

    def create(self) -> None:
        """
        Make it, with what does not change in it. Harmless if it is there.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mkfifo(self._path / CONTROL_PIPE, 0o600)

    def exists(self) -> bool:
        """
        Whether it is there, which doesn't mean that it holds a container.
        """
        return self._path.exists()

    def held(self) -> bool:
        """
        Whether a supervisor, or one who is starting it, holds the container. Looking takes no lock, so that it can't be
        mistaken for one.
        """
        try:
            lock = os.open(self._path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            answer = fcntl.fcntl(lock, fcntl.F_OFD_GETLK, _WHOLE_FILE)
        finally:
            os.close(lock)
        found: int = struct.unpack(_LOCK_REQUEST, answer)[0]
        return found != fcntl.F_UNLCK

    @contextmanager
    def holding(self) -> Iterator[int | None]:
        """
        Hold the container, unless somebody does.

        :returns: the descriptor that holds it, which may be handed to a supervisor; None: somebody else does.
        """
        # Looked at first: to watchers, closing the file after opening it for writing looks like a supervisor's end.
        if self.held():
            yield None
            return
        try:
            lock = os.open(self._path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            # Whoever held it until now has removed the folder.
            yield None
            return
        try:
            try:
                fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _WHOLE_FILE)
            except BlockingIOError:
                yield None
            else:
                # Whoever held it until now may have removed the folder.
                yield lock if self._is_lock(lock) else None
        finally:
            os.close(lock)

    def definition(self) -> Container | None:
        """
        What the container was started as; None: there is none, or its start never came to a supervisor before the host
        lost its power.

        :raises FormatTooNew: a newer version wrote it.
        """
        text = self._read(DEFINITION_FILE)
        try:
            return None if text is None else from_text(Container, text)
        except WireError:
            return None

    def run(self) -> Run | None:
        """
        What the last supervisor was started with.
        """
        text = self._read(RUN_FILE)
        try:
            return None if text is None else Run.from_text(text)
        except FileDamaged:
            return None

    def status(self, run: Run | None) -> Status | None:
        """
        How a run is going, as its supervisor wrote it last; None: it never had one, or has none yet.
        """
        text = self._read(STATUS_FILE)
        try:
            status = None if text is None else Status.from_text(text)
        except FileDamaged:
            return None
        return status if run is not None and status is not None and status.token == run.token else None

    def write_status(self, status: Status) -> None:
        """
        Write down how a run ended whose supervisor can't.
        """
        overwrite_text(str(self._path / STATUS_FILE), status.to_text())

    def bind_to_lease(self, *, leased: bool) -> None:
        """
        Write down whether the container ends with the lease of the node.

        :raises OSError: there is no room for it.
        """
        if leased:
            os.close(_open_private(str(self._path / LEASED_FILE), os.O_WRONLY | os.O_CREAT))
        else:
            (self._path / LEASED_FILE).unlink(missing_ok=True)

    def spawn(self, container: Container, run: Run, lock: int, *, leased: bool) -> str | None:
        """
        Start a supervisor and wait until it has executed the application.

        :param lock: holds the container, and is handed on.
        :param leased: it ends with the lease of the node.
        :returns: None, or why the application could not be executed.
        :raises OSError: there is no room for what the supervisor needs to know, or the host can't run it.
        """
        self.bind_to_lease(leased=leased)
        # The definition comes last: only with it is there a container.
        self._replace(RUN_FILE, run.to_text())
        self._replace(DEFINITION_FILE, to_text(container))
        arguments = ["-I", "-S", "-X", "utf8", "-c", _BECOME_SUPERVISOR, str(_SOURCE_ROOT), str(self._path), str(lock)]
        with (
            os.fdopen(_open_private(run.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as log,
            subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                # The mark is there from the first moment, in what a killed supervisor was about to execute too.
                env={TOKEN_VARIABLE: run.token},
                pass_fds=(lock,),
                start_new_session=True,
            ) as first,
        ):
            report, _ = first.communicate()
        if report == _STARTED:
            return None
        if report.startswith(_FAILED):
            return report.removeprefix(_FAILED).decode(errors="surrogateescape")
        return f"its supervisor ended before it could say more than is in {run.log_path}"

    def ask_to_stop(self, run: Run, *, grace_seconds: float) -> None:
        """
        Let the supervisor, if there is one, end this run.
        """
        request = StopRequest(token=run.token, grace_seconds=grace_seconds)
        try:
            self._replace(STOP_FILE, request.to_text())
            self.wake_supervisor()
        except OSError:
            # The disk is full. A signal needs no room; it says no grace period, which is the definition's then.
            self._signal_supervisor(run, signal.SIGTERM)

    def wake_supervisor(self) -> None:
        """
        Let the supervisor, if there is one, look at what was written for it.

        :raises OSError: there is no pipe to it.
        """
        try:
            control = os.open(self._path / CONTROL_PIPE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            # Nobody reads the pipe yet; who begins to, looks at what is written first.
            if error.errno == errno.ENXIO:
                return
            raise
        try:
            os.write(control, b"\n")
        except BlockingIOError:
            pass  # full of such bytes
        finally:
            os.close(control)

    def released(self, run: Run, *, timeout_seconds: float) -> bool:
        """
        Wait until nobody holds the container.

        :param run: of the supervisor that holds it.
        :returns: whether it came to that in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while self.held():
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0:
                return False
            if not self._supervisor_ended(run, timeout_seconds=remaining_seconds):
                # Just starting, or gone but for the last moment.
                time.sleep(_BRIEFLY_SECONDS)
        return True

    def supervised(self, run: Run) -> bool:
        """
        Whether the supervisor of a run is alive.
        """
        with self._supervisor(run) as handle:
            return handle is not None

    def kill_silent_supervisor(self, run: Run) -> bool:
        """
        End a supervisor that doesn't answer a request to stop, or was suspended. The kernel kills its application with
        it.

        :returns: whether it was so; one that answers and waits for the kernel to end something is left to it.
        """
        status = self.status(run)
        if status is None:
            return False
        entry = process_entry(status.supervisor)
        if status.phase in (EXITED, STOPPING) and entry is not None and entry.state not in SUSPENDED:
            return False
        self._signal_supervisor(run, signal.SIGKILL)
        return True

    def clear(self) -> None:
        """
        Remove it, at one stroke. The caller holds the container.
        """
        grave = self._trash / uuid.uuid4().hex
        self._path.rename(grave)
        shutil.rmtree(grave)

    def clear_undefined(self) -> None:
        """
        Remove it if it holds no container, nor is about to: as after a power cut, which can leave files of zeros.
        """
        try:
            defined = self.definition() is not None
        except FormatTooNew:
            return
        if not defined:
            with self.holding() as lock:
                if lock is not None and self.definition() is None:
                    self.clear()

    def _is_lock(self, lock: int) -> bool:
        try:
            return os.path.samestat(os.fstat(lock), (self._path / LOCK_FILE).stat())
        except FileNotFoundError:
            return False

    def _signal_supervisor(self, run: Run, number: signal.Signals) -> None:
        status = self.status(run)
        if status is not None and status.boot == boot_id():
            send(status.supervisor, status.supervisor_ticks, (number,))

    def _supervisor_ended(self, run: Run, *, timeout_seconds: float) -> bool:
        with self._supervisor(run) as handle:
            if handle is None:
                return False
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(timeout_seconds * 1000))

    @contextmanager
    def _supervisor(self, run: Run) -> Iterator[int | None]:
        status = self.status(run)
        if status is None or status.boot != boot_id():
            yield None
            return
        handle = process_handle(status.supervisor, status.supervisor_ticks)
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def _read(self, name: str) -> str | None:
        try:
            return (self._path / name).read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None

    def _replace(self, name: str, text: str) -> None:
        replace_text(str(self._path / name), text)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)

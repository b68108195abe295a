"""
The supervisor of one container: a small process of its own, which lives as long as anything of the container does.

The runtime starts it (``flocker_agent.runtime.process_folder``), after which it needs nobody: an agent that is killed
or replaced changes nothing for it. It adopts whatever the application leaves behind, so that "ended" means that nothing
of it runs. When the supervisor itself is killed, the kernel kills the application with it.

Its start is part of every application's downtime. So it loads little, and what it needs only later, it loads when the
application runs.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from flocker_agent.runtime.process_files import (
    CONTROL_PIPE,
    EXITED,
    LEASE_FROM_CONTAINER,
    LEASED_FILE,
    RUN_FILE,
    RUNNING,
    STARTING,
    STATUS_FILE,
    STOP_FILE,
    STOPPING,
    FileDamaged,
    Lease,
    Run,
    Status,
    StopRequest,
)
from flocker_agent.runtime.process_launch import LaunchFailed, adopt_orphans, block_termination, launch, show_as
from flocker_agent.runtime.process_log import BoundedLog
from flocker_agent.runtime.process_policy import next_wait_seconds, starts_again
from flocker_agent.runtime.process_table import boot_id, descendants, process_entry, process_table
from flocker_agent.runtime.process_writing import overwrite_text

_READ_BYTES = 1 << 16
# Between two looks for processes that escaped a kill by being made meanwhile; doubled each time, as one may hang in
# the kernel for long.
_KILL_AGAIN_SECONDS = 0.02
_KILL_AGAIN_AT_MOST_SECONDS = 1.0
_WRITE_AGAIN_SECONDS = 1.0
# The clock of leases goes on while the host is suspended, poll(2)'s doesn't: so it is looked at that often.
_LOOK_AT_CLOCK_SECONDS = 1.0
# As flocker_py.leases.FENCE_GRACE_SECONDS, a test sees to that; loading that would take longer.
FENCE_GRACE_SECONDS = 2.0


def main() -> None:
    """
    Become the supervisor of the container whose folder and locked lock file (a descriptor) are the arguments.

    Standard output tells the one who waits how the first start went: ``started``, or ``failed`` and why.
    """
    folder, lock = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(lock, False)
    if os.fork():
        os._exit(0)
    block_termination()
    os.umask(0o077)
    os.chdir(folder)
    show_as("flocker-run")
    adopt_orphans()
    with open(RUN_FILE, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123  # pathlib is slow to load
        run = Run.from_text(file.read())
    supervisor = _Supervisor(run)
    try:
        supervisor.begin()
    except LaunchFailed as failure:
        supervisor.finish_unstarted(failure.exit_status)
        _report(f"failed {failure}")
    else:
        _report("started")
        supervisor.supervise()
    # The lock is let go of here, without waiting for Python to tidy up.
    os._exit(0)


def _report(text: str) -> None:
    try:
        os.write(1, text.encode(errors="surrogateescape"))
    except BrokenPipeError:
        pass  # the agent that started us is gone; the status says the same to the next
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)


class _Supervisor:
    def __init__(self, run: Run) -> None:
        own = process_entry(os.getpid())
        assert own is not None  # noqa: S101  # tells type checkers that this process exists
        self._run = run
        self._output, self._output_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        self._log = BoundedLog(run.log_path, run.log_bytes)
        # Opened for writing too, so that it never reads as ended.
        self._control = os.open(CONTROL_PIPE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._status = Status(
            token=run.token,
            phase=STARTING,
            boot=boot_id(),
            supervisor=os.getpid(),
            supervisor_ticks=own.ticks,
            output_pipe=os.fstat(self._output).st_ino,
        )
        self._status_unwritten = False
        self._told_to_end = False
        self._stopping = False
        self._last_wait_seconds = 0.0
        # Of the monotonic clock:
        self._launched_at = 0.0
        self._kill_at: float | None = None
        self._launch_at: float | None = None
        self._asked_rest = False
        self._kill_again_seconds = _KILL_AGAIN_SECONDS
        # Of the boot-time clock, and only while the container is bound to the lease of the node:
        self._lease_ends_at = 0.0
        self._fencing = False
        self._read_leased()

    def begin(self) -> None:
        """
        Start the application.

        :raises LaunchFailed: it could not be executed.
        """
        # Known before anything of it runs, so that it is looked for if we are killed.
        self._write_status()
        if self._status_unwritten:
            raise LaunchFailed(errno.EIO, f"writing {STATUS_FILE} in {os.getcwd()}")  # noqa: PTH109
        if self._lease_has_ended():
            raise LaunchFailed(errno.ETIME, "the lease of this node has ended, and the container is bound to it")
        self._launch()

    def finish(self, exit_status: int | None) -> None:
        """
        Write down the end.
        """
        self._copy_output()
        self._status.phase = EXITED
        self._status.exit_status = exit_status
        self._write_status()

    def finish_unstarted(self, exit_status: int) -> None:
        """
        Write down that the application never ran.
        """
        self._status.started_at_seconds = None
        self.finish(exit_status)

    def supervise(self) -> None:
        """
        Go on until the container has ended for good.
        """
        import select
        import signal

        wake, wake_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._be_told_to_end())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        poll = select.poll()
        for descriptor in (wake, self._control, self._output):
            poll.register(descriptor, select.POLLIN)
        # A request may have come before there was a pipe to tell of it, a child may have ended before the handler.
        self._read_request()
        while self._advance():
            timeout_seconds = self._timeout_seconds()
            for descriptor, _ in poll.poll(None if timeout_seconds is None else timeout_seconds * 1000):
                if descriptor == self._output:
                    self._copy_output(at_most=1)
                else:
                    _drain(descriptor)
                    if descriptor == self._control:
                        self._read_request()
        self.finish(self._status.exit_status)

    def _advance(self) -> bool:
        """
        Do what is due now. False: nothing of the container runs, and it isn't started again.
        """
        if self._told_to_end:
            self._told_to_end = False
            self._stop(self._run.stop_grace_seconds)
        if not self._fencing and self._lease_has_ended():
            self._fence()
        if self._status_unwritten:
            self._write_status()
        anything_lives = self._reap()
        now = time.monotonic()
        if self._status.pid:
            if self._kill_at is not None and now >= self._kill_at:
                self._kill_everything()
            return True
        if anything_lives:
            self._end_rest(now)
            return True
        if self._stopping:
            return False
        if self._launch_at is None:
            return self._wait_or_end(now)
        if now >= self._launch_at:
            self._launch_again()
        return True

    def _reap(self) -> bool:
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._status.pid:
                self._status.pid = 0
                self._status.exit_status = os.waitstatus_to_exitcode(wait_status)

    def _end_rest(self, now: float) -> None:
        """
        End what the application left behind: ask once, and kill what is there after the grace period.
        """
        from signal import SIGCONT, SIGTERM

        from flocker_agent.runtime.process_ending import send

        if self._kill_at is None:
            self._kill_at = now + self._run.stop_grace_seconds
        if now >= self._kill_at:
            self._kill_everything()
        elif not self._asked_rest:
            self._asked_rest = True
            self._show_stopping()
            for pid, entry in descendants(process_table(), os.getpid()).items():
                send(pid, entry.ticks, (SIGTERM, SIGCONT))

    def _kill_everything(self) -> None:
        from signal import SIGKILL

        from flocker_agent.runtime.process_ending import send

        for pid, entry in descendants(process_table(), os.getpid()).items():
            send(pid, entry.ticks, (SIGKILL,))
        self._kill_at = time.monotonic() + self._kill_again_seconds
        self._kill_again_seconds = min(2 * self._kill_again_seconds, _KILL_AGAIN_AT_MOST_SECONDS)

    def _wait_or_end(self, now: float) -> bool:
        exit_status = self._status.exit_status or 0
        run = self._run
        if not starts_again(
            run.policy, run.maximum_retry_count, exit_status=exit_status, restarts=self._status.restarts
        ):
            return False
        self._last_wait_seconds = next_wait_seconds(self._last_wait_seconds, ran_seconds=now - self._launched_at)
        self._launch_at = now + self._last_wait_seconds
        self._kill_at = None
        self._kill_again_seconds = _KILL_AGAIN_SECONDS
        self._asked_rest = False
        self._note(f"ended with status {exit_status}; starting again in {self._last_wait_seconds:g} s")
        self._status.phase = STARTING
        self._write_status()
        return True

    def _launch_again(self) -> None:
        self._launch_at = None
        self._status.restarts += 1
        try:
            self._launch()
        except LaunchFailed as failure:
            self._note(str(failure))
            self._status.exit_status = failure.exit_status

    def _launch(self) -> None:
        run = self._run
        self._launched_at = time.monotonic()
        self._status.started_at_seconds = time.time()
        self._status.pid = launch(run.command, run.environment, folder=run.folder, output=self._output_end)
        self._status.phase = RUNNING
        self._status.exit_status = None
        self._write_status()

    def _fence(self) -> None:
        self._fencing = True
        self._note("the lease of this node has ended")
        self._stop_as_asked(min(FENCE_GRACE_SECONDS, self._run.stop_grace_seconds))

    def _lease_has_ended(self) -> bool:
        if not self._status.leased or time.clock_gettime(time.CLOCK_BOOTTIME) < self._lease_ends_at:
            return False
        # As far as we knew. It may have been renewed since we looked.
        self._read_lease()
        return time.clock_gettime(time.CLOCK_BOOTTIME) >= self._lease_ends_at

    def _read_lease(self) -> None:
        try:
            with open(LEASE_FROM_CONTAINER, encoding="utf-8") as file:  # noqa: PTH123
                lease = Lease.from_text(file.read())
        except (OSError, UnicodeDecodeError, FileDamaged):
            # What can't be read renews nothing: what we know goes on to count.
            return
        if lease.boot == self._status.boot:
            self._lease_ends_at = lease.ends_at_seconds

    def _read_leased(self) -> None:
        self._status.leased = os.access(LEASED_FILE, os.F_OK)

    def _read_request(self) -> None:
        leased = self._status.leased
        self._read_leased()
        if leased != self._status.leased:
            self._write_status()
        try:
            with open(STOP_FILE, encoding="utf-8") as file:  # noqa: PTH123
                request = StopRequest.from_text(file.read())
        except (FileNotFoundError, FileDamaged):
            return
        if request.token == self._run.token:
            self._stop_as_asked(request.grace_seconds)

    def _stop_as_asked(self, grace_seconds: float) -> None:
        # What has ended by itself for good, and is only tidied up after, is not ended by this.
        if not self._stopping and (self._status.pid or self._launch_at is not None):
            self._status.stopped = True
            self._write_status()
        self._stop(grace_seconds)

    def _stop(self, grace_seconds: float) -> None:
        from signal import SIGCONT, SIGTERM

        first = not self._stopping
        self._stopping = True
        kill_at = time.monotonic() + grace_seconds
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
        if first and self._status.pid:
            self._show_stopping()
            # Only the application: it knows best how to end its own processes. What it leaves is asked afterwards.
            os.kill(self._status.pid, SIGTERM)
            os.kill(self._status.pid, SIGCONT)

    def _show_stopping(self) -> None:
        self._status.phase = STOPPING
        self._write_status()

    def _timeout_seconds(self) -> float | None:
        now = time.monotonic()
        due = [at for at in (self._kill_at, self._launch_at) if at is not None]
        if self._status_unwritten:
            due.append(now + _WRITE_AGAIN_SECONDS)
        if self._status.leased and not self._fencing:
            left_seconds = self._lease_ends_at - time.clock_gettime(time.CLOCK_BOOTTIME)
            due.append(now + min(max(0.0, left_seconds), _LOOK_AT_CLOCK_SECONDS))
        return max(0.0, min(due) - now) if due else None

    def _copy_output(self, at_most: int = 1 << 10) -> None:
        for _ in range(at_most):
            try:
                output = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return
            self._log.write(output)

    def _note(self, text: str) -> None:
        self._copy_output()
        self._log.write(f"flocker: {text}\n".encode(errors="surrogateescape"))

    def _be_told_to_end(self) -> None:
        # Signals come at any moment, in the midst of writing the status too.
        self._told_to_end = True

    def _write_status(self) -> None:
        try:
            overwrite_text(STATUS_FILE, self._status.to_text())
            self._status_unwritten = False
        except OSError:
            # A disk that fails is no reason to end an application. It is tried again.
            self._status_unwritten = True


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, _READ_BYTES):
            pass
    except BlockingIOError:
        pass

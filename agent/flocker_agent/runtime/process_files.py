"""
What the process runtime and its supervisors write for one another: a run, how it is going, and requests to stop.

Every container has a folder of its own:

==============  ==========  ==============================================================================
file            written by  what it is
==============  ==========  ==============================================================================
``definition``  runtime     the ``Container``, as JSON; a folder without one holds no container
``run``         runtime     what the supervisor executes (``Run``)
``lock``        runtime     empty; locked from before the supervisor exists until nothing of it runs
``control``     runtime     named pipe: a byte in it makes the supervisor look at ``stop``
``stop``        runtime     the last request to stop (``StopRequest``)
``leased``      runtime     empty; where it is, the container ends with the lease of the node
``status``      supervisor  how the run is going (``Status``)
==============  ==========  ==============================================================================

Beside the folder of all containers is ``lease``: when the lease of the node ends (``Lease``).

All are replaced as a whole. Each in a container's folder carries the token of its run, so that what an earlier run left
is never taken for the present one's. This module is loaded by every supervisor while a database stands still: it
imports nothing that is slow to load (``typing``, ``json`` and ``dataclasses`` would double the time to start, 2025-11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

DEFINITION_FILE = "definition"
RUN_FILE = "run"
LOCK_FILE = "lock"
CONTROL_PIPE = "control"
STOP_FILE = "stop"
STATUS_FILE = "status"
LEASED_FILE = "leased"
LEASE_FILE = "lease"
LEASE_FROM_CONTAINER = "../../lease"
"""The same, as a supervisor sees it from its container's folder."""

TOKEN_VARIABLE = "FLOCKER_RUN"  # noqa: S105  # the name of the mark, which is no secret

STARTING = "starting"
RUNNING = "running"
STOPPING = "stopping"
EXITED = "exited"
PHASES = (STARTING, RUNNING, STOPPING, EXITED)

_FORMAT = "1"
_STATUS_FIELDS_BEFORE_LEASES = 10
_SEPARATOR = "\0"


class FileDamaged(ValueError):
    """
    The content is not what ``to_text`` writes.
    """


class Run:
    """
    What a supervisor executes.

    :param token: unique to this run; marks all its processes.
    :param folder: working directory.
    :param policy: ``never``, ``always`` or ``on-failure``.
    :param maximum_retry_count: None: no limit.
    :param environment: all of it; nothing is inherited.
    """

    def __init__(
        self,
        *,
        token: str,
        folder: str,
        policy: str,
        maximum_retry_count: int | None,
        stop_grace_seconds: float,
        log_path: str,
        log_bytes: int,
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.token = token
        self.folder = folder
        self.policy = policy
        self.maximum_retry_count = maximum_retry_count
        self.stop_grace_seconds = stop_grace_seconds
        self.log_path = log_path
        self.log_bytes = log_bytes
        self.command = tuple(command)
        self.environment = dict(environment)

    def to_text(self) -> str:
        """
        The content of the file: fields that end in NUL, which no field can contain.
        """
        return _joined(
            [
                self.token,
                self.folder,
                self.policy,
                _optional(self.maximum_retry_count),
                repr(self.stop_grace_seconds),
                self.log_path,
                repr(self.log_bytes),
                repr(len(self.command)),
                *self.command,
                repr(len(self.environment)),
                *(f"{name}={value}" for name, value in sorted(self.environment.items())),
            ]
        )

    @classmethod
    def from_text(cls, text: str) -> Run:
        """
        :raises FileDamaged: it is not what ``to_text`` writes.
        """
        fields = _split(text)
        try:
            token, folder, policy, retries, grace, log_path, log_bytes, words = fields[:8]
            command_end = 8 + int(words)
            command, (variables, *environment) = fields[8:command_end], fields[command_end:]
            if int(variables) != len(environment):
                raise ValueError(f"{len(environment)} variables instead of {variables}")
            return cls(
                token=token,
                folder=folder,
                policy=policy,
                maximum_retry_count=_optional_number(retries),
                stop_grace_seconds=float(grace),
                log_path=log_path,
                log_bytes=int(log_bytes),
                command=command,
                environment=dict(_pair(entry) for entry in environment),
            )
        except ValueError as error:
            raise FileDamaged(f"no description of a run: {error}") from None


class StopRequest:
    """
    End the run of this token, killing what is left after the grace period.
    """

    def __init__(self, *, token: str, grace_seconds: float) -> None:
        self.token = token
        self.grace_seconds = grace_seconds

    def to_text(self) -> str:
        """
        The content of the file.
        """
        return _joined([self.token, repr(self.grace_seconds)])

    @classmethod
    def from_text(cls, text: str) -> StopRequest:
        """
        :raises FileDamaged: it is not what ``to_text`` writes.
        """
        try:
            token, grace = _split(text)
            return cls(token=token, grace_seconds=float(grace))
        except ValueError as error:
            raise FileDamaged(f"no request to stop: {error}") from None


class Lease:
    """
    When the lease of the node ends.

    :param boot: id of the boot of the host, in which the clock counts.
    :param ends_at_seconds: by the clock ``CLOCK_BOOTTIME``.
    """

    def __init__(self, *, boot: str, ends_at_seconds: float) -> None:
        self.boot = boot
        self.ends_at_seconds = ends_at_seconds

    def to_text(self) -> str:
        """
        The content of the file.
        """
        return _joined([self.boot, repr(self.ends_at_seconds)])

    @classmethod
    def from_text(cls, text: str) -> Lease:
        """
        :raises FileDamaged: it is not what ``to_text`` writes.
        """
        try:
            boot, ends_at = _split(text)
            return cls(boot=boot, ends_at_seconds=float(ends_at))
        except ValueError as error:
            raise FileDamaged(f"no lease: {error}") from None


class Status:
    """
    How a run is going.

    :param boot: id of the boot of the host: process ids mean nothing under another.
    :param supervisor: and ``pid`` of the application: with the clock ticks at which they started, which together name
        a process for ever. ``pid`` is 0 while there is none.
    :param output_pipe: inode of the pipe that is the standard output of all its processes.
    :param exit_status: of the last run of the application; None while it runs or before it ran.
    :param started_at_seconds: of the present or last run of the application, since the epoch of Unix; None before.
    :param leased: the supervisor ends the container with the lease of the node.
    :param stopped: the runtime asked for its end, or the lease did: it didn't end by itself.
    """

    def __init__(
        self,
        *,
        token: str,
        phase: str,
        boot: str,
        supervisor: int,
        supervisor_ticks: int,
        pid: int = 0,
        output_pipe: int = 0,
        exit_status: int | None = None,
        restarts: int = 0,
        started_at_seconds: float | None = None,
        leased: bool = False,
        stopped: bool = False,
    ) -> None:
        self.token = token
        self.phase = phase
        self.boot = boot
        self.supervisor = supervisor
        self.supervisor_ticks = supervisor_ticks
        self.pid = pid
        self.output_pipe = output_pipe
        self.exit_status = exit_status
        self.restarts = restarts
        self.started_at_seconds = started_at_seconds
        self.leased = leased
        self.stopped = stopped

    def never_ran(self) -> bool:
        """
        Whether the application could not even be started the first time.
        """
        return self.phase == EXITED and self.exit_status is not None and self.started_at_seconds is None

    def to_text(self) -> str:
        """
        The content of the file.
        """
        return _joined(
            [
                self.token,
                self.phase,
                self.boot,
                repr(self.supervisor),
                repr(self.supervisor_ticks),
                repr(self.pid),
                repr(self.output_pipe),
                _optional(self.exit_status),
                repr(self.restarts),
                _optional(self.started_at_seconds),
                # Written only where they say something: earlier versions have neither.
                *((repr(int(self.leased)), repr(int(self.stopped))) if self.leased or self.stopped else ()),
            ]
        )

    @classmethod
    def from_text(cls, text: str) -> Status:
        """
        :raises FileDamaged: it is not what ``to_text`` writes.
        """
        try:
            fields = _split(text)
            # A supervisor of an earlier version, which goes on when the agent is replaced, knows nothing of leases.
            leased, stopped = fields[_STATUS_FIELDS_BEFORE_LEASES:] or ("0", "0")
            token, phase, boot, supervisor, ticks, pid, output_pipe, exit_status, restarts, started = fields[
                :_STATUS_FIELDS_BEFORE_LEASES
            ]
            if phase not in PHASES:
                raise ValueError(f"{phase!r} is no phase")
            return cls(
                token=token,
                phase=phase,
                boot=boot,
                supervisor=int(supervisor),
                supervisor_ticks=int(ticks),
                pid=int(pid),
                output_pipe=int(output_pipe),
                exit_status=_optional_number(exit_status),
                restarts=int(restarts),
                started_at_seconds=float(started) if started else None,
                leased=bool(int(leased)),
                stopped=bool(int(stopped)),
            )
        except ValueError as error:
            raise FileDamaged(f"no status of a run: {error}") from None


def _joined(fields: Iterable[str]) -> str:
    return "".join(f"{field}{_SEPARATOR}" for field in (_FORMAT, *fields))


def _split(text: str) -> list[str]:
    found, *fields = text.split(_SEPARATOR)
    if found != _FORMAT or not fields or fields.pop():
        raise FileDamaged(f"not of format {_FORMAT}, or cut short")
    return fields


def _optional(number: float | None) -> str:
    return "" if number is None else repr(number)


def _optional_number(text: str) -> int | None:
    return int(text) if text else None


def _pair(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value

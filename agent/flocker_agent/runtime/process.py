"""
The runtime ``process``: a container is a plain process of the host, supervised.

=====================  =============================================================================================
what a container says  what it means here
=====================  =============================================================================================
command                the program, looked for on PATH if it has no slash. It stays in the foreground: what it leaves
                       running when it ends is ended too
environment            added to PATH, LANG, FLOCKER_CONTAINER and FLOCKER_VOLUME; nothing is inherited from the agent
mounts                 the first is the working directory and FLOCKER_VOLUME; all are FLOCKER_VOLUME_1, _2, …
restart                see ``process_policy``: waits of 0.1 s, doubling to 10 s; from the beginning once it ran for 10 s
stop                   SIGTERM to the application, then to what it left; after the grace period SIGKILL to all
lease of the node      when it ends, a container that is bound to it is ended by its supervisor, after 2 s of grace at
                       most, whether there is an agent or not
standard output        and error: LOGS/NAME.log, and its two predecessors once it is full
exit status            unknown, None, where the supervisor was killed or the host went down
=====================  =============================================================================================

Each container has a supervisor, a process of its own that goes on while the agent is away (``process_supervisor``).
"""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from pyrsistent import PMap, pmap, pvector

from flocker_agent.runtime import process_files, process_spec
from flocker_agent.runtime.process_files import FileDamaged, Lease, Run, Status
from flocker_agent.runtime.process_folder import ProcessFolder
from flocker_agent.runtime.process_leftovers import end_leftovers
from flocker_agent.runtime.process_spec import container_name, folder_name, run_of, same_run
from flocker_agent.runtime.process_table import boot_id
from flocker_agent.runtime.process_watch import watch_folders
from flocker_agent.runtime.process_writing import replace_text
from flocker_py.boottime import boottime_seconds
from flocker_py.leases import FENCE_GRACE_SECONDS
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.observed import ContainerObservation, ContainerPhase
from flocker_py.runtime import (
    ContainerMissing,
    ContainerRefused,
    ContainerRuntimeError,
    ContainerStartFailed,
    ContainerStillRunning,
    RuntimeCapabilities,
)

DEFAULT_LOG_BYTES = 16 * 1024 * 1024
DEFAULT_KILL_SECONDS = 10.0
# How long looking at all containers may be held up by one whose supervisor was killed.
_GLANCE_SECONDS = 0.5
_BRIEFLY_SECONDS = 0.001
_LOOK_AGAIN_SECONDS = 0.05
# How long a supervisor that is awake may take to do what is due.
_SILENCE_SECONDS = 1.0


class ProcessRuntime:
    """
    Containers as supervised plain processes of this host. It implements ``flocker_py.runtime.Runtime``.

    :param state_path: this agent's own folder; made if it is not there. Runtimes with different folders don't see each
        other's containers.
    :param log_bytes: when a log is put aside.
    :param kill_seconds: how long the kernel may take to end what was killed.
    """

    def __init__(
        self,
        state_path: Path,
        *,
        log_bytes: int = DEFAULT_LOG_BYTES,
        kill_seconds: float = DEFAULT_KILL_SECONDS,
    ) -> None:
        state_path = state_path.absolute()
        self._folders = state_path / "containers"
        self._logs = state_path / "logs"
        self._trash = state_path / "trash"
        self._lease = state_path / process_files.LEASE_FILE
        for folder in (state_path, self._folders, self._logs, self._trash):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What an agent that was killed didn't finish removing.
        for removed in self._trash.iterdir():
            shutil.rmtree(removed, ignore_errors=True)
        for unfinished in self._folders.iterdir():
            ProcessFolder(unfinished, trash=self._trash).clear_undefined()
        self._log_bytes = log_bytes
        self._kill_seconds = kill_seconds
        self._busy: dict[ContainerName, threading.Lock] = {}
        self._busy_guard = threading.Lock()

    @property
    def capabilities(self) -> RuntimeCapabilities:
        """
        What plain processes can do.
        """
        return process_spec.CAPABILITIES

    def log_path(self, name: ContainerName) -> Path:
        """
        Where the container's output is. It stays when the container is removed.
        """
        return self._logs / f"{folder_name(name)}.log"

    def check(self, container: Container) -> None:
        """
        Answer whether ``start`` could do all that this container asks for.

        :raises ContainerRefused: naming the field and the reason.
        """
        process_spec.check(container)

    def prepare(self, container: Container) -> None:
        """
        There is nothing to fetch for a plain process: it is checked.

        :raises ContainerRefused: as ``check``.
        """
        self.check(container)

    def containers(self) -> PMap[ContainerName, ContainerObservation]:
        """
        Every container that was not removed. What is left of one whose supervisor was killed is ended first.
        """
        names = [container_name(folder.name) for folder in self._folders.iterdir()]
        observed = {name: self._observed(name) for name in names}
        return pmap({name: observation for name, observation in observed.items() if observation is not None})

    def definition(self, name: ContainerName) -> Container:
        """
        What the container was started as.

        :raises ContainerMissing: there is none.
        """
        definition = self._folder(name).definition()
        if definition is None or self._observed(name) is None:
            raise ContainerMissing(f"No container {name!r}")
        return definition

    def start(self, container: Container, paths: Mapping[DatasetId, Path], *, leased: bool = False) -> None:
        """
        Start a container. One that runs as the same definition is left alone; a finished one is replaced.

        :param leased: it ends with the lease of this node.
        :raises ContainerRefused: as ``check``; or another definition runs under that name.
        :raises ContainerStartFailed: it could not be executed, or a dataset is not there; nothing of it is left.
        :raises ContainerStillRunning: what an earlier run of it left could not be ended.
        """
        process_spec.check(container)
        run = run_of(
            container,
            paths,
            token=uuid.uuid4().hex,
            log_path=self.log_path(container.name),
            log_bytes=self._log_bytes,
        )
        with self._busy_lock(container.name):
            try:
                failure = self._begin(container, run, leased=leased)
                if failure is not None:
                    self._settle(container.name, forget=True)
            except OSError as error:
                failure = str(error)
            if failure is not None:
                raise ContainerStartFailed(f"Container {container.name!r}: {failure}")

    def lease_ends_at_seconds(self) -> float:
        """
        When the lease of this node ends, by the boot-time clock; 0: nobody said since the host was booted.
        """
        try:
            lease = Lease.from_text(self._lease.read_text())
        except (OSError, UnicodeDecodeError, FileDamaged):
            return 0.0
        return lease.ends_at_seconds if lease.boot == boot_id() else 0.0

    def renew_lease(self, ends_at_seconds: float) -> None:
        """
        From now on, the lease of this node ends then, unless it was said before to end later.

        :raises ContainerRuntimeError: it could not be written down; what was said before holds.
        """
        if ends_at_seconds <= self.lease_ends_at_seconds():
            # Supervisors look again only when the end that they know of has come.
            return
        try:
            replace_text(str(self._lease), Lease(boot=boot_id(), ends_at_seconds=ends_at_seconds).to_text())
        except OSError as error:
            raise ContainerRuntimeError(f"the lease of this node can't be written down: {error}") from error

    def bind_to_lease(self, name: ContainerName, *, leased: bool) -> None:
        """
        Bind a container to the lease, or unbind it, while it goes on. Returns when its supervisor goes by that.

        :raises ContainerMissing: there is none.
        :raises ContainerRefused: its supervisor does not answer to that.
        """
        folder = self._folder(name)
        with self._busy_lock(name):
            run = folder.run()
            if run is None or folder.definition() is None:
                raise ContainerMissing(f"No container {name!r}")
            try:
                folder.bind_to_lease(leased=leased)
                folder.wake_supervisor()
            except OSError as error:
                raise ContainerRuntimeError(f"Container {name!r}: {error}") from error
            deadline = time.monotonic() + self._kill_seconds
            while folder.held() and not _goes_by(folder.status(run), leased=leased):
                if time.monotonic() > deadline:
                    raise ContainerRefused(
                        f"Container {name!r} was started by an earlier version, which knows of no lease, or is"
                        " suspended; let it be started again, for instance by a change of its definition"
                    )
                time.sleep(_LOOK_AGAIN_SECONDS)

    def fence(self, name: ContainerName) -> None:
        """
        Make sure that a container which is bound to the lease has ended, if the lease has.

        :raises ContainerMissing: there is none.
        :raises ContainerStillRunning: it survived the last signal.
        """
        folder = self._folder(name)
        with self._busy_lock(name):
            run = folder.run()
            if run is None or folder.definition() is None:
                raise ContainerMissing(f"No container {name!r}")
            status = folder.status(run)
            if status is None or not status.leased or boottime_seconds() < self.lease_ends_at_seconds():
                return
            # Its supervisor does so by itself, unless somebody has suspended it.
            in_time = folder.released(run, timeout_seconds=FENCE_GRACE_SECONDS + _SILENCE_SECONDS)
            if not in_time and not folder.kill_silent_supervisor(run):
                in_time = folder.released(run, timeout_seconds=self._kill_seconds)
                if not in_time:
                    raise ContainerStillRunning(
                        f"Container {name!r} has not ended {self._kill_seconds:g} s after a kill"
                    )
            self._settle(name, stopped=not in_time)

    def stop(self, name: ContainerName, *, grace_seconds: float) -> None:
        """
        End a container and all its processes. Returns when nothing of it runs any more.

        :raises ContainerMissing: there is none.
        :raises ContainerStillRunning: it survived the last signal.
        """
        folder = self._folder(name)
        with self._busy_lock(name):
            if not folder.held():
                self._settle(name)
            run = folder.run()
            if run is None or folder.definition() is None:
                raise ContainerMissing(f"No container {name!r}")
            in_time = True
            if folder.held():
                folder.ask_to_stop(run, grace_seconds=grace_seconds)
                in_time = folder.released(run, timeout_seconds=grace_seconds + self._kill_seconds)
                if not in_time and not folder.kill_silent_supervisor(run):
                    raise ContainerStillRunning(
                        f"Container {name!r} has not ended {self._kill_seconds:g} s after a kill"
                    )
            self._settle(name, stopped=not in_time)

    def is_changed(self, name: ContainerName) -> bool:  # noqa: ARG002  # nothing of it can be changed
        """
        Never: nobody can change what a container was started as.
        """
        return False

    def repair(self, name: ContainerName) -> None:
        """
        Without effect: nothing was changed.
        """

    def remove(self, name: ContainerName) -> None:
        """
        Forget a container that has ended. Its log stays. Harmless if there is none.

        :raises ContainerStillRunning: it has not ended.
        """
        folder = self._folder(name)
        with self._busy_lock(name):
            run = folder.run()
            status = folder.status(run)
            if run is not None and folder.held() and (status is None or status.phase != process_files.EXITED):
                raise ContainerStillRunning(f"Container {name!r} has not ended; stop it first")
            self._settle(name, forget=True)

    def watch(self, changed: Callable[[ContainerName], None]) -> Callable[[], None]:
        """
        Be told, from a thread of its own, when a container may have changed by itself.

        :returns: call it to be told no more.
        """

        def tell(folder: str) -> None:
            changed(container_name(folder))

        return watch_folders(self._folders, tell, held=lambda folder: self._folder(container_name(folder)).held())

    def _folder(self, name: ContainerName) -> ProcessFolder:
        return ProcessFolder(self._folders / folder_name(name), trash=self._trash)

    def _busy_lock(self, name: ContainerName) -> threading.Lock:
        with self._busy_guard:
            return self._busy.setdefault(name, threading.Lock())

    def _begin(self, container: Container, run: Run, *, leased: bool) -> str | None:
        """
        Come to hold the container and hand it to a supervisor, unless it runs as the same.

        :returns: None, or why it could not be executed.
        """
        folder = self._folder(container.name)
        present = folder.run() or run
        grace_seconds = max(present.stop_grace_seconds, run.stop_grace_seconds)
        deadline = time.monotonic() + grace_seconds + 2 * self._kill_seconds
        while time.monotonic() < deadline:
            folder.create()
            with folder.holding() as lock:
                if lock is not None:
                    self._end_run(container.name, kill_seconds=self._kill_seconds)
                    return folder.spawn(container, run, lock, leased=leased)
            if self._runs_as(container, run):
                return None
        raise ContainerStillRunning(f"Container {container.name!r}: its last run does not end")

    def _runs_as(self, container: Container, run: Run) -> bool:
        """
        Whether the container is held by a run of the same kind. False: look again, it is about to end or to begin.

        :raises ContainerRefused: it runs as something else.
        """
        folder = self._folder(container.name)
        present = folder.run()
        status = folder.status(present)
        if present is None or status is None or not folder.supervised(present):
            time.sleep(_BRIEFLY_SECONDS)
            return False
        if status.phase in (process_files.STOPPING, process_files.EXITED):
            folder.released(present, timeout_seconds=_LOOK_AGAIN_SECONDS)
            return False
        if folder.definition() != container or not same_run(present, run):
            raise ContainerRefused(f"Container {container.name!r} runs with another definition; stop it first")
        return True

    def _end_run(self, name: ContainerName, *, kill_seconds: float, stopped: bool = False) -> None:
        """
        Bring the last run to its end where its supervisor was killed. The caller holds the container.

        :param stopped: it was killed because it was asked to end, or the lease had ended.
        """
        folder = self._folder(name)
        status = folder.status(folder.run())
        if status is None or status.phase == process_files.EXITED:
            return
        if not end_leftovers(status, timeout_seconds=kill_seconds):
            raise ContainerStillRunning(f"Container {name!r}: its supervisor was killed, and what it left can't be")
        status.phase = process_files.EXITED
        # Of a run that was cut short, or of one after which another was to follow: neither says how it all ended.
        status.exit_status = None
        status.stopped = status.stopped or stopped
        try:
            folder.write_status(status)
        except OSError as error:
            raise ContainerRuntimeError(f"Container {name!r}: its end can't be written down: {error}") from error

    def _observed(self, name: ContainerName) -> ContainerObservation | None:
        folder = self._folder(name)
        while True:
            definition = folder.definition()
            if definition is None:
                return None
            run = folder.run()
            held = folder.held()
            status = folder.status(run)
            ended = status is not None and status.phase == process_files.EXITED and not status.never_ran()
            if held or ended:
                return _observation(definition, status)
            # Its supervisor was killed or never came to be, or the application; or a call is at work on it.
            busy = self._busy_lock(name)
            if not busy.acquire(blocking=False):
                return _observation(definition, status)
            try:
                self._settle(name, kill_seconds=_GLANCE_SECONDS)
            except ContainerStillRunning:
                return _observation(definition, status, phase=ContainerPhase.STOPPING)
            finally:
                busy.release()

    def _settle(
        self, name: ContainerName, *, kill_seconds: float | None = None, forget: bool = False, stopped: bool = False
    ) -> None:
        """
        Bring a container whose supervisor is gone or going to a state that stays: ended, or not there because it never
        ran. The caller is the only call for it.

        :param forget: it is not there afterwards in any case.
        :param stopped: as in ``_end_run``.
        :raises ContainerStillRunning: it doesn't come to that.
        """
        folder = self._folder(name)
        if kill_seconds is None:
            kill_seconds = self._kill_seconds
        deadline = time.monotonic() + kill_seconds
        while folder.exists():
            with folder.holding() as lock:
                if lock is not None:
                    self._end_run(name, kill_seconds=kill_seconds, stopped=stopped)
                    status = folder.status(folder.run())
                    if forget or folder.definition() is None or status is None or status.never_ran():
                        folder.clear()
                    return
            if time.monotonic() > deadline:
                raise ContainerStillRunning(f"Container {name!r}: its supervisor does not end")
            time.sleep(_BRIEFLY_SECONDS)


def _observation(
    definition: Container, status: Status | None, *, phase: ContainerPhase | None = None
) -> ContainerObservation:
    if status is None or status.never_ran():
        # What could not be started has not ended either: nobody may take it for an application that has run.
        known = Status(token="", phase=process_files.STARTING, boot="", supervisor=0, supervisor_ticks=0)
    else:
        known = status
    return ContainerObservation(
        name=definition.name,
        phase=phase or ContainerPhase(known.phase),
        mounts=pvector(mount.dataset_id for mount in definition.mounts),
        exit_status=known.exit_status,
        restarts=known.restarts,
        started_at_seconds=known.started_at_seconds,
        leased=known.leased,
        stopped=known.stopped,
    )


def _goes_by(status: Status | None, *, leased: bool) -> bool:
    return status is not None and status.leased == leased

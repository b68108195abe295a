"""
The runtime ``memory``: containers that are objects of this process, for tests and simulations.

It promises what every runtime promises, without threads, processes or a clock: whatever happens, happens during a call.

>>> host = MemoryHost()
>>> runtime = MemoryRuntime(host)
>>> runtime.start(container, paths)
>>> host.end(container.name, exit_status=1)  # the application fails, and its policy decides what follows
>>> host.found(container.name, Health.UNHEALTHY)  # its check says so; of one that has a check
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pyrsistent import PMap, pmap, pvector

from flocker_agent.runtime.process_policy import starts_again
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.observed import ContainerObservation, ContainerPhase, Health
from flocker_py.records import field_names
from flocker_py.runtime import (
    ContainerMissing,
    ContainerRefused,
    ContainerStartFailed,
    ContainerStillRunning,
    RuntimeCapabilities,
)

_OWN_FIELDS = ("name", "node_id", "restart")
CAPABILITIES = RuntimeCapabilities(
    name="memory",
    container_fields=pvector(name for name in field_names(Container) if name not in _OWN_FIELDS),
    mount_paths=True,
    read_only_mounts=True,
    leases=True,
)


class MemoryProgram(Protocol):
    """
    The application of a container: one object per run.
    """

    def ask_to_end(self) -> int | None:
        """
        It is asked to end.

        :returns: its exit status; None: it goes on, and is killed.
        """
        ...

    def killed(self) -> None:
        """
        It ends without another word. Called whenever it ends otherwise than asked.
        """
        ...


class Obedient:
    """
    A program that ends when it is asked to.
    """

    def ask_to_end(self) -> int | None:
        """
        As a program does that knows nothing of signals.
        """
        return -signal.SIGTERM

    def killed(self) -> None:
        """
        There is nothing to tidy up.
        """


ProgramFactory = Callable[[Container, Mapping[DatasetId, Path]], MemoryProgram]
"""
Makes the application of a container at each start.

:raises ContainerStartFailed: it cannot be executed.
"""


class _Life:
    """
    What a host knows of one container.
    """

    def __init__(self, container: Container, paths: Mapping[DatasetId, Path]) -> None:
        self.container = container
        self.paths = dict(paths)
        self.program: MemoryProgram | None = None
        self.exit_status: int | None = None
        self.restarts = 0
        self.started_at_seconds = 0.0
        self.leased = False
        self.stopped = False
        self.health = Health.NONE


class MemoryHost:
    """
    Where containers live, however often a runtime is opened on it.

    :param programs: makes the applications.
    :param now_seconds: the time, since the epoch of Unix.
    :param boottime_seconds: the clock of leases.
    :param first_health: what the check of a container says right after its start, if it has one.
    """

    def __init__(
        self,
        programs: ProgramFactory = lambda *_: Obedient(),
        *,
        now_seconds: Callable[[], float] = lambda: 0.0,
        boottime_seconds: Callable[[], float] = lambda: 0.0,
        first_health: Health = Health.HEALTHY,
    ) -> None:
        self.lease_ends_at_seconds = 0.0
        self._programs = programs
        self._now_seconds = now_seconds
        self._boottime_seconds = boottime_seconds
        self._first_health = first_health
        self._lives: dict[ContainerName, _Life] = {}
        self._watchers: list[Callable[[ContainerName], None]] = []

    def end(self, name: ContainerName, *, exit_status: int) -> None:
        """
        The application ends by itself. If its policy says so, it starts again at once, unless it is bound to the lease,
        and that has ended.

        :raises ContainerMissing: there is no such container, or it doesn't run.
        """
        life = self._lives.get(name)
        if life is None or life.program is None:
            raise ContainerMissing(f"{name!r} does not run")
        life.program.killed()
        self._ended(life, exit_status)
        self._goes_on(life, exit_status)
        self._tell(name)

    def _goes_on(self, life: _Life, exit_status: int) -> None:
        policy = life.container.restart
        if life.leased and self._lease_has_ended():
            life.stopped = True
        elif starts_again(
            policy.name.value, policy.maximum_retry_count, exit_status=exit_status, restarts=life.restarts
        ):
            life.restarts += 1
            try:
                self._launch(life)
            except ContainerStartFailed:
                pass  # as a program that was deleted while it ran: it stays ended

    def found(self, name: ContainerName, health: Health) -> None:
        """
        The check of a container says how it is, from now on until its next start.

        :raises ContainerMissing: there is no such container, or it doesn't run, or it has no check.
        """
        life = self._lives.get(name)
        if life is None or life.program is None or life.container.health is None:
            raise ContainerMissing(f"{name!r} does not run, or has no check")
        if life.health is not health:
            life.health = health
            self._tell(name)

    def _tell(self, name: ContainerName) -> None:
        for changed in tuple(self._watchers):
            try:
                changed(name)
            except Exception:  # noqa: BLE001  # whatever it is, it is shown, and the next is told all the same
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    def look_at_lease(self) -> None:
        """
        Time has passed: what is bound to the lease ends, if that has ended, as supervisors see to without any agent.
        """
        for name, life in sorted(self._lives.items()):
            if life.program is not None and life.leased and self._lease_has_ended():
                self._asked_to_end(life)
                self._tell(name)

    def _lease_has_ended(self) -> bool:
        return self._boottime_seconds() >= self.lease_ends_at_seconds

    def program(self, name: ContainerName) -> MemoryProgram | None:
        """
        The application of a container; None: it doesn't run.
        """
        life = self._lives.get(name)
        return None if life is None else life.program

    def _launch(self, life: _Life) -> None:
        life.program = self._programs(life.container, life.paths)
        life.exit_status = None
        life.health = Health.NONE if life.container.health is None else self._first_health
        life.started_at_seconds = self._now_seconds()

    def _asked_to_end(self, life: _Life) -> None:
        if life.program is None:
            return
        exit_status = life.program.ask_to_end()
        if exit_status is None:
            life.program.killed()
            exit_status = -signal.SIGKILL
        life.stopped = True
        self._ended(life, exit_status)

    @staticmethod
    def _ended(life: _Life, exit_status: int) -> None:
        life.program = None
        life.exit_status = exit_status


class MemoryRuntime:
    """
    The containers of a ``MemoryHost``. It implements ``flocker_py.runtime.Runtime``.

    :param capabilities: what it pretends to be able to do; fields of a container beyond that it refuses.
    """

    def __init__(self, host: MemoryHost, *, capabilities: RuntimeCapabilities = CAPABILITIES) -> None:
        self._host = host
        self._capabilities = capabilities

    @property
    def capabilities(self) -> RuntimeCapabilities:
        """
        What it was made to be able to do.
        """
        return self._capabilities

    def check(self, container: Container) -> None:
        """
        Answer whether ``start`` could do all that this container asks for.

        :raises ContainerRefused: naming the field and the reason.
        """
        reason = self._reason_to_refuse(container)
        if reason is not None:
            raise ContainerRefused(
                f"Container {container.name!r} can't be run by the runtime {self._capabilities.name!r}: {reason}"
            )

    def prepare(self, container: Container) -> None:
        """
        There is nothing to fetch for a container of this runtime: it is checked.

        :raises ContainerRefused: as ``check``.
        """
        self.check(container)

    def containers(self) -> PMap[ContainerName, ContainerObservation]:
        """
        Every container that was not removed.
        """
        return pmap({name: _observation(life) for name, life in self._host._lives.items()})

    def definition(self, name: ContainerName) -> Container:
        """
        What the container was started as.

        :raises ContainerMissing: there is none.
        """
        return self._life(name).container

    def start(self, container: Container, paths: Mapping[DatasetId, Path], *, leased: bool = False) -> None:
        """
        Start a container. One that runs as the same definition is left alone; a finished one is replaced.

        :param leased: it ends with the lease of this node.
        :raises ContainerRefused: as ``check``; or another definition runs under that name; or it is to end with the
            lease, and this was made not to be able to do that.
        :raises ContainerStartFailed: the factory of programs says so, or a dataset is not there, or the lease it is to
            end with has ended; nothing of it is left.
        """
        self.check(container)
        if leased:
            self._check_leases()
        missing = [str(mount.dataset_id) for mount in container.mounts if mount.dataset_id not in paths]
        if missing:
            raise ContainerStartFailed(f"Container {container.name!r}: not mounted on this host: {', '.join(missing)}")
        life = _Life(container, {mount.dataset_id: paths[mount.dataset_id] for mount in container.mounts})
        present = self._host._lives.get(container.name)
        if present is not None and present.program is not None:
            if present.container != container or present.paths != life.paths:
                raise ContainerRefused(f"Container {container.name!r} runs with another definition; stop it first")
            return
        self._host._lives.pop(container.name, None)
        life.leased = leased
        if leased and self._host._lease_has_ended():
            raise ContainerStartFailed(
                f"Container {container.name!r}: the lease of this node has ended, and the container is bound to it"
            )
        self._host._launch(life)
        self._host._lives[container.name] = life

    def lease_ends_at_seconds(self) -> float:
        """
        When the lease of this node ends; 0: nobody said.
        """
        return self._host.lease_ends_at_seconds

    def renew_lease(self, ends_at_seconds: float) -> None:
        """
        From now on, the lease of this node ends then, unless it was said before to end later. See
        ``MemoryHost.look_at_lease`` for what passing time does.
        """
        self._host.lease_ends_at_seconds = max(ends_at_seconds, self._host.lease_ends_at_seconds)

    def bind_to_lease(self, name: ContainerName, *, leased: bool) -> None:
        """
        Bind a container to the lease, or unbind it. Without effect on one that has ended.

        :raises ContainerMissing: there is none.
        :raises ContainerRefused: it was made not to be able to do that.
        """
        life = self._life(name)
        self._check_leases()
        if life.program is not None:
            life.leased = leased

    def fence(self, name: ContainerName) -> None:
        """
        Make sure that a container which is bound to the lease has ended, if the lease has. No time passes.

        :raises ContainerMissing: there is none.
        """
        self._life(name)
        self._host.look_at_lease()

    def stop(self, name: ContainerName, *, grace_seconds: float) -> None:  # noqa: ARG002  # no time passes here
        """
        End a container: ask, and if it goes on, kill. No time passes.

        :raises ContainerMissing: there is none.
        """
        self._host._asked_to_end(self._life(name))

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
        Forget a container that has ended. Harmless if there is none.

        :raises ContainerStillRunning: it has not ended.
        """
        life = self._host._lives.get(name)
        if life is not None and life.program is not None:
            raise ContainerStillRunning(f"Container {name!r} has not ended; stop it first")
        self._host._lives.pop(name, None)

    def watch(self, changed: Callable[[ContainerName], None]) -> Callable[[], None]:
        """
        Be told, within the call of ``MemoryHost.end``, when a container has changed by itself.

        :returns: call it to be told no more.
        """
        watchers = self._host._watchers

        def told(name: ContainerName) -> None:
            changed(name)

        def end() -> None:
            if told in watchers:
                watchers.remove(told)

        watchers.append(told)
        return end

    def _check_leases(self) -> None:
        if not self._capabilities.leases:
            raise ContainerRefused(f"the runtime {self._capabilities.name!r} can't bind containers to the lease")

    def _life(self, name: ContainerName) -> _Life:
        life = self._host._lives.get(name)
        if life is None:
            raise ContainerMissing(f"No container {name!r}")
        return life

    def _reason_to_refuse(self, container: Container) -> str | None:
        defaults = Container(name=container.name, node_id=container.node_id)
        for field in field_names(Container):
            can = field in _OWN_FIELDS or field in self._capabilities.container_fields
            if not can and getattr(container, field) != getattr(defaults, field):
                return f"{field}: it can't do this"
        if not container.name:
            return "name: is empty"
        if not container.command and container.image is None:
            return "command: is empty, and there is no image that has one"
        for index, mount in enumerate(container.mounts):
            if mount.path is not None and not self._capabilities.mount_paths:
                return f"mounts[{index}].path: containers see the paths of the host here; leave it out"
            if mount.read_only and not self._capabilities.read_only_mounts:
                return f"mounts[{index}].read_only: it can't do this"
        if container.restart.maximum_retry_count is not None and container.restart.name.value != "on-failure":
            return "restart.maximum_retry_count: only the policy on-failure has one"
        return None


def _observation(life: _Life) -> ContainerObservation:
    return ContainerObservation(
        name=life.container.name,
        phase=ContainerPhase.EXITED if life.program is None else ContainerPhase.RUNNING,
        mounts=pvector(mount.dataset_id for mount in life.container.mounts),
        exit_status=life.exit_status,
        restarts=life.restarts,
        started_at_seconds=life.started_at_seconds,
        leased=life.leased,
        stopped=life.stopped,
        health=Health.NONE if life.program is None else life.health,
    )

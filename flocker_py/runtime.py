"""
What every container runtime promises.

A runtime runs the containers of one agent on one host. All its calls block and may be made from any thread; calls for
one container are made one at a time, but for ``prepare``, which may go on beside any other. Killed at any moment and
opened again, a runtime tells the truth and has never two copies of a container. Containers survive the agent: they go
on while it is away and are found again by name.

The promises are checked by ``flocker_py.testing.runtime_contract``, which every runtime passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pyrsistent import PMap, PVector

from flocker_py.errors import FlockerError
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.observed import ContainerObservation
from flocker_py.records import Record, sequence, value

MOUNT_PATHS_FIELD = "mounts.path"
"""Stands among a node's ``container_fields`` for mounts that have a path inside the container."""

READ_ONLY_MOUNTS_FIELD = "mounts.read_only"
"""Stands among a node's ``container_fields`` for mounts that can't be written."""

LEASES_FIELD = "on_partition.fence"
"""Stands among a node's ``container_fields`` for containers that end with the lease of their node."""

FORWARDS_FIELD = "ports.forwarded"
"""Stands among a node's ``container_fields`` if the node leads ports that containers elsewhere publish there."""


class RuntimeCapabilities(Record):
    """
    What differs between runtimes, as data.

    :param name: as in ``agent.yml``.
    :param container_fields: names of the fields of ``Container`` that it can do, beyond name, node and restart policy.
    :param mount_paths: a mount has a path inside the container; without this it must have none.
    :param read_only_mounts: a mount can be read only.
    :param leases: a container can be bound to the lease of its node: it ends when that does, even if the agent was
        killed or hangs. Without this, ``on_partition: fence`` is refused for what it runs.
    """

    name: str = value(str)
    container_fields: PVector[str] = sequence(str, default=())
    mount_paths: bool = value(bool)
    leases: bool = value(bool, default=False)
    read_only_mounts: bool = value(bool, default=False)

    def reported_fields(self) -> PVector[str]:
        """
        What a node tells the control service of its runtime: ``container_fields``, ``mounts.path`` for ``mount_paths``,
        ``mounts.read_only`` for ``read_only_mounts``, and ``on_partition.fence`` for ``leases``.
        """
        also = (
            (MOUNT_PATHS_FIELD, self.mount_paths),
            (READ_ONLY_MOUNTS_FIELD, self.read_only_mounts),
            (LEASES_FIELD, self.leases),
        )
        return self.container_fields.extend(name for name, can in also if can)


class ContainerRuntimeError(FlockerError):
    """
    The container runtime could not do what was asked. Look at the agent's log for the whole story.
    """

    # Of ``start``: whatever becomes of the runtime, nothing runs because of that call, nor ever will.
    nothing_begun: bool = False


class ContainerRefused(ContainerRuntimeError):
    """
    The container asks for what this runtime can't do, or can't be run as it is written. Correct its definition.
    """

    lasting = True


class ContainerStartFailed(ContainerRuntimeError):
    """
    The program did not start. Check the command, its permissions, and the files that it needs.
    """


class ContainerNotPrepared(ContainerRuntimeError):
    """
    What a container needs before it can start could not be had. Look at the image's name, at its registry, and at what
    gives access to that; or at the program that holds a port. It is tried again.
    """


class ContainerMissing(ContainerRuntimeError):
    """
    This runtime has no container of that name.
    """


class ContainerChanged(ContainerRuntimeError):
    """
    Somebody has changed the container while it runs, and the runtime can't put that back, or is not to. It is looked at
    again; or change it back by hand, or start the container anew.
    """


class ContainerStillRunning(ContainerRuntimeError):
    """
    The container did not end even after it was killed: a process hangs in the kernel. Look at the host's disks.
    """


class Runtime(Protocol):
    """
    The containers of one agent on one host. See the module's docstring for what holds for all calls.
    """

    @property
    def capabilities(self) -> RuntimeCapabilities:
        """
        What this runtime can do. Constant.
        """
        ...

    def check(self, container: Container) -> None:
        """
        Answer whether ``start`` could do all that this container asks for, touching nothing.

        :raises ContainerRefused: naming the field and the reason.
        """
        ...

    def prepare(self, container: Container) -> None:
        """
        Get what ``start`` would have to wait for, such as the image, so that it won't have to, and see whether what it
        takes of the host, such as ports, is free. Nothing is started. It may take as long as a network takes; harmless
        if all is there.

        :raises ContainerRefused: as ``check``.
        :raises ContainerNotPrepared: it can't be had at this moment.
        """
        ...

    def containers(self) -> PMap[ContainerName, ContainerObservation]:
        """
        Every container of ours, running or ended, that was not removed. Complete, or it raises. Others' containers and
        processes are never in it.
        """
        ...

    def definition(self, name: ContainerName) -> Container:
        """
        What the container was started as.

        :raises ContainerMissing: there is none.
        """
        ...

    def start(self, container: Container, paths: Mapping[DatasetId, Path], *, leased: bool = False) -> None:
        """
        Start a container. One that runs as the same definition is left alone; a finished one of that name is replaced.

        :param paths: where on this host each mounted dataset is.
        :param leased: bound to the lease from its first moment on.
        :raises ContainerRefused: as ``check``; or another definition runs under that name (stop it first); or it is to
            be bound to the lease, and this runtime can't do that.
        :raises ContainerStartFailed: the program could not be executed, or what it is to be bound to has ended; nothing
            runs.
        :raises ContainerRuntimeError: anything else. Unless it says ``nothing_begun``, the container may run.
        """
        ...

    def lease_ends_at_seconds(self) -> float:
        """
        When the lease of this node ends, by the boot-time clock of the host, as it was said last since the host booted;
        0: it was never said.
        """
        ...

    def renew_lease(self, ends_at_seconds: float) -> None:
        """
        From now on, the lease ends then, unless it was said before to end later. A container that is bound to it ends
        at that time, by itself: it is asked, gets ``FENCE_GRACE_SECONDS``, and is killed. Its policy doesn't start it
        again, and it is seen as ``stopped``.

        :raises ContainerRuntimeError: it could not be written down; what was said before holds.
        """
        ...

    def bind_to_lease(self, name: ContainerName, *, leased: bool) -> None:
        """
        Bind a container to the lease, or unbind it, while it goes on. Without effect on one that has ended.

        :raises ContainerMissing: there is none.
        :raises ContainerRefused: this runtime, or the version of it that started the container, can't do that.
        """
        ...

    def fence(self, name: ContainerName) -> None:
        """
        Make sure that a container which is bound to the lease, which has ended, has ended too. Harmless if it is not
        bound, or the lease goes on.

        :raises ContainerMissing: there is none.
        :raises ContainerStillRunning: it survived the last signal.
        """
        ...

    def stop(self, name: ContainerName, *, grace_seconds: float) -> None:
        """
        End a container and all its processes: ask, wait at most the grace period, kill. Returns when nothing of it runs
        any more; its policy doesn't start it again. Harmless if it has ended already; otherwise it is seen as stopped.

        :raises ContainerMissing: there is none.
        :raises ContainerStillRunning: it survived the last signal.
        """
        ...

    def is_changed(self, name: ContainerName) -> bool:
        """
        Whether the last call of ``containers`` found that somebody had changed what a container was started as, while
        it runs. Answered from memory.
        """
        ...

    def repair(self, name: ContainerName) -> None:
        """
        Put back what somebody has changed of a container, while it goes on. Harmless if nothing was, or there is none.

        :raises ContainerChanged: naming what is not as asked, how it is, and why it isn't put back.
        """
        ...

    def remove(self, name: ContainerName) -> None:
        """
        Forget a container that has ended. Its log stays. Harmless if there is none.

        :raises ContainerStillRunning: it has not ended.
        """
        ...

    def watch(self, changed: Callable[[ContainerName], None]) -> Callable[[], None]:
        """
        Be told, from any thread, when a container may have changed by itself.

        :returns: call it to be told no more.
        """
        ...

"""
What the contract of a container runtime is run on: hosts, and applications on them.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import pytest

from flocker_py.model import Container, ContainerName, DatasetId, NodeId
from flocker_py.observed import ContainerPhase
from flocker_py.runtime import Runtime

DEADLINE_SECONDS = 60.0
_POLL_SECONDS = 0.005
# Long enough for any program to obey: only one that doesn't is killed.
PATIENT_SECONDS = 20.0
_NODE = NodeId(UUID(int=1))
NAME = ContainerName("writer")


class Behaviour(enum.Enum):
    """
    What an application does. All but MISSING run until they are told to end.
    """

    OBEDIENT = "ends when it is asked to"
    STUBBORN = "ignores that it is asked to end"
    MISSING = "can't be executed"


class HostUnderTest(Protocol):
    """
    One host, and the applications that can be run on it.
    """

    def open(self) -> Runtime:
        """
        The runtime of this host, as after a start of the agent. Those opened before are not closed, as if killed.
        """
        ...

    def application(self, name: ContainerName, behaviour: Behaviour) -> dict[str, Any]:
        """
        ``command``, and whatever else a ``Container`` needs to run an application that behaves so.
        """
        ...

    def mount_paths(self) -> dict[DatasetId, Path]:
        """
        Two datasets or more, and where they are on this host.
        """
        ...

    def starts(self, name: ContainerName) -> int:
        """
        How often the application has come to run, and to behave as it should, by its own account.
        """
        ...

    def living(self, name: ContainerName) -> int:
        """
        How many copies of the application run now, by another account than the runtime's.
        """
        ...

    def end(self, name: ContainerName, *, exit_status: int) -> None:
        """
        Let the application end by itself.
        """
        ...

    def boottime_seconds(self) -> float:
        """
        What the clock of leases shows.
        """
        ...

    def let_pass(self, until_seconds: float) -> None:
        """
        Let that clock show a time, or a later one. What is due by then happens, or is about to.
        """
        ...


MakeHost = Callable[[], HostUnderTest]


def eventually(condition: Callable[[], bool]) -> None:
    """
    Wait until a condition holds, and fail if it doesn't within a minute.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(_POLL_SECONDS)


class RuntimeFixtures:
    """
    Hosts, and their runtimes.
    """

    @pytest.fixture
    def make_host(self) -> MakeHost:
        """
        Makes hosts that know nothing of one another.
        """
        raise NotImplementedError

    @pytest.fixture
    def new_host(self, make_host: MakeHost) -> Iterator[MakeHost]:
        """
        As ``make_host``; what runs there when the test is over is ended.
        """
        hosts: list[HostUnderTest] = []

        def made() -> HostUnderTest:
            hosts.append(make_host())
            return hosts[-1]

        yield made
        for host in hosts:
            runtime = host.open()
            for name in runtime.containers():
                runtime.stop(name, grace_seconds=0)
                runtime.remove(name)

    @pytest.fixture
    def host(self, new_host: MakeHost) -> HostUnderTest:
        """
        A host on which nothing ever ran.
        """
        return new_host()

    @pytest.fixture
    def runtime(self, host: HostUnderTest) -> Runtime:
        """
        The runtime of that host.
        """
        return host.open()


def container(
    host: HostUnderTest,
    *,
    name: ContainerName = NAME,
    behaviour: Behaviour = Behaviour.OBEDIENT,
    **fields: Any,
) -> Container:
    """
    A container that runs an application of the host.
    """
    return Container(name=name, node_id=_NODE, **host.application(name, behaviour), **fields)


def start(
    host: HostUnderTest,
    runtime: Runtime,
    *,
    name: ContainerName = NAME,
    behaviour: Behaviour = Behaviour.OBEDIENT,
    leased: bool = False,
    **fields: Any,
) -> Container:
    """
    Start an application and wait until it behaves as it should.
    """
    started = container(host, name=name, behaviour=behaviour, **fields)
    before = host.starts(name)
    runtime.start(started, host.mount_paths(), leased=leased)
    eventually(lambda: host.starts(name) == before + 1)
    return started


def phase(runtime: Runtime, name: ContainerName = NAME) -> ContainerPhase:
    """
    What a container is doing.
    """
    return runtime.containers()[name].phase

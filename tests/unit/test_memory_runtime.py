"""
What the memory runtime offers to tests beyond the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.runtime.memory import MemoryHost, MemoryRuntime
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    HealthCheck,
    Mount,
    NodeId,
    RestartName,
    RestartPolicy,
)
from flocker_py.observed import ContainerPhase, Health
from flocker_py.runtime import ContainerMissing, ContainerRefused, ContainerStartFailed

NAME = ContainerName("db")
DATA = DatasetId(UUID(int=11))
PATHS = {DATA: Path("/flocker/data")}
CONTAINER = Container(
    name=NAME,
    node_id=NodeId(UUID(int=1)),
    image="database",
    mounts=pvector([Mount(dataset_id=DATA, path="/data")]),
    restart=RestartPolicy(name=RestartName.ALWAYS),
)


class Recorded:
    """
    A program that writes down what happens to it.
    """

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def ask_to_end(self) -> int | None:
        self._events.append("asked")
        return 0

    def killed(self) -> None:
        self._events.append("killed")


class TestPrograms:
    """
    Applications as objects.
    """

    def test_is_told_what_happens(self) -> None:
        """
        Each run has a program of its own, which is made with the paths of its volumes, and told how it ends.
        """
        events: list[str] = []

        def made(container: Container, paths: Mapping[DatasetId, Path]) -> Recorded:
            events.append(f"made {container.name} {paths[DATA]}")
            return Recorded(events)

        host = MemoryHost(made)
        runtime = MemoryRuntime(host)
        runtime.start(CONTAINER, PATHS)
        host.end(NAME, exit_status=1)
        runtime.stop(NAME, grace_seconds=1)

        assert ["made db /flocker/data", "killed", "made db /flocker/data", "asked"] == events

    def test_default(self) -> None:
        """
        Without programs of one's own, applications run until they are asked to end.
        """
        host = MemoryHost()
        runtime = MemoryRuntime(host)
        runtime.start(CONTAINER, PATHS)
        runtime.stop(NAME, grace_seconds=1)

        assert (-15, None) == (runtime.containers()[NAME].exit_status, host.program(NAME))

    def test_default_that_ends(self) -> None:
        """
        Such an application can be ended by the test.
        """
        host = MemoryHost()
        MemoryRuntime(host).start(CONTAINER.set(restart=RestartPolicy()), PATHS)
        host.end(NAME, exit_status=7)

        assert 7 == MemoryRuntime(host).containers()[NAME].exit_status

    def test_clock(self) -> None:
        """
        The time of a start is what the test's clock says.
        """
        runtime = MemoryRuntime(MemoryHost(now_seconds=lambda: 12.5))
        runtime.start(CONTAINER, PATHS)

        assert 12.5 == runtime.containers()[NAME].started_at_seconds

    def test_check(self) -> None:
        """
        What the check of a container says is what the test says, until the next start, and watchers are told.
        """
        host = MemoryHost(first_health=Health.STARTING)
        runtime = MemoryRuntime(host)
        told: list[ContainerName] = []
        runtime.watch(told.append)
        runtime.start(CONTAINER.set(health=HealthCheck(command=pvector(["ask"]))), PATHS)
        says = [runtime.containers()[NAME].health]
        for _ in range(2):
            host.found(NAME, Health.HEALTHY)
            says.append(runtime.containers()[NAME].health)
        host.end(NAME, exit_status=1)
        says.append(runtime.containers()[NAME].health)
        runtime.stop(NAME, grace_seconds=1)
        says.append(runtime.containers()[NAME].health)

        assert [Health.STARTING, Health.HEALTHY, Health.HEALTHY, Health.STARTING, Health.NONE] == says
        assert [NAME, NAME] == told

    def test_no_check(self) -> None:
        """
        Nothing is found out about a container without a check: a test that thinks otherwise is told.
        """
        host = MemoryHost()
        MemoryRuntime(host).start(CONTAINER, PATHS)
        with pytest.raises(ContainerMissing):
            host.found(NAME, Health.HEALTHY)

    def test_ended_twice(self) -> None:
        """
        What doesn't run can't end: a test that thinks otherwise is told.
        """
        host = MemoryHost()
        with pytest.raises(ContainerMissing):
            host.end(NAME, exit_status=1)

    def test_fails_to_start_again(self) -> None:
        """
        A program that can't be started again stays ended.
        """
        failures = iter([False, True])

        def made(container: Container, _: object) -> Recorded:
            if next(failures):
                raise ContainerStartFailed(container.name)
            return Recorded([])

        host = MemoryHost(made)
        runtime = MemoryRuntime(host)
        runtime.start(CONTAINER, PATHS)
        host.end(NAME, exit_status=1)

        assert ContainerPhase.EXITED is runtime.containers()[NAME].phase

    def test_another_folder(self) -> None:
        """
        A container that runs on a dataset at one place is not taken for one at another.
        """
        runtime = MemoryRuntime(MemoryHost())
        runtime.start(CONTAINER, PATHS)
        with pytest.raises(ContainerRefused):
            runtime.start(CONTAINER, {DATA: Path("/elsewhere")})

        assert ContainerPhase.RUNNING is runtime.containers()[NAME].phase

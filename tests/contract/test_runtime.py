"""
Every container runtime does what all promise.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pvector

from flocker_agent.runtime.memory import CAPABILITIES as MEMORY_CAPABILITIES
from flocker_agent.runtime.memory import MemoryHost, MemoryRuntime
from flocker_agent.runtime.process import ProcessRuntime
from flocker_agent.runtime.process_spec import CAPABILITIES as PROCESS_CAPABILITIES
from flocker_agent.runtime.process_spec import folder_name
from flocker_agent.runtime.process_table import ZOMBIE, process_entry
from flocker_py.boottime import boottime_seconds
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.runtime import ContainerStartFailed, Runtime, RuntimeCapabilities
from flocker_py.testing.runtime_contract import RuntimeContract
from flocker_py.testing.runtime_contract_leases import LeaseContract
from flocker_py.testing.runtime_hosts import Behaviour, MakeHost, eventually

DATASETS = (DatasetId(UUID(int=11)), DatasetId(UUID(int=12)))

# $0: the application's folder. It runs until it reads its exit status.
APPLICATION = 'exec 3<>"$0/end"; echo $$ >>"$0/starts"; read status <&3; exit "$status"'


class MemoryApplications:
    """
    A ``HostUnderTest`` of objects.
    """

    def __init__(self, capabilities: RuntimeCapabilities | None) -> None:
        self._capabilities = capabilities
        self._now_seconds = 1000.0
        self._host = MemoryHost(self._program, boottime_seconds=self.boottime_seconds)
        self._starts: dict[ContainerName, int] = {}

    def open(self) -> Runtime:
        if self._capabilities is None:
            return MemoryRuntime(self._host)
        return MemoryRuntime(self._host, capabilities=self._capabilities)

    def application(self, name: ContainerName, behaviour: Behaviour) -> dict[str, Any]:
        return {"command": pvector([behaviour.name])}

    def mount_paths(self) -> dict[DatasetId, Path]:
        return {dataset_id: Path("/flocker") / str(dataset_id) for dataset_id in DATASETS}

    def starts(self, name: ContainerName) -> int:
        return self._starts.get(name, 0)

    def living(self, name: ContainerName) -> int:
        return 0 if self._host.program(name) is None else 1

    def end(self, name: ContainerName, *, exit_status: int) -> None:
        self._host.end(name, exit_status=exit_status)

    def boottime_seconds(self) -> float:
        return self._now_seconds

    def let_pass(self, until_seconds: float) -> None:
        self._now_seconds = max(self._now_seconds, until_seconds)
        self._host.look_at_lease()

    def _program(self, container: Container, _: object) -> Program:
        behaviour = Behaviour[container.command[0]]
        if behaviour is Behaviour.MISSING:
            raise ContainerStartFailed(f"{container.name!r}")
        self._starts[container.name] = self.starts(container.name) + 1
        return Program(stubborn=behaviour is Behaviour.STUBBORN)


class Program:
    """
    An application that is an object.
    """

    def __init__(self, *, stubborn: bool) -> None:
        self._stubborn = stubborn

    def ask_to_end(self) -> int | None:
        return None if self._stubborn else 0

    def killed(self) -> None:
        pass


class ProcessApplications:
    """
    A ``HostUnderTest`` of processes: shells that write down their ids and read their exit status from a named pipe.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> Runtime:
        return ProcessRuntime(self._folder / "state")

    def application(self, name: ContainerName, behaviour: Behaviour) -> dict[str, Any]:
        own = self._own_folder(name)
        if not own.exists():
            own.mkdir()
            os.mkfifo(own / "end")
        if behaviour is Behaviour.MISSING:
            return {"command": pvector(["/nonexistent/program"])}
        script = f"trap '' TERM; {APPLICATION}" if behaviour is Behaviour.STUBBORN else APPLICATION
        return {"command": pvector(["sh", "-c", script, str(own)])}

    def mount_paths(self) -> dict[DatasetId, Path]:
        paths = {dataset_id: self._folder / str(dataset_id) for dataset_id in DATASETS}
        for path in paths.values():
            path.mkdir(exist_ok=True)
        return paths

    def starts(self, name: ContainerName) -> int:
        return len(self._pids(name))

    def living(self, name: ContainerName) -> int:
        entries = [process_entry(pid) for pid in self._pids(name)]
        return len([entry for entry in entries if entry is not None and entry.state != ZOMBIE])

    def end(self, name: ContainerName, *, exit_status: int) -> None:
        pipe = os.open(self._own_folder(name) / "end", os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, f"{exit_status}\n".encode())
        os.close(pipe)

    def boottime_seconds(self) -> float:
        return boottime_seconds()

    def let_pass(self, until_seconds: float) -> None:
        eventually(lambda: boottime_seconds() >= until_seconds)

    def _own_folder(self, name: ContainerName) -> Path:
        return self._folder / f"application-{folder_name(name)}"

    def _pids(self, name: ContainerName) -> list[int]:
        starts = self._own_folder(name) / "starts"
        return [int(line) for line in starts.read_text().splitlines()] if starts.exists() else []


class TestMemoryRuntime(RuntimeContract, LeaseContract):
    """
    The runtime ``memory``.
    """

    @pytest.fixture
    def make_host(self) -> MakeHost:
        return lambda: MemoryApplications(None)


class TestRestrictedMemoryRuntime(RuntimeContract, LeaseContract):
    """
    The runtime ``memory`` when it pretends to be able to do no more than plain processes.
    """

    @pytest.fixture
    def make_host(self) -> MakeHost:
        return lambda: MemoryApplications(PROCESS_CAPABILITIES)


class TestMemoryRuntimeWithoutLeases(RuntimeContract):
    """
    The runtime ``memory`` when it pretends not to know of leases.
    """

    @pytest.fixture
    def make_host(self) -> MakeHost:
        return lambda: MemoryApplications(MEMORY_CAPABILITIES.set(leases=False))


class TestProcessRuntime(RuntimeContract, LeaseContract):
    """
    The runtime ``process``.
    """

    @pytest.fixture
    def make_host(self, tmp_path_factory: pytest.TempPathFactory) -> MakeHost:
        return lambda: ProcessApplications(tmp_path_factory.mktemp("host"))

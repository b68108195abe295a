"""
The runtime ``docker`` does what every container runtime promises, on a real engine.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
from pyrsistent import pvector

from flocker_agent.runtime.docker import DockerRuntime
from flocker_agent.runtime.docker_engine import DockerEngine
from flocker_agent.runtime.docker_spec import NAME_LABEL
from flocker_py.boottime import boottime_seconds
from flocker_py.model import ContainerName, DatasetId
from flocker_py.runtime import Runtime
from flocker_py.testing.runtime_contract import RuntimeContract
from flocker_py.testing.runtime_hosts import Behaviour, MakeHost, eventually
from tests.engines import BUSYBOX_IMAGE, Host, engines

DATASETS = (DatasetId(UUID(int=11)), DatasetId(UUID(int=12)))
# By which signal an application is told to end with which status.
ENDS = {0: signal.SIGUSR1, 3: signal.SIGUSR2, 4: signal.SIGHUP}
# $0 tells whose it is. The first process of a container ignores every signal that it has not asked for.
APPLICATION = (
    "".join(f"trap 'exit {status}' {number.name[3:]}; " for status, number in ENDS.items())
    + "{stubborn} echo started; while :; do sleep 1000 & wait $!; done"
)
OBEDIENT = APPLICATION.replace("{stubborn}", "trap 'exit 0' TERM;")
STUBBORN = APPLICATION.replace("{stubborn}", "trap '' TERM;")


class DockerApplications:
    """
    A ``HostUnderTest`` of containers: shells that say when they have begun, and end by signals.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._token = uuid4().hex
        # In memory, as on a node.
        self._grants = Path("/dev/shm") / f"flocker-tests-{self._token}"
        self._client = host.client()
        self._begun: dict[str, dict[str, int]] = {}

    def open(self) -> Runtime:
        return DockerRuntime(DockerEngine(self._host.socket), self._folder / "state", grants_path=self._grants)

    def application(self, name: ContainerName, behaviour: Behaviour) -> dict[str, Any]:
        script = STUBBORN if behaviour is Behaviour.STUBBORN else OBEDIENT
        command = ["/nonexistent/program"]
        if behaviour is not Behaviour.MISSING:
            command = ["sh", "-c", script, self._own(name)]
        return {"command": pvector(command), "image": BUSYBOX_IMAGE}

    def mount_paths(self) -> dict[DatasetId, Path]:
        paths = {dataset_id: self._folder / str(dataset_id) for dataset_id in DATASETS}
        for path in paths.values():
            path.mkdir(exist_ok=True)
        return paths

    def starts(self, name: ContainerName) -> int:
        # Docker forgets the log of a container with it: what was counted is kept here.
        counted = self._begun.setdefault(name, {})
        for each in self._client.containers(all=True, filters={"label": f"{NAME_LABEL}={name}"}):
            if self._own(name) in each["Command"] or self._is_own(name, each["Id"]):
                counted[each["Id"]] = self._client.logs(each["Id"]).decode().splitlines().count("started")
        return sum(counted.values())

    def living(self, name: ContainerName) -> int:
        return len(self._pids(name))

    def end(self, name: ContainerName, *, exit_status: int) -> None:
        for pid in self._pids(name):
            os.kill(pid, ENDS[exit_status])

    def boottime_seconds(self) -> float:
        return boottime_seconds()

    def let_pass(self, until_seconds: float) -> None:
        eventually(lambda: boottime_seconds() >= until_seconds)

    def close(self) -> None:
        self._client.close()
        shutil.rmtree(self._grants, ignore_errors=True)

    def _own(self, name: ContainerName) -> str:
        return f"{self._token}-{name.encode().hex()}"

    def _is_own(self, name: ContainerName, container: str) -> bool:
        return self._own(name) in (self._client.inspect_container(container)["Config"]["Cmd"] or ())

    def _pids(self, name: ContainerName) -> list[int]:
        # As the host sees them, whatever Docker says.
        own = self._own(name)
        found = {
            each.pid: each.info["ppid"]
            for each in psutil.process_iter(["cmdline", "ppid"])
            if (each.info["cmdline"] or [""])[-1] == own
        }
        # A shell that begins a program is there twice for a moment.
        return [pid for pid, parent in found.items() if parent not in found]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, require: Callable[..., None]) -> Iterator[Host]:
    require("docker")
    with engines(["n1"], tmp_path_factory.mktemp("engine")) as hosts:
        yield hosts["n1"]


class TestDockerRuntime(RuntimeContract):
    """
    The runtime ``docker``.
    """

    @pytest.fixture
    def make_host(self, engine: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeHost]:
        made: list[DockerApplications] = []

        def make() -> DockerApplications:
            made.append(DockerApplications(engine, tmp_path_factory.mktemp("host")))
            return made[-1]

        yield make
        for each in made:
            each.close()

"""
What ``cluster.yml`` says of an app, as a real engine has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from flocker_agent.runtime.docker import DockerRuntime
from flocker_agent.runtime.docker_engine import DockerEngine
from flocker_py.deployed import Deployment, container
from flocker_py.deployment import parse
from flocker_py.model import Container, ContainerName, DatasetId, NodeId
from flocker_py.observed import Health
from flocker_py.testing.runtime_hosts import eventually
from tests.conftest import Require
from tests.engines import BUSYBOX_IMAGE, Host, engines

DATASET = DatasetId(UUID(int=2))
NAME = ContainerName("app")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Host]:
    require("docker")
    with engines(["n1"], tmp_path_factory.mktemp("engine")) as hosts:
        yield hosts["n1"]


def wanted(environment_file: Path) -> Container:
    """
    The container of a document that has one of everything.
    """
    app: dict[str, Any] = {
        "node": "192.0.2.1",
        "image": BUSYBOX_IMAGE,
        "pull_policy": "never",
        "entrypoint": ["/bin/sh", "-c"],
        "command": ["trap 'exit 0' INT; touch /tmp/healthy; while :; do sleep 1; done"],
        "env": {"A": "b"},
        "env_file": str(environment_file),
        "mounts": ["data:/data:ro"],
        "ports": ["127.0.0.1:8080:80", "[::1]:8080:80", "9000-9001:9000-9001/udp"],
        "memory": "64M",
        "cpus": 0.5,
        "pids_limit": 50,
        "stop_signal": "int",
        "healthcheck": {"test": "test -d /data", "interval": "1s", "timeout": "5s", "retries": 2},
        "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
        "user": "0:0",
        "cap_add": ["cap_net_admin"],
        "cap_drop": ["MKNOD"],
        "security_opt": ["no-new-privileges:true"],
    }
    volumes = {"data": {"primary": "192.0.2.1"}}
    read = parse({"version": 2, "cluster": {"name": "test"}, "volumes": volumes, "apps": {NAME: app}})
    assert isinstance(read, Deployment), read
    return container(read.apps[NAME], NodeId(UUID(int=1)), {"data": DATASET})


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Iterator[DockerRuntime]:
    grants = Path("/dev/shm") / f"flocker-tests-{uuid4()}"  # as on a node, in memory
    yield DockerRuntime(DockerEngine(host.socket), tmp_path / "state", grants_path=grants)
    for each in host.docker("ps", "-aq").split():
        host.docker("rm", "-f", each)


def test_everything_arrives(host: Host, runtime: DockerRuntime, tmp_path: Path) -> None:
    """
    Whatever the document says of an app, the engine does.
    """
    data, file = tmp_path / "data", tmp_path / "app.env"
    data.mkdir()
    file.touch(mode=0o600)
    file.write_text("SECRET=swordfish\n")
    asked = wanted(file)
    runtime.prepare(asked)
    runtime.start(asked, {DATASET: data})
    eventually(lambda: runtime.containers()[NAME].health is Health.HEALTHY)
    (seen,) = json.loads(host.docker("inspect", host.docker("ps", "-q").strip()))
    settings, limits = seen["Config"], seen["HostConfig"]
    mounted = [(mount["Destination"], mount["RW"]) for mount in seen["Mounts"]]
    bound = [each["HostIp"] for each in limits["PortBindings"]["80/tcp"]]

    assert asked == runtime.definition(NAME)
    assert (["/bin/sh", "-c"], "SIGINT", "0:0") == (settings["Entrypoint"], settings["StopSignal"], settings["User"])
    assert {"A=b", "SECRET=swordfish"} <= set(settings["Env"])
    assert ["CMD", "/bin/sh", "-c", "test -d /data"] == settings["Healthcheck"]["Test"]
    assert (True, ["127.0.0.1", "::1"]) == (("/data", False) in mounted, bound)
    assert {"80/tcp", "9000/udp", "9001/udp"} == set(limits["PortBindings"])
    assert (500_000_000, 50, 64 * 2**20) == (limits["NanoCpus"], limits["PidsLimit"], limits["Memory"])
    assert (["no-new-privileges"], {"max-size": "1m"}) == (limits["SecurityOpt"], limits["LogConfig"]["Config"])
    assert {"NET_ADMIN"} == {each.removeprefix("CAP_") for each in limits["CapAdd"]}

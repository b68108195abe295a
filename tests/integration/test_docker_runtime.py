"""
What the runtime ``docker`` does beyond the contract: with a real engine that is killed, with people who change things
by hand, and with what Docker would do by itself.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eliot import add_destinations, remove_destination
from pyrsistent import pmap, pvector

from flocker_agent.runtime.docker import DockerRuntime
from flocker_agent.runtime.docker_engine import DockerEngine, EngineAway
from flocker_agent.runtime.docker_spec import IDENTITY_LABEL
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    HealthCheck,
    Link,
    Mount,
    NodeId,
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
)
from flocker_py.observed import ContainerPhase, Health
from flocker_py.runtime import (
    ContainerChanged,
    ContainerMissing,
    ContainerNotPrepared,
    ContainerRefused,
    ContainerStartFailed,
)
from flocker_py.testing.runtime_hosts import eventually
from flocker_py.wire import to_text
from tests.conftest import Require
from tests.engine_gate import Gate
from tests.engines import BUSYBOX_IMAGE, Host, busybox_files, engines, without_runc_state
from tests.registry import Registry
from tests.zfs.namespaces import enter

NODE = NodeId(UUID(int=1))
DATASET = DatasetId(UUID(int=2))
NAME = ContainerName("app")
ALWAYS = RestartPolicy(name=RestartName.ALWAYS)
ON_FAILURE = RestartPolicy(name=RestartName.ON_FAILURE)
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
READY = "echo ready"
SECRET = "swordfish"
STARTING = r"POST /v[0-9.]+/containers/[0-9a-f]+/start "
# The arguments: the engine's socket, the state, the grants; a definition, and where its dataset is.
STARTER = """
import sys
from pathlib import Path
from flocker_agent.runtime.docker import DockerRuntime
from flocker_agent.runtime.docker_engine import DockerEngine
from flocker_py.model import Container
from flocker_py.wire import from_text
runtime = DockerRuntime(DockerEngine(sys.argv[1]), Path(sys.argv[2]), grants_path=Path(sys.argv[3]))
container = from_text(Container, sys.argv[4])
runtime.start(container, {mount.dataset_id: Path(sys.argv[5]) for mount in container.mounts})
"""


def app(script: str = SLEEP, **fields: Any) -> Container:
    """
    A container that runs a script.
    """
    words = pvector(["sh", "-c", script])
    return Container(**{"name": NAME, "node_id": NODE, "image": BUSYBOX_IMAGE, "command": words, **fields})


class Node:
    """
    A host with an engine, and an agent's folders on it.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.state = folder / "state"
        # In memory, as on a node.
        self.grants = Path("/dev/shm") / f"flocker-tests-{uuid4()}"
        self.runtime = self.opened()

    def opened(self, address: str | None = None) -> DockerRuntime:
        """
        As an agent that begins.
        """
        return DockerRuntime(DockerEngine(address or self.host.socket), self.state, grants_path=self.grants)

    def start(self, container: Container, path: Path | None = None) -> Container:
        """
        Start a container, with the dataset at a path.
        """
        self.runtime.start(container, {} if path is None else {DATASET: path})
        return container

    def phase(self) -> ContainerPhase | None:
        """
        None: there is no container.
        """
        seen = self.runtime.containers().get(NAME)
        return None if seen is None else seen.phase

    def ours(self) -> list[str]:
        """
        The ids of all containers that have the label of an agent, in whatever state.
        """
        return self.host.docker("ps", "-aq", "--no-trunc", "--filter", f"label={IDENTITY_LABEL}").split()

    def docker_name(self) -> str:
        """
        What Docker calls the one container that is there.
        """
        (one,) = self.ours()
        return self.host.docker("inspect", "-f", "{{.Name}}", one).strip().lstrip("/")

    def execute(self, *command: str) -> str:
        """
        What a command says in the container.
        """
        return self.host.docker("exec", self.docker_name(), *command).strip()

    def await_ready(self) -> None:
        """
        Wait until the one container has done what is ``READY``.
        """
        eventually(lambda: "ready" in self.host.docker("logs", self.docker_name()))

    def boot(self) -> None:
        """
        As after a boot of the host: what was in memory is gone, and the engine begins.
        """
        self.host.stop()
        shutil.rmtree(self.grants)
        self.host.start()

    def restart_engine(self) -> None:
        """
        The engine is killed, and begins again.
        """
        self.host.kill()
        self.host.start()

    def clear(self) -> None:
        """
        Nothing is left of it.
        """
        for each in self.host.docker("ps", "-aq").split():
            self.host.docker("rm", "-f", each)
        shutil.rmtree(self.grants, ignore_errors=True)


class WarningEngine(DockerEngine):
    """
    An engine on a kernel that can't do something, which it says of every container that it creates.
    """

    def __init__(self, address: str, warning: str) -> None:
        super().__init__(address)
        self._warning = warning

    def create(self, name: str, body: Mapping[str, Any]) -> tuple[str, list[str]]:
        created, warnings = super().create(name, body)
        return created, [*warnings, self._warning]


class NotingEngine(DockerEngine):
    """
    An engine of which it is noted how long it is to wait for those that it asks to end.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.graces_seconds: list[int] = []

    def stop(self, container: str, *, grace_seconds: int) -> None:
        self.graces_seconds.append(grace_seconds)
        super().stop(container, grace_seconds=grace_seconds)


class LosingEngine(DockerEngine):
    """
    An engine whose answers to what creates a container are lost, as when it is killed at that moment.
    """

    def create(self, name: str, body: Mapping[str, Any]) -> tuple[str, list[str]]:
        super().create(name, body)
        raise EngineAway("its connection was closed before it answered")


@contextmanager
def proxied(node: Node, command: Sequence[str]) -> Iterator[None]:
    """
    A proxy of Docker's runs on a host, and listens.
    """
    told, telling = os.pipe()
    # The proxy says by its descriptor 3 that it listens.
    shell = ["bash", "-c", f'exec "$@" 3>&{telling}', "bash", *command]
    proxy = subprocess.Popen([*node.host.inside, *shell], pass_fds=[telling])
    os.close(telling)
    try:
        assert b"0" == os.read(told, 1)
        yield
    finally:
        os.close(told)
        proxy.kill()
        proxy.wait()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Iterator[Host]:
    require("docker")
    with engines(["n1"], tmp_path_factory.mktemp("engine")) as hosts:
        yield hosts["n1"]


@pytest.fixture
def node(host: Host, tmp_path: Path) -> Iterator[Node]:
    node = Node(host, tmp_path)
    yield node
    node.clear()


class TestStartedByDocker:
    """
    Docker starts containers by itself, and only those that the agent has granted since the host was booted.
    """

    def test_engine_restarted(self, node: Node) -> None:
        """
        Where only the engine was restarted, an application goes on as its policy says, with no agent, in one copy.
        """
        started = node.start(app(restart=ALWAYS))
        node.host.stop()
        node.host.start()
        eventually(lambda: node.phase() is ContainerPhase.RUNNING)

        assert (1, started) == (len(node.ours()), node.opened().definition(NAME))

    def test_engine_killed(self, node: Node) -> None:
        """
        What an engine that was killed left running it ends when it begins again. That is for the agent to start.
        """
        asked = node.start(app(restart=ALWAYS))
        node.restart_engine()
        eventually(lambda: node.phase() is ContainerPhase.EXITED)
        seen = node.runtime.containers()[NAME]
        node.start(asked)

        assert (False, None) == (seen.stopped, seen.exit_status)
        assert (ContainerPhase.RUNNING, 1) == (node.phase(), len(node.ours()))

    @pytest.mark.parametrize("policy", [ALWAYS, ON_FAILURE])
    def test_host_booted(self, node: Node, policy: RestartPolicy) -> None:
        """
        After a boot nothing runs before the agent has started it. That it was going to be started is seen.
        """
        asked = node.start(app("trap 'exit 1' TERM; while :; do sleep 1000 & wait $!; done", restart=policy))
        node.boot()
        node.runtime = node.opened()
        seen = node.runtime.containers()[NAME]
        node.start(asked)

        assert (ContainerPhase.EXITED, False, None) == (seen.phase, seen.stopped, seen.exit_status)
        assert (ContainerPhase.RUNNING, 1) == (node.phase(), len(node.ours()))

    def test_finished_before_the_boot(self, node: Node) -> None:
        """
        What had come to a good end is known to have, also after a boot: a job isn't done twice.
        """
        node.start(app("true", restart=ON_FAILURE))
        eventually(lambda: node.phase() is ContainerPhase.EXITED)
        node.boot()

        assert 0 == node.opened().containers()[NAME].exit_status

    def test_stopped_stays_stopped(self, node: Node) -> None:
        """
        What the agent has stopped isn't started by an engine that begins, nor by hand.
        """
        node.start(app(restart=ALWAYS))
        name = node.docker_name()
        node.runtime.stop(NAME, grace_seconds=20)
        node.restart_engine()
        with pytest.raises(AssertionError, match="bind source path does not exist"):
            node.host.docker("start", name)

        seen = node.runtime.containers()[NAME]
        assert (ContainerPhase.EXITED, True) == (seen.phase, seen.stopped)

    def test_stopped_while_failing(self, node: Node) -> None:
        """
        Between two tries of Docker's policy, too, a stop is the end.
        """
        node.start(app("exit 3", restart=ALWAYS))
        eventually(lambda: node.runtime.containers()[NAME].restarts > 1)
        node.runtime.stop(NAME, grace_seconds=20)
        node.restart_engine()

        seen = node.runtime.containers()[NAME]
        assert (ContainerPhase.EXITED, True) == (seen.phase, seen.stopped)


class TestStopped:
    """
    How a container is asked to end.
    """

    def test_part_of_a_second(self, node: Node) -> None:
        """
        A grace period of less than a second, which Docker does not know, is not cut down to none: the application has
        a whole one to end by itself.
        """
        engine = NotingEngine(node.host.socket)
        runtime = DockerRuntime(engine, node.state, grants_path=node.grants)
        runtime.start(app(), {})
        runtime.stop(NAME, grace_seconds=0.5)

        assert ([1], ContainerPhase.EXITED) == (engine.graces_seconds, node.phase())

    def test_signal(self, node: Node) -> None:
        """
        It is the signal that was asked for by which an application is told to end.
        """
        script = f"trap 'exit 7' USR1; trap 'exit 8' TERM; {READY}; while :; do sleep 1000 & wait $!; done"
        node.start(app(script, stop_signal="SIGUSR1"))
        node.await_ready()
        node.runtime.stop(NAME, grace_seconds=20)

        assert 7 == node.runtime.containers()[NAME].exit_status


class TestKilled:
    """
    A crash between Docker's creating a container and its starting leaves no second one.
    """

    def test_agent(self, node: Node) -> None:
        """
        The agent: nothing is seen, and the next start makes the only container.
        """
        asked = app(restart=ALWAYS)
        with Gate(node.folder / "gate.sock", _path(node.host.socket), STARTING) as gate:
            arguments = [gate.address, str(node.state), str(node.grants), to_text(asked)]
            agent = subprocess.Popen([sys.executable, "-c", STARTER, *arguments], env=_environment())
            gate.wait()
            agent.kill()
            agent.wait()
        left = node.ours()
        seen = node.opened().containers()
        node.runtime = node.opened()
        node.start(asked)

        assert (1, pmap(), 1) == (len(left), seen, len(node.ours()))
        assert ContainerPhase.RUNNING is node.phase()

    def test_engine(self, node: Node) -> None:
        """
        The engine: start says that it doesn't answer. Whether Docker has begun it or not, one runs afterwards.
        """
        asked = app(restart=ALWAYS)
        with Gate(node.folder / "gate.sock", _path(node.host.socket), STARTING) as gate:
            failures: list[BaseException] = []
            starting = _in_thread(lambda: node.opened(gate.address).start(asked, {}), failures)
            gate.wait()
            node.host.kill()
            gate.hang_up()
            starting()
        node.host.start()
        node.start(asked)

        assert ([EngineAway], 1, ContainerPhase.RUNNING) == (
            [type(one) for one in failures],
            len(node.ours()),
            node.phase(),
        )

    def test_agent_is_not_asked_again(self, node: Node) -> None:
        """
        What was created and never started doesn't stay for ever, if nobody wants it any more.
        """
        with Gate(node.folder / "gate.sock", _path(node.host.socket), STARTING) as gate:
            arguments = [gate.address, str(node.state), str(node.grants), to_text(app())]
            agent = subprocess.Popen([sys.executable, "-c", STARTER, *arguments], env=_environment())
            gate.wait()
            agent.kill()
            agent.wait()
        node.opened().containers()

        assert [] == node.ours()

    def test_engine_is_not_asked_again(self, node: Node) -> None:
        """
        The same for what the engine has created, and could not say so any more.
        """
        runtime = DockerRuntime(LosingEngine(node.host.socket), node.state, grants_path=node.grants)
        runtime.containers()
        with pytest.raises(EngineAway):
            runtime.start(app(), {})
        left = node.ours()
        runtime.containers()

        assert (1, []) == (len(left), node.ours())

    def test_look_meanwhile(self, node: Node) -> None:
        """
        Who looks while a container is being started doesn't wait for that, and removes nothing.
        """
        with Gate(node.folder / "gate.sock", _path(node.host.socket), STARTING) as gate:
            runtime = node.opened(gate.address)
            failures: list[BaseException] = []
            starting = _in_thread(lambda: runtime.start(app(), {}), failures)
            gate.wait()
            seen = runtime.containers()
            left = node.ours()
            gate.hang_up()
            starting()
        runtime = node.opened()
        runtime.containers()

        assert (pmap(), 1, []) == (seen, len(left), node.ours())


class TestByHand:
    """
    What people do to containers of ours by hand is noticed.
    """

    @pytest.mark.parametrize("command", [["stop", "-t", "0"], ["kill"]])
    def test_stopped(self, node: Node, command: Sequence[str]) -> None:
        """
        Who watches is told, and finds it ended, but not by the agent; started again, it runs.
        """
        asked = node.start(app(restart=ALWAYS))
        found: list[object] = []
        end = node.runtime.watch(lambda _: found.append(node.phase()))
        node.host.docker(*command, node.docker_name())
        eventually(lambda: ContainerPhase.EXITED in found)
        end()
        seen = node.runtime.containers()[NAME]
        node.start(asked)

        assert (False, ContainerPhase.RUNNING, 1) == (seen.stopped, node.phase(), len(node.ours()))

    def test_removed(self, node: Node) -> None:
        """
        Who watches is told, and finds nothing.
        """
        node.start(app(restart=ALWAYS))
        found: list[object] = []
        end = node.runtime.watch(lambda _: found.append(node.phase()))
        node.host.docker("rm", "-f", node.docker_name())
        eventually(lambda: None in found)
        end()

        with pytest.raises(ContainerMissing):
            node.runtime.definition(NAME)

    def test_renamed(self, node: Node) -> None:
        """
        Its name in Docker is for people: it is ours by its labels, and can be stopped and started anew.
        """
        asked = node.start(app())
        node.host.docker("rename", node.docker_name(), "renamed")
        seen = node.runtime.containers()[NAME]
        node.runtime.stop(NAME, grace_seconds=20)
        stopped = node.runtime.containers()[NAME]
        node.start(asked)

        assert (ContainerPhase.RUNNING, True) == (seen.phase, stopped.stopped)
        assert (ContainerPhase.RUNNING, 1) == (node.phase(), len(node.ours()))

    def test_paused(self, node: Node) -> None:
        """
        What is paused goes on when the agent looks at it, and can be stopped.
        """
        node.start(app())
        node.host.docker("pause", node.docker_name())
        node.runtime.stop(NAME, grace_seconds=20)

        assert (ContainerPhase.EXITED, 0) == (node.phase(), node.runtime.containers()[NAME].exit_status)

    def test_paused_goes_on(self, node: Node) -> None:
        """
        Starting what is paused lets it go on.
        """
        asked = node.start(app())
        node.host.docker("pause", node.docker_name())
        paused = node.phase()
        node.start(asked)
        state = node.host.docker("inspect", "-f", "{{.State.Paused}}", node.docker_name()).strip()

        assert (ContainerPhase.STARTING, ContainerPhase.RUNNING, "false") == (paused, node.phase(), state)

    def test_limits(self, node: Node) -> None:
        """
        Who watches is told of limits that were changed, and finds them so; they are put back, and nothing is restarted.
        The log says what was put back.
        """
        logged: list[Mapping[str, Any]] = []
        node.start(app(pids_limit=50, memory_bytes=64 << 20))
        before = node.runtime.containers()[NAME]
        found: list[object] = []
        end = node.runtime.watch(lambda _: found.append((node.phase(), node.runtime.is_changed(NAME))))
        change_by_hand(node)
        eventually(lambda: (ContainerPhase.RUNNING, True) in found)
        end()
        add_destinations(logged.append)
        try:
            node.runtime.repair(NAME)
        finally:
            remove_destination(logged.append)
        told = [(each["name"], each["put_back"]) for each in logged if each.get("message_type") == PUT_BACK]

        assert [(NAME, CHANGES)] == told
        assert f'{64 << 20} 50 {{"Name":"no","MaximumRetryCount":0}}' == limits(node)
        assert (before, False) == (node.runtime.containers()[NAME], node.runtime.is_changed(NAME))

    def test_limits_that_stay(self, node: Node) -> None:
        """
        What Docker can't put back is an error that names each field, what it is and what was asked for; later it can.
        """
        node.start(app(pids_limit=50, memory_bytes=64 << 20))
        change_by_hand(node)
        with without_runc_state(node.host):
            with pytest.raises(ContainerChanged) as raised:
                node.runtime.repair(NAME)
            during = (node.phase(), node.runtime.is_changed(NAME))
        node.runtime.repair(NAME)

        assert f"Container 'app' was changed by hand: {CHANGES}; Docker can't put it back: " in str(raised.value)
        assert (ContainerPhase.RUNNING, True) == during
        assert f'{64 << 20} 50 {{"Name":"no","MaximumRetryCount":0}}' == limits(node)

    def test_only_shown(self, node: Node) -> None:
        """
        Where that is asked for, nothing is put back; it is an error that says the same, until somebody else has.
        """
        node.start(app(pids_limit=50, memory_bytes=64 << 20))
        runtime = DockerRuntime(DockerEngine(node.host.socket), node.state, grants_path=node.grants, put_back=False)
        change_by_hand(node)
        changed = limits(node)
        runtime.containers()
        shown = [runtime.is_changed(NAME)]
        with pytest.raises(ContainerChanged) as raised:
            runtime.repair(NAME)
        left = limits(node)
        node.runtime.repair(NAME)
        runtime.containers()
        runtime.repair(NAME)
        shown.append(runtime.is_changed(NAME))

        assert f"Container 'app' was changed by hand: {CHANGES}; it stays so" in str(raised.value)
        assert (changed, [True, False]) == (left, shown)

    def test_taken_out_of_its_network(self, node: Node) -> None:
        """
        What is no longer in its network is put back there, with its name and its ports, and is not restarted.
        """
        serve = "mkdir /tmp/w; echo hello >/tmp/w/page; exec httpd -f -p 80 -h /tmp/w"
        node.start(app(serve, ports=pvector([Port(internal=80, external=8091)])))
        node.execute("sh", "-c", "until wget -qO- 127.0.0.1/page; do sleep 1; done")
        node.host.docker("network", "disconnect", "flocker", node.docker_name())
        before = node.runtime.containers()[NAME]
        changed = node.runtime.is_changed(NAME)
        node.runtime.repair(NAME)
        after = node.runtime.containers()[NAME]
        with enter(node.host.namespace), urllib.request.urlopen("http://127.0.0.1:8091/page") as answer:
            page = answer.read()
        form = "{{json .NetworkSettings.Networks.flocker.Aliases}}"
        aliases = json.loads(node.host.docker("inspect", "-f", form, node.docker_name()))

        assert (True, False, before) == (changed, node.runtime.is_changed(NAME), after)
        assert (b"hello\n", True) == (page, NAME in aliases)

    def test_network_is_gone(self, node: Node) -> None:
        """
        A network that isn't there any more is the error, as is whatever else Docker can't put back.
        """
        network = f"network-{uuid4()}"
        runtime = DockerRuntime(DockerEngine(node.host.socket), node.state, grants_path=node.grants, network=network)
        runtime.start(app(), {})
        node.host.docker("network", "disconnect", network, node.docker_name())
        node.host.docker("network", "rm", network)
        told = f"network is none, and {network} was asked for; Docker can't put it back: "
        with pytest.raises(ContainerChanged, match=told):
            runtime.repair(NAME)


CHANGES = (
    f"memory_bytes is {32 << 20}, and {64 << 20} was asked for; pids_limit is 99, and 50 was asked for;"
    " restart is always, and no was asked for"
)
PUT_BACK = "flocker:docker:changed-by-hand"


def holding(protocol: str, address: str, port: int) -> socket.socket:
    """
    A program that has a port, of whatever kind of address.

    :param address: empty: all of IPv4's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if family is socket.AF_INET6:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if protocol == "tcp":
        # As nearly every server has it.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((address, port))
    except OSError:
        holder.close()
        raise
    if protocol == "tcp":
        holder.listen()
    return holder


def change_by_hand(node: Node) -> None:
    """
    Change limits and the policy of the one container.
    """
    less = ["--memory", "32m", "--memory-swap", "32m", "--pids-limit", "99", "--restart", "always"]
    node.host.docker("update", *less, node.docker_name())


def limits(node: Node) -> str:
    """
    Those of the one container, as Docker has them.
    """
    form = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{json .HostConfig.RestartPolicy}}"
    return node.host.docker("inspect", "-f", form, node.docker_name()).strip()


class TestForeign:
    """
    Containers of others are never touched.
    """

    def test_not_listed(self, node: Node) -> None:
        """
        They are not seen, whatever their name, and neither are those of another agent on the same engine.
        """
        node.host.docker("run", "-d", "--name", "flocker-other", "--label", "org.flocker.container=app", *_IDLE)
        other = Node(node.host, node.folder / "other")
        other.start(app())
        seen = node.runtime.containers()
        others = list(other.runtime.containers())
        other.clear()

        assert (pmap(), [NAME]) == (seen, others)

    def test_has_our_name(self, node: Node) -> None:
        """
        One that has the name that ours would get is a refusal, and goes on.
        """
        asked = node.start(app())
        name = node.docker_name()
        node.runtime.stop(NAME, grace_seconds=20)
        node.runtime.remove(NAME)
        node.host.docker("run", "-d", "--name", name, *_IDLE)
        with pytest.raises(ContainerRefused, match="not this agent's; rename or remove it"):
            node.start(asked)

        assert ("true\n", pmap()) == (
            node.host.docker("inspect", "-f", "{{.State.Running}}", name),
            node.runtime.containers(),
        )


_IDLE = [BUSYBOX_IMAGE, "sleep", "1000"]


class TestMounts:
    """
    Datasets in containers.
    """

    def test_read_and_written(self, node: Node) -> None:
        """
        A container sees the dataset where it was told, and can write there unless it must not.
        """
        path = node.folder / "dataset"
        path.mkdir()
        path.chmod(0o777)
        twice = [Mount(dataset_id=DATASET, path="/data"), Mount(dataset_id=DATASET, path="/seen", read_only=True)]
        node.start(app(mounts=pvector(twice)), path)
        node.execute("sh", "-c", "echo kept >/data/file")
        with pytest.raises(AssertionError, match="Read-only file system"):
            node.execute("touch", "/seen/other")

        assert "kept\n" == (path / "file").read_text()

    def test_path_is_gone(self, node: Node) -> None:
        """
        Where the path is not there, nothing is started, no folder is made in its place, and nothing is left.
        """
        path = node.folder / "gone"
        with pytest.raises(ContainerStartFailed, match="bind source path does not exist"):
            node.start(app(mounts=pvector([Mount(dataset_id=DATASET, path="/data")])), path)

        assert (False, pmap(), []) == (path.exists(), node.runtime.containers(), node.ours())

    def test_engine_does_not_see_it(self, node: Node) -> None:
        """
        An engine with mounts of its own, which lacks the dataset's, is found out, and nothing is left.
        """
        path = node.folder / "dataset"
        path.mkdir()
        asked = app(mounts=pvector([Mount(dataset_id=DATASET, path="/data")]))
        agent = [sys.executable, "-c", STARTER, node.host.socket, str(node.state), str(node.grants), to_text(asked)]
        mounting = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@" "$0"', str(path), *agent]
        ended = subprocess.run(mounting, env=_environment(), capture_output=True, text=True, check=False)

        assert f"Docker Engine does not see what is mounted at {path}" in ended.stderr
        assert (pmap(), []) == (node.runtime.containers(), node.ours())


class TestPorts:
    """
    Published ports.
    """

    def test_address(self, node: Node) -> None:
        """
        A port is published at the address that was asked for, and by its protocol.
        """
        ports = [
            Port(internal=80, external=8081, host_address="127.0.0.1"),
            Port(internal=53, external=53, protocol="udp"),
        ]
        node.start(app(ports=pvector(ports)))
        published = node.host.docker("port", node.docker_name()).splitlines()

        assert {"80/tcp -> 127.0.0.1:8081", "53/udp -> 0.0.0.0:53"} <= set(published)

    def test_taken(self, node: Node) -> None:
        """
        A port that another has is an error that names it, and nothing is left.
        """
        node.host.docker("run", "-d", "-p", "8082:80", *_IDLE)
        with pytest.raises(ContainerStartFailed, match="8082"):
            node.start(app(ports=pvector([Port(internal=80, external=8082)])))

        assert (pmap(), []) == (node.runtime.containers(), node.ours())

    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    @pytest.mark.parametrize(
        ("held", "asked"), [("", None), ("127.0.0.1", None), ("", "127.0.0.1"), ("::1", "::1"), ("::", None)]
    )
    def test_held_by_a_program(self, node: Node, protocol: str, held: str, asked: str | None) -> None:
        """
        A port that a program of the host holds keeps a container from being prepared, as long as it does.
        """
        wanted = app(ports=pvector([Port(internal=80, external=8084, protocol=protocol, host_address=asked)]))
        with enter(node.host.namespace):
            holder = holding(protocol, held, 8084)
            with pytest.raises(ContainerNotPrepared, match=f"8084/{protocol} of this host is held by another program"):
                node.runtime.prepare(wanted)
            # The engine says the same, if later.
            with pytest.raises(ContainerStartFailed, match="8084"):
                node.start(wanted)
            holder.close()
            node.runtime.prepare(wanted)

        assert {} == dict(node.runtime.containers())

    def test_held_elsewhere(self, node: Node) -> None:
        """
        A program that holds the port at another address, or that of another protocol, is in nobody's way.
        """
        wanted = app(ports=pvector([Port(internal=80, external=8085, host_address="127.0.0.1")]))
        with enter(node.host.namespace), holding("tcp", node.host.address, 8085), holding("udp", "", 8085):
            node.runtime.prepare(wanted)
            node.start(wanted)

        assert ContainerPhase.RUNNING is node.phase()

    def test_address_of_no_host(self, node: Node) -> None:
        """
        A port at an address that this host doesn't have keeps a container from being prepared.
        """
        wanted = app(ports=pvector([Port(internal=80, external=8086, host_address="192.0.2.9")]))
        with enter(node.host.namespace), pytest.raises(ContainerNotPrepared, match="this host doesn't have that addre"):
            node.runtime.prepare(wanted)

    def test_held_by_a_foreign_container(self, node: Node) -> None:
        """
        A container that is no agent's holds its ports like any program.
        """
        node.host.docker("run", "-d", "-p", "8087:80", *_IDLE)
        with enter(node.host.namespace), pytest.raises(ContainerNotPrepared, match="8087/tcp"):
            node.runtime.prepare(app(ports=pvector([Port(internal=80, external=8087)])))

    @pytest.mark.parametrize("address", ["0.0.0.0", "::"])  # noqa: S104  # what Docker calls its proxies with
    def test_held_for_nobody(self, node: Node, address: str) -> None:
        """
        A port that Docker holds for no container, as it does after it was killed at a bad moment, is told apart: only
        another start of Docker frees it.
        """
        wanted = app(ports=pvector([Port(internal=80, external=8091)]))
        words = ["-proto", "tcp", "-host-ip", address, "-host-port", "8091"]
        command = ["docker-proxy", *words, "-container-ip", "172.17.0.9", "-container-port", "80"]
        with proxied(node, command), enter(node.host.namespace):
            expected = "8091/tcp of this host is held by Docker for no container of this engine"
            with pytest.raises(ContainerNotPrepared, match=expected):
                node.runtime.prepare(wanted)
            with pytest.raises(ContainerStartFailed, match=expected):
                node.start(wanted)

        assert [] == node.ours()

    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_held_by_ours(self, node: Node, protocol: str) -> None:
        """
        What a container of this agent publishes, or one of another agent on the same engine, is no obstacle: the same
        change may stop it.
        """
        ports = pvector([Port(internal=80, external=8088, protocol=protocol)])
        node.start(app(ports=ports))
        other = DockerRuntime(DockerEngine(node.host.socket), node.folder / "other", grants_path=node.grants)
        with enter(node.host.namespace):
            node.runtime.prepare(app(ports=ports, labels=pmap({"version": "2"})))
            node.runtime.prepare(app(name=ContainerName("another"), ports=ports))
            other.prepare(app(ports=ports))
            held = node.host.docker("port", node.docker_name())
            with pytest.raises(OSError, match="Address already in use"):
                holding(protocol, "", 8088)

        assert "0.0.0.0:8088" in held

    def test_connections_that_linger(self, node: Node) -> None:
        """
        Connections that a program has closed before it ended hold nothing.
        """
        with enter(node.host.namespace):
            with holding("tcp", "127.0.0.1", 8089) as server:
                client = socket.create_connection(("127.0.0.1", 8089))
                served, _ = server.accept()
                # Whoever closes first has to remember the connection.
                served.close()
                assert b"" == client.recv(1)
                client.close()
            with socket.socket() as plain, pytest.raises(OSError, match="Address already in use"):
                plain.bind(("127.0.0.1", 8089))
            wanted = app(ports=pvector([Port(internal=80, external=8089)]))
            node.runtime.prepare(wanted)
        node.start(wanted)

        assert ContainerPhase.RUNNING is node.phase()

    def test_network_publishes_elsewhere(self, node: Node) -> None:
        """
        Where the network says at which address ports are published, those of others don't matter.
        """
        option = "com.docker.network.bridge.host_binding_ipv4=127.0.0.1"
        network = node.host.docker("network", "create", "--opt", option, "local").strip()
        runtime = DockerRuntime(DockerEngine(node.host.socket), node.state, grants_path=node.grants, network="local")
        wanted = app(ports=pvector([Port(internal=80, external=8090)]))
        with enter(node.host.namespace), holding("tcp", node.host.address, 8090):
            runtime.prepare(wanted)
            runtime.start(wanted, {})
            phase = runtime.containers()[NAME].phase
            runtime.stop(NAME, grace_seconds=0)
            runtime.remove(NAME)
        node.host.docker("network", "rm", network)

        assert ContainerPhase.RUNNING is phase

    def test_link(self, node: Node) -> None:
        """
        A link leads by its name, and by its variables, to a port that is published on the node.
        """
        serve = "mkdir /tmp/w; echo hello >/tmp/w/page; exec httpd -f -p 80 -h /tmp/w"
        node.start(app(serve, name=ContainerName("web"), ports=pvector([Port(internal=80, external=8083)])))
        node.start(app(links=pvector([Link(alias="Web", local_port=80, remote_port=8083)])))
        (linked,) = node.host.docker("ps", "-q", "--filter", "name=-app$").split()
        # A busybox that stands by itself can't look names up to connect to them.
        script = "until wget -qO- $WEB_PORT_80_TCP_ADDR:$WEB_PORT_80_TCP_PORT/page; do sleep 1; done"
        page = node.host.docker("exec", linked, "sh", "-c", script)
        named = node.host.docker("exec", linked, "sh", "-c", "grep -w web /etc/hosts; echo $WEB_PORT_80_TCP_ADDR")
        (address, _, variable) = named.split()

        assert ("hello\n", variable) == (page, address)

    def test_network_is_made_once(self, node: Node) -> None:
        """
        The network that all need is made by the first of many that are started at the same time.
        """
        network = f"network-{uuid4()}"
        runtime = DockerRuntime(DockerEngine(node.host.socket), node.state, grants_path=node.grants, network=network)
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda number: runtime.start(app(name=ContainerName(f"app{number}")), {}), range(4)))
        made = node.host.docker("network", "ls", "-q", "--filter", f"name={network}").split()

        assert (1, 4) == (len(made), len(runtime.containers()))

    def test_agents_of_one_engine_make_one_network(self, node: Node) -> None:
        """
        Agents that share an engine start containers at the same time, and have one network afterwards.
        """
        network = f"network-{uuid4()}"
        agents = [DockerEngine(node.host.socket) for _ in range(4)]
        with ThreadPoolExecutor(len(agents)) as threads:
            list(threads.map(lambda agent: agent.network_gateway(network), agents))
        gateways = {agent.network_gateway(network) for agent in agents}
        made = node.host.docker("network", "ls", "-q", "--filter", f"name={network}").split()

        assert (1, 1) == (len(made), len(gateways))

    def test_name(self, node: Node) -> None:
        """
        Containers of one node find each other by their names.
        """
        node.start(app(name=ContainerName("web")))
        node.start(app())
        (one,) = node.host.docker("ps", "-q", "--filter", "name=-app$").split()
        (other,) = node.host.docker("ps", "-q", "--filter", "name=-web$").split()
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        known = node.host.docker("inspect", "-f", address, other).strip()

        assert f"Address: {known}" in node.host.docker("exec", one, "nslookup", "web")


class TestSurroundings:
    """
    What a container gets.
    """

    def test_limits(self, node: Node) -> None:
        """
        Limits and rights are those that were asked for.
        """
        node.start(
            app(
                memory_bytes=64 << 20,
                cpus=0.5,
                pids_limit=50,
                user="1000:1000",
                read_only=True,
                stop_signal="SIGINT",
                capabilities_drop=pvector(["ALL"]),
                security_options=pvector(["no-new-privileges"]),
                log_driver="json-file",
                log_options=pmap({"max-size": "1m"}),
            )
        )
        form = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.Config.StopSignal}}"
        limits = node.host.docker("inspect", "-f", form, node.docker_name()).strip()
        status = node.execute("grep", "-E", "^(CapBnd|NoNewPrivs|Uid)", "/proc/1/status").split()
        with pytest.raises(AssertionError, match="Read-only file system"):
            node.execute("touch", "/file")

        assert f"{64 << 20} 500000000 50 SIGINT" == limits
        assert ["Uid:", *["1000"] * 4, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"] == status

    def test_shares_and_labels(self, node: Node) -> None:
        """
        The weight of the processor and labels are those that were asked for.
        """
        node.start(app(cpu_shares=512, labels=pmap({"com.example.team": "shop", "empty": ""})))
        form = '{{.HostConfig.CpuShares}} {{index .Config.Labels "com.example.team"}}'
        seen = node.host.docker("inspect", "-f", form, node.docker_name()).strip()
        labels = json.loads(node.host.docker("inspect", "-f", "{{json .Config.Labels}}", node.docker_name()))

        assert ("512 shop", "") == (seen, labels["empty"])

    def test_swappiness(self, node: Node) -> None:
        """
        It is that which was asked for, or refused by name where the kernel can't do it, and nothing is left.
        """
        refusal = ""
        try:
            node.start(app(swappiness=10))
        except ContainerRefused as error:
            refusal = str(error)
        arrived = [
            node.host.docker("inspect", "-f", "{{.HostConfig.MemorySwappiness}}", each).strip() for each in node.ours()
        ]
        granted = [path for path in node.grants.rglob("*") if path.is_file()]

        if refusal:
            assert ("swappiness: " in refusal, [], []) == (True, arrived, granted)
        else:
            assert ["10"] == arrived

    def test_not_done(self, node: Node) -> None:
        """
        What Docker would start without something that was asked for, is refused, and nothing is left.
        """
        warning = "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded."
        asked = app(cpu_shares=512)
        engine = WarningEngine(node.host.socket, warning)
        runtime = DockerRuntime(engine, node.state, grants_path=node.grants)
        with pytest.raises(ContainerRefused, match=f"cpu_shares: {warning}"):
            runtime.start(asked, {})
        left = (node.ours(), [path for path in node.grants.rglob("*") if path.is_file()])
        node.start(asked)

        assert (([], []), ContainerPhase.RUNNING) == (left, node.phase())

    def test_health(self, node: Node) -> None:
        """
        A check that begins to succeed is seen, and so is that it fails.
        """
        check = HealthCheck(command=pvector(["test", "-e", "/tmp/well"]), interval_seconds=0.1, retries=2)
        node.start(app(health=check))
        seen = []
        eventually(lambda: node.runtime.containers()[NAME].health is Health.UNHEALTHY)
        node.execute("touch", "/tmp/well")
        eventually(lambda: node.runtime.containers()[NAME].health is Health.HEALTHY)
        seen.append(node.runtime.containers()[NAME].phase)

        assert [ContainerPhase.RUNNING] == seen

    def test_image_digest(self, node: Node) -> None:
        """
        Which image runs is seen by its digest.
        """
        node.start(app())
        known = node.host.docker("inspect", "-f", "{{.Id}}", BUSYBOX_IMAGE).strip()

        assert known == node.runtime.containers()[NAME].image_digest

    def test_environment_file(self, node: Node) -> None:
        """
        What the file says is in the container's environment, below what the definition says.
        """
        path = node.folder / "env"
        path.write_text(f"# of the database\nPASSWORD={SECRET}\nCOLOUR=red\n")
        path.chmod(0o600)
        node.start(app(environment_file=str(path), environment=pmap({"COLOUR": "blue"})))

        assert f"{SECRET} blue" == node.execute("sh", "-c", "echo $PASSWORD $COLOUR")

    @pytest.mark.parametrize(
        ("text", "mode", "complaint"),
        [
            (f"PASSWORD={SECRET}\n", 0o640, "must belong to the agent's user, with mode 0600"),
            (f"PASSWORD={SECRET}\n" * 2**16, 0o600, "is larger than 1048576 bytes"),
            (f"A=1\n{SECRET}\n", 0o600, "line 2: must be NAME=VALUE"),
        ],
        ids=["others can read it", "too large", "no variable"],
    )
    def test_bad_environment_file(self, node: Node, text: str, mode: int, complaint: str) -> None:
        """
        A file that others can read, or that has another form, is refused without telling what it says.
        """
        path = node.folder / "env"
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(ContainerStartFailed, match=complaint) as raised:
            node.start(app(environment_file=str(path)))

        assert (False, pmap()) == (SECRET in str(raised.value), node.runtime.containers())

    def test_killed_for_memory(self, node: Node) -> None:
        """
        What took more memory than it may is seen as killed.
        """
        node.start(app("tail /dev/zero", memory_bytes=16 << 20))
        eventually(lambda: node.phase() is ContainerPhase.EXITED)

        assert -signal.SIGKILL == node.runtime.containers()[NAME].exit_status


class TestImages:
    """
    Getting images.
    """

    @pytest.fixture
    def registry(self, host: Host) -> Iterator[Registry]:
        with self.password_registry(host) as registry:
            yield registry

    @staticmethod
    def password_registry(host: Host) -> Registry:
        return Registry(busybox_files(), password=SECRET, inside=lambda: enter(host.namespace))

    def credentials(self, node: Node, registry: Registry, password: str) -> DockerRuntime:
        """
        A runtime that knows a password for the registry.
        """
        path = node.folder / "config.json"
        known = base64.b64encode(f"somebody:{password}".encode()).decode()
        path.write_text(json.dumps({"auths": {registry.address: {"auth": known}}}))
        engine = DockerEngine(node.host.socket, credentials_path=str(path))
        return DockerRuntime(engine, node.state, grants_path=node.grants)

    @pytest.mark.parametrize("reference", ["", ":7", "@{digest}"])
    def test_private_registry(self, node: Node, registry: Registry, reference: str) -> None:
        """
        An image is fetched with the password that the runtime was given, once, and is seen by its digest.
        """
        runtime = self.credentials(node, registry, SECRET)
        image = f"{registry.address}/private/app{reference.format(digest=registry.digest)}"
        asked = app(image=image)
        runtime.prepare(asked)
        fetched = registry.fetched
        runtime.prepare(asked)
        runtime.start(asked, {})

        assert (True, fetched, registry.digest) == (
            fetched > 0,
            registry.fetched,
            runtime.containers()[NAME].image_digest,
        )

    @pytest.mark.parametrize("at", ["manifests", "blobs"])
    def test_registry_that_hangs(self, node: Node, registry: Registry, at: str) -> None:
        """
        A registry from which nothing comes any more is given up, with the reason; later it may do.
        """
        patient = self.credentials(node, registry, SECRET)
        path = node.folder / "config.json"
        engine = DockerEngine(node.host.socket, credentials_path=str(path), pull_silence_seconds=2)
        asked = app(image=f"{registry.address}/private/app:7")
        registry.hangs_at = at
        with pytest.raises(ContainerNotPrepared, match="can't be fetched: there has been no progress for 2 s"):
            DockerRuntime(engine, node.state, grants_path=node.grants).prepare(asked)
        registry.goes_on.set()
        patient.prepare(asked)
        patient.start(asked, {})

        assert node.phase() is ContainerPhase.RUNNING

    def test_always(self, node: Node, registry: Registry) -> None:
        """
        With the policy ``always`` the registry is asked at each start, but not again for what was just prepared.
        """
        runtime = self.credentials(node, registry, SECRET)
        asked = app(image=f"{registry.address}/private/app:7", pull=PullPolicy.ALWAYS)
        runtime.prepare(asked)
        prepared = registry.fetched
        runtime.start(asked, {})
        started = registry.fetched
        runtime.stop(NAME, grace_seconds=20)
        runtime.start(asked, {})

        assert (True, prepared, True) == (prepared > 0, started, registry.fetched > started)

    @pytest.mark.parametrize("happened", ["ended", "removed", "booted", "changed", "prepared in vain"])
    def test_always_without_registry(self, host: Host, node: Node, happened: str) -> None:
        """
        What ran here with the policy ``always`` starts again with the same image while the registry is away, also where
        an earlier agent ran it and its container was removed; the log says so.
        """
        logged: list[Mapping[str, Any]] = []
        with self.password_registry(host) as registry:
            asked = app(image=f"{registry.address}/private/app:7", pull=PullPolicy.ALWAYS)
            self.credentials(node, registry, SECRET).start(asked, {})
        runtime = self.credentials(node, registry, SECRET)
        digest = runtime.containers()[NAME].image_digest
        if happened == "booted":
            node.boot()
        else:
            runtime.stop(NAME, grace_seconds=0)
        if happened in ("removed", "prepared in vain"):
            runtime.remove(NAME)
        if happened == "prepared in vain":
            with pytest.raises(ContainerNotPrepared, match="can't be fetched"):
                runtime.prepare(asked)
        if happened == "changed":
            asked = asked.set(environment=pmap({"VERSION": "2"}))
        add_destinations(logged.append)
        try:
            runtime.start(asked, {})
        finally:
            remove_destination(logged.append)
        seen = runtime.containers()[NAME]
        (told,) = [each for each in logged if each.get("message_type") == "flocker:docker:image-not-fetched-again"]

        assert (ContainerPhase.RUNNING, digest) == (seen.phase, seen.image_digest)
        assert (NAME, True) == (told["name"], "connection refused" in told["reason"])

    @pytest.mark.parametrize("happened", ["never ran", "other name", "tagged anew", "damaged"])
    def test_always_of_what_never_ran_here(self, host: Host, node: Node, happened: str) -> None:
        """
        An image that the host has, but not from the last run of this very container, is no reason to start without the
        registry.
        """
        with self.password_registry(host) as registry:
            asked = app(image=f"{registry.address}/private/app:7", pull=PullPolicy.ALWAYS)
            runtime = self.credentials(node, registry, SECRET)
            if happened == "never ran":
                runtime.prepare(asked)
                runtime = self.credentials(node, registry, SECRET)
            else:
                runtime.start(asked, {})
                runtime.stop(NAME, grace_seconds=0)
                runtime.remove(NAME)
        if happened == "other name":
            asked = asked.set(image=f"{registry.address}/private/app:8")
            host.docker("tag", f"{registry.address}/private/app:7", str(asked.image))
        if happened == "tagged anew":
            host.docker("tag", BUSYBOX_IMAGE, str(asked.image))
        if happened == "damaged":
            (remembered,) = (node.state / "images").iterdir()
            remembered.write_text("")
        with pytest.raises(ContainerNotPrepared, match="can't be fetched"):
            runtime.start(asked, {})

        assert pmap() == runtime.containers()

    def test_wrong_password(self, node: Node, registry: Registry) -> None:
        """
        What the registry refuses is an error that names the image, and no password.
        """
        runtime = self.credentials(node, registry, f"{SECRET}-mistyped")
        image = f"{registry.address}/private/app:7"
        with pytest.raises(ContainerNotPrepared, match=image) as raised:
            runtime.prepare(app(image=image))

        assert SECRET not in str(raised.value)

    def test_never(self, node: Node) -> None:
        """
        With the policy ``never`` an image that isn't there is not looked for.
        """
        with pytest.raises(ContainerNotPrepared, match="its pull policy is never"):
            node.runtime.prepare(app(image="flocker-test/none:1", pull=PullPolicy.NEVER))

    @pytest.mark.parametrize("image", ["localhost:1/none", "localhost:1/none:2", f"localhost:1/none@sha256:{'0' * 64}"])
    def test_no_registry(self, node: Node, image: str) -> None:
        """
        A registry that doesn't answer is an error that names the image; a port of a registry is no tag.
        """
        with pytest.raises(ContainerNotPrepared, match=f"{image}.*localhost:1/v2/") as raised:
            node.runtime.prepare(app(image=image))

        assert pmap() == node.runtime.containers()
        assert "connection refused" in str(raised.value)


class TestEngine:
    """
    An engine that comes and goes.
    """

    def test_away(self, node: Node) -> None:
        """
        While there is no engine nothing is known, and that is said; who watches is told when it is there again.
        """
        asked = node.start(app(restart=ALWAYS))
        told: list[ContainerName] = []
        end = node.runtime.watch(told.append)
        node.host.stop()
        with pytest.raises(EngineAway, match="does not listen at"):
            node.runtime.containers()
        with pytest.raises(EngineAway) as refused:
            node.start(asked)
        assert refused.value.nothing_begun
        told.clear()
        node.host.start()
        eventually(lambda: NAME in told)
        end()
        eventually(lambda: node.phase() is ContainerPhase.RUNNING)

        assert 1 == len(node.ours())

    def test_not_yet_there(self, node: Node) -> None:
        """
        A runtime can be opened, and watch, before there is an engine.
        """
        node.host.stop()
        runtime = node.opened()
        told: list[ContainerName] = []
        end = runtime.watch(told.append)
        node.host.start()
        runtime.start(app(), {})
        eventually(lambda: NAME in told)
        end()

        assert [NAME] == list(runtime.containers())


def _path(address: str) -> Path:
    return Path(address.removeprefix("unix://"))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _in_thread(work: Callable[[], None], failures: list[BaseException]) -> Callable[[], None]:
    import threading

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # told to the test
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()

    def join() -> None:
        thread.join(100)
        assert not thread.is_alive()

    return join

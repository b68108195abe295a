"""
``flocker-devcluster`` as a user runs it: real processes, ports, certificates and files.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flocker_admin.devcluster_files import read_cluster
from flocker_admin.devcluster_layout import DevCluster
from flocker_admin.devcluster_ports import free, with_free_ports
from flocker_admin.devcluster_processes import Program
from flocker_admin.devcluster_runtime import DockerMissing, chosen_runtime, docker_missing, docker_socket
from flocker_py.errors import explanation
from flocker_py.wire import json_text

# Clusters start one at a time, also those of other tests: each waits for its turn.
DEADLINE_SECONDS = 200.0
# Away from a cluster that somebody may be trying on the same machine.
FIRST_PORT = "21523"
# And away from those of tests that run at the same time, where a port has to stay free.
OWN_PORT = 24003 + os.getpid() % 800 * 10
pytestmark = pytest.mark.timeout(600)
Require = Callable[..., None]


def command(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run one of the operator's programs to its end.
    """
    call = f"from flocker_admin.{program} import main; main()"
    return subprocess.run(
        [sys.executable, "-c", call, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )


def devcluster(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run flocker-devcluster on the cluster in a folder.
    """
    patience = ["--timeout=150"] if arguments[0] in {"up", "start"} else []
    return command("devcluster", *arguments, f"--directory={folder}", *patience)


def status(folder: Path) -> dict[str, Any]:
    """
    What ``status`` says, by program.
    """
    return {
        program["name"]: program for program in json.loads(devcluster(folder, "status", "--json").stdout)["programs"]
    }


def eventually(happened: Callable[[], object]) -> None:
    """
    Wait until something is so.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.05)


def running(folder: Path) -> list[int]:
    """
    Processes that have anything to do with a folder, by their command line or their environment.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = b"".join((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(int(process.name))
    return found


def line_count(folder: Path) -> int:
    """
    How much the sample's application has written on the first node, as its volume shows it now.
    """
    return sum(path.read_text().count("\n") for path in (folder / "n1" / "volumes").glob("*/times.txt"))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Iterator[Path]:
    """
    A folder for a cluster, which is taken down at the end.
    """
    folder = tmp_path / "a cluster"
    yield folder
    if folder.exists():
        devcluster(folder, "down", "--destroy")


@pytest.fixture(name="up", scope="module")
def fixture_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    A cluster of two nodes that runs; tests that share it leave it so.
    """
    folder = tmp_path_factory.mktemp("shared") / "cluster"
    done = devcluster(folder, "up", "--backend=directory", f"--port={FIRST_PORT}")
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder
    devcluster(folder, "down", "--destroy")


class TestRunning:
    """
    A cluster that was brought up.
    """

    def test_everything_is_connected(self, up: Path) -> None:
        """
        The control service and both agents run, and are connected, when ``up`` ends.
        """
        found = {name: (program["pid"] is not None, program["connected"]) for name, program in status(up).items()}

        assert found == {"control": (True, True), "n1": (True, True), "n2": (True, True)}

    def test_status_says_so(self, up: Path) -> None:
        """
        The exit status of ``status`` is 0 while everything is connected.
        """
        assert devcluster(up, "status").returncode == 0

    def test_up_again(self, up: Path) -> None:
        """
        A second ``up`` leaves the running programs alone.
        """
        before = status(up)

        assert (devcluster(up, "up").returncode, status(up)) == (0, before)

    def test_own_sessions(self, up: Path) -> None:
        """
        Each program leads a session of its own, so that no key pressed in a terminal ends it.
        """
        pids = [program["pid"] for program in status(up).values()]

        assert [os.getsid(pid) for pid in pids] == pids

    def test_keys_are_private(self, up: Path) -> None:
        """
        Only their owner can read the keys.
        """
        modes = {stat.S_IMODE(path.stat().st_mode) for path in up.rglob("*.key")}

        assert modes == {0o600}

    def test_sample_deployment(self, up: Path) -> None:
        """
        What ``env`` says leads flocker-deploy to the cluster, where it can plan the sample.
        """
        read = f". {json.dumps(str(up / 'env'))} && env -0"
        done = subprocess.run(["sh", "-c", read], capture_output=True, text=True, check=True)
        variables = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry.startswith("FLOCKER_"))

        planned = command("deploy", "--dry-run", str(up / "cluster.yml"), **variables)

        assert planned.returncode == 0, planned.stdout + planned.stderr

    def test_logs(self, up: Path) -> None:
        """
        ``logs`` shows what a program logged.
        """
        assert "flocker:agent:started" in devcluster(up, "logs", "n1", "--lines=1000").stdout

    def test_logs_of_nobody(self, up: Path) -> None:
        """
        ``logs`` of a name that isn't there says which names are.
        """
        assert "control, n1, n2" in devcluster(up, "logs", "n9").stderr

    def test_killed_agent(self, up: Path) -> None:
        """
        After ``kill`` a node is not running, and ``status`` says so with its exit status.
        """
        devcluster(up, "kill", "n2")
        try:
            shown = devcluster(up, "status", "--json")

            assert (shown.returncode, status(up)["n2"]["pid"]) == (1, None)
        finally:
            devcluster(up, "start", "n2")

    def test_started_again(self, up: Path) -> None:
        """
        A killed program is started again by ``up``, as another process.
        """
        before = status(up)["n1"]["pid"]
        devcluster(up, "kill", "n1")
        devcluster(up, "up")

        after = status(up)["n1"]

        assert (after["pid"] != before, after["connected"]) == (True, True)

    def test_control_killed_and_started(self, up: Path) -> None:
        """
        A control service that was killed and started again hears its agents again.
        """
        devcluster(up, "kill", "control")
        done = devcluster(up, "up")

        assert (done.returncode, status(up)["n1"]["connected"]) == (0, True)

    def test_shrinking_is_refused(self, up: Path) -> None:
        """
        A cluster can't lose a node.
        """
        assert "it has 2 nodes, not 1" in devcluster(up, "up", "--nodes=1").stderr

    def test_other_backend_is_refused(self, up: Path) -> None:
        """
        A cluster can't change its storage.
        """
        assert "it is on directory, not on zfs" in devcluster(up, "up", "--backend=zfs").stderr

    def test_other_runtime_is_refused(self, up: Path) -> None:
        """
        A cluster can't change what its applications are.
        """
        assert "its applications are plain processes" in devcluster(up, "up", "--runtime=docker").stderr

    def test_agent_that_can_not_start(self, up: Path) -> None:
        """
        When an agent doesn't start, its own words are shown.
        """
        settings = up / "n2" / "agent.yml"
        sound = settings.read_text()
        devcluster(up, "stop", "n2")
        settings.write_text(sound.replace("directory", "punched cards"))
        try:
            assert "punched cards" in devcluster(up, "start", "n2").stderr
        finally:
            devcluster(up, "up")


class TestLife:
    """
    What becomes of a cluster in the course of time.
    """

    def test_down_and_up(self, folder: Path) -> None:
        """
        ``down`` ends applications too, their volumes stay, and with ``up`` they go on.
        """
        devcluster(folder, "up", "--nodes=1", "--backend=directory", f"--port={FIRST_PORT}")
        cluster = read_cluster(folder)
        variables = {"FLOCKER_CONTROL": cluster.control, "FLOCKER_CERTIFICATES": str(folder / "user")}
        deployed = command("deploy", str(folder / "cluster.yml"), **variables)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        eventually(lambda: line_count(folder) >= 1)

        ended = devcluster(folder, "down")
        left = running(folder)
        lines = line_count(folder)
        devcluster(folder, "up")

        assert (ended.returncode, left, lines >= 1) == (0, [], True)
        eventually(lambda: line_count(folder) > lines)

    def test_applications_survive_their_agent(self, folder: Path) -> None:
        """
        What runs on a node goes on while its agent is dead.
        """
        devcluster(folder, "up", "--nodes=1", "--backend=directory", f"--port={FIRST_PORT}")
        cluster = read_cluster(folder)
        variables = {"FLOCKER_CONTROL": cluster.control, "FLOCKER_CERTIFICATES": str(folder / "user")}
        command("deploy", str(folder / "cluster.yml"), **variables)
        devcluster(folder, "kill", "n1")
        lines = line_count(folder)

        eventually(lambda: line_count(folder) > lines)

    def test_grown(self, folder: Path) -> None:
        """
        A cluster gets another node by ``up --nodes``; the node it has stays as it is.
        """
        devcluster(folder, "up", "--nodes=1", "--backend=directory", f"--port={FIRST_PORT}")
        before = status(folder)["n1"]
        devcluster(folder, "up", "--nodes=2")
        after = status(folder)

        assert (after["n1"], after["n2"]["connected"]) == (before, True)

    def test_destroyed(self, folder: Path) -> None:
        """
        ``down --destroy`` removes all of the cluster, and nothing that somebody put beside it.
        """
        devcluster(folder, "up", "--nodes=1", "--backend=directory", f"--port={FIRST_PORT}")
        (folder / "notes.txt").write_text("mine")
        devcluster(folder, "down", "--destroy")

        assert [path.name for path in folder.iterdir()] == ["notes.txt"]

    def test_beside_another(self, up: Path, folder: Path) -> None:
        """
        Two clusters in two folders run side by side, on different ports.
        """
        done = devcluster(folder, "up", "--nodes=1", "--backend=directory", f"--port={read_cluster(up).port}")
        ports = {read_cluster(up).port, read_cluster(folder).port}

        assert (done.returncode, len(ports)) == (0, 2)

    def test_ports_taken_meanwhile(self, folder: Path) -> None:
        """
        A cluster whose port another program took while it was down comes up on other ports.
        """
        devcluster(folder, "up", "--nodes=1", "--backend=directory", f"--port={OWN_PORT}")
        before = read_cluster(folder).port
        devcluster(folder, "down")
        with socket.create_server(("127.0.0.1", before + 1)):
            done = devcluster(folder, "up")
        after = read_cluster(folder).port

        assert (done.returncode, after != before, status(folder)["n1"]["connected"]) == (0, True, True)


class TestRefused:
    """
    What is wrong from the beginning.
    """

    def test_folder_with_other_things(self, tmp_path: Path) -> None:
        """
        A cluster is not made in a folder with other things, and they stay.
        """
        (tmp_path / "thesis.txt").write_text("all of it")
        done = devcluster(tmp_path, "up")

        assert (done.returncode, "is not empty" in done.stderr, [path.name for path in tmp_path.iterdir()]) == (
            1,
            True,
            ["thesis.txt"],
        )

    @pytest.mark.parametrize("what", [["down"], ["down", "--destroy"], ["status"], ["logs"]])
    def test_no_cluster(self, tmp_path: Path, what: list[str]) -> None:
        """
        Without a cluster every command says that there is none, and removes nothing.
        """
        (tmp_path / "thesis.txt").write_text("all of it")
        done = devcluster(tmp_path, *what)

        assert (done.returncode, "no local cluster" in done.stderr, (tmp_path / "thesis.txt").exists()) == (
            1,
            True,
            True,
        )

    def test_zfs_without_zfs(self, tmp_path: Path, require: Require) -> None:
        """
        Where there is no ZFS, asking for it says what is missing.
        """
        if Path("/dev/zfs").exists():
            require("no-zfs", "this machine has ZFS")
        done = devcluster(tmp_path / "new", "up", "--backend=zfs")

        assert "--backend directory" in done.stderr

    @pytest.mark.parametrize(
        ("address", "complaint"),
        [
            ("unix:///nowhere/docker.sock", "no engine listens at /nowhere/docker.sock"),
            ("tcp://127.0.0.1:2375", "an agent needs the engine of its own host"),
        ],
    )
    def test_docker_without_docker(self, monkeypatch: pytest.MonkeyPatch, address: str, complaint: str) -> None:
        """
        Where there is no engine, asking for it says what is missing.
        """
        monkeypatch.setenv("DOCKER_HOST", address)

        with pytest.raises(DockerMissing, match=re.escape(complaint)) as caught:
            chosen_runtime("docker", docker_socket())

        assert "--runtime process" in explanation(caught.value)
        assert chosen_runtime("auto", docker_socket()) == ("process", f"no Docker: {caught.value.args[0]}")

    def test_engine_that_does_not_answer(self, tmp_path: Path) -> None:
        """
        A socket at which nobody listens any more is no engine.
        """
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))

        assert "no engine listens" in (docker_missing(f"unix://{path}") or "")

    def test_size_that_is_none(self, tmp_path: Path) -> None:
        """
        A size that can't be read is wrong usage.
        """
        assert devcluster(tmp_path / "new", "up", "--pool-size=big").returncode == 2


class TestProcesses:
    """
    Programs and their process ids.
    """

    def program(self, folder: Path) -> Program:
        """
        One that goes on until it is told to end. Its only argument is that for its log.
        """
        (folder / "waiting.py").write_text("import time\ndef main(): time.sleep(3600)\n")
        return Program("waiting", "waiting", [], folder)

    @pytest.fixture(name="started")
    def fixture_started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
        """
        A running one.
        """
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        program = self.program(tmp_path)
        program.start()
        yield program
        program.end(grace_seconds=0)

    def test_id_of_another_process(self, tmp_path: Path, started: Program) -> None:
        """
        A remembered process id that is another process's by now is not taken for the program, nor is that one ended.
        """
        real = (tmp_path / "pid").read_text()
        (tmp_path / "pid").write_text(real.replace(f'"pid":{started.pid}', f'"pid":{os.getpid()}'))
        found = (started.pid, started.end(grace_seconds=0))
        (tmp_path / "pid").write_text(real)

        assert found == (None, False)

    def test_earlier_boot(self, tmp_path: Path, started: Program) -> None:
        """
        A process id that was remembered before the host was restarted names nothing.
        """
        mark = json.loads((tmp_path / "pid").read_text())
        real = (tmp_path / "pid").read_text()
        (tmp_path / "pid").write_text(json_text({**mark, "boot_id": "00000000-0000-4000-8000-000000000000"}))
        found = started.pid
        (tmp_path / "pid").write_text(real)

        assert found is None

    def test_damaged_file(self, tmp_path: Path) -> None:
        """
        A file that was cut off names nothing.
        """
        (tmp_path / "pid").write_text('{"pid":')

        assert self.program(tmp_path).pid is None

    def test_started_once(self, started: Program) -> None:
        """
        A program that runs is not started again.
        """
        assert started.start() is False

    def test_ended(self, started: Program) -> None:
        """
        A program that was told to end has ended.
        """
        assert (started.end(grace_seconds=10), started.pid) == (True, None)


class TestPorts:
    """
    The search for free ports.
    """

    def test_taken(self) -> None:
        """
        A port at which somebody listens is not free.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            assert not free([taken.getsockname()])

    def test_next(self) -> None:
        """
        When one of a cluster's ports is taken, all of them move on.
        """
        cluster = with_free_ports(DevCluster(cluster_id=UUID(int=7), backend="directory", port=OWN_PORT))
        with socket.create_server(("127.0.0.1", cluster.agent_port)):
            assert with_free_ports(cluster).port > cluster.agent_port


class TestZfs:
    """
    Clusters on pools of their own. They need a ZFS kernel.
    """

    def test_pools(self, folder: Path, require: Require) -> None:
        """
        A cluster on ZFS makes its pools on files, exports them when it goes down, has what was in them when it comes up
        again, and leaves none when it is destroyed.
        """
        require("root")
        require("zfs")
        devcluster(folder, "up", "--nodes=1", "--backend=zfs", "--pool-size=256M", f"--port={FIRST_PORT}")
        cluster = read_cluster(folder)
        variables = {"FLOCKER_CONTROL": cluster.control, "FLOCKER_CERTIFICATES": str(folder / "user")}
        deployed = command("deploy", str(folder / "cluster.yml"), **variables)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        eventually(lambda: line_count(folder) >= 1)

        steps = [devcluster(folder, "down").returncode]
        exported = pools()
        steps.append(devcluster(folder, "up").returncode)
        eventually(lambda: line_count(folder) >= 1)
        steps.append(devcluster(folder, "down", "--destroy").returncode)

        assert (steps, exported, pools(), folder.exists()) == ([0, 0, 0], [], [], False)


def pools() -> list[str]:
    """
    The names of imported pools that local clusters made.
    """
    done = subprocess.run(["zpool", "list", "-H", "-o", "name"], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split() if name.startswith("flockerdev-")]

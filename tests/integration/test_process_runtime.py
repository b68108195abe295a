"""
What only real processes can show of the runtime ``process``.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_agent.runtime.process import ProcessRuntime
from flocker_agent.runtime.process_files import Status
from flocker_agent.runtime.process_table import ZOMBIE, process_entry, process_table
from flocker_py.model import Container, ContainerName, DatasetId, Mount, NodeId, RestartName, RestartPolicy
from flocker_py.observed import ContainerObservation, ContainerPhase
from flocker_py.runtime import ContainerRefused, ContainerStartFailed, ContainerStillRunning
from flocker_py.testing.runtime_hosts import PATIENT_SECONDS, eventually

# Those that are killed in the midst of a call are forked from this process, whatever threads a test runner has.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

NAME = ContainerName("writer")
DATASET, OTHER_DATASET = DatasetId(UUID(int=11)), DatasetId(UUID(int=12))
Require = Callable[..., None]
ALWAYS = RestartPolicy(name=RestartName.ALWAYS)

# A process that detached itself as daemons do, away from the parent, process group and session it came from, and that
# writes down its id when it is ready.
DAEMON = """
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
def end(*_):
    open("daemon-was-asked", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else end)
with open("daemon.new", "w") as file:
    print(os.getpid(), file=file)
os.rename("daemon.new", "daemon")
while True:
    signal.pause()
"""

SYSTEM_MODULES = ("posix", "fcntl", "_posixsubprocess", "io", "_io", "select", "time")

# Zombies don't count: nobody but the first process of the host can clear them away.
LOOK_FOR_DAEMON = (
    "[ -e daemon ] && grep -q 'State:.*[RSD] ' /proc/$(cat daemon)/status && echo two copies; rm -f daemon"
)


class Host:
    """
    A state folder, two datasets, and a runtime.
    """

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.volume = folder / "volume"
        self.other_volume = folder / "other"
        self.volume.mkdir()
        self.other_volume.mkdir()
        (self.volume / "daemon.py").write_text(DAEMON)
        self.runtime = ProcessRuntime(self.state)

    @property
    def paths(self) -> dict[DatasetId, Path]:
        return {DATASET: self.volume, OTHER_DATASET: self.other_volume}

    @property
    def seen(self) -> ContainerObservation:
        return self.runtime.containers()[NAME]

    @property
    def log(self) -> str:
        path = self.runtime.log_path(NAME)
        return path.read_text() if path.exists() else ""

    @property
    def status_path(self) -> Path:
        return self.state / "containers" / NAME / "status"

    @property
    def status(self) -> Status:
        return Status.from_text(self.status_path.read_text())

    def start(self, script: str, **fields: object) -> Container:
        """
        Run a shell script in the first dataset.
        """
        started = container(script).set(**fields)
        self.runtime.start(started, self.paths)
        return started

    def run_to_end(self, script: str, **fields: object) -> str:
        """
        What a shell script writes to its output.
        """
        self.start(script, **fields)
        eventually(lambda: self.seen.phase is ContainerPhase.EXITED)
        return self.log

    def written_pid(self, name: str) -> int:
        """
        The process id in a file of the volume, once it is there.
        """
        path = self.volume / name
        eventually(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())


def container(script: str) -> Container:
    """
    A shell script as a container.
    """
    return Container(
        name=NAME,
        node_id=NodeId(UUID(int=1)),
        command=pvector(["sh", "-c", script]),
        mounts=pvector([Mount(dataset_id=DATASET)]),
        environment=pmap({"PYTHON": sys.executable}),
        stop_grace_seconds=PATIENT_SECONDS,
    )


def lives(pid: int) -> bool:
    """
    Whether there is a process of this id, zombies not counted.
    """
    entry = process_entry(pid)
    return entry is not None and entry.state != ZOMBIE


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    for name in made.runtime.containers():
        made.runtime.stop(name, grace_seconds=0)


class TestEnvironment:
    """
    What an application finds when it starts.
    """

    def test_variables(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        An application gets what its container says, a few variables of ours, and nothing from the agent.
        """
        monkeypatch.setenv("AGENT_SECRET", "hidden")
        output = host.run_to_end("exec env", environment=pmap({"COLOUR": "dark blue", "EMPTY": ""}))

        assert {
            "COLOUR": "dark blue",
            "EMPTY": "",
            "FLOCKER_CONTAINER": NAME,
            "FLOCKER_RUN": host.status.token,
            "FLOCKER_VOLUME": str(host.volume),
            "FLOCKER_VOLUME_1": str(host.volume),
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PWD": str(host.volume),
        } == dict(line.split("=", 1) for line in output.splitlines())

    def test_folder_is_the_first_volume(self, host: Host) -> None:
        """
        An application starts in the folder of its first mount.
        """
        assert f"{host.volume}\n" == host.run_to_end("pwd")

    def test_several_volumes(self, host: Host) -> None:
        """
        Several mounts are numbered in the order of the definition, and the first is FLOCKER_VOLUME too.
        """
        output = host.run_to_end(
            'echo "$FLOCKER_VOLUME $FLOCKER_VOLUME_1 $FLOCKER_VOLUME_2"',
            mounts=pvector([Mount(dataset_id=OTHER_DATASET), Mount(dataset_id=DATASET)]),
        )

        assert f"{host.other_volume} {host.other_volume} {host.volume}\n" == output

    def test_no_signal_is_ignored_or_blocked(self, host: Host) -> None:
        """
        An application starts with all signals as the system has them, whatever the agent ignores.
        """
        lines = host.run_to_end("exec cat /proc/self/status").splitlines()
        sets = [int(line.split()[1], 16) for line in lines if line.startswith(("SigBlk:", "SigIgn:"))]
        # Signals 32 and 33 are the C library's own, which lets nobody change them: some launchers leave them ignored.
        changeable = ~(0b11 << 31)

        assert [0, 0] == [signals & changeable for signals in sets]

    def test_no_files_are_open(self, host: Host) -> None:
        """
        An application has its standard input, output and error, and no other file of the agent or supervisor. (The
        fourth is the folder that ls reads.)
        """
        assert "0\n1\n2\n3\n" == host.run_to_end("exec ls /proc/self/fd")

    def test_command_is_found_on_the_path_of_the_container(self, host: Host) -> None:
        """
        A command without a slash is looked for where the container's PATH says.
        """
        tool = host.other_volume / "tool"
        tool.write_text("#!/bin/sh\necho found\n")
        tool.chmod(0o755)
        path = f"/nonexistent:{host.other_volume}:/bin"

        assert "found\n" == host.run_to_end("", command=pvector(["tool"]), environment=pmap({"PATH": path}))

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            (["/nonexistent"], "executing /nonexistent: No such file or directory"),
            (["nonexistent"], "executing nonexistent: No such file or directory"),
            (["./text"], "executing ./text: Permission denied"),
            (["./executable"], "executing ./executable: Exec format error"),
        ],
    )
    def test_failing_command(self, host: Host, command: list[str], reason: str) -> None:
        """
        The error of a start says what could not be executed, and why.
        """
        (host.volume / "text").write_text("no program")
        (host.volume / "executable").write_text("no program")
        (host.volume / "executable").chmod(0o755)
        with pytest.raises(ContainerStartFailed, match=reason):
            host.start("", command=pvector(command))

    def test_no_supervisor(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A host that can't even run a supervisor is an error of the start that says where to look, and nothing is left.
        """
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ContainerStartFailed, match=str(host.runtime.log_path(NAME))):
            host.start("exec sleep 1000")

        assert pmap() == host.runtime.containers()

    def test_volume_is_not_there(self, host: Host) -> None:
        """
        A volume whose folder is gone is an error of the start, not an application in another folder.
        """
        with pytest.raises(ContainerStartFailed, match=r"entering /nonexistent: No such file"):
            host.runtime.start(container("true"), {DATASET: Path("/nonexistent")})

    def test_secrets_are_private(self, host: Host) -> None:
        """
        No other user can read a container's environment or output, and no command line shows it.
        """
        host.start("echo $SECRET; exec sleep 1000", environment=pmap({"SECRET": "p4ssw0rd"}))
        eventually(lambda: "p4ssw0rd" in host.log)
        open_files = [path for path in host.state.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
        command_line = Path(f"/proc/{host.status.supervisor}/cmdline").read_text()

        assert ([], False) == (open_files, "p4ssw0rd" in command_line)


class TestDescendants:
    """
    A container is all that comes from it, however it detaches itself.
    """

    def test_stop_ends_daemons(self, host: Host) -> None:
        """
        Stopping ends a daemon that left its parent, group and session, and asks it first.
        """
        host.start("$PYTHON daemon.py; exec sleep 1000")
        daemon = host.written_pid("daemon")
        host.runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (False, True) == (lives(daemon), (host.volume / "daemon-was-asked").exists())

    def test_stop_kills_stubborn_daemons(self, host: Host) -> None:
        """
        A daemon that doesn't end when asked is killed after the grace period.
        """
        host.start("$PYTHON daemon.py stubborn; exec sleep 1000")
        daemon = host.written_pid("daemon")
        host.runtime.stop(NAME, grace_seconds=0.05)

        assert (False, -signal.SIGTERM) == (lives(daemon), host.seen.exit_status)

    def test_end_of_the_application_ends_daemons(self, host: Host) -> None:
        """
        When the application ends by itself, what it leaves running is ended before the container counts as ended.
        """
        host.start("$PYTHON daemon.py; while ! [ -e daemon ]; do sleep 0.01; done; exit 4")
        daemon = host.written_pid("daemon")
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)

        assert (False, 4, True) == (lives(daemon), host.seen.exit_status, (host.volume / "daemon-was-asked").exists())

    def test_no_second_copy_while_daemons_live(self, host: Host) -> None:
        """
        A policy starts the application again only when nothing of its last run lives any more.
        """
        script = f"{LOOK_FOR_DAEMON}; $PYTHON daemon.py; while ! [ -e daemon ]; do sleep 0.01; done; echo run; exit 1"
        host.start(script, restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=2))
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)

        assert (3, False) == (host.log.count("run\n"), "two copies" in host.log)

    def test_suspended_application_is_stopped(self, host: Host) -> None:
        """
        An application that was suspended is woken to end, rather than killed after the grace period.
        """
        host.start("trap 'echo bye; exit 0' TERM; echo $$ >pid; while :; do sleep 0.01; done")
        application = host.written_pid("pid")
        os.kill(application, signal.SIGSTOP)
        host.runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert ("bye\n", 0) == (host.log, host.seen.exit_status)

    def test_orphans_leave_no_zombies(self, host: Host) -> None:
        """
        What ends in a container is cleared away, though its parent ended before it.
        """
        host.start("for i in 1 2 3 4 5 6 7 8; do sh -c 'sleep 0.01 &'; done; echo done; exec sleep 1000")
        eventually(lambda: "done" in host.log)
        supervisor = host.status.supervisor

        eventually(lambda: len([entry for entry in process_table().values() if entry.parent == supervisor]) == 1)

    def test_unkillable_process(self, host: Host, require: Require) -> None:
        """
        A process that the kernel doesn't end is an error that names the container, which is not taken for ended; the
        next stop succeeds when the kernel is done with it.
        """
        freezer = Path("/sys/fs/cgroup/freezer")
        if not os.access(freezer, os.W_OK):
            require("freezer", "there is no cgroup v1 freezer that can be written to")
        group = freezer / f"flocker-test-{os.getpid()}"
        group.mkdir()
        try:
            host.start("echo $$ >pid; exec sleep 1000")
            (group / "cgroup.procs").write_text(str(host.written_pid("pid")))
            (group / "freezer.state").write_text("FROZEN")
            with pytest.raises(ContainerStillRunning, match=NAME):
                ProcessRuntime(host.state, kill_seconds=2.0).stop(NAME, grace_seconds=0.05)
            phase = host.seen.phase
            (group / "freezer.state").write_text("THAWED")
            host.runtime.stop(NAME, grace_seconds=0.05)
        finally:
            (group / "freezer.state").write_text("THAWED")
            eventually(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()

        assert (ContainerPhase.STOPPING, ContainerPhase.EXITED) == (phase, host.seen.phase)


class TestRestarts:
    """
    An application that ends by itself, beyond what the contract says.
    """

    def test_killed_application_is_a_failure(self, host: Host) -> None:
        """
        An application that a signal ended is started again by the policy on-failure.
        """
        host.start("echo run; kill -KILL $$", restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=1))
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)

        assert (2, 1, -signal.SIGKILL) == (host.log.count("run\n"), host.seen.restarts, host.seen.exit_status)

    def test_waiting_to_start_again(self, host: Host) -> None:
        """
        Between two runs a container is observed as starting, with the exit status of the last.
        """
        found: list[tuple[ContainerPhase, int | None]] = []
        host.start("while ! [ -e fail ]; do sleep 0.01; done; exit 3", restart=ALWAYS)
        end = host.runtime.watch(lambda _: found.append((host.seen.phase, host.seen.exit_status)))
        (host.volume / "fail").touch()
        eventually(lambda: (ContainerPhase.STARTING, 3) in found)
        end()

    def test_stop_between_runs(self, host: Host) -> None:
        """
        A container that waits to be started again is stopped, and doesn't start.
        """
        host.start("exit 3", restart=ALWAYS)
        # So often that the next wait is a long one.
        eventually(lambda: host.seen.restarts >= 5 and host.seen.phase is ContainerPhase.STARTING)
        host.runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (ContainerPhase.EXITED, 3) == (host.seen.phase, host.seen.exit_status)

    def test_program_that_vanished(self, host: Host) -> None:
        """
        A program that can't be executed any more counts as failed, and the log says why.
        """
        tool = host.volume / "tool"
        tool.write_text("#!/bin/sh\nrm tool\nexit 1\n")
        tool.chmod(0o755)
        host.start(
            "",
            command=pvector(["./tool"]),
            restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=1),
        )
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)

        assert (127, True) == (
            host.seen.exit_status,
            "flocker: executing ./tool: No such file or directory\n" in host.log,
        )

    def test_start_while_stopping(self, host: Host) -> None:
        """
        A start that finds the last run being stopped, by an agent that was killed, waits for its end and starts anew.
        """
        script = "trap '' TERM; echo $$ >>pids; while :; do sleep 0.01; done"
        host.start(script)
        first = host.written_pid("pids")
        agent = os.fork()
        if agent == 0:
            ProcessRuntime(host.state).stop(NAME, grace_seconds=5.0)
            os._exit(0)
        eventually(lambda: host.seen.phase is ContainerPhase.STOPPING)
        os.kill(agent, signal.SIGKILL)
        os.waitpid(agent, 0)
        host.start(script)
        eventually(lambda: len((host.volume / "pids").read_text().split()) == 2)

        assert (False, ContainerPhase.RUNNING) == (lives(first), host.seen.phase)

    def test_start_from_everywhere_at_once(self, host: Host) -> None:
        """
        However many start the same container at the same time, by whatever runtime, there is one copy.
        """
        runtimes = [ProcessRuntime(host.state) for _ in range(4)]
        barrier = threading.Barrier(len(runtimes))
        wanted = container("echo run; exec sleep 1000")

        def start(runtime: ProcessRuntime) -> None:
            barrier.wait()
            runtime.start(wanted, host.paths)

        threads = [threading.Thread(target=start, args=(runtime,)) for runtime in runtimes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda: host.log != "")

        assert "run\n" == host.log

    def test_other_folder_is_another_definition(self, host: Host) -> None:
        """
        A container that runs on a dataset at one place is not taken for one at another.
        """
        started = host.start("exec sleep 1000")
        with pytest.raises(ContainerRefused, match="another definition"):
            host.runtime.start(started, {DATASET: host.other_volume})


class TestOutput:
    """
    The log of a container.
    """

    def test_output_and_errors(self, host: Host) -> None:
        """
        Standard output and error come together in the log.
        """
        assert "one\ntwo\n" == host.run_to_end("echo one; echo two >&2")

    def test_log_is_bounded(self, host: Host) -> None:
        """
        A full log is put aside and the oldest is forgotten; the newest lines are there.
        """
        runtime = ProcessRuntime(host.state, log_bytes=8192)
        runtime.start(container("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done"), host.paths)
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)
        path = host.runtime.log_path(NAME)
        files = [path.with_name(f"{path.name}.2"), path.with_name(f"{path.name}.1"), path]
        lines = "".join(file.read_text() for file in files).splitlines()[1:]

        assert (3, [str(number) for number in range(20000 - len(lines), 20000)]) == (
            len(list(path.parent.iterdir())),
            lines,
        )

    def test_full_disk_stops_nobody(self, host: Host) -> None:
        """
        Output that can't be written is lost; the application goes on.
        """
        host.runtime.log_path(NAME).symlink_to("/dev/full")
        host.start("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done; touch finished")
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)

        assert (True, 0) == ((host.volume / "finished").exists(), host.seen.exit_status)

    def test_log_stays(self, host: Host) -> None:
        """
        The log of a container that was removed can still be read, and the next of that name adds to it.
        """
        host.run_to_end("echo one")
        host.runtime.remove(NAME)

        assert "one\ntwo\n" == host.run_to_end("echo two")


class TestKilledSupervisor:
    """
    The supervisor of a container is killed.
    """

    def kill(self, host: Host) -> None:
        supervisor = host.status.supervisor
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not lives(supervisor))

    def test_application_ends(self, host: Host) -> None:
        """
        The application doesn't go on without its supervisor, and the container is observed as ended, nobody knows how.
        """
        host.start("echo $$ >pid; exec sleep 1000", restart=ALWAYS)
        application = host.written_pid("pid")
        self.kill(host)
        # Nobody looks at the containers meanwhile: it ends without the runtime.
        eventually(lambda: not lives(application))

        assert (ContainerPhase.EXITED, None) == (host.seen.phase, host.seen.exit_status)

    def test_watchers_are_told(self, host: Host) -> None:
        """
        Who watches is told, and finds the container ended when it looks then.
        """
        host.start("exec sleep 1000")
        found: list[ContainerPhase] = []
        end = host.runtime.watch(lambda _: found.append(host.seen.phase))
        self.kill(host)
        eventually(lambda: ContainerPhase.EXITED in found)
        end()

    @pytest.mark.parametrize("environment", ["", "env -i"], ids=["marked", "without its environment"])
    def test_daemons_end(self, host: Host, environment: str) -> None:
        """
        A container is ended only when what its application left running is ended too, even if that threw its
        environment away.
        """
        host.start(f"{environment} $PYTHON daemon.py stubborn; exec sleep 1000")
        daemon = host.written_pid("daemon")
        self.kill(host)

        assert (ContainerPhase.EXITED, False) == (host.seen.phase, lives(daemon))

    def test_start_ends_daemons(self, host: Host) -> None:
        """
        What the last run left running is ended before the application starts again.
        """
        script = f"{LOOK_FOR_DAEMON}; $PYTHON daemon.py stubborn; echo run; exec sleep 1000"
        host.start(script)
        first = host.written_pid("daemon")
        eventually(lambda: "run" in host.log)
        self.kill(host)
        host.start(script)
        eventually(lambda: host.log.count("run\n") == 2)

        assert (False, False, ContainerPhase.RUNNING) == (lives(first), "two copies" in host.log, host.seen.phase)

    def test_stop_ends_daemons(self, host: Host) -> None:
        """
        Stopping what has no supervisor any more ends what the application left running.
        """
        host.start("$PYTHON daemon.py stubborn; exec sleep 1000")
        daemon = host.written_pid("daemon")
        self.kill(host)
        host.runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert not lives(daemon)

    def test_removed(self, host: Host) -> None:
        """
        A container without its supervisor can be removed.
        """
        host.start("exec sleep 1000")
        self.kill(host)
        host.runtime.remove(NAME)

        assert pmap() == host.runtime.containers()

    def test_suspended_supervisor(self, host: Host) -> None:
        """
        A supervisor that was suspended can't keep a container from being stopped.
        """
        host.start("echo $$ >pid; exec sleep 1000")
        application = host.written_pid("pid")
        os.kill(host.status.supervisor, signal.SIGSTOP)
        host.runtime.stop(NAME, grace_seconds=0.05)

        assert (False, ContainerPhase.EXITED) == (lives(application), host.seen.phase)

    def test_supervisor_asked_to_end(self, host: Host) -> None:
        """
        A supervisor that gets the signal of a host that shuts down ends its container in order.
        """
        host.start("trap 'echo bye; exit 0' TERM; echo $$ >pid; while :; do sleep 0.01; done", restart=ALWAYS)
        host.written_pid("pid")
        os.kill(host.status.supervisor, signal.SIGTERM)
        eventually(lambda: host.seen.phase is ContainerPhase.EXITED)

        assert ("bye\n", 0) == (host.log, host.seen.exit_status)

    def test_process_id_used_again(self, host: Host) -> None:
        """
        A process that got the id of a killed supervisor is neither taken for it nor harmed.
        """
        host.start("exec sleep 1000")
        self.kill(host)
        with subprocess.Popen(["sleep", "1000"]) as innocent:
            status = host.status
            status.supervisor = innocent.pid
            host.status_path.write_text(status.to_text())
            host.runtime.stop(NAME, grace_seconds=0)
            still = innocent.poll()
            innocent.kill()

        assert (None, ContainerPhase.EXITED) == (still, host.seen.phase)

    def test_other_boot(self, host: Host) -> None:
        """
        After the host booted, what ran before has ended, nobody knows how; no process of now is taken for it.
        """
        host.start("exec sleep 1000")
        self.kill(host)
        status = host.status
        status.boot = "another"
        host.status_path.write_text(status.to_text())
        mark = {"FLOCKER_RUN": status.token, "PATH": os.environ["PATH"]}
        with subprocess.Popen(["sleep", "1000"], env=mark) as innocent:
            seen = host.seen
            still = innocent.poll()
            innocent.kill()

        assert (None, ContainerPhase.EXITED, None) == (still, seen.phase, seen.exit_status)


class TestDamage:
    """
    Files that a power cut or a foreign hand left behind.
    """

    @pytest.mark.parametrize("file", ["definition", "run", "status"])
    @pytest.mark.parametrize(
        "content", [b"", b"\0" * 100, b"garbage", b"\xff\xfe"], ids=["empty", "zeros", "text", "bytes"]
    )
    def test_torn_file(self, host: Host, file: str, content: bytes) -> None:
        """
        A container of which a file is lost, and of which nothing runs, can be started again.
        """
        host.run_to_end("echo one")
        host.runtime.stop(NAME, grace_seconds=0)
        (host.status_path.parent / file).write_bytes(content)
        before = host.runtime.containers()

        assert (pmap(), "one\ntwo\n") == (before, host.run_to_end("echo two"))

    def test_nothing_left(self, host: Host) -> None:
        """
        A folder in which a power cut has left no definition is removed when the agent starts, and no other one is.
        """
        host.start("exec sleep 1000")
        torn = host.status_path.parent.with_name("torn")
        torn.mkdir()
        for file in ("definition", "run", "stop"):
            (torn / file).write_bytes(b"\0" * 100)
        (torn / "lock").touch()
        opened = ProcessRuntime(host.state)

        assert ([False, [NAME]]) == [torn.exists(), list(opened.containers())]


class TestFullDisk:
    """
    There is no room where the runtime keeps what it knows.
    """

    @pytest.fixture
    def full(self, tmp_path: Path, require: Require) -> Iterator[Host]:
        """
        A host whose state folder is a file system of its own, as yet not full.
        """
        require("root")
        state = tmp_path / "state"
        state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(state)], check=True)
        made = Host(tmp_path)
        yield made
        (state / "ballast").unlink(missing_ok=True)
        for name in made.runtime.containers():
            made.runtime.stop(name, grace_seconds=0)
        subprocess.run(["umount", str(state)], check=True)

    def fill(self, host: Host) -> None:
        with (host.state / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def test_start(self, full: Host) -> None:
        """
        A container that can't be written down isn't started, and nothing of it is left.
        """
        self.fill(full)
        with pytest.raises(ContainerStartFailed, match="No space left"):
            full.start("exec sleep 1000")

        assert (pmap(), []) == (full.runtime.containers(), living(full))

    def test_stop(self, full: Host) -> None:
        """
        A container is stopped in order, and its end is known, though there is no room to write anything new.
        """
        full.start("trap 'touch bye; exit 7' TERM; echo $$ >pid; while :; do sleep 0.01; done")
        full.written_pid("pid")
        self.fill(full)
        full.runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (True, 7) == ((full.volume / "bye").exists(), full.seen.exit_status)

    def test_killed_supervisor(self, full: Host) -> None:
        """
        The end of a container whose supervisor was killed is known, too.
        """
        full.start("exec sleep 1000")
        self.fill(full)
        supervisor = full.status.supervisor
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not lives(supervisor))

        assert (ContainerPhase.EXITED, []) == (full.seen.phase, living(full))

    def test_remove(self, full: Host) -> None:
        """
        A container can be removed.
        """
        full.run_to_end("true")
        self.fill(full)
        full.runtime.remove(NAME)

        assert pmap() == full.runtime.containers()


class TestKilledAgent:
    """
    The agent is killed at any moment.
    """

    @pytest.mark.parametrize("call", ["start", "stop", "remove"])
    def test_killed_between_any_two_steps(self, host: Host, call: str) -> None:
        """
        Wherever in a call the agent is killed, the next one tells the truth, and completes the call with one copy.
        """
        wanted = container("echo $$ >>pids; exec sleep 1000")
        calls: dict[str, Callable[[ProcessRuntime], None]] = {
            "start": lambda runtime: runtime.start(wanted, host.paths),
            "stop": lambda runtime: runtime.stop(NAME, grace_seconds=PATIENT_SECONDS),
            "remove": lambda runtime: runtime.remove(NAME),
        }
        expected = {"start": ContainerPhase.RUNNING, "stop": ContainerPhase.EXITED, "remove": None}[call]
        step, finished, wrong = 0, False, []
        while not finished:
            if call != "start":
                calls["start"](host.runtime)
            if call == "remove":
                calls["stop"](host.runtime)
            step += 1
            finished = killed_at_step(step, lambda: calls[call](ProcessRuntime(host.state)))
            again = ProcessRuntime(host.state)
            if true_phase(again, host) is not None or call == "start":
                calls[call](again)
            if true_phase(again, host) is not expected or (call == "start" and len(started(host)) != 1):
                wrong.append(step)
            if true_phase(again, host) is not None:
                calls["stop"](again)
            calls["remove"](again)
            (host.volume / "pids").unlink(missing_ok=True)

        assert ([], True) == (wrong, step > 20)


def killed_at_step(step: int, act: Callable[[], None]) -> bool:
    """
    Do something in a process that is killed before its call of that number to the system.

    :returns: whether it came to the end before that.
    """
    pid = os.fork()
    if pid == 0:
        steps = 0

        def count(_: FrameType, event: str, called: object) -> None:
            nonlocal steps
            if event == "c_call" and getattr(called, "__module__", None) in SYSTEM_MODULES:
                steps += 1
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        try:
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def true_phase(runtime: ProcessRuntime, host: Host) -> ContainerPhase | None:
    """
    What the container does once it is neither starting nor stopping, checked against the processes of the host; None:
    it is not there.
    """
    found: list[ContainerPhase | None] = []

    def settled() -> bool:
        seen = runtime.containers().get(NAME)
        found.append(None if seen is None else seen.phase)
        copies = 1 if found[-1] is ContainerPhase.RUNNING else 0
        return found[-1] not in (ContainerPhase.STARTING, ContainerPhase.STOPPING) and len(living(host)) == copies

    eventually(settled)
    return found[-1]


def started(host: Host) -> list[int]:
    """
    The process ids that the application wrote down, once there is one.
    """
    pids = host.volume / "pids"
    eventually(lambda: pids.exists() and pids.read_text().endswith("\n"))
    return [int(line) for line in pids.read_text().split()]


def living(host: Host) -> list[int]:
    """
    The processes of this host's containers that live, by their environment.
    """
    found = []
    for pid in process_table():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"FLOCKER_VOLUME={host.volume}\0".encode() in environment and lives(pid):
            found.append(pid)
    return found


def test_what_cannot_be_executed_is_never_seen_to_have_run(host: Host) -> None:
    """
    Whoever looks while a program can't be started sees it starting or not at all: a move whose application only seems
    to have run would be taken for done.
    """
    phases: set[ContainerPhase] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            phases.update(seen.phase for seen in host.runtime.containers().values())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(30):
            with pytest.raises(ContainerStartFailed):
                host.runtime.start(container("").set(command=pvector(["/no/such/program"])), host.paths)
    finally:
        done.set()
        looking.join()

    assert phases <= {ContainerPhase.STARTING}

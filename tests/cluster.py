"""
A real cluster for tests: control service and agents as processes, on this host or in network namespaces.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from flocker_py.identity import NodeIdentity
from flocker_py.model import NodeId
from flocker_py.runtime import ContainerMissing
from flocker_py.testing.certificates import install, make_cluster
from tests.integration.tools import Ended, run_tool
from tests.zfs.namespaces import enter

DEADLINE_SECONDS = float(os.environ.get("FLOCKER_TEST_DEADLINE_SECONDS", "100"))
CONTROL = "control"
API_PORT, AGENT_PORT, TRANSFER_PORT = 4523, 4524, 4525
_ROOT = Path(__file__).parents[1]
_PROGRAMS = {
    "flocker-control": "from flocker_control.main import main; main()",
    "flocker-agent": "from flocker_agent.main import main; main()",
}
_IMPATIENCE = "from tests.impatience import be_impatient; be_impatient(); "
_PROGRAMS_WITH_FAULT_POINTS = {
    "flocker-control": "from tests.faults.programs import control; control()",
    "flocker-agent": "from tests.faults.programs import agent; agent()",
}

LEDGER = """
import fcntl, os, signal, sys
# Appends numbered lines, fsynced; what is acknowledged is written down outside of the volume.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
path, witness = "ledger", open(sys.argv[1], "a", buffering=1)
try:
    fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    witness.write("second-writer\\n")
pause, size = float(sys.argv[2]), int(sys.argv[3])
file = open(path, "ab")
number = 0
with open(path, "rb") as before:
    for line in before:
        if line.endswith(b"\\n"): number = int(line)
import time
while True:
    number += 1
    file.write((b"%d" % number).ljust(size) + b"\\n"); file.flush(); os.fsync(file.fileno())
    witness.write("%d %.6f\\n" % (number, time.time()))
    time.sleep(pause)
"""


def unhurried(volumes: Mapping[str, Any]) -> dict[str, Any]:
    """
    The same volumes, whose moves are not given up because of a slow disk: many tests run on one, and each snapshot has
    it written to. A volume that says what to do then has it so.
    """
    return {name: {"on_overrun": "cut-over", **volume} for name, volume in volumes.items()}


class ApiError(Exception):
    """
    An answer that isn't 2xx.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Cluster:
    """
    :param folder: for everything it keeps.
    :param dataset: the ``dataset`` section of a node's agent.yml, by its name.
    :param runtime: and its ``runtime`` section; None: the default one.
    :param also: and more of it.
    :param addresses: of control and nodes, by name; on loopback they are 127.0.0.x.
    :param namespaces: network namespace of control and nodes, by name; those that have none run on this host's network.
    :param inside: what begins the commands of control and nodes, by name, in place of their namespaces.
    :param fault_points: run programs that can be stopped at any fault point (``tests.faults``).
    :param impatient: run programs that take the other side for dead sooner (``tests.impatience``).
    :param lease_seconds: length of the nodes' leases; None: as by default.
    """

    def __init__(
        self,
        folder: Path,
        dataset: Callable[[str], Mapping[str, Any]],
        *,
        addresses: Mapping[str, str],
        namespaces: Mapping[str, str] | None = None,
        inside: Mapping[str, Sequence[str]] | None = None,
        transfer: Mapping[str, Any] | None = None,
        runtime: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
        fault_points: bool = False,
        impatient: bool = False,
        lease_seconds: float | None = None,
        keep_stashes: str | None = None,
        also: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self.folder = folder
        self._keep_stashes = keep_stashes
        self._also = also
        self._lease_seconds = lease_seconds
        self._fault_points = fault_points
        self._impatient = impatient
        self.addresses = dict(addresses)
        self._namespaces = dict(namespaces or {})
        self._insides = {name: list(command) for name, command in (inside or {}).items()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._hidden: dict[str, Path] = {}
        names = [name for name in addresses if name != CONTROL]
        self.node_ids = {name: UUID(int=0x4000_8000_0000_0000_0000 + n + 1, version=4) for n, name in enumerate(names)}
        certificates = make_cluster(
            folder / "certificates", node_ids=list(self.node_ids.values()), hosts=[addresses[CONTROL], "127.0.0.1"]
        )
        self._user = certificates.user
        self._control_certificates = certificates.control.certificate_path.parent
        self.certificates = certificates
        for name in names:
            self._configure(name, dataset(name), dict(transfer or {}), runtime(name))

    def _configure(
        self, name: str, dataset: Mapping[str, Any], transfer: dict[str, Any], runtime: Mapping[str, Any] | None
    ) -> None:
        folder = self.folder / name
        folder.mkdir()
        install(folder, self.certificates.authority, NodeIdentity(node_id=NodeId(self.node_ids[name])))
        settings = {
            "version": 1,
            "control-service": {"hostname": self.addresses[CONTROL], "port": AGENT_PORT},
            "dataset": dict(dataset),
            "transfer": {"address": self.addresses[name], "port": TRANSFER_PORT, **transfer},
            "state_path": str(self.kept(name)),
            **self._also(name),
        }
        if runtime is not None:
            settings["runtime"] = dict(runtime)
        (folder / "agent.yml").write_text(json.dumps(settings))

    def __enter__(self) -> Self:
        try:
            self.start(CONTROL)
            for name in self.node_ids:
                self.start(name)
            self.wait(
                lambda: all(n["connected"] for n in self.nodes().values()) and len(self.nodes()) == len(self.node_ids)
            )
        except BaseException as error:
            # Nobody else ends what was started of a cluster that isn't whole.
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.logs())
        try:
            for name in list(self._processes):
                self.kill(name, signal.SIGTERM if error is None else signal.SIGKILL)
        finally:
            # Last: an agent that lives starts again what should always run.
            self.end_containers()

    def end_containers(self) -> None:
        """
        End every container, whoever runs it: they survive agents.
        """
        from flocker_agent.runtime.runtimes import opened_runtime

        for name in self.node_ids:
            state = self.kept(name) / "containers"
            if state.exists():
                runtime = opened_runtime({"backend": "process", "state_path": str(state)})
                for container in runtime.containers():
                    # An agent that lives may have removed it at this very moment.
                    with suppress(ContainerMissing):
                        runtime.stop(container, grace_seconds=1.0)

    def kept(self, name: str) -> Path:
        """
        The folder in which a program keeps its state.
        """
        return self.folder / "data" if name == CONTROL else self.folder / name / "state"

    def command(self, name: str) -> list[str]:
        """
        What starts a program, once in its namespace.
        """
        if name == CONTROL:
            program = "flocker-control"
            options = [
                "--data-path", str(self.kept(CONTROL)),
                "--certificates", str(self._control_certificates),
                "--address", self.addresses[CONTROL],
            ]  # fmt: skip
            if self._lease_seconds is not None:
                options += ["--lease-seconds", str(self._lease_seconds)]
            if self._keep_stashes is not None:
                options += ["--keep-stashes", self._keep_stashes]
        else:
            program = "flocker-agent"
            options = ["--agent-config", str(self.folder / name / "agent.yml")]
        source = (_PROGRAMS_WITH_FAULT_POINTS if self._fault_points else _PROGRAMS)[program]
        if self._impatient:
            source = _IMPATIENCE + source
        return [sys.executable, "-c", source, *options, "--log-file", str(self.log(name))]

    def variables(self, name: str) -> dict[str, str]:
        """
        What a program has in its environment beyond what this one has.
        """
        # Whatever a test is about, an answer that doesn't fit its schema is a mistake.
        given = {"FLOCKER_VALIDATE_API_RESPONSES": "yes"} if name == CONTROL else {}
        if not self._fault_points and not self._impatient:
            return given
        roots = ":".join(str(_ROOT / part) for part in (".", "control", "agent", "admin"))
        faults = {"FLOCKER_TEST_FAULTS": str(self.faults(name))} if self._fault_points else {}
        return given | {"PYTHONPATH": roots} | faults

    def faults(self, name: str) -> Path:
        """
        Where a program is told which of its fault points are armed.
        """
        folder = self.folder / "faults" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """
        Where a program logs.
        """
        return self.folder / f"{name}.log"

    def logged(self, name: str, since_bytes: int = 0) -> list[dict[str, Any]]:
        """
        The messages in the log of a program, which may be writing another at this moment; a killed one may have left a
        part of one.

        :param since_bytes: those that came after so much; the first of them may have begun before.
        """
        messages: list[dict[str, Any]] = []
        for line in self.log(name).read_bytes()[since_bytes:].split(b"\n")[:-1]:
            with suppress(ValueError):
                messages.append(json.loads(line))
        return messages

    def logs(self) -> str:
        """
        The last lines of all logs.
        """
        paths = sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out"))
        return "\n".join(f"== {p.name}\n" + "\n".join(p.read_text(errors="replace").splitlines()[-25:]) for p in paths)

    def start(self, name: str) -> None:
        """
        Start control or an agent.
        """
        with (self.folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [*self._inside(name), *self._hiding(name), *self.command(name)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **self.variables(name)},
            )

    def hide(self, name: str, command: Path) -> None:
        """
        From its next start on, a program lives on a host without a command.
        """
        self._hidden[name] = command

    def _hiding(self, name: str) -> list[str]:
        if name not in self._hidden:
            return []
        script = 'mount --bind /dev/null "$0" && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self._hidden[name])]

    def _inside(self, name: str) -> list[str]:
        if name in self._insides:
            return self._insides[name]
        # nsenter, since `ip netns exec` makes a mount namespace, too, in which nobody else would see what is mounted.
        return ["nsenter", f"--net=/run/netns/{self._namespaces[name]}"] if name in self._namespaces else []

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """
        Kill control or an agent, and wait until it has ended.
        """
        process = self._processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def pid(self, name: str) -> int:
        """
        Of a running program.
        """
        return self._processes[name].pid

    def ctl(self, *arguments: str) -> Ended:
        """
        Run ``flockerctl`` to its end, as a user on the host of the control service.
        """
        variables = {
            "FLOCKER_CONTROL": f"{self.addresses[CONTROL]}:{API_PORT}",
            "FLOCKER_CERTIFICATES": str(self._user.certificate_path.parent),
        }
        return run_tool("flockerctl", *arguments, folder=self.folder, variables=variables, inside=self._inside(CONTROL))

    # -- the REST API ----------------------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """
        Call the REST API as a user.

        :raises ApiError: the answer isn't 2xx.
        :raises OSError: the service can't be reached.
        """
        context = ssl.create_default_context(cafile=str(self._user.ca_path))
        context.load_cert_chain(self._user.certificate_path, self._user.key_path)
        with self._in_namespace():
            connection = http.client.HTTPSConnection(self.addresses[CONTROL], API_PORT, context=context, timeout=30)
            try:
                connection.request(method, path, None if body is None else json.dumps(body))
                answer = connection.getresponse()
                text = answer.read()
            finally:
                connection.close()
        data = json.loads(text) if text else None
        if not 200 <= answer.status < 300:
            raise ApiError(answer.status, data)
        return data

    def _in_namespace(self) -> AbstractContextManager[None]:
        namespace = self._namespaces.get(CONTROL)
        return nullcontext() if namespace is None else enter(namespace)

    def nodes(self) -> dict[str, Any]:
        """
        What ``GET /v2/nodes`` says, by node id.
        """
        return {n["node_id"]: n for n in self.api("GET", "/v2/nodes")["nodes"]}

    def dataset(self, name: str) -> Any:
        """
        What ``GET /v2/datasets/NAME`` says.
        """
        return self.api("GET", f"/v2/datasets/{name}")

    def container(self, name: str) -> Any:
        """
        What ``GET /v2/containers/NAME`` says.
        """
        return self.api("GET", f"/v2/containers/{name}")

    def deploy(self, volumes: Mapping[str, Any], apps: Mapping[str, Any]) -> Any:
        """
        Plan and apply a deployment.
        """
        document = {
            "version": 2,
            "cluster": {"name": "test"},
            "nodes": {name: {"uuid": str(node_id)} for name, node_id in self.node_ids.items()},
            "volumes": unhurried(volumes),
            "apps": apps,
        }
        while True:
            plan = self.api("POST", "/v2/plan", {"deployment": document})
            try:
                return self.api("POST", "/v2/apply", {"deployment": document, "revision": plan["revision"]})
            except ApiError as error:
                # What follows from earlier deployments, such as a move that ends, is a change of the cluster, too.
                if error.body["code"] != "RevisionConflict":
                    raise

    def wait(
        self, condition: Callable[[], Any], seconds: float = DEADLINE_SECONDS, *, poll_seconds: float = 0.05
    ) -> Any:
        """
        Wait until a condition holds, and answer with what it gave. Being unreachable isn't an answer.

        :raises AssertionError: it did not hold in time.
        """
        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            try:
                last = condition()
            except (OSError, http.client.HTTPException, ApiError) as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(poll_seconds)
        raise AssertionError(f"not in {seconds} s; the last was {last!r}")

    def settled(self, name: str, node: str) -> Any:
        """
        Wait until a dataset is where it is wanted, with nothing left to do.
        """

        def done() -> Any:
            dataset = self.dataset(name)
            good = (
                dataset["status"] == "ok"
                and dataset["owner"] == str(self.node_ids[node])
                and dataset["move"] is None
                and not dataset["settling"]
            )
            return dataset if good else None

        return self.wait(done)


class Ledger:
    """
    An application that writes numbered records, and the witness of what was acknowledged.

    :param record_bytes: the least that a record has.
    :ivar program: the application's.
    """

    def __init__(self, folder: Path, *, pause_seconds: float = 0.002, record_bytes: int = 0) -> None:
        self.program = folder / "ledger.py"
        self.program.write_text(LEDGER)
        self._witness = folder / "witness"
        self._witness.touch()
        self._arguments = [str(pause_seconds), str(record_bytes)]

    def app(self, node: str, volume: str) -> dict[str, Any]:
        """
        For the ``apps`` of a deployment.
        """
        return {
            "node": node,
            "command": [sys.executable, "-S", str(self.program), str(self._witness), *self._arguments],
            "mounts": [{"volume": volume}],
            "restart": "always",
        }

    def acknowledged(self) -> list[tuple[int, float]]:
        """
        Number and time of every record that was acknowledged.
        """
        text = self._witness.read_text()
        assert "second-writer" not in text, "two instances of the application ran at the same time"
        # The last line may be on its way.
        lines = [line.split() for line in text.split("\n")[:-1]]
        return [(int(line[0]), float(line[1])) for line in lines if len(line) == 2]

    def check(self, folder: Path) -> None:
        """
        Every acknowledged record is in the volume exactly once and in order, and nothing was written twice.
        """
        # In this order: the application may be running.
        acknowledged = self.acknowledged()
        self.check_content((folder / "ledger").read_bytes(), acknowledged)

    @staticmethod
    def check_content(content: bytes, acknowledged: Sequence[tuple[int, float]]) -> None:
        """
        The same, of the content of the ledger's file and of what had been acknowledged before it was read.
        """
        numbers = [int(line) for line in content.split(b"\n")[:-1]]
        seen = [number for number, _ in acknowledged]

        assert numbers == list(range(1, len(numbers) + 1))
        assert seen == sorted(set(seen)), "a record was acknowledged twice"
        assert not seen or seen[-1] <= len(numbers), f"{seen[-1]} were acknowledged, {len(numbers)} are there"

    def gap_since_seconds(self, since_seconds: float) -> float:
        """
        The longest time between two acknowledged records, the later of which came after a moment; 0: none did.

        :param since_seconds: since the epoch of Unix.
        """
        times = [at for _, at in self.acknowledged()]
        return max((b - a for a, b in itertools.pairwise(times) if b > since_seconds), default=0.0)

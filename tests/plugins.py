"""
Docker's volume plugin as a process on a node of a cluster, and the calls that Docker makes.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flocker_py.identity import UserIdentity
from flocker_py.issuing import issued
from flocker_py.records import Record, value
from flocker_py.testing.certificates import write_files
from tests.cluster import API_PORT, CONTROL, DEADLINE_SECONDS, Cluster

_PROGRAM = "from flocker_agent.plugin.main import main; main()"
# sd_listen_fds(3): what is handed over begins at descriptor 3, and is for the process of that id alone.
_AS_SYSTEMD = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3);"
    " os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='flocker.sock');"
    " os.execv(sys.argv[2], sys.argv[2:])"
)


class Reply(Record):
    """
    What came back.
    """

    status: int = value(int)
    body: Any = value(object)

    @property
    def error(self) -> str:
        """
        What Docker shows its user; empty: it is a good answer.
        """
        return str(self.body["Err"])


class AtSocket(http.client.HTTPConnection):
    """
    HTTP over a UNIX socket.
    """

    def __init__(self, path: Path, timeout_seconds: float = DEADLINE_SECONDS) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        """
        To the socket.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Plugin:
    """
    The plugin of one node, which keeps what it remembers over restarts.

    :param socket_path: where Docker finds it; None: a socket of its own.
    :param inside: what it is started by, such as ``nsenter``.
    :param options: of ``flocker-docker-plugin``, beyond those that say where it is.
    :param called: one node can have several, of different names.
    :param control: the addresses of the control service; None: those of the cluster.
    """

    def __init__(
        self,
        cluster: Cluster,
        node: str,
        *,
        socket_path: Path | None = None,
        inside: Sequence[str] = (),
        options: Sequence[str] = (),
        control: str | None = None,
        called: str = "plugin",
    ) -> None:
        self.cluster = cluster
        self.node = node
        self.folder = cluster.folder / node
        self.socket_path = self.folder / f"{called}.sock" if socket_path is None else socket_path
        self.state = self.folder / called
        self._inside = inside
        self._options = options
        self._control = control or f"{cluster.addresses[CONTROL]}:{API_PORT}"
        self._process: subprocess.Popen[bytes] | None = None
        authority = cluster.certificates.authority
        keyed = issued(authority, UserIdentity(name="plugin"), datetime.now(UTC))
        write_files(self.folder, "plugin", authority, keyed)

    def command(self) -> list[str]:
        """
        What starts it.
        """
        return [
            *(*self._inside, sys.executable, "-c", _PROGRAM),
            *("--agent-config", str(self.folder / "agent.yml"), "--control", self._control),
            *("--socket", str(self.socket_path), "--state-path", str(self.state)),
            *("--log-file", str(self.cluster.folder / f"plugin-{self.node}.log")),
            *self._options,
        ]

    def start(self, *, given: socket.socket | None = None) -> None:
        """
        Start it, and wait until it answers.

        :param given: a socket that listens already, handed over as systemd does.
        """
        inherited = [] if given is None else [given.fileno()]
        before = [sys.executable, "-c", _AS_SYSTEMD, *map(str, inherited)] if inherited else []
        with (self.cluster.folder / f"plugin-{self.node}.out").open("ab") as out:
            self._process = subprocess.Popen(
                [*before, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                pass_fds=inherited,
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                self.call("Plugin.Activate")
                return
            except OSError:
                assert self._process.poll() is None, (self.cluster.folder / f"plugin-{self.node}.out").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """
        End it.
        """
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(DEADLINE_SECONDS)

    @property
    def pid(self) -> int:
        """
        Of the running plugin.
        """
        assert self._process is not None
        return self._process.pid

    def refusal(self) -> str:
        """
        Why it doesn't start.
        """
        ended = subprocess.run(self.command(), capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
        assert ended.returncode == 1
        return ended.stderr

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.cluster.logs())
        self.kill(signal.SIGTERM)

    def send(self, name: str, body: bytes, *, method: str = "POST") -> Reply:
        """
        Any request.
        """
        connection = AtSocket(self.socket_path)
        try:
            connection.request(method, f"/{name}", body)
            answer = connection.getresponse()
            return Reply(status=answer.status, body=json.loads(answer.read()))
        finally:
            connection.close()

    def call(self, name: str, **given: object) -> Reply:
        """
        One of Docker's calls.
        """
        name = name if "." in name else f"VolumeDriver.{name}"
        return self.send(name, json.dumps(given).encode())

    def create(self, volume: str, **options: str) -> Reply:
        """
        ``docker volume create -o NAME=VALUE VOLUME``.
        """
        return self.call("Create", Name=volume, Opts=options)

    def mount(self, volume: str, caller: str = "c1") -> Reply:
        """
        As a container is started.
        """
        return self.call("Mount", Name=volume, ID=caller)

    def unmount(self, volume: str, caller: str = "c1") -> Reply:
        """
        As it ends.
        """
        return self.call("Unmount", Name=volume, ID=caller)

    def get(self, volume: str) -> Reply:
        """
        ``docker volume inspect``.
        """
        return self.call("Get", Name=volume)

    def status(self, volume: str) -> Any:
        """
        What ``docker volume inspect`` shows as ``Status``.
        """
        return self.get(volume).body["Volume"]["Status"]

    def remove(self, volume: str) -> Reply:
        """
        ``docker volume rm``.
        """
        return self.call("Remove", Name=volume)

    def remembered(self) -> Any:
        """
        Who has what mounted, as it is on disk.
        """
        volumes = json.loads((self.state / "mounted.json").read_text())["volumes"]
        return {name: volume["callers"] for name, volume in volumes.items()}

"""
Docker Engines for the tests of volumes: one per node, without networks, each with a plugin folder of its own.

All are on this host's network, and change nothing of it. Each has a mount namespace, since Docker looks for plugins
at one place only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import DEADLINE_SECONDS
from tests.integration.tools import Ended

IMAGE = "flocker-test/volumes:1"
_BUSYBOX = Path("/bin/busybox")
_PREPARE = 'mount --make-rshared / && mkdir -p /run/docker && mount --bind "$0" /run/docker && echo ready && exec cat'


def engine_missing() -> str | None:
    """
    What lacks for such engines; None: nothing.
    """
    if os.geteuid() != 0:
        return "the tests don't run as root"
    for program in ("dockerd", "containerd", "docker", "nsenter", "unshare", str(_BUSYBOX)):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: docker.io, util-linux, busybox-static)"
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else f"mount namespaces can't be made: {probe.stderr.decode().strip()}"


def run(*command: str, variables: dict[str, str] | None = None) -> Ended:
    """
    Run a program to its end.
    """
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    return Ended(status=ended.returncode, out=ended.stdout, err=ended.stderr)


def image_files(folder: Path) -> Path:
    """
    A root file system with busybox in it, as a tar archive.
    """
    programs = folder / "image" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(_BUSYBOX, programs / "busybox")
    for name in ("cat", "ls", "sh", "sleep"):
        (programs / name).symlink_to("busybox")
    archive = folder / "image.tar"
    subprocess.run(["tar", "-C", str(folder / "image"), "-cf", str(archive), "."], check=True)
    return archive


class Engine:
    """
    An engine, which keeps its containers over restarts.

    :param folder: for all it has; its path must be short enough for sockets.
    :ivar plugin_socket: where it finds the driver ``flocker``; ``socket_path``: where it listens.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket_path = folder / "docker.sock"
        self.plugin_socket = folder / "run" / "plugins" / "flocker.sock"
        self.plugin_socket.parent.mkdir(parents=True)
        self._namespace: subprocess.Popen[str] | None = None
        # Apart, as on most hosts: it and the containers go on where Docker is killed.
        self._containerd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._namespace = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PREPARE, str(self.folder / "run")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._namespace.stdout is not None
        assert self._namespace.stdout.readline() == "ready\n"
        self._containerd = self._started("containerd", "--config", str(self._containerd_settings()))
        self._wait(self._containerd, (self.folder / "containerd.sock").exists)
        self.start()
        imported = self.docker("import", "-c", "ENV PATH=/bin", str(image_files(self.folder)), IMAGE)
        assert imported.status == 0, imported.err
        return self

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        self._process = self._started(
            "dockerd",
            *("--host", f"unix://{self.socket_path}", "--pidfile", str(self.folder / "dockerd.pid")),
            *("--containerd", str(self.folder / "containerd.sock")),
            *("--data-root", str(self.folder / "root"), "--exec-root", str(self.folder / "exec")),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            *("--ip-masq=false", "--userland-proxy=false"),
        )
        self._wait(self._process, lambda: self.docker("version").status == 0)

    def _containerd_settings(self) -> Path:
        path = self.folder / "containerd.toml"
        path.write_text(
            f'version = 2\nroot = "{self.folder}/containerd"\nstate = "{self.folder}/containerd-state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{self.folder}/containerd.sock"\n'
        )
        return path

    def _started(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        assert self._namespace is not None
        inside = ("nsenter", f"--mount=/proc/{self._namespace.pid}/ns/mnt")
        with (self.folder / "engine.out").open("ab") as out:
            return subprocess.Popen(
                [*inside, program, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def _wait(self, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not ready():
            assert process.poll() is None, (self.folder / "engine.out").read_text()
            assert time.monotonic() < deadline, (self.folder / "engine.out").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """
        Kill it. What runs in its containers goes on.
        """
        self._end(signal.SIGKILL)
        # Else the next one would wait for a process that may be anybody's.
        (self.folder / "dockerd.pid").unlink(missing_ok=True)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(DEADLINE_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            self.start()
        for name in self.docker("ps", "--all", "--quiet").out.split():
            self.docker("rm", "--force", name)
        self._end(signal.SIGTERM)
        assert self._containerd is not None
        self._containerd.terminate()
        self._containerd.wait(DEADLINE_SECONDS)
        assert self._namespace is not None
        self._namespace.communicate()

    def docker(self, *arguments: str) -> Ended:
        """
        Run ``docker`` here.
        """
        return run("docker", "--host", f"unix://{self.socket_path}", *arguments)

    def volume(self, name: str) -> Any:
        """
        What ``docker volume inspect`` shows.
        """
        return json.loads(self.docker("volume", "inspect", name).out)[0]

    def volumes(self) -> list[str]:
        """
        What ``docker volume ls`` shows.
        """
        return self.docker("volume", "ls", "--quiet").out.split()

    def written(self, container: str) -> str:
        """
        What a container has in the file of its volume that these tests write; empty: nothing yet.
        """
        return self.docker("exec", container, "cat", "/data/file").out

    def container(self, volume: str, command: str, *options: str) -> Ended:
        """
        ``docker run`` a command of the shell, with a volume at ``/data``.
        """
        options = ("--network", "none", "-v", f"{volume}:/data", "--volume-driver", "flocker", *options)
        return self.docker("run", *options, IMAGE, "sh", "-c", command)

"""
Real Docker Engines for tests: one per host, each host with network and mounts of its own.

>>> with engines(["n1", "n2"], folder) as hosts:
...     client = hosts["n1"].client()

A host is a network namespace and a mount namespace. What is mounted in it is seen by its engine, and by nobody outside;
``Host.inside`` begins the command of a program that runs there. Images are made of this machine's own files.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from docker import APIClient
from docker.errors import DockerException

BUSYBOX_IMAGE = "flocker-test/busybox:1"
_BUSYBOX = "/bin/busybox"
_PROGRAMS = ("dockerd", "containerd", "ip", "nsenter", "unshare", "iptables")
_STARTING_SECONDS = 100.0
_ENDING_SECONDS = 100.0
_ANSWER_SECONDS = 100
_POLL_SECONDS = 0.05


def docker_missing() -> str | None:
    """
    What lacks for engines of tests; None: nothing.
    """
    if os.geteuid() != 0:
        return "the tests don't run as root"
    for program in (*_PROGRAMS, _BUSYBOX):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: docker.io, iptables, iproute2, util-linux, busybox-static)"
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else f"namespaces can't be made: {probe.stderr.decode().strip()}"


class Host:
    """
    A host with an engine.

    :param namespace: of its network, as ``ip netns`` calls it.
    :param address: by which other hosts reach it.
    :param fabric: namespace of the network between the hosts, with the bridge ``br0``.
    """

    def __init__(self, namespace: str, address: str, number: int, folder: Path, fabric: str) -> None:
        self.fabric = fabric
        self.namespace = namespace
        self.address = address
        self.folder = folder
        self.mounts_path = folder / "mounts"
        self._number = number
        # The name of a socket has at most 107 bytes.
        self._socket = Path("/tmp") / f"{namespace}.sock"
        # Of its own, as on most hosts: it and the containers go on where only dockerd is killed.
        self._containerd_socket = Path("/tmp") / f"{namespace}-containerd.sock"
        self._containerd: subprocess.Popen[bytes] | None = None
        self._engine: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """
        Where the engine listens, from inside and outside alike.
        """
        return f"unix://{self._socket}"

    @property
    def inside(self) -> list[str]:
        """
        What begins a command that runs on this host.
        """
        return ["nsenter", f"--net=/run/netns/{self.namespace}", f"--mount={self.mounts_path}"]

    def run(self, *command: str) -> str:
        """
        Run a program on this host: its output.
        """
        ended = subprocess.run([*self.inside, *command], check=False, capture_output=True, text=True)
        assert ended.returncode == 0, f"{command} ended with {ended.returncode}: {ended.stderr}"
        return ended.stdout

    def docker(self, *arguments: str) -> str:
        """
        What the command ``docker`` prints here.
        """
        return self.run("docker", "--host", self.socket, *arguments)

    def client(self) -> APIClient:
        """
        A client of the engine.
        """
        return APIClient(base_url=self.socket, version="auto", timeout=_ANSWER_SECONDS)

    def start(self) -> None:
        """
        Start the engine and wait until it answers.
        """
        for name in ("root", "exec", "rundocker"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            # Left by one that was killed, it would name a process that is another's by now.
            (self.folder / "dockerd.pid").unlink()
        if self._containerd is None:
            self._containerd = self._started("containerd", "--config", str(self._containerd_settings()))
            self._wait(self._containerd, self._containerd_socket.exists)
        command = [
            "dockerd", "--host", self.socket, "--containerd", str(self._containerd_socket),
            "--data-root", str(self.folder / "root"),
            "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "dockerd.pid"),
            "--bip", f"172.{20 + self._number}.0.1/24",
            "--default-address-pool", f"base=172.{20 + self._number}.128.0/17,size=24",
        ]  # fmt: skip
        self._engine = self._started(*command)
        self._wait(self._engine, self._answers)

    def _started(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            return subprocess.Popen([*self.inside, *command], stdout=log, stderr=log, start_new_session=True)

    def _wait(self, program: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STARTING_SECONDS
        while not ready():
            told = "".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))
            assert program.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(_POLL_SECONDS)

    def _containerd_settings(self) -> Path:
        path = self.folder / "containerd.toml"
        path.write_text(
            f"""version = 2
root = "{self.folder}/containerd"
state = "{self.folder}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{self._containerd_socket}"
"""
        )
        return path

    def stop(self) -> None:
        """
        End the engine, and what runs in it. Harmless if it doesn't run.
        """
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """
        Kill the engine; its containers go on, as they do then.
        """
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._engine is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._engine.pid, number)
        self._engine.wait(_ENDING_SECONDS)
        self._engine = None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return probe.recv(12).endswith(b" 200")
            except OSError:
                return False

    def clear(self) -> None:
        """
        End whatever is left of it.
        """
        if self._engine is not None:
            with suppress(DockerException):
                client = self.client()
                for each in client.containers(all=True):
                    client.remove_container(each["Id"], force=True, v=True)
                client.close()
        self.stop()
        # containerd and its shims, where the engine was killed.
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if self._containerd is not None:
            self._containerd.wait(_ENDING_SECONDS)
        for path in (self._socket, self._containerd_socket, Path(f"{self._containerd_socket}.ttrpc")):
            with suppress(FileNotFoundError):
                path.unlink()


@contextmanager
def without_runc_state(host: Host) -> Iterator[None]:
    """
    The engine can't change its containers meanwhile, on whatever kernel; they go on.
    """
    found = [path for path in host.folder.rglob("runtime-runc/moby/*/state.json") if path.is_file()]
    assert found, f"no container runs under {host.folder}"
    for path in found:
        path.rename(path.with_suffix(".hidden"))
    try:
        yield
    finally:
        for path in found:
            path.with_suffix(".hidden").rename(path)


@contextmanager
def engines(names: Sequence[str], folder: Path) -> Iterator[Mapping[str, Host]]:
    """
    Hosts that reach one another, each with an engine that runs and has the image ``BUSYBOX_IMAGE``.

    :param folder: for all that they keep, on a file system that overlays can lie on.
    """
    # Short: names of devices have at most 15 characters.
    token = uuid4().hex[:5]
    fabric = f"fpf{token}"
    with ExitStack() as undo:
        _ip("netns", "add", fabric)
        undo.callback(_ip, "netns", "del", fabric)
        _ip("-n", fabric, "link", "add", "br0", "type", "bridge")
        _ip("-n", fabric, "link", "set", "br0", "up")
        hosts = {}
        for number, name in enumerate(names, start=1):
            hosts[name] = _host(undo, token, fabric, number, folder / name)
            hosts[name].start()
            import_image(hosts[name], BUSYBOX_IMAGE, busybox_files(), ['CMD ["/bin/sh"]'])
        yield hosts


def _host(undo: ExitStack, token: str, fabric: str, number: int, folder: Path) -> Host:
    namespace, device = f"fph{token}{number}", f"fpv{token}{number}"
    folder.mkdir(parents=True)
    _ip("netns", "add", namespace)
    undo.callback(_ip, "netns", "del", namespace)
    _ip("-n", namespace, "link", "set", "lo", "up")
    _ip("link", "add", device, "netns", fabric, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _ip("-n", fabric, "link", "set", device, "master", "br0", "up")
    address = f"10.99.0.{number}"
    _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", namespace, "link", "set", "eth0", "up")
    host = Host(namespace, address, number, folder, fabric)
    # A mount namespace is kept by a file, on a mount that is private, so that it outlasts its processes.
    _run("mount", "--bind", str(folder), str(folder))
    undo.callback(_run, "umount", "--lazy", str(folder))
    _run("mount", "--make-private", str(folder))
    host.mounts_path.touch()
    (folder / "rundocker").mkdir()
    # Shared inside, so that what is mounted there later is seen in containers that run.
    prepare = f'mount --make-rshared / && mkdir -p /run/docker && mount --bind "{folder}/rundocker" /run/docker'
    _run(
        "nsenter", f"--net=/run/netns/{namespace}",
        "unshare", f"--mount={host.mounts_path}", "--propagation", "private", "sh", "-c", prepare,
    )  # fmt: skip
    undo.callback(_run, "umount", str(host.mounts_path))
    undo.callback(host.clear)
    return host


def import_image(host: Host, name: str, files: bytes, changes: Sequence[str] = ()) -> None:
    """
    Give an engine an image.

    :param files: all files of it, as a tar archive.
    :param changes: lines of a Dockerfile, such as ``CMD``.
    """
    client = host.client()
    repository, _, tag = name.rpartition(":")
    answer = client.import_image_from_data(files, repository=repository, tag=tag, changes=list(changes))
    client.close()
    assert "error" not in answer, answer


def busybox_files() -> bytes:
    """
    A root file system of busybox: a tar archive.
    """
    names = subprocess.run([_BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for folder in ("bin", "etc", "proc", "sys", "dev"):
            files.addfile(_entry(folder, type=tarfile.DIRTYPE, mode=0o755))
        files.addfile(_entry("tmp", type=tarfile.DIRTYPE, mode=0o1777))
        files.add(_BUSYBOX, "bin/busybox")
        for name in names:
            if name != "busybox":
                files.addfile(_entry(f"bin/{name}", type=tarfile.SYMTYPE, linkname="busybox", mode=0o777))
    return archive.getvalue()


def _entry(name: str, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command} ended with {ended.returncode}: {ended.stderr}"

"""
Guests of the ZFS test kernel with disks of their own, on a network of their own, that can lose their power.

A disk is a file of this machine. What its guest was told is on the disk is in the file; what the guest still had in its
memory is gone with it. So a cut is what happens to a host whose disks have no write cache that forgets, or whose cache
is flushed when it says so.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.power.inside import PORT
from tests.zfs.namespaces import enter

_CHECKOUT = Path(__file__).resolve().parents[2]
_HARNESS = [sys.executable, str(_CHECKOUT / "tests/zfs/harness/zfskernel.py"), "run"]
_INSIDE = ["/usr/bin/python3", "-S", str(Path(__file__).with_name("inside.py"))]
_STATE_BYTES, _POOL_BYTES = 96 << 20, 384 << 20
# With all of a cluster in one guest, and one CPU for it.
_BOOT_SECONDS = 120.0
_CONNECT_SECONDS, _CALL_SECONDS = 30.0, 90.0


class GuestFailed(Exception):
    """
    A guest does not come up, or refused what it was asked.
    """


@contextmanager
def network(taps: int) -> Iterator[str]:
    """
    A network namespace with a bridge, 10.99.0.250, and tap devices ``tap0``, … on it; its name.
    """
    name = f"fpower-{secrets.token_hex(3)}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    with ExitStack() as undo:
        ip("netns", "add", name)
        undo.callback(ip, "netns", "del", name)
        ip("-n", name, "link", "add", "br0", "type", "bridge")
        ip("-n", name, "addr", "add", "10.99.0.250/24", "dev", "br0")
        ip("-n", name, "link", "set", "br0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        for number in range(taps):
            ip("-n", name, "tuntap", "add", "dev", f"tap{number}", "mode", "tap")
            ip("-n", name, "link", "set", f"tap{number}", "master", "br0", "up")
        yield name


class Guest:
    """
    One machine with one or more hosts of the cluster on it, its disks, and the power switch.

    :param hosts: names of the hosts.
    :param number: of the guest.
    :param network: the network namespace.
    :param folder: seen by all guests at the same path, and written through to this machine at once.
    :param disks: the folder of the disks.
    :param addresses: of all hosts in the cluster, by name.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        number: int,
        network: str,
        folder: Path,
        disks: Path,
        addresses: Mapping[str, str],
        kind: str = "uml",
        memory: str = "1G",
    ) -> None:
        self.hosts = tuple(hosts)
        self._network = network
        self._folder = folder
        self._address = f"10.99.0.{200 + number}"
        self._tap = f"tap{number}"
        self._addresses = {name: addresses[name] for name in hosts}
        self._kind = kind
        self._memory = memory
        self._images: list[Path] = []
        self._devices: dict[str, dict[str, str]] = {}
        prefix = "/dev/ubd" if kind == "uml" else "/dev/vd"
        for name in hosts:
            self._devices[name] = {}
            for purpose, size_bytes in (("state", _STATE_BYTES), ("pool", _POOL_BYTES)):
                if purpose == "pool" and name == "control":
                    continue
                self._devices[name][purpose] = prefix + chr(ord("a") + len(self._images))
                self._images.append(disks / f"{name}-{purpose}.img")
                with self._images[-1].open("xb") as image:
                    image.truncate(size_bytes)
        self._booted = False
        self._harness: subprocess.Popen[bytes] | None = None
        self.log = folder / f"guest{number}.log"

    def power_on(self) -> None:
        """
        Boot it. It isn't waited for.
        """
        settings = {
            "first": not self._booted,
            "disks": self._devices,
            "addresses": self._addresses,
            "address": self._address,
        }
        self._booted = True
        command = ["nsenter", f"--net=/run/netns/{self._network}", *_HARNESS, "--kind", self._kind, "--mem"]
        command += [self._memory, "--out", str(self._folder), "--tap", self._tap]
        for image in self._images:
            command += ["--disk", str(image)]
        with self.log.open("ab") as log:
            self._harness = subprocess.Popen(
                [*command, "--", *_INSIDE, json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """
        Wait until it answers.

        :raises GuestFailed: it doesn't, or has ended.
        """
        assert self._harness is not None
        deadline = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < deadline and self._harness.poll() is None:
            try:
                self.run("true")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise GuestFailed(f"the guest with {self.hosts} does not come up: {self.log.read_text()[-2000:]}")

    @property
    def is_on(self) -> bool:
        """
        Whether it has power.
        """
        return self._harness is not None

    def cut_power(self) -> None:
        """
        Kill it, with all it has in its memory, at once.
        """
        if self._harness is None:
            return
        harness, self._harness = self._harness, None
        processes = psutil.Process(harness.pid).children(recursive=True)
        groups = set()
        for process in filter(_lives, processes):
            with suppress(ProcessLookupError):
                groups.add(os.getpgid(process.pid))
        for group in groups - {harness.pid}:
            # One may end by itself as soon as another is killed.
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        harness.kill()
        harness.wait()
        deadline = time.monotonic() + _CALL_SECONDS
        while any(map(_lives, processes)):
            if time.monotonic() > deadline:
                raise GuestFailed(f"the guest with {self.hosts} can't be killed")
            time.sleep(0.01)

    def ask(self, **request: Any) -> dict[str, Any]:
        """
        Have something done by ``inside``, and wait for its answer.

        :raises OSError: it can't be reached.
        """
        with enter(self._network):
            connection = socket.create_connection((self._address, PORT), timeout=_CONNECT_SECONDS)
        with connection:
            connection.settimeout(_CALL_SECONDS)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
        if not line:
            raise ConnectionResetError("the guest ended before it answered")
        answer: dict[str, Any] = json.loads(line)
        if "failure" in answer:
            raise GuestFailed(f"{request}: {answer['failure']}")
        return answer

    def run(self, *command: str) -> str:
        """
        Run a command in it; its standard output.

        :raises GuestFailed: its exit status isn't 0.
        """
        answer = self.ask(do="run", command=command)
        if answer["status"] != 0:
            raise GuestFailed(f"{' '.join(command)}: {answer['status']}: {answer['error']}")
        return str(answer["out"])


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

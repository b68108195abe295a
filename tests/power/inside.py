"""
The guest's side of a cluster in guests: lays out disks, pools and network namespaces, then does what the host asks.

Runs inside a guest of the ZFS harness with the distribution's Python, standard library only, one JSON object a
connection, in either direction. It is started again at every boot of the guest, with the same settings but for `first`,
which is the host's word that the disks are new: an empty one is never taken for a new one.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.zfs.namespaces import BRIDGE, enter, hosts, joined

PORT = 7000
STATE_ROOT = Path("/srv/state")
READY = "inside: ready"


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"inside: {' '.join(command)}: {done.stderr.strip()}")


def lay_out_disks(disks: Mapping[str, Mapping[str, str]], *, first: bool) -> None:
    """
    Mount the state folders and import the pools, as a host does that boots.

    :param disks: by node, the block devices for its `state` and, unless it is control, its `pool`.
    """
    for name, devices in disks.items():
        state = STATE_ROOT / name
        state.mkdir(parents=True)
        if first:
            _run("mkfs.ext4", "-q", devices["state"])
        _run("mount", "-t", "ext4", devices["state"], str(state))
        if "pool" not in devices:
            continue
        if first:
            _run("zpool", "create", "-o", "cachefile=none", "-O", "mountpoint=none", f"fp-{name}", devices["pool"])
        else:
            # Without -f: it is the same host that comes back.
            _run("zpool", "import", "-o", "cachefile=none", "-d", devices["pool"], f"fp-{name}")
    # What a host with ZFS does when it boots, zfs-mount.service(8): nothing of ours may be mounted by it.
    _run("zfs", "mount", "-a")


class Programs:
    """
    The programs that the host had started here.
    """

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], out: str) -> int:
        """
        Start a program in the network namespace of its node; its process id.
        """
        with Path(out).open("ab") as sink:
            self._running[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/fp-{name}", *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return self._running[name].pid

    def kill(self, name: str, number: int) -> None:
        """
        Send a program a signal, and wait for its end.
        """
        process = self._running.pop(name)
        process.send_signal(signal.Signals(number))
        process.wait()


class Answer(socketserver.StreamRequestHandler):
    """
    One request and its answer.
    """

    programs: Programs
    ending: threading.Event

    def handle(self) -> None:
        """
        Read the request, do it, answer.
        """
        request = json.loads(self.rfile.readline())
        try:
            answer = self._done(request)
        except Exception as failure:  # noqa: BLE001 - the host raises it
            answer = {"failure": f"{type(failure).__name__}: {failure}"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _done(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.pop("do"):
            case "start":
                return {"pid": self.programs.start(**request)}
            case "kill":
                self.programs.kill(**request)
                return {}
            case "run":
                done = subprocess.run(
                    request["command"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
                )
                return {"status": done.returncode, "out": done.stdout.decode(), "error": done.stderr.decode()}
            case "end":
                self.ending.set()
                return {}
            case other:
                raise ValueError(other)


class Server(socketserver.ThreadingTCPServer):
    """
    Answers the host.
    """

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """
    Set up, and answer until asked to end.
    """
    settings = json.loads(sys.argv[1])
    lay_out_disks(settings["disks"], first=settings["first"])
    Answer.programs, Answer.ending = Programs(), threading.Event()
    with ExitStack() as undo:
        undo.enter_context(hosts(settings["addresses"]))
        joined(os.environ["FLOCKER_ZFS_NETWORK"], settings["address"])
        with enter(BRIDGE):
            server = undo.enter_context(Server((settings["address"], PORT), Answer))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(READY, flush=True)
        Answer.ending.wait()


if __name__ == "__main__":
    main()

"""
A cluster whose hosts are in guests that can lose their power.
"""

from __future__ import annotations

import compileall
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import CONTROL, Cluster, Ledger
from tests.power.guests import Guest, network
from tests.power.inside import STATE_ROOT

_CHECKOUT = Path(__file__).resolve().parents[2]
NODES = ("n1", "n2")
ADDRESSES = {CONTROL: "10.99.0.1", "n1": "10.99.0.2", "n2": "10.99.0.3"}
MOUNT_ROOT = Path("/srv/flocker")
POOL_FOLDER = "flocker"
# Slow enough that a power cut can hit the middle of a transfer.
_TRANSFER = {"maximum_rate": "16M"}

WITNESSED_LEDGER = """
import os, signal, sys, time
# Appends numbered lines, fsynced; what is acknowledged is written down outside of the guest, where it survives.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
# One file a run: a file that two guests append to would lose lines.
witness = open("%s/%d-%d" % (sys.argv[1], time.time_ns(), os.getpid()), "x", buffering=1)
pause = float(sys.argv[2])
file = open("ledger", "ab")
number = 0
with open("ledger", "rb") as before:
    for line in before:
        if line.endswith(b"\\n"): number = int(line)
while True:
    number += 1
    file.write(b"%d\\n" % number); file.flush(); os.fsync(file.fileno())
    witness.write("%d %.6f\\n" % (number, time.time()))
    time.sleep(pause)
"""


class WitnessedLedger(Ledger):
    """
    The ledger, with a witness for each run of it.
    """

    def __init__(self, folder: Path, *, pause_seconds: float) -> None:
        super().__init__(folder, pause_seconds=pause_seconds)
        self.program.write_text(WITNESSED_LEDGER)
        self._witness.unlink()
        self._witness.mkdir()

    def acknowledged(self) -> list[tuple[int, float]]:
        """
        As promised by ``Ledger``, in the order of time.
        """
        lines = [line for path in self._witness.iterdir() for line in path.read_text().split("\n")[:-1]]
        return sorted(((int(a), float(b)) for a, b in map(str.split, lines)), key=lambda record: record[1])


class PoweredCluster(Cluster):
    """
    Control and two nodes with a ZFS pool each, in guests.

    :param folder: seen by the guests, and by this machine.
    :param guests: all of them.
    :param network: the namespace in which they are.
    """

    def __init__(self, folder: Path, guests: Sequence[Guest], network: str) -> None:
        super().__init__(
            folder,
            lambda name: {"backend": "zfs", "pool": f"fp-{name}", "mount_root": str(MOUNT_ROOT / name)},
            addresses=ADDRESSES,
            namespaces={CONTROL: network},
            transfer=_TRANSFER,
            fault_points=True,
        )
        self._pids: dict[str, int] = {}
        self.guests = tuple(guests)
        self.network = network

    def guest_of(self, name: str) -> Guest:
        """
        Where a host is.
        """
        return next(guest for guest in self.guests if name in guest.hosts)

    def kept(self, name: str) -> Path:
        """
        As promised by ``Cluster``: on a disk of the guest.
        """
        return STATE_ROOT / name / "state"

    def start(self, name: str) -> None:
        """
        As promised by ``Cluster``.
        """
        answer = self.guest_of(name).ask(
            do="start",
            name=name,
            command=self.command(name),
            environment=self.variables(name),
            out=str(self.folder / f"{name}.out"),
        )
        self._pids[name] = answer["pid"]

    def pid(self, name: str) -> int:
        """
        As promised by ``Cluster``, in its guest.
        """
        return self._pids[name]

    def go_on(self, name: str) -> None:
        """
        A program that was stopped goes on.
        """
        self.guest_of(name).run("kill", "-CONT", str(self._pids[name]))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """
        As promised by ``Cluster``.
        """
        self.guest_of(name).ask(do="kill", name=name, number=int(number))

    def power_on(self) -> None:
        """
        Boot the guests that have no power, and start what belongs on them.
        """
        booting = [guest for guest in self.guests if not guest.is_on]
        for guest in booting:
            guest.power_on()
        for guest in booting:
            guest.wait_until_up()
            for name in guest.hosts:
                self.start(name)

    def cut_power(self, names: Sequence[str]) -> None:
        """
        All guests that these hosts are on lose their power at the same moment.
        """
        for guest in {self.guest_of(name) for name in names}:
            guest.cut_power()

    def connected(self) -> Any:
        """
        Wait until all nodes are.
        """
        return self.wait(lambda: sum(node["connected"] for node in self.nodes().values()) == len(NODES))


@contextmanager
def powered_cluster(folder: Path, layout: Sequence[Sequence[str]], *, kind: str = "uml") -> Iterator[PoweredCluster]:
    """
    A cluster with its guests switched on.

    :param layout: for each guest, the hosts that are on it.
    """
    # What a guest compiles is gone with its power.
    for package in ("agent", "control", "flocker_py", "tests/faults"):
        compileall.compile_dir(_CHECKOUT / package, quiet=1)
    shared, disks = folder / "shared", folder / "disks"
    for made in (shared, disks):
        made.mkdir(parents=True)
    with ExitStack() as undo:
        namespace = undo.enter_context(network(len(layout)))
        guests = [
            Guest(
                hosts,
                number=number,
                network=namespace,
                folder=shared,
                disks=disks,
                addresses=ADDRESSES,
                kind=kind,
                memory="1G" if len(hosts) > 1 else "640M",
            )
            for number, hosts in enumerate(layout)
        ]
        cluster = PoweredCluster(shared, guests, namespace)
        for guest in guests:
            undo.callback(guest.cut_power)
        cluster.power_on()
        cluster.connected()
        yield cluster

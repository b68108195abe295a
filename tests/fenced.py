"""
An owner that is cut off from everybody and lives, of a dataset that is fenced: for all backends alike.

The application signs its records, so that each tells who wrote it and when.
"""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import NamedTuple

from flocker_admin.exits import Exit
from flocker_agent.runtime.process import ProcessRuntime
from flocker_py.boottime import boottime_seconds
from flocker_py.observed import ContainerPhase
from tests.cluster import CONTROL, Cluster
from tests.failing_over import copy_on, readable, stash_on
from tests.faults.arming import arm
from tests.faults.inside import HOLD
from tests.worlds import NetworkedCluster

LEASE_SECONDS = 5.0

# Appends lines: a number, who writes it, and when that began. Once it is on disk, the witness gets the same, and when
# that was. It doesn't end when it is asked to. The clock is the same for all nodes, which are on one host.
SIGNED = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
now = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
witness = open(sys.argv[1], "a", buffering=1)
node = next(part for part in os.getcwd().split("/") if part in ("n1", "n2"))
writer = "%s:%d" % (node, os.getpid())
file = open("ledger", "a+b")
file.seek(0)
lines = file.read().split(b"\\n")
file.truncate(sum(len(line) + 1 for line in lines[:-1]))
number = len(lines) - 1
while True:
    number += 1
    record = "%d %s %.6f" % (number, writer, now())
    file.write(record.encode() + b"\\n"); file.flush(); os.fsync(file.fileno())
    witness.write("%s %.6f\\n" % (record, now()))
    time.sleep(0.005)
"""


class Signed(NamedTuple):
    """
    A record.

    :ivar begun: when, by the clock of leases, its writer began to write it.
    """

    number: int
    writer: str
    begun: float

    @classmethod
    def of(cls, text: str) -> Signed:
        """
        From a line of the ledger, or of the witness.
        """
        number, writer, begun = text.split()[:3]
        return cls(int(number), writer, float(begun))

    @property
    def node(self) -> str:
        """
        Where it was written.
        """
        return self.writer.partition(":")[0]


class SignedLedger:
    """
    The application, and the witness of what was acknowledged.
    """

    def __init__(self, folder: Path) -> None:
        self._program = folder / "signed.py"
        self._program.write_text(SIGNED)
        self._witness = folder / "witness"
        self._witness.touch()

    def deploy(self, cluster: Cluster, node: str) -> None:
        """
        Want it on a node, with its volume.
        """
        app = {
            "node": node,
            "command": [sys.executable, "-S", str(self._program), str(self._witness)],
            "mounts": [{"volume": "data"}],
            "restart": "always",
            "stop_grace": "1s",
        }
        cluster.deploy({"data": {"on_partition": "fence"}}, {"app": app})

    def acknowledged(self, node: str) -> list[Signed]:
        """
        The records that were acknowledged on one node so far, in order.
        """
        found = [Signed.of(line) for line in self._lines()]
        return [record for record in found if record.node == node]

    def writes_on(self, cluster: Cluster, node: str) -> None:
        """
        Wait until it has written on.
        """
        count = len(self.acknowledged(node))
        cluster.wait(lambda: len(self.acknowledged(node)) > count + 20)

    def check_turns(self) -> None:
        """
        No writer began before another was through.
        """
        turns: dict[str, tuple[float, float]] = {}
        for line in self._lines():
            _, writer, begun, through = line.split()
            first, _ = turns.setdefault(writer, (float(begun), 0.0))
            turns[writer] = (first, float(through))
        in_turn = sorted(turns.values())

        assert all(one[1] < other[0] for one, other in itertools.pairwise(in_turn)), turns

    def _lines(self) -> list[str]:
        # The last one may be on its way.
        return self._witness.read_text().split("\n")[:-1]


def records(folder: Path) -> list[Signed]:
    """
    What a copy of the ledger holds, but for a line that is being written.
    """
    return [Signed.of(line) for line in (folder / "ledger").read_text().split("\n")[:-1]]


def is_quiet(cluster: Cluster, node: str) -> bool:
    """
    Whether on a node no container runs, and nothing is mounted.
    """
    containers = ProcessRuntime(cluster.kept(node) / "containers").containers().values()
    ended = all(seen.phase is ContainerPhase.EXITED for seen in containers)
    return ended and not list((cluster.folder / node / "flocker").iterdir())


def failed_over(cluster: Cluster, guid: str) -> None:
    """
    Ask for the failover to n2 again and again, without saying that the owner is dead, until control lets it happen; and
    see that n1 was quiet by then.
    """

    def asked() -> bool:
        quiet = is_quiet(cluster, "n1")
        answer = cluster.ctl("failover", "data", "--to", "n2", "--confirm", guid)
        if answer.status == Exit.DONE:
            assert quiet, "control let it happen before its owner had ended"
            return True
        assert "is connected" in answer.err or "serves it until its lease has ended" in answer.err, answer
        return False

    cluster.wait(asked)


def cut_off_and_failed_over(cluster: NetworkedCluster, ledger: SignedLedger) -> None:
    """
    A node that owns a fenced dataset is cut off from everybody, and lives; what becomes of it, and of the data.

    :param cluster: with fault points, and leases of ``LEASE_SECONDS``.
    """
    ledger.deploy(cluster, "n1")
    cluster.settled("data", "n1")
    ledger.writes_on(cluster, "n1")
    # A move that comes as far as a copy on its target.
    first = arm(cluster, "n1", "snapshot.before", mode=HOLD)
    taken = arm(cluster, "n1", "snapshot.taken", mode=HOLD)
    second = arm(cluster, "n1", "delta.accepted", mode=HOLD)
    ledger.deploy(cluster, "n2")
    first.wait()
    before_the_snapshot = ledger.acknowledged("n1")
    first.let_go()
    taken.wait()
    # Else there may be nothing to send in the next round.
    ledger.writes_on(cluster, "n1")
    taken.let_go()
    second.wait()
    copy = cluster.wait(lambda: (c := copy_on(cluster, "n2")) and c["candidate"] and c)
    ledger.writes_on(cluster, "n1")

    cut_at_seconds = boottime_seconds()
    cluster.part("n1", CONTROL)
    cluster.part("n1", "n2")
    shown = cluster.wait(lambda: "lease" in (s := cluster.ctl("failover", "data", "--to", "n2")).out and s)
    # To wait is safe, and somebody's word may be wrong.
    assert "--owner-is-dead" not in shown.out
    guid = re.search(r"--confirm (\d+)$", shown.out.strip())
    assert guid is not None, shown
    failed_over(cluster, guid[1])
    served = cluster.wait(lambda: (d := cluster.dataset("data"))["status"] == "ok" and d)
    ledger.writes_on(cluster, "n2")
    alone = ledger.acknowledged("n1")
    assert alone[-1].begun > cut_at_seconds, "it did not write any more when it was cut off"

    second.let_go()
    cluster.heal()
    stash = cluster.wait(lambda: stash_on(cluster, "n1"))
    cluster.wait(lambda: not cluster.dataset("data")["deposed"])
    assert is_quiet(cluster, "n1")
    kept, present = records(readable(cluster, stash)), records(Path(served["path"]))
    promoted = [record for record in present if record.node == "n1"]
    ledger.writes_on(cluster, "n2")
    ledger.check_turns()

    assert copy["newest_guid"] == guid[1]
    assert (served["owner"], cluster.dataset("data")["owner"]) == (str(cluster.node_ids["n2"]),) * 2
    # Whatever was acknowledged before the snapshot is in what goes on, and all else is in the stash.
    assert promoted[: len(before_the_snapshot)] == before_the_snapshot
    assert kept[: len(promoted)] == promoted
    assert kept[: len(alone)] == ledger.acknowledged("n1")
    assert [record.number for record in present] == list(range(1, len(present) + 1))
    assert {record.node for record in present[len(promoted) :]} == {"n2"}

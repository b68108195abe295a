"""
A cluster whose application is moved from node to node, with a power cut in every move.
"""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import replace

from tests.cluster import CONTROL, DEADLINE_SECONDS, ApiError
from tests.faults.arming import Armed, arm
from tests.faults.points import SOURCE, TARGET
from tests.power.cuts import Cut, Ended
from tests.power.guests import Guest, GuestFailed
from tests.power.inside import STATE_ROOT
from tests.power.machines import MOUNT_ROOT, NODES, PoweredCluster, WitnessedLedger

# What is moved, so that a transfer takes seconds at the cluster's rate.
_BALLAST_BYTES = 24 << 20
_LOOK_SECONDS = 0.05


class CutMoves:
    """
    One cluster, and one move after the other, there and back, each from what the last cut has left.

    :param cluster: with nothing on it yet.
    """

    def __init__(self, cluster: PoweredCluster) -> None:
        self._cluster = cluster
        self._ledger = WitnessedLedger(cluster.folder, pause_seconds=0.01)
        self._owner = NODES[0]
        self._seen = "-"
        self._accepted = False
        self._deploy(self._owner)
        path = cluster.settled("data", self._owner)["path"]
        self._guest(self._owner).run(
            "dd", "if=/dev/urandom", f"of={path}/ballast", "bs=1M", f"count={_BALLAST_BYTES >> 20}", "conv=fsync"
        )
        cluster.wait(lambda: len(self._ledger.acknowledged()) > 20)

    def moved(self, cut: Cut) -> Ended:
        """
        Move the application to the other node, cut, switch on again, and check, without help to the cluster: it ends
        with one owner, where it was asked for if anybody was told that it would be; every acknowledged record is there,
        in order, written by one application at a time; nothing is left over.
        """
        source, target = self._owner, NODES[1 - NODES.index(self._owner)]
        ended = Ended(cut, source, target)
        roles = {SOURCE: source, TARGET: target, CONTROL: CONTROL}
        victims = [roles[name] for name in cut.victims]
        self._seen, self._accepted = "-", False
        arriving = None if cut.point is None else roles[cut.point.side]
        armed = None if cut.point is None else arm(self._cluster, roles[cut.point.side], cut.point.local)
        asking = threading.Thread(target=self._ask, args=(target,))
        asking.start()
        try:
            self._wait_for(cut, armed)
        except AssertionError as failure:
            return replace(ended, failure=str(failure))
        self._cluster.cut_power(victims)
        cut_at = time.time()
        if arriving is not None and self._cluster.guest_of(arriving).is_on:
            self._cluster.go_on(arriving)
        asking.join()
        ended = replace(ended, seen=self._seen, accepted=self._accepted)
        try:
            self._cluster.power_on()
            self._owner = self._settled(target if self._accepted else None)
            ended = replace(ended, owner=self._owner, settled_seconds=time.time() - cut_at)
            records = self._checked()
            serves = min(at for _, at in self._ledger.acknowledged() if at > cut_at) - cut_at
        except (AssertionError, GuestFailed, OSError) as failure:
            return replace(ended, failure=f"{type(failure).__name__}: {failure}")
        return replace(ended, records=records, serves_seconds=serves)

    def _guest(self, name: str) -> Guest:
        return self._cluster.guest_of(name)

    def _deploy(self, node: str) -> None:
        self._cluster.deploy({"data": {}}, {"ledger": self._ledger.app(node, "data")})

    def _ask(self, target: str) -> None:
        try:
            self._deploy(target)
        except (OSError, http.client.HTTPException):
            # Nobody was told.
            return
        self._accepted = True

    def _wait_for(self, cut: Cut, armed: Armed | None) -> None:
        """
        Return at the moment at which power is to be cut.

        :raises AssertionError: no program comes to the point.
        """
        deadline = time.monotonic() + (cut.after_seconds if armed is None else DEADLINE_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            if armed is not None and armed.arrived:
                return
            self._look()
            time.sleep(min(left, _LOOK_SECONDS))
        assert armed is None, f"no program came to {cut} in {DEADLINE_SECONDS:g} s"

    def _look(self) -> None:
        try:
            dataset = self._cluster.dataset("data")
        except (OSError, http.client.HTTPException, ApiError):
            return
        if dataset["move"] is not None:
            self._seen = dataset["move"]["phase"]
        else:
            self._seen = "settling" if dataset["settling"] else "steady"

    def _settled(self, expected: str | None) -> str:
        """
        Wait until the dataset is at rest where it is wanted; the node's name.

        :param expected: the node; None: it is not known what came through.
        """
        self._cluster.connected()
        names = {str(node_id): name for name, node_id in self._cluster.node_ids.items()}

        def settled() -> str | None:
            dataset = self._cluster.dataset("data")
            at_rest = dataset["status"] == "ok" and dataset["move"] is None and not dataset["settling"]
            wanted = dataset["primary"] == dataset["owner"]
            return names[dataset["owner"]] if at_rest and wanted else None

        owner: str = self._cluster.wait(settled)
        assert expected in (None, owner), f"the move to {expected} was accepted, and the owner is {owner}"
        return owner

    def _checked(self) -> int:
        """
        Check what must hold once a dataset is at rest; how many records are acknowledged.
        """
        count = len(self._ledger.acknowledged())
        self._cluster.wait(lambda: len(self._ledger.acknowledged()) > count + 5)
        acknowledged = self._ledger.acknowledged()
        path = self._cluster.dataset("data")["path"]
        self._ledger.check_content(self._guest(self._owner).run("cat", f"{path}/ledger").encode(), acknowledged)
        running = [node for node in NODES for _ in self._applications(node)]
        assert running == [self._owner], f"the application runs on {running}, the owner is {self._owner}"
        try:
            self._cluster.wait(lambda: not self._left_over())
        except AssertionError:
            raise AssertionError(f"left over: {self._left_over()}") from None
        return len(acknowledged)

    def _applications(self, node: str) -> list[str]:
        """
        The processes of the application that a node runs.
        """
        command = ["pgrep", "-f", str(self._ledger.program)]
        inside = self._guest(node).ask(do="run", command=["ip", "netns", "pids", f"fp-{node}"])["out"].split()
        found = self._guest(node).ask(do="run", command=command)["out"].split()
        return [pid for pid in found if pid in inside]

    def _left_over(self) -> list[str]:
        """
        What shouldn't be anywhere but is.
        """
        dataset_id = self._cluster.dataset("data")["dataset_id"]
        left = []
        for node in NODES:
            guest, parent = self._guest(node), f"fp-{node}/flocker"
            listed = guest.run("zfs", "list", "-H", "-o", "name", "-t", "all", "-r", parent).split()
            expected = {parent} | ({f"{parent}/{dataset_id}"} if node == self._owner else set())
            left += sorted(set(listed) ^ expected)
            tokens = guest.run("zfs", "get", "-H", "-r", "-o", "name,value", "receive_resume_token", parent)
            left += [line for line in tokens.splitlines() if not line.endswith("\t-")]
            folders = [(STATE_ROOT / node, "-name *.new")]
            if node != self._owner:
                folders.append((MOUNT_ROOT / node, "-mindepth 1"))
                folders.append((STATE_ROOT / node / "state/containers/containers", "-mindepth 1"))
            for folder, which in folders:
                # One that isn't there has nothing in it.
                found = guest.ask(do="run", command=["find", str(folder), *which.split()])
                left += found["out"].split()
        return left

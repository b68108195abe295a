"""
What is fenced has ended before anybody may act as if it had; what is kept goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flocker_agent.runtime.process import ProcessRuntime
from flocker_py.boottime import boottime_seconds
from flocker_py.leases import expires_at_seconds
from flocker_py.model import ContainerName
from flocker_py.observed import ContainerPhase
from tests.cluster import CONTROL, Ledger
from tests.fenced import LEASE_SECONDS as LONGER_LEASE_SECONDS
from tests.fenced import SignedLedger, cut_off_and_failed_over
from tests.integration.loopback import addresses
from tests.relayed import RelayedCluster

LEASE_SECONDS = 2.0


class LeasedCluster(RelayedCluster):
    """
    One whose leases are short.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, addresses=addresses(CONTROL, "n1", "n2"), lease_seconds=LEASE_SECONDS)

    def node(self, name: str) -> Any:
        """
        What control says of a node.
        """
        return self.nodes()[str(self.node_ids[name])]

    def lease_expired(self, name: str) -> bool:
        """
        Whether control takes a node's lease as expired.
        """
        return bool(self.node(name)["lease_expired"])


class World:
    """
    On node n1 two applications that write: one whose volume is fenced, and one whose volume is kept.
    """

    def __init__(self, cluster: LeasedCluster, folder: Path) -> None:
        self.cluster = cluster
        self.ledgers = {}
        for policy in ("fence", "keep"):
            (folder / policy).mkdir()
            self.ledgers[policy] = Ledger(folder / policy)
        self.deploy()
        self.paths = {policy: Path(cluster.settled(policy, "n1")["path"]) for policy in self.ledgers}
        for policy in self.ledgers:
            self.writing(policy)
        cluster.wait(lambda: not cluster.lease_expired("n1"))

    def deploy(self) -> None:
        """
        Ask for both.
        """
        self.cluster.deploy(
            {policy: {"on_partition": policy} for policy in self.ledgers},
            {f"{policy}-app": ledger.app("n1", policy) for policy, ledger in self.ledgers.items()},
        )

    def count(self, policy: str) -> int:
        """
        How many records were acknowledged.
        """
        return len(self.ledgers[policy].acknowledged())

    def writing(self, policy: str) -> None:
        """
        Wait until more was written.
        """
        count = self.count(policy)
        self.cluster.wait(lambda: self.count(policy) > count + 20)

    def phase(self, policy: str) -> ContainerPhase:
        """
        What the host knows of an application, whether there is an agent or not.
        """
        runtime = ProcessRuntime(self.cluster.kept("n1") / "containers")
        return runtime.containers()[ContainerName(f"{policy}-app")].phase


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with LeasedCluster(tmp_path) as cluster:
        yield World(cluster, tmp_path)


def parted(cluster: LeasedCluster) -> Callable[[], None]:
    cluster.part("n1", CONTROL)
    return cluster.heal


def killed(cluster: LeasedCluster) -> Callable[[], None]:
    cluster.kill("n1", signal.SIGKILL)
    return lambda: cluster.start("n1")


def stopped(cluster: LeasedCluster) -> Callable[[], None]:
    os.kill(cluster.pid("n1"), signal.SIGSTOP)
    return lambda: os.kill(cluster.pid("n1"), signal.SIGCONT)


@pytest.mark.parametrize("fails", [parted, killed, stopped], ids=["partition", "agent killed", "agent stopped"])
def test_fenced_before_the_lease_expires(world: World, fails: Callable[[LeasedCluster], Callable[[], None]]) -> None:
    """
    Whatever keeps a node from renewing its lease: the container of what is fenced has ended when control takes the
    lease as expired, and what is kept goes on. When it is over, all goes on from where it was.
    """
    cluster = world.cluster
    repair = fails(cluster)
    try:
        cluster.wait(lambda: cluster.lease_expired("n1"))
        count = world.count("fence")
        phase = world.phase("fence")
        world.writing("keep")

        assert phase is ContainerPhase.EXITED
        assert world.count("fence") == count
        if fails is parted:
            # An agent that is there unmounts it, too.
            cluster.wait(lambda: not world.paths["fence"].exists())
    finally:
        repair()
    world.writing("fence")
    cluster.wait(lambda: not cluster.lease_expired("n1"))

    cluster.settled("fence", "n1")
    for policy, ledger in world.ledgers.items():
        ledger.check(world.paths[policy])


def test_control_that_has_just_started(world: World) -> None:
    """
    A control service that was started again waits for the longest lease that a node may have been granted just before.
    """
    cluster = world.cluster
    cluster.kill("n1", signal.SIGKILL)
    cluster.kill(CONTROL, signal.SIGKILL)
    before_seconds = boottime_seconds()
    cluster.start(CONTROL)
    left_seconds = cluster.wait(lambda: cluster.node("n1"))["lease_left_seconds"]
    after_seconds = boottime_seconds()

    # It began to count when it started, which was after we began.
    assert left_seconds >= expires_at_seconds(before_seconds, LEASE_SECONDS) - after_seconds


def test_policy_is_changed_while_it_runs(world: World) -> None:
    """
    A volume that is to be kept from now on is not fenced any more, without its application being started again.
    """
    cluster = world.cluster
    began = cluster.container("fence-app")["restarts"]
    cluster.deploy({"fence": {"on_partition": "keep"}}, {})
    runtime = ProcessRuntime(cluster.kept("n1") / "containers")
    cluster.wait(lambda: not runtime.containers()[ContainerName("fence-app")].leased)
    cluster.kill("n1", signal.SIGKILL)
    cluster.wait(lambda: cluster.lease_expired("n1"))
    world.writing("fence")

    cluster.start("n1")
    assert cluster.wait(lambda: cluster.container("fence-app"))["restarts"] == began


@pytest.mark.timeout(300)
def test_cut_off_and_failed_over(tmp_path: Path) -> None:
    """
    An owner that is cut off from everybody, and lives, has ended its application and unmounted before the dataset can
    be failed over without anybody's word. Never do two write; what the copy had is there, and all else is put aside.
    """
    cluster = RelayedCluster(
        tmp_path, addresses=addresses("n1", "n2"), fault_points=True, lease_seconds=LONGER_LEASE_SECONDS
    )
    with cluster:
        cut_off_and_failed_over(cluster, SignedLedger(tmp_path))

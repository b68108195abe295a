"""
``flockerctl failover``, ``adopt`` and ``stashes`` against a real control service, with nodes that report what the tests
say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_admin.exits import Exit
from flocker_py.model import DatasetId, Guid
from flocker_py.observed import DatasetObservation, StashObservation
from flocker_py.storage import Role
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.rest import A, B, C, owned, rest_cluster
from tests.integration.test_ctl import RUNNING, Ctl

GUID = Guid(2**64 - 5)
UNKNOWN = DatasetId(UUID(int=77))


class FailoverCtl(Ctl):
    """
    The same, with a copy of pg on beta.
    """

    def copy_on_beta(self, **fields: Any) -> None:
        """
        Let beta report a copy.
        """
        known = {
            "role": Role.REPLICA,
            "epoch": 0,
            "newest_guid": GUID,
            "newest_name": "move-1",
            "newest_at_seconds": 5.0,
        }
        self.cluster.report(B, DatasetObservation(dataset_id=self.pg, **{**known, **fields}))

    @property
    def stash(self) -> StashObservation:
        """
        What alpha has put aside.
        """
        return StashObservation(
            name=f"{self.pg}-epoch-1-at-2",
            dataset_id=self.pg,
            role=Role.RELEASED,
            epoch=1,
            since_seconds=60.0,
            expires_at_seconds=120.0,
            used_bytes=2048,
            guids=pvector([GUID]),
        )

    def stash_on_alpha(self, **fields: Any) -> None:
        """
        Let pg be beta's, and let alpha report what it has put aside.
        """
        self.cluster.leave(A)
        self.copy_on_beta()
        assert self.run("failover", "pg", "--to", "beta", "--owner-is-dead", "--confirm", str(GUID)).status == Exit.DONE
        serving = DatasetObservation(dataset_id=self.pg, role=Role.OWNER, epoch=2, newest_guid=GUID, mounted=True)
        self.cluster.report(B, serving, containers=pmap({RUNNING.name: RUNNING}))
        self.restash(**fields)
        self.cluster.until(self._is_settled)

    def _is_settled(self) -> bool:
        ownership = self.cluster.service.state.ownerships[self.pg]
        return not ownership.deposed and ownership.move is None

    def restash(self, **fields: Any) -> None:
        """
        Let alpha report its stash, changed.
        """
        stash = self.stash.set(**fields)
        self.cluster.report(A, stashes=pmap({stash.name: stash}))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def ctl(certificates: ClusterCertificates, tmp_path: Path) -> Iterator[FailoverCtl]:
    """
    A cluster, and the tool.
    """
    with rest_cluster(tmp_path, certificates=certificates) as cluster:
        cluster.report(A)
        cluster.report(B)
        yield FailoverCtl(cluster, certificates, tmp_path)


def test_failover_shows_first(ctl: FailoverCtl) -> None:
    """
    Without a confirmation the copies are shown, and the command that goes on; nothing is done.
    """
    ctl.cluster.leave(A)
    ctl.copy_on_beta()

    ended = ctl.run("failover", "pg", "--to", "beta")

    lines = ended.out.splitlines()
    assert ended.status == Exit.FAILED
    assert lines[0].startswith("pg: owned by alpha under epoch 1, which has had no connection since ")
    assert "-> beta (replica of epoch 0): snapshot move-1 with GUID 18446744073709551611, taken at 1970" in ended.out
    assert lines[-1] == (
        "Nothing was done. To go on from there: flockerctl failover pg --to beta --owner-is-dead --confirm"
        " 18446744073709551611"
    )
    assert ctl.cluster.service.state.ownerships[ctl.pg].owner == A


@pytest.mark.parametrize(
    ("at_seconds", "guid", "newer"), [(6.0, GUID - 1, True), (4.0, GUID - 1, False), (6.0, GUID, False)]
)
def test_failover_names_a_newer_copy(ctl: FailoverCtl, at_seconds: float, guid: Guid, newer: bool) -> None:
    """
    Who chooses a copy while there is a newer one elsewhere is told.
    """
    ctl.cluster.leave(A)
    ctl.copy_on_beta()
    ctl.cluster.report(
        C,
        DatasetObservation(
            dataset_id=ctl.pg,
            role=Role.REPLICA,
            epoch=0,
            newest_guid=guid,
            newest_name="move-2",
            newest_at_seconds=at_seconds,
        ),
    )

    ended = ctl.run("failover", "pg", "--to", "beta")

    assert (ended.status, newer) == (
        Exit.FAILED,
        "has a newer copy: to go on from there (--to " in ended.out,
    )


def test_failover_shows_what_is_lost(ctl: FailoverCtl) -> None:
    """
    The command that was shown does it, if nothing has changed meanwhile.
    """
    ctl.cluster.leave(A)
    ctl.copy_on_beta()

    wrong = ctl.run("failover", "pg", "--to", "beta", "--owner-is-dead", "--confirm", "7")
    without = ctl.run("failover", "pg", "--to", "beta", "--confirm", str(GUID))
    done = ctl.run("failover", "pg", "--to", "beta", "--owner-is-dead", "--confirm", str(GUID), "--json")

    assert (wrong.status, "and 7 was confirmed" in wrong.err) == (Exit.FAILED, True)
    assert (without.status, "make sure that it does not run" in without.err) == (Exit.FAILED, True)
    assert (done.status, json.loads(done.out)["owner"], json.loads(done.out)["epoch"]) == (Exit.DONE, str(B), 2)


def test_failover_without_a_copy(ctl: FailoverCtl) -> None:
    """
    A node without a copy is no place to go on.
    """
    ctl.cluster.leave(A)
    ctl.cluster.report(B)

    ended = ctl.run("failover", "pg", "--to", "beta")

    assert (ended.status, ended.out.splitlines()[-1]) == (
        Exit.FAILED,
        "Nothing was done: beta has no copy to go on from.",
    )


def test_stashes(ctl: FailoverCtl) -> None:
    """
    Stashes are listed with since when, until when and how much; and of whom nothing is known.
    """
    ctl.stash_on_alpha()

    listed, as_json = ctl.run("stashes"), ctl.run("stashes", "list", "--json")
    ctl.cluster.leave(A)
    away = ctl.run("stashes")

    assert listed.out.splitlines()[1].split() == [
        "pg", "alpha", "1970-01-01", "00:01:00", "UTC", "1970-01-01", "00:02:00", "UTC", "2", "KiB", "-",
        ctl.stash.name,
    ]  # fmt: skip
    assert json.loads(as_json.out)["stashes"][0]["newest_guid"] == str(GUID)
    assert away.out.splitlines() == ["Nothing is put aside.", "Of what is on alpha nothing is known: no connection."]


def test_mount_waits_for_the_node(ctl: FailoverCtl) -> None:
    """
    A stash is asked for, and its path printed once its node has mounted it.
    """
    ctl.stash_on_alpha()
    tool = ctl.start("stashes", "mount", ctl.stash.name)
    ctl.cluster.until(lambda: any(wish.mounted for wish in ctl.cluster.service.state.stash_wishes.values()))
    ctl.restash(path="/flocker/there")

    assert (tool.ended().out, ctl.run("stashes", "mount", f"alpha/{ctl.stash.name}").out) == (
        "/flocker/there\n",
        "/flocker/there\n",
    )


def test_drop(ctl: FailoverCtl) -> None:
    """
    A stash is dropped only by its name given twice.
    """
    ctl.stash_on_alpha()

    shown = ctl.run("stashes", "drop", ctl.stash.name)
    wrong = ctl.run("stashes", "drop", ctl.stash.name, "--confirm", "x")
    done = ctl.run("stashes", "drop", ctl.stash.name, "--confirm", ctl.stash.name)

    assert (shown.status, shown.out.splitlines()[-1]) == (
        Exit.FAILED,
        f"Nothing was done. To destroy it: flockerctl stashes drop {ctl.stash.name} --confirm {ctl.stash.name}",
    )
    assert (wrong.status, done.status, done.out) == (Exit.FAILED, Exit.DONE, f"{ctl.stash.name} is being destroyed.\n")


def test_restore(ctl: FailoverCtl) -> None:
    """
    A stash is restored once the present epoch was repeated.
    """
    ctl.stash_on_alpha()

    shown = ctl.run("stashes", "restore", ctl.stash.name)
    done = ctl.run("stashes", "restore", ctl.stash.name, "--confirm", "2")

    assert (shown.status, "flockerctl stashes restore" in shown.out) == (Exit.FAILED, True)
    assert (done.status, done.out) == (Exit.DONE, "pg belongs to alpha now, under epoch 3.\n")


@pytest.mark.parametrize("command", ["mount", "unmount", "drop", "restore"])
def test_no_such_stash(ctl: FailoverCtl, command: str) -> None:
    """
    A name that no stash has is an error that repeats it.
    """
    ended = ctl.run("stashes", command, "nothing")

    assert (ended.status, "nothing" in ended.err) == (Exit.FAILED, True)


def test_adopt(ctl: FailoverCtl) -> None:
    """
    What is of a later epoch than the record is adopted once its epoch was repeated.
    """
    ctl.cluster.report(A)
    ctl.copy_on_beta(role=Role.OWNER, epoch=7, mounted=True)

    shown = ctl.run("adopt", "pg", "--from", "beta")
    wrong = ctl.run("adopt", "pg", "--from", "beta", "--confirm", "6")
    done = ctl.run("adopt", "pg", "--from", "beta", "--confirm", "7")

    assert (shown.status, shown.out.splitlines()[-1].endswith("flockerctl adopt pg --from beta --confirm 7")) == (
        Exit.FAILED,
        True,
    )
    assert (wrong.status, done.status, done.out) == (Exit.FAILED, Exit.DONE, "pg belongs to beta now, under epoch 8.\n")


def test_unclaimed(ctl: FailoverCtl) -> None:
    """
    What nobody has a record of is listed with the datasets, and adopted by its id.
    """
    ctl.cluster.report(B, owned(UNKNOWN, used_bytes=1024))

    listed = ctl.run("datasets")
    shown = ctl.run("adopt", str(UNKNOWN), "--from", "beta")
    done = ctl.run("adopt", str(UNKNOWN), "--from", "beta", "--confirm", "1", "--json")

    assert f"Unclaimed: {UNKNOWN} on beta (owner of epoch 1, 1 KiB): left alone." in listed.out
    assert (shown.status, "the control service has no record of it" in shown.out) == (Exit.FAILED, True)
    assert (done.status, json.loads(done.out)["owner"]) == (Exit.DONE, str(B))


def test_adopt_what_is_nowhere(ctl: FailoverCtl) -> None:
    """
    What no node has can't be adopted.
    """
    assert ctl.run("adopt", str(UNKNOWN), "--from", "beta").status == Exit.FAILED

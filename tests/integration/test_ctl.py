"""
``flockerctl`` against a real control service, with nodes that report what the tests say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap

from flocker_admin.exits import Exit
from flocker_py.model import ContainerName, DatasetId, MoveId
from flocker_py.observed import ContainerObservation, ContainerPhase, ReportedError, SendProgress
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from tests.integration.rest import A, B, RestCluster, owned, rest_cluster
from tests.integration.tools import Ended, Tool, run_tool

DOCUMENT: dict[str, Any] = {
    "version": 2,
    "cluster": {"name": "test"},
    "nodes": {"alpha": {"uuid": str(A)}, "beta": {"uuid": str(B)}},
    "volumes": {"pg": {}},
    "apps": {"db": {"node": "alpha", "command": "serve", "mounts": [{"volume": "pg"}]}},
}
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
RUNNING = ContainerObservation(name=ContainerName("db"), phase=ContainerPhase.RUNNING, image_digest=DIGEST)


class Ctl:
    """
    Runs flockerctl on a cluster with the volume pg and the app db on alpha, and with beta.
    """

    def __init__(self, cluster: RestCluster, certificates: ClusterCertificates, folder: Path) -> None:
        self.cluster = cluster
        self._folder = folder
        self._variables = {
            "FLOCKER_CONTROL": f"127.0.0.1:{cluster.port}",
            "FLOCKER_CERTIFICATES": str(certificates.directory / "user"),
        }
        revision = cluster.post("/v2/plan", {"deployment": DOCUMENT}).body["revision"]
        cluster.post("/v2/apply", {"deployment": DOCUMENT, "revision": revision})
        self.pg = DatasetId(UUID(cluster.get("/v2/datasets/pg").body["dataset_id"]))
        self.report()
        cluster.until(lambda: cluster.service.state.ownerships[self.pg].created)
        self.report(containers=pmap({RUNNING.name: RUNNING}))

    def report(self, sending: SendProgress | None = None, **fields: Any) -> None:
        """
        Let alpha report pg, and more.
        """
        self.cluster.report(A, owned(self.pg, used_bytes=1024, sending=sending), **fields)

    def start(self, *arguments: str) -> Tool:
        return Tool("flockerctl", *arguments, folder=self._folder, variables=self._variables)

    def run(self, *arguments: str) -> Ended:
        return run_tool("flockerctl", *arguments, folder=self._folder, variables=self._variables)

    def move_id(self) -> MoveId:
        """
        The id of pg's move, once it has begun.
        """
        self.cluster.until(lambda: self.cluster.service.state.ownerships[self.pg].move is not None)
        move = self.cluster.service.state.ownerships[self.pg].move
        assert move is not None
        return move.move_id


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def ctl(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[Ctl]:
    """
    flockerctl, and a cluster for it.
    """
    with rest_cluster(tmp_path, certificates=certificates) as cluster:
        cluster.report(A)
        cluster.report(B)
        yield Ctl(cluster, certificates, tmp_path)


def test_nodes(ctl: Ctl) -> None:
    """
    Nodes are listed with their names, and with what goes wrong on them.
    """
    error = ReportedError(code="PoolFull", text="no room", at_seconds=1.0)
    ctl.cluster.report(B, failures=pmap({"db": error}))
    ended = ctl.run("nodes")
    lines = ended.out.splitlines()

    assert (ended.status, [line.split()[0] for line in lines], lines[-1]) == (
        Exit.DONE,
        ["NAME", "alpha", "beta", "beta:"],
        "beta: db: no room (PoolFull)",
    )


def test_status(ctl: Ctl) -> None:
    """
    The status says how the control service does, and that it makes no backups.
    """
    ended = ctl.run("status")
    lines = ended.out.splitlines()

    assert (ended.status, lines[1:3]) == (Exit.DONE, ["nodes: 2 of 2 connected", "store: ok"])
    assert lines[0].endswith(f"revision {ctl.cluster.service.state.revision}")
    assert "--backup-to" in lines[3]


def test_status_of_a_store_in_trouble(ctl: Ctl) -> None:
    """
    A store that can't be written is told, by the exit status too.
    """
    ctl.cluster.service.store_error = ReportedError(code="StoreFull", text="no room", at_seconds=1.0)
    ended = ctl.run("status")

    assert (ended.status, ended.out.splitlines()[2]) == (Exit.FAILED, "store: no room (StoreFull)")
    assert json.loads(ctl.run("status", "--json").out) == ctl.cluster.get("/v2/status").body


def test_lists_as_json(ctl: Ctl) -> None:
    """
    With --json a list is what the service answers.
    """
    told, answered = json.loads(ctl.run("nodes", "--json").out), ctl.cluster.get("/v2/nodes").body
    for node in (*told["nodes"], *answered["nodes"]):
        # How long a lease still lasts is another time with each look.
        assert node.pop("lease_expired") == (node.pop("lease_left_seconds") <= 0)

    assert told == answered


def test_datasets(ctl: Ctl) -> None:
    """
    Datasets are listed with their owners.
    """
    assert ctl.run("datasets").out.splitlines()[1].split()[:3] == ["pg", "alpha", "ok"]


def test_apps(ctl: Ctl) -> None:
    """
    Apps are listed with where they run.
    """
    assert ctl.run("apps").out.splitlines()[1].split()[:3] == ["db", "running", "alpha"]


def test_image_of_an_app(ctl: Ctl) -> None:
    """
    Which image runs is listed, shortened for people and as a whole for programs.
    """
    shown = ctl.run("apps").out.splitlines()[1].split()[5:8]
    told = json.loads(ctl.run("apps", "--json").out)["containers"][0]

    assert (shown, told["image_digest"]) == (["-", "sha256:0123456789ab...", "-"], DIGEST)


def test_move_and_cancel(ctl: Ctl) -> None:
    """
    A move is started, listed, and cancelled by the name of its dataset.
    """
    started = ctl.run("move", "pg", "beta")
    listed = ctl.run("moves")
    cancelled = ctl.run("cancel", "pg")

    assert (started.out, listed.out.splitlines()[1].split()[:3], cancelled.out) == (
        "pg moves from alpha to beta.\n",
        ["pg", "alpha", "beta"],
        "The move to beta is cancelled; alpha goes on.\n",
    )


def test_leased(ctl: Ctl) -> None:
    """
    What is leased is moved when it is released, or by force; until then it is said how to release it.
    """
    ctl.cluster.call("PUT", "/v2/leases/pg", {"node": "alpha"})
    listed = ctl.run("leases").out.splitlines()[1].split()
    refused = ctl.run("move", "pg", "beta")
    waiting = ctl.run("move", "pg", "beta", "--when-released")
    released = ctl.run("release", "pg")

    assert (["pg", "alpha", "until"], True, True, "pg is leased no more.\n") == (
        listed[:3],
        "flockerctl release pg" in refused.err,
        waiting.out.startswith("pg moves from alpha to beta, waiting for the end of its lease"),
        released.out,
    )
    # Now it has begun.
    ctl.move_id()


def test_lease(ctl: Ctl) -> None:
    """
    A dataset is leased for a while, or until it is released, and by one node at a time.
    """
    ended = [
        ctl.run("lease", "pg", "alpha", "--for", "10m"),
        ctl.run("lease", "pg", "alpha"),
        ctl.run("lease", "pg", "beta"),
        ctl.run("lease", "pg", "alpha", "--for", "soon"),
    ]

    assert (
        ["pg is leased to alpha for 10 min.\n", "pg is leased to alpha until it is released.\n"],
        [Exit.DONE, Exit.DONE, Exit.FAILED, Exit.USAGE],
    ) == ([one.out for one in ended[:2]], [one.status for one in ended])


def test_protect(ctl: Ctl) -> None:
    """
    A dataset is protected, and no longer, by an entry of its metadata.
    """
    protected = ctl.run("protect", "pg")
    metadata = ctl.cluster.get("/v2/datasets/pg").body["metadata"]
    unprotected = ctl.run("unprotect", "pg", "--json")

    assert ("pg is protected.\n", "true", False, {}) == (
        protected.out,
        metadata["protected"],
        json.loads(unprotected.out)["protected"],
        ctl.cluster.get("/v2/datasets/pg").body["metadata"],
    )


def test_move_by_force(ctl: Ctl) -> None:
    """
    By force a leased dataset is moved at once; not both at once and later.
    """
    ctl.cluster.call("PUT", "/v2/leases/pg", {"node": "alpha", "seconds": 600})
    both = ctl.run("move", "pg", "beta", "--when-released", "--force")
    forced = ctl.run("move", "pg", "beta", "--force")

    assert (Exit.USAGE, "pg moves from alpha to beta.\n", True) == (
        both.status,
        forced.out,
        json.loads(ctl.run("leases", "--json").out)["leases"][0]["left_seconds"] > 0,
    )


def test_cancel_by_the_id_of_the_move(ctl: Ctl) -> None:
    """
    A move is cancelled by its own id, too.
    """
    ctl.run("move", str(ctl.pg), str(B))
    ended = ctl.run("cancel", str(ctl.move_id()), "--json")

    assert (ended.status, json.loads(ended.out)["outcome"]) == (Exit.DONE, "cancelled")


def test_waiting_for_a_move_shows_its_progress(ctl: Ctl) -> None:
    """
    With --wait the move's numbers are shown until its end, which is a failure if it was cancelled.
    """
    tool = ctl.start("move", "pg", "beta", "--wait")
    move_id = ctl.move_id()
    ctl.report(
        SendProgress(
            move_id=move_id,
            round=1,
            round_bytes=512,
            total_bytes=1024,
            sent_bytes=512,
            rate_bytes_per_second=256.0,
            eta_seconds=2.0,
        ),
        containers=pmap({RUNNING.name: RUNNING}),
    )
    shown = tool.until("512 B of 1 KiB")
    ctl.cluster.call("DELETE", f"/v2/moves/{move_id}")
    ended = tool.ended()

    assert (shown, ended.status, ended.out.splitlines()[-1]) == (
        "moving from alpha to beta: copying, round 1, 512 B of 1 KiB (50 %), 256 B/s, 2.0 s left in this round\n",
        Exit.FAILED,
        "Move of pg from alpha to beta: cancelled",
    )


def test_nothing_to_cancel(ctl: Ctl) -> None:
    """
    A dataset that isn't moving has no move to cancel.
    """
    ended = ctl.run("cancel", "pg")

    assert (ended.status, ended.err) == (Exit.FAILED, "Error: pg is not moving.\n")


@pytest.mark.parametrize(
    "arguments",
    [["move", "nothing", "beta"], ["move", "pg", "nowhere"], ["cancel", "nothing"], ["explain", "nothing"]],
)
def test_what_is_not_there(ctl: Ctl, arguments: list[str]) -> None:
    """
    A name that nothing has is an error that repeats the name.
    """
    ended = ctl.run(*arguments)
    name = "nowhere" if "nowhere" in arguments else "nothing"

    assert (ended.status, name in ended.err) == (Exit.FAILED, True)


def test_explain(ctl: Ctl) -> None:
    """
    The story of a dataset is told line by line.
    """
    ctl.cluster.leave(B)
    ctl.run("move", "pg", "beta")

    assert ctl.run("explain", "pg").out.splitlines()[0] == "It is wanted on node beta."


def test_events(ctl: Ctl) -> None:
    """
    Events are followed from a revision on, until interrupted.
    """
    tool = ctl.start("events", "--from", "0")
    tool.until("container db: wanted on node alpha")
    ctl.cluster.post("/v2/moves", {"dataset": "pg", "target": "beta"})
    tool.until("moving to node beta")
    tool.interrupt()

    assert tool.ended().status == 130


def test_events_as_json(ctl: Ctl) -> None:
    """
    With --json every event is an object in a line.
    """
    tool = ctl.start("events", "--from", "0", "--json")
    first = json.loads(tool.until("committed"))
    tool.interrupt()
    tool.ended()

    assert (first["event"], first["revision"]) == ("committed", "1")

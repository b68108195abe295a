"""
``flocker-deploy`` against a real control service, with nodes that report what the tests say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pyrsistent import pmap
from twisted.internet import reactor

from flocker_admin.exits import Exit
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import DeploymentRefused, NotFound, RevisionChanged
from flocker_py.client.views import PlanView
from flocker_py.model import ContainerName, DatasetId, MoveId
from flocker_py.observed import ContainerObservation, ContainerPhase
from flocker_py.testing.certificates import ClusterCertificates, make_cluster
from flocker_py.testing.reactor_thread import in_reactor
from tests.integration.rest import A, B, RestCluster, owned, rest_cluster
from tests.integration.tools import Ended, Tool, run_tool

FILE = f"""\
version: 2
cluster: {{name: test}}
nodes:
  alpha: {{uuid: {A}}}
  beta: {{uuid: {B}}}
volumes:
  pg: {{primary: alpha, size: 1G}}
"""
WITH_APP = FILE.replace("primary: alpha, ", "") + "apps:\n  db: {node: alpha, command: serve, mounts: [{volume: pg}]}\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ClusterCertificates:
    """
    Certificates for all tests here.
    """
    return make_cluster(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path: Path, certificates: ClusterCertificates) -> Iterator[RestCluster]:
    """
    A control service with two nodes that nobody has named.
    """
    with rest_cluster(tmp_path, certificates=certificates) as running:
        running.report(A)
        running.report(B)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Where ``cluster.yml`` is.
    """
    (tmp_path / "cluster.yml").write_text(FILE)
    return tmp_path


def options(cluster: RestCluster, certificates: ClusterCertificates) -> list[str]:
    return ["--control", f"127.0.0.1:{cluster.port}", "--certificates-directory", str(certificates.directory / "user")]


class Deploy:
    """
    Runs flocker-deploy on the file in a folder.
    """

    def __init__(self, cluster: RestCluster, certificates: ClusterCertificates, folder: Path) -> None:
        self.cluster = cluster
        self._options = options(cluster, certificates)
        self.folder = folder

    def write(self, text: str) -> None:
        (self.folder / "cluster.yml").write_text(text)

    def start(self, *more: str) -> Tool:
        return Tool("flocker-deploy", "cluster.yml", *self._options, *more, folder=self.folder)

    def run(self, *more: str) -> Ended:
        return self.start(*more).ended()

    def volume(self, name: str = "pg") -> DatasetId:
        """
        The id of a volume, once it is wanted.
        """

        def found() -> list[DatasetId]:
            return [one.dataset_id for one in self.cluster.service.state.datasets.values() if one.name == name]

        self.cluster.until(lambda: bool(found()))
        return found()[0]

    def make(self, name: str = "pg") -> DatasetId:
        """
        Let alpha report a volume as made.
        """
        dataset_id = self.volume(name)
        self.cluster.report(A, owned(dataset_id, used_bytes=1024, maximum_size_bytes=2**30))
        return dataset_id


@pytest.fixture
def deploy(cluster: RestCluster, certificates: ClusterCertificates, folder: Path) -> Deploy:
    return Deploy(cluster, certificates, folder)


# -- to the end --------------------------------------------------------------------------------------------------------


def test_new_volume_is_made_and_waited_for(deploy: Deploy) -> None:
    """
    The plan is shown and applied, and the command ends when the volume is there.
    """
    tool = deploy.start()
    tool.until("is being made on alpha")
    deploy.make()
    ended = tool.ended()

    assert (ended.status, ended.out.splitlines()[-2:]) == (
        Exit.DONE,
        ["volume pg: on alpha, 1 KiB used", "Everything is as the file says."],
    )


def test_doing_it_again_changes_nothing(deploy: Deploy) -> None:
    """
    Where everything is as the file says, the command says so and is done.
    """
    tool = deploy.start()
    deploy.make()
    tool.ended()
    ended = deploy.run()

    assert (ended.status, ended.out.splitlines()[0]) == (
        Exit.DONE,
        "Nothing to change: everything is wanted as the file says.",
    )


def test_dry_run_changes_nothing(deploy: Deploy) -> None:
    """
    A dry run shows the plan and leaves the cluster at its revision.
    """
    before = deploy.cluster.service.state.revision
    ended = deploy.run("--dry-run")

    assert (ended.status, "+ create volume pg" in ended.out, deploy.cluster.service.state.revision) == (
        Exit.DONE,
        True,
        before,
    )


def test_no_wait_applies_only(deploy: Deploy) -> None:
    """
    Without waiting the command ends when it is applied.
    """
    ended = deploy.run("--no-wait")

    assert (ended.status, deploy.volume() in deploy.cluster.service.state.datasets) == (Exit.DONE, True)


def test_time_is_over(deploy: Deploy) -> None:
    """
    What isn't so in the time given ends with a status of its own, and says how to go on.
    """
    ended = deploy.run("--timeout", "1s")

    assert (ended.status, "To watch again: flocker-deploy cluster.yml" in ended.err) == (Exit.TIMEOUT, True)


def test_interrupted_while_watching(deploy: Deploy) -> None:
    """
    Ctrl-C ends the watching only, and says how to watch again.
    """
    tool = deploy.start()
    tool.until("is being made")
    tool.interrupt()
    ended = tool.ended()

    assert (ended.status, "To watch again: flocker-deploy cluster.yml" in ended.err) == (130, True)


def test_watching_again_after_an_interruption(deploy: Deploy) -> None:
    """
    The same command watches on where the interrupted one stopped.
    """
    first = deploy.start()
    first.until("is being made")
    first.interrupt()
    first.ended()
    second = deploy.start()
    second.until("is being made")
    deploy.make()

    assert second.ended().status == Exit.DONE


def test_json_is_one_object_a_line(deploy: Deploy) -> None:
    """
    With --json every line is an object with its event, from the plan to the end.
    """
    tool = deploy.start("--json")
    tool.until('"progress"')
    deploy.make()
    events = [json.loads(line) for line in tool.ended().out.splitlines()]

    assert (events[0]["event"], events[1]["event"], events[-1]["event"], events[-1]["outcome"]) == (
        "plan",
        "applied",
        "end",
        "converged",
    )


def test_app_is_waited_for(deploy: Deploy) -> None:
    """
    An app is done when it runs where it is wanted.
    """
    deploy.write(WITH_APP)
    tool = deploy.start()
    dataset_id = deploy.make()
    tool.until("app db:")
    running = ContainerObservation(name=ContainerName("db"), phase=ContainerPhase.RUNNING)
    deploy.cluster.report(
        A,
        owned(dataset_id, maximum_size_bytes=2**30),
        containers=pmap({ContainerName("db"): running}),
    )
    tool.until("app db: running on alpha")

    assert tool.ended().status == Exit.DONE


def test_program_that_failed_ends_the_waiting(deploy: Deploy) -> None:
    """
    An app that ended with an error and isn't started again is a failure.
    """
    deploy.write(WITH_APP)
    tool = deploy.start()
    dataset_id = deploy.make()
    exited = ContainerObservation(name=ContainerName("db"), phase=ContainerPhase.EXITED, exit_status=3)
    deploy.cluster.report(
        A,
        owned(dataset_id, maximum_size_bytes=2**30),
        containers=pmap({ContainerName("db"): exited}),
    )
    ended = tool.ended()

    assert (ended.status, "ended on alpha with exit status 3" in ended.out) == (Exit.FAILED, True)


def test_cancelled_move_ends_the_waiting(deploy: Deploy) -> None:
    """
    A move that somebody cancels is a failure of the deployment that asked for it.
    """
    first = deploy.start()
    dataset_id = deploy.make()
    first.ended()
    deploy.write(FILE.replace("primary: alpha", "primary: beta"))
    second = deploy.start()
    second.until("moving from alpha to beta")
    move = deploy.cluster.service.state.ownerships[dataset_id].move
    assert move is not None
    deploy.cluster.call("DELETE", f"/v2/moves/{move.move_id}")
    ended = second.ended()

    assert (ended.status, "Move of pg from alpha to beta: cancelled" in ended.out) == (Exit.FAILED, True)


# -- what can be wrong -------------------------------------------------------------------------------------------------


def test_what_only_the_service_knows_has_a_place_too(deploy: Deploy) -> None:
    """
    A node that the cluster doesn't have is told at its place in the file.
    """
    deploy.write(FILE.replace(str(B), str(uuid4())))
    ended = deploy.run()

    assert (ended.status, ended.err.startswith("cluster.yml:5:10: nodes.beta.uuid: ")) == (Exit.USAGE, True)


def test_nothing_listens(folder: Path, certificates: ClusterCertificates) -> None:
    """
    A control service that doesn't run has an exit status of its own.
    """
    where = ["--control", "127.0.0.1:1", "--certificates-directory", str(certificates.directory / "user")]
    ended = run_tool("flocker-deploy", "cluster.yml", *where, folder=folder)

    assert (ended.status, "127.0.0.1:1: nothing is listening there" in ended.err) == (Exit.NO_CONTROL, True)


def test_another_clusters_certificates(cluster: RestCluster, folder: Path, tmp_path: Path) -> None:
    """
    With another cluster's certificates the control service isn't trusted.
    """
    stranger = make_cluster(tmp_path / "stranger")
    where = options(cluster, stranger)
    ended = run_tool("flocker-deploy", "cluster.yml", *where, folder=folder)

    assert (ended.status, "don't trust one another" in ended.err) == (Exit.NO_CONTROL, True)


# -- somebody else at the same time ------------------------------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    "version": 2,
    "cluster": {"name": "test"},
    "nodes": {"alpha": {"uuid": str(A)}},
    "volumes": {"pg": {"primary": "alpha"}},
}


def with_client(cluster: RestCluster, certificates: ClusterCertificates, call: Any) -> Any:
    """
    What a coroutine function of a client answers.
    """

    async def connected() -> Any:
        client = ControlClient(reactor, certificates.user, f"127.0.0.1:{cluster.port}")
        try:
            return await call(client)
        finally:
            await client.close()

    return in_reactor(connected)


def test_change_that_does_not_matter(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    What happened since the plan and leaves the same to be done doesn't stop the plan.
    """
    plan = with_client(cluster, certificates, lambda client: client.plan(DOCUMENT))
    cluster.post("/v2/datasets", {"primary": str(B), "name": "other"})
    with_client(cluster, certificates, lambda client: client.apply_planned(DOCUMENT, plan))

    assert "pg" in {dataset.name for dataset in cluster.service.state.datasets.values()}


def test_change_that_matters(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    If something else is to be done than was shown, nothing is done.
    """
    plan = with_client(cluster, certificates, lambda client: client.plan(DOCUMENT))
    cluster.post("/v2/datasets", {"primary": str(B), "name": "pg"})

    with pytest.raises(RevisionChanged):
        with_client(cluster, certificates, lambda client: client.apply_planned(DOCUMENT, plan))


def test_plan_of_another_revision(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    The service applies only to the revision that was planned on.
    """
    with pytest.raises(RevisionChanged, match="planned on revision 999"):
        with_client(cluster, certificates, lambda client: client.apply(DOCUMENT, 999))


def test_complaints_of_the_service_have_pointers(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    A deployment that the service refuses comes back with pointers into it.
    """
    document = {**DOCUMENT, "nodes": {"alpha": {"uuid": str(uuid4())}}}

    with pytest.raises(DeploymentRefused) as caught:
        with_client(cluster, certificates, lambda client: client.plan(document))

    assert caught.value.complaints[0].pointer == ("nodes", "alpha", "uuid")


def test_move_that_is_not_there(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    What doesn't exist is told from what is refused.
    """
    with pytest.raises(NotFound):
        with_client(cluster, certificates, lambda client: client.move(MoveId(uuid4())))


def test_plan_is_read_as_a_record(cluster: RestCluster, certificates: ClusterCertificates) -> None:
    """
    The service's plan is of the form that this client knows.
    """
    plan = with_client(cluster, certificates, lambda client: client.plan(DOCUMENT))

    assert isinstance(plan, PlanView)
    assert [step.kind for step in plan.steps][-1] == "dataset"

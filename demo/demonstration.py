"""
The steps of the demonstration.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from rich.console import Console

from demo.applications import Application, as_process, in_docker
from demo.cluster_file import LEDGER, deployment_text, with_node, without_ledger
from demo.deploying import deploy
from demo.evidence import Evidence
from demo.hearing import Hearing
from demo.report import MoveFigures
from flocker_admin.devcluster_api import control_of
from flocker_admin.devcluster_cluster import bring_up, programs, take_down
from flocker_admin.devcluster_files import ClusterMissing, read_cluster
from flocker_admin.devcluster_layout import MOUNT_FOLDER, DevCluster, environment
from flocker_admin.devcluster_making import Wishes
from flocker_admin.devcluster_processes import tail
from flocker_py.client.views import DatasetView, MoveView
from flocker_py.errors import FlockerError
from flocker_py.model import MoveOutcome, NodeId
from flocker_py.units import GIB, MIB, bytes_text, duration_text

_UP_SECONDS = 120.0
_DEPLOY_SECONDS = 600.0
_FIRST_RECORD_SECONDS = 300.0
_NEXT_RECORD_SECONDS = 60.0
_LOOK_SECONDS = 0.1
# Between two moves.
_CALM_SECONDS = 2.0
# The volume, its snapshots and what a move has of both on the other side; the cluster's logs and databases.
_ROOM_FACTOR = 4
_ROOM_BYTES = 256 * MIB
_LOG_LINES = 15


class DemoFailed(FlockerError):
    """
    The demonstration did not get to its end.
    """


def check_room(folder: Path, ballast_mib: int) -> None:
    """
    See that there is room for a demonstration in a folder.

    :raises DemoFailed: there isn't.
    """
    needed_bytes = _ROOM_BYTES + _ROOM_FACTOR * ballast_mib * MIB
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise DemoFailed(
            f"{folder} has {bytes_text(free_bytes)} free, and {bytes_text(needed_bytes)} are needed: "
            "take less with --ballast-mb, or set TMPDIR to a folder with more room"
        )


class Demonstration:
    """
    One run, in a folder of its own.
    """

    def __init__(self, folder: Path, console: Console, rate: int, ballast_mib: int) -> None:
        self._own_folder = folder
        self._folder = folder / "cluster"
        self._file = folder / "cluster.yml"
        self._rate, self._ballast_mib = rate, ballast_mib
        # Until there is something to hear.
        self.hearing = Hearing()
        self._console = console
        self._begun_at = time.monotonic()
        self.moves: list[MoveFigures] = []
        self.backend = "?"

    def say(self, text: str) -> None:
        """
        A line of progress, with the time since the beginning.
        """
        elapsed = time.monotonic() - self._begun_at
        self._console.print(f"[{elapsed:6.1f} s] {text}", markup=False, highlight=False, soft_wrap=True)

    def bring_up(self, backend: str, runtime: str) -> DevCluster:
        """
        Start the cluster.
        """
        pool_bytes = GIB + _ROOM_FACTOR * self._ballast_mib * MIB
        self.say("starting a cluster of two nodes on this machine")
        wishes = Wishes(nodes=2, backend=backend, runtime=runtime, pool_bytes=pool_bytes)
        cluster = bring_up(self._folder, wishes, say=self.say, timeout_seconds=_UP_SECONDS)
        self.backend = cluster.backend if cluster.docker is None else f"{cluster.backend} with Docker"
        return cluster

    def application(self, cluster: DevCluster, *, keep: bool) -> AbstractContextManager[Application]:
        """
        What is to be moved, and who hears of it: a container, where the cluster runs these.
        """
        if cluster.docker is None:
            return as_process(self._own_folder, self._rate, self._ballast_mib)
        self.say("making the image of a web application from this machine's Python")
        return in_docker(cluster.docker, cluster.cluster_id.hex[:8], self._rate, self._ballast_mib, keep=keep)

    def begin(self, cluster: DevCluster, application: Application) -> None:
        """
        Deploy the application on the first node, and wait until it writes.
        """
        self.hearing = application.hearing
        nodes: dict[str, UUID] = {node.name: node.node_id for node in cluster.nodes}
        self._file.write_text(deployment_text(nodes, cluster.nodes[0].name, application.fields, application.path))
        self._deploy(cluster)
        ballast = bytes_text(self._ballast_mib * MIB)
        self.say(f"the application makes {ballast} of ballast, then writes {self._rate:,} records a second")
        self._await_writer(1, _FIRST_RECORD_SECONDS)
        if application.page is not None:
            self.say(f"watch it count while it moves: {application.page}")
        self._let_it_write()

    def move(self, cluster: DevCluster, source: int, target: int) -> None:
        """
        Move the ledger by an edit of cluster.yml.

        :param source: and ``target``: which nodes, counted from 0.
        """
        from_node, to_node = cluster.nodes[source], cluster.nodes[target]
        number = len(self.moves) + 1
        last_before = self.hearing.last
        self._file.write_text(with_node(self._file.read_text(), to_node.name))
        self.say(f"move {number}: cluster.yml now says node: {to_node.name} instead of node: {from_node.name}")
        self._deploy(cluster)
        self._await_writer(number + 1, _NEXT_RECORD_SECONDS)
        told = self._finished_move(cluster, to_node.node_id)
        pause = self.hearing.pauses()[-1]
        figures = MoveFigures(
            source=from_node.name,
            target=to_node.name,
            sent_bytes=told.sent_bytes or 0,
            rounds=told.round or 0,
            seconds=(told.ended_at_seconds or 0.0) - (told.started_at_seconds or 0.0),
            seen_downtime_seconds=pause.seconds,
            control_downtime_seconds=told.downtime_seconds,
            written_meanwhile=pause.last_before - last_before,
        )
        self.moves.append(figures)
        self.say(
            f"move {number}: done; {bytes_text(figures.sent_bytes)} sent in {figures.rounds} rounds, "
            f"between two records there were {duration_text(figures.seen_downtime_seconds)}"
        )
        self._let_it_write()

    def end(self, cluster: DevCluster, owner: int) -> Path:
        """
        Stop the ledger.

        :param owner: the node on which it is, counted from 0.
        :returns: its volume.
        """
        dataset_id = str(self._dataset(cluster).dataset_id)
        self._file.write_text(without_ledger(self._file.read_text()))
        self.say("stopping the ledger: cluster.yml now says state: deleted")
        self._deploy(cluster)
        return self._folder / cluster.nodes[owner].name / MOUNT_FOLDER / dataset_id

    def take_down(self, *, keep: bool) -> None:
        """
        End the cluster and remove it, or say how to.
        """
        if keep:
            self.say(f"the cluster is kept: . {self._folder}/env, then flockerctl nodes")
            self.say(f"to remove it: flocker-devcluster down --destroy -d {self._folder}")
            return
        try:
            take_down(self._folder, destroy=True, say=lambda _: None)
            self.say("the cluster is taken down")
        except ClusterMissing:
            # It never came to be, and this is no more than a lock.
            shutil.rmtree(self._folder, ignore_errors=True)

    def save_logs(self) -> None:
        """
        Put the logs where they stay, and show their ends.
        """
        try:
            cluster = read_cluster(self._folder)
        except FlockerError:
            return
        kept = Path(tempfile.mkdtemp(prefix="flocker-demo-logs-"))
        for name, program in programs(cluster, self._folder).items():
            words = program.last_words(_LOG_LINES)
            self._console.print(f"--- the end of the log of {name}\n{words}", markup=False, highlight=False)
            _copy((program.log_path, program.output_path), kept / name)
        for path in sorted(self._folder.glob("*/runtime/logs/*")):
            self._console.print(f"--- {path.name}\n{tail(path, _LOG_LINES)}", markup=False, highlight=False)
            _copy((path,), kept / path.parent.parent.parent.name)
        _copy((self._file,), kept)
        self.say(f"all logs are in {kept}")

    def _deploy(self, cluster: DevCluster) -> None:
        deploy(self._file, environment(cluster, self._folder), say=self.say, timeout_seconds=_DEPLOY_SECONDS)

    def _await_writer(self, writers: int, timeout_seconds: float) -> None:
        def writes(evidence: Evidence) -> bool:
            return bool(evidence.groups) and evidence.groups[-1].writer >= writers - 1

        if not self.hearing.wait(writes, timeout_seconds=timeout_seconds):
            raise DemoFailed(f"no record was acknowledged for {duration_text(timeout_seconds)}")

    def _let_it_write(self) -> None:
        wanted = self.hearing.last + int(self._rate * _CALM_SECONDS)
        # On a slow disk there are fewer; that it goes on is what matters.
        self.hearing.wait(lambda evidence: evidence.last >= wanted, timeout_seconds=2 * _CALM_SECONDS)

    def _dataset(self, cluster: DevCluster) -> DatasetView:
        with control_of(cluster, self._folder) as control:
            datasets = control.wait(control.client.datasets()).datasets
        return next(dataset for dataset in datasets if dataset.name == LEDGER)

    def _finished_move(self, cluster: DevCluster, target: NodeId) -> MoveView:
        deadline = time.monotonic() + _NEXT_RECORD_SECONDS
        while True:
            move = self._dataset(cluster).last_move
            if move is not None and move.target == target:
                if move.outcome != MoveOutcome.DONE.value:
                    raise DemoFailed(f"the move ended as {move.outcome}: {move.reason}")
                return move
            if time.monotonic() > deadline:
                raise DemoFailed("the control service doesn't say that the move has ended")
            time.sleep(_LOOK_SECONDS)


def _copy(paths: tuple[Path, ...], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in paths:
        if path.exists():
            shutil.copy(path, folder)

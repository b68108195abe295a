"""
Watching a cluster until it is as a deployment asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyrsistent import PMap, pmap
from twisted.internet.task import deferLater

from flocker_admin.convergence import Convergence, convergence, finished_moves
from flocker_admin.reporting import Report
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import ControlUnreachable
from flocker_py.client.views import DatasetView, MoveView, node_names
from flocker_py.deployed import Deployment
from flocker_py.model import MoveId, NodeId
from flocker_py.records import Record, mapping, sequence, value

LOOK_EVERY_SECONDS = 0.5
LOOK_PAUSE_RATIO = 9.0
"""A pause is at least so many times as long as the look before: watchers of large clusters must not keep them busy."""
LOOK_AGAIN_SECONDS = 1.0
"""After the control service could not be reached."""


class Look(Record):
    """
    All that a deployment names, at one moment.
    """

    convergence: Convergence = value(Convergence)
    datasets: Any = sequence(DatasetView, default=())
    node_names: PMap[NodeId, str] = mapping(object, str, default={})

    def moves_since(self, before: Iterable[MoveId]) -> list[tuple[DatasetView, MoveView]]:
        """
        The moves that have ended, but for those that had ended before.
        """
        return list(finished_moves(self.datasets, before))


async def look(client: ControlClient, deployment: Deployment) -> Look:
    """
    How all that a deployment names is doing now.
    """
    nodes = (await client.nodes()).nodes
    datasets = (await client.datasets()).datasets
    containers = await client.containers()
    ids = {volume.dataset_id for volume in deployment.volumes.values()}
    named = [dataset for dataset in datasets if dataset.name in deployment.volumes or dataset.dataset_id in ids]
    return Look(
        convergence=convergence(deployment, datasets, containers, nodes),
        datasets=named,
        node_names=pmap(node_names(nodes)),
    )


async def follow(
    reactor: Any,
    client: ControlClient,
    deployment: Deployment,
    report: Report,
    *,
    timeout_seconds: float | None,
    settle_seconds: float,
) -> Look | None:
    """
    Watch until everything is as the deployment asks or waiting can't help; None: the time was over before.

    :param timeout_seconds: None: as long as it takes.
    :param settle_seconds: for how long everything must stay as asked: an app may end as soon as it has begun.
    """
    begun = reactor.seconds()
    calm_since: float | None = None
    away = False
    while True:
        wait_seconds = LOOK_AGAIN_SECONDS
        look_begun = reactor.seconds()
        try:
            seen = await look(client, deployment)
        except ControlUnreachable as error:
            if not away:
                report.note(f"{error}: trying again")
            away, calm_since = True, None
        else:
            away = False
            report.progress(seen.convergence)
            now = reactor.seconds()
            wait_seconds = max(LOOK_EVERY_SECONDS, LOOK_PAUSE_RATIO * (now - look_begun))
            settled = seen.convergence.done or seen.convergence.failed
            calm_since = (now if calm_since is None else calm_since) if settled else None
            if calm_since is not None and now - calm_since >= settle_seconds:
                return seen
        if timeout_seconds is not None:
            left_seconds = begun + timeout_seconds - reactor.seconds()
            if left_seconds <= 0:
                return None
            wait_seconds = min(wait_seconds, left_seconds)
        await deferLater(reactor, wait_seconds)

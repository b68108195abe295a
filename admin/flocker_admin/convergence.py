"""
How far a cluster is on its way to what a deployment asks for.

Only what the deployment names is looked at: somebody else's trouble is not waited for.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping

from pyrsistent import PVector, pvector

from flocker_py.client.views import (
    ContainersView,
    ContainerView,
    DatasetView,
    LeavingContainerView,
    MoveView,
    NodeView,
    node_names,
)
from flocker_py.deployed import Deployment, NodeReference
from flocker_py.model import ContainerName, MoveId, NodeId
from flocker_py.records import Record, sequence, value
from flocker_py.units import MIB, bytes_text, duration_text, rate_text


class Standing(enum.Enum):
    """
    How one thing is doing.

    FAILED: nothing more happens by itself. TROUBLED: something went wrong and is tried again.
    """

    DONE = "done"
    WORKING = "working"
    TROUBLED = "troubled"
    FAILED = "failed"


class Item(Record):
    """
    One volume or app, and how it is doing.

    :param text: for people, changes with every look at a transfer; ``stage``: the same without numbers.
    :param fraction: how much of the present round of a transfer is done, 0 .. 1; None: there is none.
    """

    kind: str = value(str)
    name: str = value(str)
    standing: Standing = value(Standing)
    stage: str = value(str)
    text: str = value(str)
    fraction: float | None = value((float, int, type(None)), default=None)


class Convergence(Record):
    """
    How all that a deployment names is doing.
    """

    items: PVector[Item] = sequence(Item, default=())

    @property
    def done(self) -> bool:
        """
        Whether everything is as wanted.
        """
        return all(item.standing is Standing.DONE for item in self.items)

    @property
    def failed(self) -> bool:
        """
        Whether waiting longer can't help.
        """
        return any(item.standing is Standing.FAILED for item in self.items) and not any(
            item.standing is Standing.WORKING for item in self.items
        )


def convergence(
    deployment: Deployment,
    datasets: Iterable[DatasetView],
    containers: ContainersView,
    nodes: Iterable[NodeView],
) -> Convergence:
    """
    How all that a deployment names is doing.

    :param datasets: and ``containers``, ``nodes``: all of the cluster, as they are now.
    """
    known = list(nodes)
    names = node_names(known)
    by_name = _by_name(datasets)
    given_up = {dataset.dataset_id for dataset in by_name.values() if _given_up(dataset) is not None}
    by_id = {dataset.dataset_id: dataset for dataset in by_name.values()}
    by_container = {container.name: container for container in containers.containers}
    leaving = {container.name: container for container in containers.leaving}
    silent = next((node.node_id for node in known if node.connected and node.node_id in containers.unknown_nodes), None)
    items = []
    for name, volume in sorted(deployment.volumes.items()):
        dataset = by_name.get(name) if volume.dataset_id is None else by_id.get(volume.dataset_id, by_name.get(name))
        wanted = _meant(deployment, volume.primary, known)
        items.append(dataset_item(name, dataset, names, deleted=volume.deleted, wanted=wanted))
    for app_name, app in sorted(deployment.apps.items()):
        wanted = _meant(deployment, app.node, known)
        container = by_container.get(app_name)
        stays = container is not None and any(mount.dataset_id in given_up for mount in container.mounts)
        item = container_item(
            app_name,
            container,
            names,
            deleted=app.deleted,
            wanted=wanted,
            stays=stays,
            leaving=leaving.get(ContainerName(app_name)),
            silent=silent,
        )
        items.append(item)
    return Convergence(items=pvector(items))


def _meant(deployment: Deployment, reference: NodeReference | None, nodes: Iterable[NodeView]) -> NodeId | None:
    """
    The node that a deployment refers to, if it is known yet.
    """
    if reference is None:
        return None
    listed = deployment.nodes.get(reference)
    if listed is not None and listed.node_id is not None:
        return listed.node_id
    spellings = {reference} if listed is None or listed.address is None else {reference, listed.address}
    for node in nodes:
        if spellings & {node.name, node.address, str(node.node_id)}:
            return node.node_id
    return None


def dataset_item(
    name: str,
    dataset: DatasetView | None,
    names: Mapping[NodeId, str],
    *,
    deleted: bool,
    wanted: NodeId | None = None,
) -> Item:
    """
    How one dataset is doing.

    :param dataset: None: the control service knows none of that name.
    :param wanted: where it has to be; None: wherever the control service wants it.
    """
    standing, stage, detail, fraction = _dataset_story(dataset, names, deleted=deleted, wanted=wanted)
    return Item(
        kind="volume",
        name=name,
        standing=standing,
        stage=stage,
        text=f"{stage}{detail}",
        fraction=fraction,
    )


def container_item(
    name: str,
    container: ContainerView | None,
    names: Mapping[NodeId, str],
    *,
    deleted: bool,
    wanted: NodeId | None = None,
    stays: bool = False,
    leaving: LeavingContainerView | None = None,
    silent: NodeId | None = None,
) -> Item:
    """
    How one container is doing.

    :param container: None: the control service knows none of that name.
    :param wanted: where it has to run; None: wherever the control service wants it.
    :param stays: where it is, with a volume whose move was given up.
    :param leaving: what is left of it, although nobody wants it any more.
    :param silent: a node that is connected, and has not told yet what it runs.
    """
    if deleted:
        standing, stage = _removal_story(container, leaving, silent, names)
    else:
        standing, stage = _container_story(container, names, wanted=wanted, stays=stays)
    return Item(kind="app", name=name, standing=standing, stage=stage, text=stage)


def move_progress_text(move: MoveView) -> str:
    """
    The numbers of a move that is under way; empty where there are none yet.
    """
    return ", ".join(_move_numbers(move))


def finished_move_text(name: str, move: MoveView, names: Mapping[NodeId, str]) -> str:
    """
    What a move that is over took, in a line.
    """
    way = f"{name} from {_node(move.source, names)} to {_node(move.target, names)}"
    if move.outcome != "done":
        return f"{way}: {move.outcome or 'not over'}{_reason_given(move, ', ')}"
    parts = []
    if move.sent_bytes is not None:
        rounds = "" if not move.round else f" in {move.round} {'round' if move.round == 1 else 'rounds'}"
        parts.append(f"{bytes_text(move.sent_bytes)}{rounds}")
    if move.started_at_seconds is not None and move.ended_at_seconds is not None:
        seconds = max(0.0, move.ended_at_seconds - move.started_at_seconds)
        parts.append(f"took {duration_text(seconds)}")
        # Of less, an average says more about the waiting than about the link.
        if move.sent_bytes is not None and move.sent_bytes >= MIB and seconds:
            parts.append(f"{rate_text(move.sent_bytes / seconds)} on average")
    if move.downtime_seconds is not None:
        parts.append(f"application stopped for {duration_text(move.downtime_seconds)}")
    return f"{way}: {', '.join(parts) or 'done'}"


def finished_moves(
    datasets: Iterable[DatasetView], seen_before: Iterable[MoveId]
) -> Iterator[tuple[DatasetView, MoveView]]:
    """
    The last moves of datasets, but for those that were over before.
    """
    known = set(seen_before)
    for dataset in datasets:
        move = dataset.last_move
        if move is not None and move.move_id is not None and move.move_id not in known:
            yield dataset, move


_Story = tuple[Standing, str, str, float | None]


def _dataset_story(
    dataset: DatasetView | None, names: Mapping[NodeId, str], *, deleted: bool, wanted: NodeId | None
) -> _Story:
    if deleted:
        return _deletion_story(dataset)
    if dataset is None:
        return Standing.WORKING, "not known yet", "", None
    primary, owner = _node(dataset.primary, names), _node(dataset.owner, names)
    if wanted is not None and wanted != dataset.primary and dataset.status not in {"deleted", "deleting"}:
        return Standing.FAILED, _elsewhere_text(dataset, wanted, names), "", None
    if dataset.status == "ok":
        used = "" if dataset.used_bytes is None else f", {bytes_text(dataset.used_bytes)} used"
        return Standing.DONE, f"on {owner}", used, None
    if dataset.move is not None:
        return _move_story(dataset, dataset.move, names)
    given_up = _given_up(dataset)
    if given_up is not None:
        reason = _reason_given(given_up, ": ")
        return (
            Standing.FAILED,
            f"the move to {primary} was {_outcome(given_up.outcome or '')}{reason}; it is on {owner}",
            "",
            None,
        )
    if dataset.status in {"deleted", "deleting"}:
        return Standing.FAILED, "somebody has deleted it", "", None
    standing = Standing.TROUBLED if dataset.status in {"error", "unknown"} else Standing.WORKING
    doing = f"is being made on {owner}" if dataset.status == "creating" else f"on {owner}, {dataset.status}"
    return standing, f"{doing}{_because(dataset)}", "", None


def _given_up(dataset: DatasetView) -> MoveView | None:
    """
    The move that a dataset is still wanted to make, and does not make before somebody asks again; None: there is none.
    """
    last = dataset.last_move
    if dataset.status != "waiting" or dataset.move is not None or dataset.primary == dataset.owner or last is None:
        return None
    # A move that is wanted again waits for nothing; one that was given up waits for somebody.
    return last if dataset.waiting_for is not None and last.outcome in {"failed", "cancelled"} else None


def _elsewhere_text(dataset: DatasetView, wanted: NodeId, names: Mapping[NodeId, str]) -> str:
    last = dataset.last_move
    if dataset.move is None and last is not None and last.outcome == "cancelled" and last.target == wanted:
        return f"the move to {_node(wanted, names)} was cancelled; it stays on {_node(dataset.owner, names)}"
    return (
        f"somebody wants it on {_node(dataset.primary, names)} meanwhile, not on {_node(wanted, names)}"
        " as the deployment does"
    )


def _deletion_story(dataset: DatasetView | None) -> _Story:
    if dataset is None or dataset.status == "deleted":
        return Standing.DONE, "deleted", "", None
    standing = Standing.TROUBLED if dataset.status == "error" else Standing.WORKING
    return standing, f"is being deleted{_because(dataset)}", "", None


def _move_story(dataset: DatasetView, move: MoveView, names: Mapping[NodeId, str]) -> _Story:
    way = f"{_node(move.source, names)} to {_node(move.target, names)}"
    stage = f"moving from {way}: {move.phase or 'about to begin'}"
    waits = move.waiting_for or _reason(dataset)
    if waits:
        return Standing.TROUBLED, f"{stage}, waiting for {waits}", "", None
    # Later phases are over before a number of theirs could be read.
    numbers = move_progress_text(move) if move.phase == "copying" else ""
    fraction = None
    if move.phase == "copying" and move.round_bytes is not None and move.total_bytes:
        fraction = min(1.0, move.round_bytes / move.total_bytes)
    return Standing.WORKING, stage, f", {numbers}" if numbers else "", fraction


def _move_numbers(move: MoveView) -> Iterator[str]:
    if move.round:
        yield f"round {move.round}"
    if move.round_bytes is not None and move.total_bytes:
        percent = min(100, int(100 * move.round_bytes / move.total_bytes))
        yield f"{bytes_text(move.round_bytes)} of {bytes_text(move.total_bytes)} ({percent} %)"
    if move.rate_bytes_per_second:
        yield rate_text(move.rate_bytes_per_second)
    if move.eta_seconds is not None:
        yield f"{duration_text(move.eta_seconds)} left in this round"
    if move.predicted_downtime_seconds is not None:
        yield f"would stop the application for {duration_text(move.predicted_downtime_seconds)}"


def _removal_story(
    container: ContainerView | None,
    leaving: LeavingContainerView | None,
    silent: NodeId | None,
    names: Mapping[NodeId, str],
) -> tuple[Standing, str]:
    if container is not None:
        return Standing.WORKING, f"is being removed from {_node(container.runs_on or container.node_id, names)}"
    if leaving is not None:
        standing, waiting = _waiting(leaving)
        return standing, f"is being removed from {_node(leaving.node_id, names)}{waiting}"
    if silent is not None:
        return Standing.WORKING, f"is removed, unless {_node(silent, names)} has it, which has not told yet"
    return Standing.DONE, "removed"


def _waiting(container: ContainerView | LeavingContainerView) -> tuple[Standing, str]:
    waits = container.waiting_for or (None if container.last_error is None else container.last_error.text)
    standing = Standing.WORKING if container.last_error is None else Standing.TROUBLED
    return standing, f", waiting for {waits}" if waits else ""


def _container_story(
    container: ContainerView | None, names: Mapping[NodeId, str], *, wanted: NodeId | None, stays: bool
) -> tuple[Standing, str]:
    if container is None:
        return Standing.WORKING, "not known yet"
    node = _node(container.node_id, names)
    if wanted is not None and wanted != container.node_id:
        return (
            Standing.FAILED,
            f"somebody wants it on {node} meanwhile, not on {_node(wanted, names)} as the deployment does",
        )
    standing, waiting = _waiting(container)
    if container.outdated and container.runs_on == container.node_id:
        return standing, f"{container.state} on {node} as it was before{waiting}"
    if container.state == "running" and container.runs_on == container.node_id:
        wrong = [*([] if container.last_error is None else [container.last_error.text]), *container.warnings]
        return Standing.DONE, "; ".join([f"running on {node}", *wrong])
    if container.state == "exited" and container.runs_on == container.node_id:
        return _ended_story(container, node)
    if container.state == "running" and container.runs_on is not None:
        running = f"running on {_node(container.runs_on, names)}, wanted on {node}"
        # It follows its volumes, and the one whose move was given up waits for somebody.
        return (Standing.FAILED, f"{running}; the move was given up") if stays else (Standing.WORKING, running)
    # What has ended did so elsewhere.
    state = f"stopped, wanted on {node}" if container.state == "exited" else f"{container.state} on {node}"
    return standing, f"{state}{waiting}"


def _ended_story(container: ContainerView, node: str) -> tuple[Standing, str]:
    policy = "never" if container.restart is None else container.restart.name
    ended = f"ended on {node} with exit status {container.exit_status}"
    if container.exit_status == 0 and policy in {"never", "on-failure"}:
        return Standing.DONE, ended
    most = None if container.restart is None else container.restart.maximum_retry_count
    exhausted = most is not None and (container.restarts or 0) >= most
    if policy == "never" or (policy == "on-failure" and exhausted):
        return Standing.FAILED, f"{ended}, and its policy does not start it again"
    return Standing.WORKING, f"{ended}, and is started again"


def _by_name(datasets: Iterable[DatasetView]) -> dict[str, DatasetView]:
    result: dict[str, DatasetView] = {}
    for dataset in datasets:
        key = dataset.name or str(dataset.dataset_id)
        # A name can be used again once the dataset that had it is deleted.
        if key not in result or result[key].deleted:
            result[key] = dataset
    return result


def _because(dataset: DatasetView) -> str:
    reason = _reason(dataset)
    return f", waiting for {reason}" if reason else ""


def _reason(dataset: DatasetView) -> str | None:
    if dataset.waiting_for:
        return dataset.waiting_for
    return None if dataset.last_error is None else dataset.last_error.text


def _reason_given(move: MoveView, separator: str) -> str:
    # A cancelled move's reason may be no more than that.
    return f"{separator}{move.reason}" if move.reason and move.reason != move.outcome else ""


def _outcome(outcome: str) -> str:
    return "given up" if outcome == "failed" else outcome


def _node(node_id: NodeId, names: Mapping[NodeId, str]) -> str:
    return names.get(node_id, str(node_id))

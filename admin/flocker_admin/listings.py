"""
What there is, as tables of text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from flocker_admin.convergence import container_item, dataset_item, finished_move_text, move_progress_text
from flocker_py.client.views import (
    BackupsView,
    ContainersView,
    DatasetView,
    DrainedView,
    GroupView,
    LeaseView,
    MoveView,
    NodeView,
    PortView,
    StatusView,
)
from flocker_py.images import ImageUnreadable, image_reference
from flocker_py.model import DatasetId, NodeId
from flocker_py.units import bytes_text, duration_text

Row = Sequence[str]

_LONG_DIGEST = re.compile(r"(sha\d+:[0-9a-f]{12})[0-9a-f]+")
"""
As many digits are shown as Docker itself shows. All of them are in the answer of the API.
"""


def aligned(header: Row, rows: Iterable[Row]) -> list[str]:
    """
    A table of text: columns as wide as their widest cell, two spaces between them.
    """
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def status_lines(status: StatusView) -> list[str]:
    """
    How the control service does, a line per subject.
    """
    store = "ok" if status.store_error is None else f"{status.store_error.text} ({status.store_error.code})"
    return [
        f"control service: version {status.version}, revision {status.revision}",
        f"nodes: {status.nodes_connected} of {status.nodes_known} connected",
        f"store: {store}",
        *_backup_lines(status.backups),
    ]


def _backup_lines(backups: BackupsView | None) -> Iterator[str]:
    if backups is None:
        yield "backups: none are made; start flocker-control with --backup-to"
        return
    every = duration_text(backups.every_seconds)
    yield f"backups: in {backups.directory}, every {every} if something has changed, {backups.keep} kept"
    if backups.newest is None:
        yield "newest backup: none yet"
    else:
        newest = backups.newest
        taken_at = datetime.fromtimestamp(newest.taken_at_seconds, tz=UTC)
        yield f"newest backup: {newest.name}, revision {newest.revision}, of {taken_at:%Y-%m-%d %H:%M:%S} UTC"
    if backups.error is not None:
        yield f"last backup failed: {backups.error.text} ({backups.error.code})"


def node_lines(nodes: Iterable[NodeView]) -> list[str]:
    """
    Nodes, and below them what goes wrong on them.
    """
    listed = sorted(nodes, key=lambda node: (node.name or "~", str(node.node_id)))
    header = ("NAME", "ADDRESS", "STATE", "LEASE", "STORAGE", "RUNTIME", "FREE", "VERSION", "ID")
    rows = [
        (
            node.name or "-",
            node.address or "-",
            _node_state(node),
            _lease_text(node),
            node.storage or "-",
            node.runtime or "-",
            "-" if node.free_bytes is None else bytes_text(node.free_bytes),
            node.version or "-",
            str(node.node_id),
        )
        for node in listed
    ]
    troubles = [
        f"{node.name or node.node_id}: {failure.about}: {failure.text} ({failure.code})"
        for node in listed
        for failure in node.failures
    ]
    return [*aligned(header, rows), *troubles]


def _node_state(node: NodeView) -> str:
    if node.removed:
        return "removed"
    return f"{'connected' if node.connected else 'away'}{', draining' if node.draining else ''}"


def lease_lines(
    leases: Iterable[LeaseView], names: Mapping[NodeId, str], datasets: Mapping[DatasetId, str]
) -> list[str]:
    """
    The leases that users hold on datasets.
    """
    rows = sorted(
        (
            datasets.get(lease.dataset_id, str(lease.dataset_id)),
            names.get(lease.node_id, str(lease.node_id)),
            "until it is released" if lease.left_seconds is None else duration_text(lease.left_seconds),
            "yes" if lease.is_waited_for else "no",
        )
        for lease in leases
    )
    return aligned(("VOLUME", "NODE", "LEFT", "WAITED FOR"), rows) if rows else ["No volume is leased."]


def drained_lines(node: str, drained: DrainedView, names: Mapping[NodeId, str]) -> list[str]:
    """
    What becomes of everything on a node, a line for each group; below those that stay, their reasons.
    """
    moves, stays = ("would move", "would stay") if drained.dry_run else ("moves", "stays")
    lines = [f"{_group_text(it.group)} {moves} to {names.get(it.target, str(it.target))}" for it in drained.placed]
    lines += [f"{_group_text(group)} is leaving already" for group in drained.leaving]
    for it in drained.unplaced:
        lines.append(f"{_group_text(it.group)} {stays}:")
        lines += [f"    {reason}" for reason in it.reasons]
    if not lines:
        lines.append(f"Nothing is on node {node}.")
    if not drained.dry_run:
        left = ", and what stays can be asked for again" if drained.unplaced else ""
        lines.append(f"Node {node} takes nothing new until flockerctl undrain {node}{left}.")
    return lines


def _group_text(group: GroupView) -> str:
    volumes = ", ".join(dataset.name or str(dataset.dataset_id) for dataset in group.datasets)
    if group.container is None:
        return f"volume {volumes}"
    return f"app {group.container}{f' with volume {volumes}' if volumes else ''}"


def dataset_lines(datasets: Iterable[DatasetView], names: Mapping[NodeId, str]) -> list[str]:
    """
    Datasets, those that are gone left out.
    """
    header = ("NAME", "OWNER", "STATUS", "USED", "LIMIT", "ID", "DETAILS")
    rows = [
        (
            dataset.name or "-",
            names.get(dataset.owner, str(dataset.owner)),
            dataset.status,
            "-" if dataset.used_bytes is None else bytes_text(dataset.used_bytes),
            "-" if dataset.maximum_size_bytes is None else bytes_text(dataset.maximum_size_bytes),
            str(dataset.dataset_id),
            _details(dataset, names),
        )
        for dataset in sorted(datasets, key=lambda dataset: (dataset.name or "~", str(dataset.dataset_id)))
        if dataset.status != "deleted"
    ]
    return aligned(header, rows)


def container_lines(found: ContainersView, names: Mapping[NodeId, str]) -> list[str]:
    """
    Containers, where they run and how they are; below, those that are wanted no more, and have not ended yet. Ports are
    written as in ``cluster.yml``.

    RUNS is the image that was seen to run, whatever its name may mean by now; PINNED, whether its name is for ever.
    """
    header = ("NAME", "STATE", "NODE", "RESTARTS", "HEALTH", "IMAGE", "RUNS", "PINNED", "PORTS", "VOLUMES", "DETAILS")
    rows: list[Row] = [
        (
            container.name,
            container.state,
            names.get(container.runs_on or container.node_id, str(container.runs_on or container.node_id)),
            str(container.restarts or 0),
            "-" if container.health in (None, "none") else container.health,
            "-" if container.image is None else _shortened(container.image),
            "-" if container.image_digest is None else _shortened(container.image_digest),
            _pinned_text(container.image),
            ",".join(map(_port_text, container.ports)) or "-",
            ",".join(mount.name or str(mount.dataset_id) for mount in container.mounts) or "-",
            container_item(container.name, container, names, deleted=False).text,
        )
        for container in sorted(found.containers, key=lambda container: container.name)
    ]
    for left in found.leaving:
        details = container_item(left.name, None, names, deleted=True, leaving=left).text
        rows.append((left.name, left.state, names.get(left.node_id, str(left.node_id)), *["-"] * 7, details))
    return aligned(header, rows)


def _shortened(text: str) -> str:
    return _LONG_DIGEST.sub(r"\1...", text)


def _pinned_text(image: str | None) -> str:
    if image is None:
        return "-"
    try:
        return "yes" if image_reference(image).pinned else "no"
    except ImageUnreadable:
        return "-"


def _port_text(port: PortView) -> str:
    address = "" if port.host_address is None else f"{port.host_address}:"
    if ":" in address[:-1]:
        address = f"[{port.host_address}]:"
    return f"{address}{port.external}:{port.internal}{'' if port.protocol == 'tcp' else f'/{port.protocol}'}"


def move_lines(
    moves: Iterable[MoveView], names: Mapping[NodeId, str], dataset_names: Mapping[DatasetId, str]
) -> list[str]:
    """
    Moves: those under way first, then what the others took.
    """
    listed = list(moves)
    header = ("VOLUME", "FROM", "TO", "PHASE", "MOVE", "DETAILS")
    rows = [
        (
            dataset_names.get(move.dataset_id, str(move.dataset_id)),
            names.get(move.source, str(move.source)),
            names.get(move.target, str(move.target)),
            move.phase or "-",
            "-" if move.move_id is None else str(move.move_id),
            f"waiting for {move.waiting_for}" if move.waiting_for else move_progress_text(move),
        )
        for move in listed
        if move.outcome is None
    ]
    ended = [
        finished_move_text(dataset_names.get(move.dataset_id, str(move.dataset_id)), move, names)
        for move in sorted(listed, key=lambda move: move.ended_at_seconds or 0.0, reverse=True)
        if move.outcome is not None
    ]
    under_way = aligned(header, rows) if rows else ["No move is under way."]
    return [*under_way, *(["", "Ended:", *ended] if ended else [])]


def _details(dataset: DatasetView, names: Mapping[NodeId, str]) -> str:
    return dataset_item(dataset.name or "", dataset, names, deleted=dataset.deleted).text


def _lease_text(node: NodeView) -> str:
    left_seconds = node.lease_left_seconds
    if left_seconds is None:
        return "-"
    if left_seconds <= 0:
        return f"expired {duration_text(-left_seconds)} ago"
    # While a node is connected its lease is renewed all the time, and says nothing.
    return "valid" if node.connected else f"valid {duration_text(left_seconds)} more"

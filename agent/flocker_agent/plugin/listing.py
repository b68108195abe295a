"""
Volumes as Docker shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flocker_agent.plugin.mounting import Look, called, users
from flocker_py.client.views import CopiesView, DatasetView, LeaseView, MoveView
from flocker_py.model import NodeId
from flocker_py.protection import is_protected
from flocker_py.units import bytes_text


def mountpoint(dataset: DatasetView, here: NodeId) -> str:
    """
    Where a volume is on this node; empty: it can't be used here now.
    """
    return dataset.path or "" if dataset.owner == here and dataset.mounted else ""


def listed(datasets: Iterable[DatasetView], here: NodeId) -> list[dict[str, Any]]:
    """
    All volumes: the datasets that have a name and aren't deleted.
    """
    named = ((each.name, each) for each in datasets if each.name is not None and not each.deleted)
    return [{"Name": name, "Mountpoint": mountpoint(each, here)} for name, each in sorted(named, key=lambda it: it[0])]


def shown(look: Look, copies: CopiesView, mounts_here: int) -> dict[str, Any]:
    """
    One volume, with its status.

    :param mounts_here: how many have it mounted on this node through Docker.
    """
    dataset, names = look.dataset, look.names
    size, used = dataset.maximum_size_bytes, dataset.used_bytes
    status = {
        "dataset_id": str(dataset.dataset_id),
        "owner": called(names, dataset.owner),
        "epoch": dataset.epoch,
        "status": dataset.status,
        "waiting_for": dataset.waiting_for,
        "last_error": None if dataset.last_error is None else dataset.last_error.text,
        "move": None if dataset.move is None else _move(dataset.move, names),
        "replicas": [
            {"node": called(names, copy.node_id), "connected": copy.connected, "text": copy.text}
            for copy in copies.copies
            if copy.node_id != dataset.owner
        ],
        "size": None if size is None else bytes_text(size),
        "used": None if used is None else bytes_text(used),
        "protected": is_protected(dataset.metadata),
        "lease": None if dataset.lease is None else _lease(dataset.lease, names),
        "apps": sorted(container.name for container in users(look)),
        "mounts_here": mounts_here,
    }
    return {"Name": look.volume, "Mountpoint": mountpoint(dataset, look.here), "Status": status}


def _move(move: MoveView, names: Mapping[NodeId, str]) -> dict[str, Any]:
    return {
        "from": called(names, move.source),
        "to": called(names, move.target),
        "phase": move.phase,
        "round": move.round,
        "sent": None if move.sent_bytes is None else bytes_text(move.sent_bytes),
        "waiting_for": move.waiting_for,
    }


def _lease(lease: LeaseView, names: Mapping[NodeId, str]) -> dict[str, Any]:
    return {"node": called(names, lease.node_id), "left_seconds": lease.left_seconds}

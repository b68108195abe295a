"""
``/v2``: version and datasets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pyrsistent import pmap, pvector

from flocker_control import explain
from flocker_control.commands import (
    MOVE_POLICY_FIELDS,
    ApplyAll,
    ChangeMetadata,
    ChangeMovePolicy,
    ChangePartitionPolicy,
    ChangePrimary,
    Command,
    CreateDataset,
    DeleteDataset,
    RenameDataset,
    ResizeDataset,
    StartMove,
)
from flocker_control.http.answers import Answer
from flocker_control.http.naming import known_dataset, known_node
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v2_leases import LEASE_QUERY, under_lease
from flocker_control.http.views_v2 import View, dataset_view
from flocker_control.state import State
from flocker_py import __version__
from flocker_py.model import DatasetId, Origin, OverrunPolicy, PartitionPolicy, StartFailurePolicy

_SETTLED = (explain.Status.OK, explain.Status.DELETED)


async def version(_api: Api, _call: Call) -> Answer:
    """
    What runs here.
    """
    return Answer(body={"version": __version__, "api": ["v1", "v2"]})


def present_view(api: Api, dataset_id: DatasetId) -> View:
    """
    A dataset as it is now.
    """
    return dataset_view(api.service.situation(dataset_id), api.mount_root)


async def datasets(api: Api, call: Call) -> Answer:
    """
    All datasets.
    """
    state = api.service.state
    destroyed_too = call.query("deleted") == "true"
    shown = [i for i, ownership in sorted(state.ownerships.items()) if destroyed_too or not ownership.destroyed]
    return Answer(body={"revision": state.revision, "datasets": [present_view(api, i) for i in shown]})


async def dataset(api: Api, call: Call) -> Answer:
    """
    One dataset.
    """
    return Answer(body=present_view(api, known_dataset(api.service.state, call.path["dataset"])))


async def create_dataset(api: Api, call: Call) -> Answer:
    """
    Want a new dataset.
    """
    body = call.body
    dataset_id = DatasetId(UUID(body["dataset_id"]) if "dataset_id" in body else api.new_id())
    command = CreateDataset(
        dataset_id=dataset_id,
        primary=known_node(api.service.state, body["primary"]),
        name=body.get("name"),
        maximum_size_bytes=body.get("maximum_size_bytes"),
        metadata=pmap(body.get("metadata", {})),
        **_move_policy(body),
        on_partition=PartitionPolicy(body.get("on_partition", PartitionPolicy.KEEP.value)),
        origin=_origin(api.service.state, body["origin"]) if "origin" in body else None,
    )
    await api.service.submit(command)
    return Answer(status=201, body=present_view(api, dataset_id))


def _origin(state: State, body: dict[str, Any]) -> Origin:
    return Origin(dataset_id=known_dataset(state, body["dataset"]), snapshot=body["snapshot"])


def _move_policy(body: dict[str, Any]) -> dict[str, Any]:
    """
    What a body says of how the dataset is moved.
    """
    readers: dict[str, Callable[[Any], object]] = {
        "max_downtime_seconds": float,
        "on_overrun": OverrunPolicy,
        "on_start_failure": StartFailurePolicy,
    }
    return {field: readers[field](body[field]) for field in MOVE_POLICY_FIELDS if field in body}


async def change_dataset(api: Api, call: Call) -> Answer:
    """
    Want a dataset otherwise.
    """
    state = api.service.state
    dataset_id = known_dataset(state, call.path["dataset"])
    present, body = state.datasets[dataset_id], call.body
    parts: list[Command] = []
    if "name" in body:
        parts.append(RenameDataset(dataset_id=dataset_id, name=body["name"]))
    if "maximum_size_bytes" in body:
        parts.append(ResizeDataset(dataset_id=dataset_id, maximum_size_bytes=body["maximum_size_bytes"]))
    if "metadata" in body:
        parts.append(ChangeMetadata(dataset_id=dataset_id, metadata=pmap(body["metadata"])))
    policy = _move_policy(body)
    if policy:
        kept = {field: getattr(present, field) for field in MOVE_POLICY_FIELDS}
        parts.append(ChangeMovePolicy(**{"dataset_id": dataset_id, **kept, **policy}))
    if "on_partition" in body:
        on_partition = PartitionPolicy(body["on_partition"])
        parts.append(ChangePartitionPolicy(dataset_id=dataset_id, on_partition=on_partition))
    if "primary" in body:
        target = known_node(state, body["primary"])
        # Asking again for the present primary is a wish, too, if it was given up before.
        same = target == present.primary
        parts.append(
            ChangePrimary(dataset_id=dataset_id, primary=target)
            if same
            else StartMove(dataset_id=dataset_id, target=target)
        )
    await api.service.submit(under_lease(call, ApplyAll(commands=pvector(parts))))
    return Answer(body=present_view(api, dataset_id))


async def delete_dataset(api: Api, call: Call) -> Answer:
    """
    Want a dataset no more.
    """
    dataset_id = known_dataset(api.service.state, call.path["dataset"])
    await api.service.submit(under_lease(call, DeleteDataset(dataset_id=dataset_id)))
    return Answer(body=present_view(api, dataset_id))


async def explain_dataset(api: Api, call: Call) -> Answer:
    """
    Why a dataset is not yet as it is wanted.
    """
    dataset_id = known_dataset(api.service.state, call.path["dataset"])
    situation = api.service.situation(dataset_id)
    converged = explain.status(situation) in _SETTLED
    return Answer(body={"dataset_id": str(dataset_id), "converged": converged, "lines": explain.lines(situation)})


_MISSING = {404: "There is no such dataset."}
_NODE_MISSING = {404: "There is no such node."}
_REFUSED = {400: "The body is refused."}

DATASET_ROUTES: tuple[Route, ...] = (
    route("GET", "/v2/version", version, {200: "Version"}, summary="What runs here"),
    route(
        "GET",
        "/v2/datasets",
        datasets,
        {200: "Datasets"},
        summary="All datasets",
        query={"deleted": "true: also those that are deleted and gone"},
    ),
    route("GET", "/v2/datasets/<dataset>", dataset, {200: "Dataset"}, summary="One dataset", errors=_MISSING),
    route(
        "POST",
        "/v2/datasets",
        create_dataset,
        {201: "Dataset"},
        summary="Want a new dataset",
        body="CreateDataset",
        errors={409: "The id or the name is in use.", **_REFUSED, **_NODE_MISSING},
    ),
    *(
        route(
            method,
            "/v2/datasets/<dataset>",
            change_dataset,
            {200: "Dataset"},
            summary="Want a dataset otherwise",
            description="With another primary, the container that uses the dataset moves with it.",
            body="ChangeDataset",
            errors={409: "The name is in use, or the dataset is deleted or leased.", **_REFUSED, **_MISSING},
            query=LEASE_QUERY,
        ).set(name=f"v2-{method.lower()}-dataset")
        for method in ("PATCH", "POST")
    ),
    route(
        "DELETE",
        "/v2/datasets/<dataset>",
        delete_dataset,
        {200: "Dataset"},
        summary="Want a dataset no more; its data is destroyed",
        errors={
            400: "Both when_released and force are asked for.",
            409: "A container uses it, or it is leased.",
            **_MISSING,
        },
        query=LEASE_QUERY,
    ),
    route(
        "GET",
        "/v2/datasets/<dataset>/explain",
        explain_dataset,
        {200: "Explanation"},
        summary="Why a dataset is not yet as it is wanted, in sentences",
        errors=_MISSING,
    ),
)

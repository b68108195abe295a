"""
``/v1``: the API of Flocker 1.x, for the clients that were written for it.

Where Flocker answered with a 500, here is a 400 or 409 that says what is wrong; every error is an object with
``description``, as clients expect, and ``code``.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pyrsistent import pmap

from flocker_control.commands import ChangePrimary, Command, CreateDataset, DeleteDataset
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.rendering import refused
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.views_v1 import configuration_tag, dataset_view, datasets_view, nodes_view, states_view
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.service import CommandRefused
from flocker_control.store import RevisionConflict
from flocker_py.model import Dataset, DatasetId, NodeId

FLOCKER_VERSION = "1.15.0"
"""The last release of the API that this is compatible with."""

TAG_HEADER = "X-Configuration-Tag"
CONDITION_HEADER = "X-If-Configuration-Matches"

# What clients of Flocker may compare with.
_WORDS = {
    RefusalCode.DATASET_ID_IN_USE: (409, "The provided dataset_id is already in use."),
    RefusalCode.DATASET_UNKNOWN: (404, "Dataset not found."),
    RefusalCode.DATASET_DELETED: (405, "The dataset has been deleted."),
    RefusalCode.CONTAINER_UNKNOWN: (404, "Container not found."),
    RefusalCode.LEASE_HELD: (409, "Lease already held."),
    RefusalCode.LEASE_UNKNOWN: (404, "Lease not found."),
}


async def version(_api: Api, _call: Call) -> Answer:
    """
    The version of Flocker that is spoken.
    """
    return Answer(body={"flocker": FLOCKER_VERSION})


async def nodes(api: Api, _call: Call) -> Answer:
    """
    The connected nodes.
    """
    return Answer(body=nodes_view(api.service.nodes))


async def node_by_era(api: Api, call: Call) -> Answer:
    """
    The node that booted under an era.
    """
    try:
        era = UUID(call.path["era"])
    except ValueError:
        raise RequestRefused(400, "EraRefused", "An era is a UUID.") from None
    for node in api.service.nodes.values():
        if node.era == era:
            return Answer(body={"uuid": str(node.node_id)})
    raise RequestRefused(404, "NodeUnknown", "No node found with given era.")


async def datasets(api: Api, _call: Call) -> Answer:
    """
    What is wanted of all datasets.
    """
    view = datasets_view(api.service.state, api.service.now_seconds())
    return Answer(body=view, headers=pmap({TAG_HEADER: configuration_tag(api.service.state.datasets)}))


async def create_dataset(api: Api, call: Call) -> Answer:
    """
    Want a new dataset.
    """
    body = call.body
    dataset_id = DatasetId(UUID(body["dataset_id"]) if "dataset_id" in body else api.new_id())
    command = CreateDataset(
        dataset_id=dataset_id,
        primary=NodeId(UUID(body["primary"])),
        maximum_size_bytes=body.get("maximum_size"),
        metadata=pmap(body.get("metadata", {})),
    )
    return Answer(status=201, body=dataset_view(await _done(api, call, command, dataset_id)))


async def change_dataset(api: Api, call: Call) -> Answer:
    """
    Want a dataset elsewhere.
    """
    dataset_id = _dataset_id(call)
    dataset = api.service.state.datasets.get(dataset_id)
    if dataset is None or dataset.deleted or "primary" in call.body:
        primary = UUID(call.body.get("primary", str(dataset_id)))
        dataset = await _done(api, call, ChangePrimary(dataset_id=dataset_id, primary=NodeId(primary)), dataset_id)
    return Answer(body=dataset_view(dataset))


async def delete_dataset(api: Api, call: Call) -> Answer:
    """
    Want a dataset no more.
    """
    dataset_id = _dataset_id(call)
    return Answer(body=dataset_view(await _done(api, call, DeleteDataset(dataset_id=dataset_id), dataset_id)))


async def dataset_states(api: Api, _call: Call) -> Answer:
    """
    Where datasets are.
    """
    return Answer(body=states_view(api.service.state, api.service.nodes, api.mount_root))


def _dataset_id(call: Call) -> DatasetId:
    try:
        return DatasetId(UUID(call.path["dataset_id"]))
    except ValueError:
        raise RequestRefused(404, RefusalCode.DATASET_UNKNOWN.text, "Dataset not found.") from None


async def _done(api: Api, call: Call, command: Command, dataset_id: DatasetId) -> Dataset:
    """
    Carry out a command while the condition of the request holds; the dataset after it.
    """
    while True:
        check_condition(api, call)
        condition = api.service.state.revision if call.header(CONDITION_HEADER) else None
        try:
            state = await api.service.submit(command, if_revision=condition)
        except RevisionConflict:
            # Something was committed meanwhile; whether it concerns the condition is seen by looking again.
            continue
        except CommandRefused as error:
            raise refused_v1(error.refusal) from error
        return state.datasets[dataset_id]


def refused_v1(refusal: Refusal) -> RequestRefused:
    """
    The refusal of a command as that of a request, in the words that clients of Flocker may compare with.
    """
    request = refused(refusal)
    request.status, request.description = _WORDS.get(refusal.code, (request.status, request.description))
    return request


def check_condition(api: Api, call: Call) -> None:
    """
    Hold the condition of a request, if it has one, against the present wishes about datasets.

    :raises RequestRefused: it doesn't hold.
    """
    tags = [tag.strip() for value in call.header(CONDITION_HEADER) for tag in value.split(",")]
    if not tags:
        return
    current = configuration_tag(api.service.state.datasets)
    if current not in tags:
        raise RequestRefused(
            412,
            "ConfigurationChanged",
            f"Tag doesn't match. Required: {', '.join(tags)}, current: {current}",
        )


_CONDITION_ERROR = {412: f"{CONDITION_HEADER} names other tags than the present one."}
_CONDITION = {CONDITION_HEADER: f"do it only if the {TAG_HEADER} of the datasets is this, or one of several"}
_MISSING = {404: "There is no such dataset."}
_USED: dict[int, Any] = {409: "A container uses the dataset, or it is leased: then holder says to which node."}

V1_ROUTES: tuple[Route, ...] = (
    route("GET", "/v1/version", version, {200: "V1Version"}, summary="The version of Flocker that is spoken"),
    route("GET", "/v1/state/nodes", nodes, {200: "V1Nodes"}, summary="The connected nodes"),
    route(
        "GET",
        "/v1/state/nodes/by_era/<era>",
        node_by_era,
        {200: "V1NodeOfEra"},
        summary="The node that booted under an era",
        errors={400: "The era is not a UUID.", 404: "No connected node has this era."},
    ),
    route(
        "GET",
        "/v1/configuration/datasets",
        datasets,
        {200: "V1Datasets"},
        summary="What is wanted of all datasets",
        description="A deleted one is listed, as deleted, until every node has destroyed it and an hour has passed; its"
        f" id is refused for ever. The header {TAG_HEADER} changes with what is wanted of datasets, and nothing else.",
        answer_headers={TAG_HEADER: "of what is wanted of all datasets"},
    ),
    route(
        "POST",
        "/v1/configuration/datasets",
        create_dataset,
        {201: "V1Dataset"},
        summary="Want a new dataset",
        body="V1CreateDataset",
        errors={400: "The body is refused.", 409: "The dataset_id is in use.", **_CONDITION_ERROR},
        headers=_CONDITION,
        check=check_condition,
    ),
    route(
        "POST",
        "/v1/configuration/datasets/<dataset_id>",
        change_dataset,
        {200: "V1Dataset"},
        summary="Want a dataset elsewhere",
        body="V1ChangeDataset",
        errors={
            400: "The body is refused.",
            405: "The dataset has been deleted.",
            **_MISSING,
            **_USED,
            **_CONDITION_ERROR,
        },
        headers=_CONDITION,
        check=check_condition,
    ),
    route(
        "DELETE",
        "/v1/configuration/datasets/<dataset_id>",
        delete_dataset,
        {200: "V1Dataset"},
        summary="Want a dataset no more; its data is destroyed",
        errors={**_MISSING, **_USED, **_CONDITION_ERROR},
        headers=_CONDITION,
        check=check_condition,
    ),
    route("GET", "/v1/state/datasets", dataset_states, {200: "V1DatasetStates"}, summary="Where datasets are"),
)

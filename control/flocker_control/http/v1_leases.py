"""
``/v1``: leases that users hold on datasets.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flocker_control.dataset_leases import AcquireLease, ReleaseLease, is_held, left_seconds
from flocker_control.http.answers import Answer, RequestRefused
from flocker_control.http.naming import uuid_of
from flocker_control.http.routes import Api, Call, Route, route
from flocker_control.http.v1 import refused_v1
from flocker_control.service import CommandRefused
from flocker_control.store import RevisionConflict
from flocker_py.model import DatasetId, DatasetLease, NodeId


def _view(lease: DatasetLease, seconds: float | None) -> dict[str, Any]:
    return {"dataset_id": str(lease.dataset_id), "node_uuid": str(lease.node_id), "expires": seconds}


def _present_view(api: Api, lease: DatasetLease) -> dict[str, Any]:
    return _view(lease, left_seconds(lease, api.service.moment()))


async def leases(api: Api, _call: Call) -> Answer:
    """
    The leases that are held.
    """
    present = sorted(api.service.state.dataset_leases.items())
    return Answer(body=[_present_view(api, lease) for _, lease in present if is_held(lease, api.service.moment())])


async def acquire_lease(api: Api, call: Call) -> Answer:
    """
    Hold a dataset for a node, or go on holding it.
    """
    body = call.body
    dataset_id, node_id = DatasetId(UUID(body["dataset_id"])), NodeId(UUID(body["node_uuid"]))
    try:
        lease, renewed = await held(api, dataset_id, node_id, body["expires"])
    except CommandRefused as error:
        raise refused_v1(error.refusal) from error
    return Answer(status=200 if renewed else 201, body=_view(lease, body["expires"]))


async def held(api: Api, dataset_id: DatasetId, node_id: NodeId, seconds: float | None) -> tuple[DatasetLease, bool]:
    """
    Acquire a lease, or renew it: the lease, and whether it was held before.

    :raises CommandRefused: another node holds it.
    """
    while True:
        state, now = api.service.state, api.service.moment()
        renewed = is_held(state.dataset_leases.get(dataset_id), now)
        command = AcquireLease(dataset_id=dataset_id, node_id=node_id, seconds=seconds, now=now)
        try:
            state = await api.service.submit(command, if_revision=state.revision)
        except RevisionConflict:
            # Something was committed meanwhile, and it may have been this lease.
            continue
        return state.dataset_leases[dataset_id], renewed


async def release_lease(api: Api, call: Call) -> Answer:
    """
    Hold a dataset no more.
    """
    found = uuid_of(call.path["dataset_id"])
    if found is None:
        raise RequestRefused(400, "DatasetIdRefused", "The id of a dataset is a UUID.")
    while True:
        state, now = api.service.state, api.service.moment()
        try:
            await api.service.submit(ReleaseLease(dataset_id=DatasetId(found), now=now), if_revision=state.revision)
        except RevisionConflict:
            continue
        except CommandRefused as error:
            raise refused_v1(error.refusal) from error
        lease = state.dataset_leases[DatasetId(found)]
        return Answer(body=_view(lease, left_seconds(lease, now)))


V1_LEASE_ROUTES: tuple[Route, ...] = (
    route("GET", "/v1/configuration/leases", leases, {200: "V1Leases"}, summary="The leases held on datasets"),
    route(
        "POST",
        "/v1/configuration/leases",
        acquire_lease,
        {200: "V1Lease", 201: "V1Lease"},
        summary="Hold a dataset for a node, or go on holding it",
        description="201: it was held by nobody; 200: it was held for the same node. Neither has to exist.",
        body="V1AcquireLease",
        errors={400: "The body is refused.", 409: "It is held for another node."},
    ),
    route(
        "DELETE",
        "/v1/configuration/leases/<dataset_id>",
        release_lease,
        {200: "V1Lease"},
        summary="Hold a dataset no more, whoever does",
        errors={400: "The id is not a UUID.", 404: "Nobody holds a lease of this dataset."},
    ),
)
